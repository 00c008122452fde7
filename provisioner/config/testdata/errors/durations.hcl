cluster "site" {
  failover {
    detect = "soon" # ERROR: Invalid duration
    evict  = "2h" # ERROR: Invalid duration
  }
}

machine "m1" { address = "10.0.0.1" }
