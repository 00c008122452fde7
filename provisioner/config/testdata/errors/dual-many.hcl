cluster "x" {
  network {
    pods     = ["10.244.0.0/16", "fd00:244::/56", "fd00:245::/56"] # ERROR: Invalid address range
    services = []                                                  # ERROR: Invalid address range
  }
}

machine "m1" { address = "10.0.0.1" }
