cluster "x" {}

machine "m1" { address = "2001:db8::1" } # ERROR: One family missing

machine "m4" { address = "2001:db8::4" }

machine "m2" { address = "10.0.0.2" } # ERROR: Mixed address families

machine "m3" { address = "fd00::1%eth0" } # ERROR: Invalid address
