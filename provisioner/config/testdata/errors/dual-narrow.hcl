cluster "x" {
  network {
    pods     = ["10.244.0.0/16", "fd00:244::/72"] # ERROR: Pod range too small
    services = ["10.96.0.0/16", "fd00:96::/125"]  # ERROR: Service range too small
  }
}

machine "m1" { address = "10.0.0.1" }
