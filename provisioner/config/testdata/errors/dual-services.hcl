cluster "x" {
  network {
    pods      = ["10.244.0.0/16"] # ERROR: One family missing
    services  = ["10.96.0.0/16", "fd00:96::/112"]
    node_mask6 = 47 # ERROR: Invalid node mask
  }
}

machine "m1" { address = "10.0.0.1" }
