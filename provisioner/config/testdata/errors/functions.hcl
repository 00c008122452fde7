cluster "site" {}

machine "m1" { address = file("nowhere") } # ERROR: Invalid function argument

machine "m2" { address = file(".") } # ERROR: Invalid function argument

machine "m3" { address = file() } # ERROR: Not enough function arguments

machine "m4" { address = env("PROVISION_UNSET") } # ERROR: Invalid function argument

machine "m5" { address = env(["HOME"]) } # ERROR: Invalid function argument

machine "m6" { address = cidrhost("10.0.0.0/30", 4) } # ERROR: Invalid function argument

machine "m7" { address = cidrhost("10.0.0.0", 1) } # ERROR: Invalid function argument

machine "m8" { address = cidrhost("10.0.0.0/24", "one") } # ERROR: Invalid function argument

machine "m9" { address = cidrhost("10.0.0.0/24", 1, 2) } # ERROR: Too many function arguments
