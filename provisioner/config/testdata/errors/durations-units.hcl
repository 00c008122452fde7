cluster "site" {
  failover {
    detect = 6 # ERROR: Invalid duration
    evict  = "-4s" # ERROR: Invalid duration
  }
}

machine "m1" { address = "10.0.0.1" }
