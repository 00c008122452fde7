cluster "x" {
  network {
    pods     = ["10.244.0.0/16", "fd00:244::/56"]
    services = "10.96.0.0/16" # ERROR: One family missing
  }
}

machine "m1" { address = "10.0.0.1" }
