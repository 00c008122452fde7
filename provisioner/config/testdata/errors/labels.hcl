cluster "site" {}

machine "m1" {
  address = "10.0.0.1"
  labels  = { "-disk" = "ssd", zone = "a b" } # ERROR: Invalid label; Invalid label
}

machine "m2" {
  address = "10.0.0.2"
  labels  = { "kubernetes.io/hostname" = "other" } # ERROR: Reserved label
}

machine "m3" {
  address = "10.0.0.3"
  taints  = ["dedicated=database", "dedicated:NoSchedul"] # ERROR: Invalid taint; Invalid taint
}

machine "m4" {
  address = "10.0.0.4"
  taints  = ["a=1:NoSchedule", "a=2:NoSchedule"] # ERROR: Duplicate taint
}

machine "m6" {
  address = "10.0.0.6"
  labels  = { "beta.kubernetes.io/os" = "linux", "Example.org/x" = "y", "provision.internal/x" = "y" } # ERROR: Invalid label; Reserved label; Reserved label
}

machine "m7" {
  address = "10.0.0.7"
  labels  = { disk = ["ssd"] } # ERROR: Wrong value type
  taints  = ["node.kubernetes.io/unreachable:NoExecute", "a:NoSchedule:NoSchedule", ":NoSchedule"] # ERROR: Reserved taint; Invalid taint; Invalid taint
}

machine "m8" {
  address = "10.0.0.8"
  labels  = { disk = "ssd", disk = "hdd" } # ERROR: Duplicate key
  taints  = { dedicated = "database" } # ERROR: Wrong value type
}

machine "m5" {
  address = "10.0.0.5"
  taints  = ["-a:NoSchedule", "a=b c:NoSchedule"] # ERROR: Invalid taint; Invalid taint
}
