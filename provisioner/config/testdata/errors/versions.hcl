cluster "site" {
  version = 1.36 # ERROR: Invalid version
}

machine "m1" { address = "10.0.0.1" }
