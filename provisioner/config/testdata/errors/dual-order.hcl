cluster "x" {
  network {
    pods     = ["fd00:244::/56", "10.244.0.0/16"] # ERROR: Invalid address range
    services = ["10.96.0.0/16", "10.97.0.0/16"]   # ERROR: Invalid address range
  }
}

machine "m1" {
  address  = "10.0.0.1"
  address6 = "2001:db8::1%eth0" # ERROR: Invalid address
}
