cluster "site" {
  api { endpoint = "Kubernetes.default.svc:443" } # ERROR: Invalid endpoint
}

machine "m1" { address = "10.0.0.1" }
