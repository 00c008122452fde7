cluster "site" {}

machine "m1" {
  role    = "master" # WARNING: Even number of masters
  address = "10.0.0.1"
}

machine "m2" {
  role    = "master"
  address = "10.0.0.2"
}

machine "m3" {
  role    = "master"
  address = "10.0.0.3"
}

machine "m4" {
  role    = "master"
  address = "10.0.0.4"
}
