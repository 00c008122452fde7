variable "given" {} # ERROR: Missing variable value

variable "given" { default = "" } # ERROR: Duplicate variable

variable "number" {
  type    = number
  default = "many" # ERROR: Wrong value type
}

locals {
  a = local.b # ERROR: Circular local
  b = local.a
  c = nosuchfunction() # ERROR: Unknown function
  d = local.c
}

cluster "site" {
  version = var.given
  network { pods = cidrhost("10.0.0.0/24", 256) } # ERROR: Invalid function argument
  overlay { mode = local.d }
}

machine "m1" { address = var.nope } # ERROR: Unknown variable

machine "m2" { address = vars.given } # ERROR: Unknown variable

machine "m3" {
  for_each = 3 # ERROR: Invalid for_each
  address  = "10.0.0.3"
}

machine "m4" {
  for_each = [1] # ERROR: Invalid for_each
  address  = "10.0.0.4"
}

machine "m5" { address = file("nowhere") } # ERROR: Invalid function argument

machine "m6" { address = env("PROVISION_UNSET") } # ERROR: Invalid function argument

machine "m" {
  for_each = { m7 = 7, m8 = 8 }
  name     = each.nope # ERROR: Unknown attribute
  address  = "10.0.0.${each.value}"
}
