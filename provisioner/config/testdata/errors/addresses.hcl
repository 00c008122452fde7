cluster "site" {}

machine "m1" {} # ERROR: Missing machine address

machine "m2" { address = "10.0.0" } # ERROR: Invalid address

machine "m3" { address = "fe80::1" } # ERROR: Invalid address

machine "m4" { address = "127.0.0.1" } # ERROR: Invalid address

machine "m5" { address = "10.244.3.4" } # ERROR: Address inside pods

machine "m6" { address = "10.96.3.4" } # ERROR: Address inside services

machine "m7" { address = ["10.0.0.7"] } # ERROR: Wrong value type
