cluster "site" {
  failover {
    detect = "4s" # ERROR: Invalid duration
    evict  = "0s" # ERROR: Invalid duration
  }
}

machine "m1" { address = "10.0.0.1" }
