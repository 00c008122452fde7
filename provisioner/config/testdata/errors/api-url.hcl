cluster "site" {
  api { endpoint = "https://api.example.org" } # ERROR: Invalid endpoint
}

machine "m1" { address = "10.0.0.1" }
