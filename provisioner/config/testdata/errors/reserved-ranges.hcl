cluster "site" {
  network {
    pods     = "127.0.0.0/16" # ERROR: Invalid address range
    services = "fd00::/112" # ERROR: Invalid address range
  }
}

machine "m1" { address = "10.0.0.1" }
