cluster "site" {
  overlay {
    mode = "vxlan" # ERROR: Invalid overlay mode
    port = 70000 # ERROR: Invalid port
    mtu  = 900 # ERROR: Invalid MTU
    persistent_keepalive = "1500ms" # ERROR: Invalid duration
    offloads = "perhaps" # ERROR: Wrong value type
    psk = "secret" # ERROR: Wrong value type
  }
  failover {
    detect = "2s" # ERROR: Invalid duration
    evict  = "1500ms" # ERROR: Invalid duration
  }
  verify { outside = "example.org" } # ERROR: Invalid outside target
}

machine "m1" { address = "10.0.0.1" }
