cluster "x" {
  network {
    pods     = ["10.244.0.0/16", "fd00:244::1/56"] # ERROR: Invalid address range
    services = ["10.96.0.0/16", "fe80::/112"]      # ERROR: Invalid address range
  }
}

machine "m1" {
  address  = "10.0.0.1"
  address6 = "fe80::1" # ERROR: Invalid address
}

machine "m2" {
  address  = "10.0.0.2"
  address6 = "10.0.0.3" # ERROR: Invalid address
}
