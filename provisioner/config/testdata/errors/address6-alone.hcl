cluster "x" {}

machine "m1" {
  address  = "10.0.0.1"
  address6 = "2001:db8::1" # ERROR: Unused IPv6 address
}
