cluster "site" {
  network {
    pods      = "10.0.0.0/9" # ERROR: Pod range too wide
    node_mask = 28
    services  = "172.0.0.0/8" # ERROR: Service range too wide
  }
}

machine "m1" { address = "192.168.0.1" }
