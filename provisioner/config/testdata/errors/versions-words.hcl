cluster "site" {
  version = "latest" # ERROR: Invalid version
}

machine "m1" { address = "10.0.0.1" }
