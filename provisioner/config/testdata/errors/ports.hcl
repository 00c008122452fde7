cluster "site" {
  overlay { port = 30500 } # ERROR: Invalid port
  ssh {
    port = "ssh" # ERROR: Wrong value type
    bastion {
      host = "gate.example.org"
      port = 65536 # ERROR: Invalid port
    }
  }
  verify { outside = "example.org:0" } # ERROR: Invalid outside target
}

machine "m1" {
  address = "10.0.0.1"
  ssh { port = 22.5 } # ERROR: Invalid port
}

machine "w1" {
  address = "10.0.0.2"
  ssh { port = -22 } # ERROR: Invalid port
}
