cluster "site" {
  overlay { port = 51821 } # ERROR: Invalid port
}

machine "m1" {
  role    = "master"
  address = "10.0.0.1"
}
