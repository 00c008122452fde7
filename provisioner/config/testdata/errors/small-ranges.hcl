cluster "site" {
  network {
    pods     = "10.244.0.0/25" # ERROR: Pod range too small
    services = "10.96.0.0/29" # ERROR: Service range too small
  }
}

machine "m1" { address = "10.0.0.1" }
