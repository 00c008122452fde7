variable "given" { default = null }

cluster "site" {}

machine "number" {
  for_each = 3 # ERROR: Invalid for_each
  address  = "10.0.0.1"
}

machine "text" {
  for_each = "w1" # ERROR: Invalid for_each
  address  = "10.0.0.2"
}

machine "numbers" {
  for_each = [1, 2] # ERROR: Invalid for_each
  address  = "10.0.0.3"
}

machine "nothing" {
  for_each = var.given # ERROR: Invalid for_each
  address  = "10.0.0.4"
}

machine "unknown" {
  for_each = var.givne # ERROR: Unknown variable
  address  = "10.0.0.5"
}

machine "same" {
  for_each = ["a", "b", "c"]
  name     = "w1" # ERROR: Duplicate machine name
  address  = "10.0.0.6" # ERROR: Duplicate machine address
}

machine "twice" { # ERROR: Duplicate machine name
  for_each = ["d", "d"]
  address  = "10.0.0.7" # ERROR: Duplicate machine address
}

machine "keys" {
  for_each = { e = 8, f = 9, e = 10 } # ERROR: Duplicate key
  address  = "10.0.0.${each.value}"
}

machine "bad" { # ERROR: Invalid machine name
  for_each = ["g_h", "i_j"]
  address  = "10.0.0.11"
}

machine "outside" {
  address = "10.0.0.${each.value}" # ERROR: Unknown variable
}

machine "value" {
  for_each = { k = { at = 12 } }
  address  = "10.0.0.${each.value.ta}" # ERROR: Unknown attribute
}

machine "key" {
  for_each = ["l"]
  address  = "10.0.0.${each.kye}" # ERROR: Unknown attribute
}
