cluster "site" {
  api { endpoint = "127.0.0.1" } # ERROR: Invalid endpoint
}

machine "m1" { address = "10.0.0.1" }
