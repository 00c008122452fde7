cluster "site" {
  api { endpoint = "10.0.0" } # ERROR: Invalid endpoint
}

machine "m1" { address = "10.0.0.1" }
