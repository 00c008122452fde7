cluster "site" {
  version = 1e999999999 # ERROR: Number too large
  overlay { mtu = 1e-99999 } # ERROR: Number too large
}

machine "m1" { address = "10.0.0.1" }
