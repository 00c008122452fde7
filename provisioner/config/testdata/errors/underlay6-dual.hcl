cluster "x" {
  network {
    pods     = ["10.244.0.0/16", "fd00:244::/56"]
    services = ["10.96.0.0/16", "fd00:96::/112"]
  }
}

machine "m1" {
  address  = "2001:db8::1"
  address6 = "2001:db8::2" # ERROR: Unused IPv6 address
}

machine "m2" { address = "fd00:244::11" } # ERROR: Address inside pods

machine "m3" { address = "fd00:96::11" } # ERROR: Address inside services
