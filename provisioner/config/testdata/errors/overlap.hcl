cluster "site" {
  network {
    pods     = "10.0.0.0/8"
    services = "10.96.0.0/16" # ERROR: Overlapping address ranges
  }
}

machine "m1" { address = "10.0.0.1" } # ERROR: Address inside pods
