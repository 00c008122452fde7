cluster "site" {}

machine "w1" {
  role    = "worker" # ERROR: No master
  address = "10.0.0.1"
}

machine "w2" {
  role    = "worker"
  address = "10.0.0.2"
}
