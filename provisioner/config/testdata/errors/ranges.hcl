cluster "site" {
  network {
    pods      = "10.244.0.0" # ERROR: Invalid address range
    services  = "10.96.0.1/16" # ERROR: Invalid address range
    node_mask = 30 # ERROR: Invalid node mask
    domain    = "Cluster.Local" # ERROR: Invalid domain
  }
}

machine "m1" { address = "10.0.0.1" }
