cluster "site" {}

machine "m1" { address = "10.0.0.1" }

machine "m1" { # ERROR: Duplicate machine name
  address = "10.0.0.1" # ERROR: Duplicate machine address
}

machine "w2" {
  address = "10.0.0.2"
  ssh {
    host = "Gate.example.org."
    port = 2201
  }
}

machine "w3" { # another port is another machine
  address = "10.0.0.3"
  ssh {
    host = "gate.example.org"
    port = 2202
  }
}

machine "w4" {
  address = "10.0.0.4"
  ssh {
    host = "gate.example.org" # ERROR: Duplicate SSH host
    port = 2201
  }
}

machine "w5" {
  address = "10.0.0.5"
  ssh { host = "10.0.0.1" } # ERROR: Duplicate SSH host
}
