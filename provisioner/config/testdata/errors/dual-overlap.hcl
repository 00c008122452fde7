cluster "x" {
  network {
    pods     = ["10.244.0.0/16", "fd00::/31"]    # ERROR: Pod range too wide
    services = ["10.96.0.0/16", "fd00:1::1:0/112"] # ERROR: Overlapping address ranges
  }
}

machine "m1" {
  address  = "10.0.0.1"
  address6 = "fd00:1::5" # ERROR: Address inside pods
}

machine "m2" {
  address  = "10.0.0.2"
  address6 = "2001:db8::1"
}

machine "m3" {
  address  = "10.0.0.3"
  address6 = "2001:db8::1" # ERROR: Duplicate machine address
}
