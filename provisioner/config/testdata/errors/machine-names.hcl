cluster "site" {}

machine "m1" { address = "10.0.0.1" }

machine "localhost" { address = "10.0.0.2" } # ERROR: Invalid machine name

machine "kubernetes" { address = "10.0.0.3" } # ERROR: Invalid machine name

machine "W_1" { address = "10.0.0.4" } # ERROR: Invalid machine name

machine "w1.example.org" { address = "10.0.0.5" } # ERROR: Invalid machine name

machine "-w1" { address = "10.0.0.6" } # ERROR: Invalid machine name

machine "w1-" { address = "10.0.0.7" } # ERROR: Invalid machine name

machine "" { address = "10.0.0.8" } # ERROR: Invalid machine name

machine "42" { address = "10.0.0.9" } # ERROR: Invalid machine name

machine "0xc0de" { address = "10.0.0.10" } # ERROR: Invalid machine name

machine "größe" { address = "10.0.0.11" } # ERROR: Invalid machine name

machine "w234567890123456789012345678901234567890123456789012345678901234" { address = "10.0.0.12" } # ERROR: Invalid machine name

machine "w23456789012345678901234567890123456789012345678901234567890123" { address = "10.0.0.13" }

machine "w 2" { address = "10.0.0.14" } # ERROR: Invalid machine name

machine "../etc" { address = "10.0.0.15" } # ERROR: Invalid machine name
