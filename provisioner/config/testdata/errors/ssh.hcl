cluster "site" {
  ssh {
    key         = "/nowhere/id_ed25519" # ERROR: Unreadable key file
    known_hosts = "/nowhere/known_hosts" # ERROR: Unreadable known hosts
    agent       = "perhaps" # ERROR: Wrong value type
    port        = 0 # ERROR: Invalid port
    bastion {} # ERROR: Missing bastion host
  }
}

machine "m1" {
  address = "10.0.0.1"
  ssh {
    host     = "10.0.0.1:22" # ERROR: Invalid host
    host_key = "SHA256:abcdef" # ERROR: Invalid host key
    key      = "ssh.hcl" # ERROR: Invalid key file
    sudo     = "sometimes" # ERROR: Wrong value type
  }
}

machine "m4" {
  address = "10.0.0.4"
  ssh {
    key         = "." # ERROR: Unreadable key file
    user        = "two words" # ERROR: Invalid user
    known_hosts = "ssh.hcl" # ERROR: Invalid known hosts
  }
}

machine "m2" {
  address = "10.0.0.2"
  ssh { host = "gate.example.org" }
}

machine "m3" {
  address = "10.0.0.3"
  ssh { host = "gate.example.org" } # ERROR: Duplicate SSH host
}
