cluster "site" {}

machine "m" {
  for_each = { m1 = 1, m2 = 2 }
  name     = each.key
  role     = "master" # WARNING: Even number of masters
  address  = cidrhost("10.0.0.0/24", each.value)
}
