cluster "site" {
  api { endpoint = "10.96.0.1" } # ERROR: Endpoint inside the cluster
}

machine "m1" { address = "10.0.0.1" }
