cluster "Big_Site" { # ERROR: Invalid cluster name
  version = "1.36" # ERROR: Invalid version
}

machine "m1" {
  role    = "master"
  address = "10.0.0.1"
}

machine "w_1" { # ERROR: Invalid machine name
  address = "10.0.0.2"
}

machine "m1" { # ERROR: Duplicate machine name
  address = "10.0.0.3"
}

machine "w2" {
  address = "10.0.0.1" # ERROR: Duplicate machine address
}

machine "w3" {
  role    = "boss" # ERROR: Invalid role
  address = "10.0.0.4"
}
