# Machines that have IPv6 alone. Pods and Services get both families all the same: both
# go through the machines' tunnels.

cluster "six" {
  network {
    pods     = ["10.244.0.0/16", "fd00:244::/56"]
    services = ["10.96.0.0/16", "fd00:96::/112"]
  }
}

locals {
  net = "2001:db8:1:2::/64"
}

machine "m1" {
  role    = "master"
  address = cidrhost(local.net, 16) # 2001:db8:1:2::10
}

machine "w" {
  for_each = { w1 = 32, w2 = 33 }
  name     = each.key
  role     = "worker"
  address  = cidrhost(local.net, each.value)
}
