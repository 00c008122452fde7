# Three masters, any of which may be lost, and five workers in two zones.

locals {
  net = "192.168.10.0/24"
  workers = {
    w1 = { at = 21, zone = "a" }
    w2 = { at = 22, zone = "a" }
    w3 = { at = 23, zone = "a" }
    w4 = { at = 24, zone = "b" }
    w5 = { at = 25, zone = "b" }
  }
}

cluster "ha" {
  api {
    endpoint   = "192.168.10.10" # no machine's own: keepalived, say, gives it to a master
    extra_sans = ["k8s.example.org"]
  }

  max_unavailable = "25%" # of the workers: two of five may restart at once

  registry "docker.io" {
    mirrors = ["http://192.168.10.5:5000"]
  }

  failover {
    detect = "6s" # a dead machine is noticed,
    evict  = "4s" # and this much later its pods are replaced
  }

  overlay {
    mode = "kernel" # rather no cluster than WireGuard in userspace
    port = 51900
  }

  ssh {
    user = "ubuntu"
  }
}

machine "m" {
  for_each = { m1 = 11, m2 = 12, m3 = 13 }
  name     = each.key
  role     = "master"
  address  = cidrhost(local.net, each.value)
}

machine "w" {
  for_each = local.workers
  name     = each.key
  role     = "worker"
  address  = cidrhost(local.net, each.value.at)
  labels   = { "topology.kubernetes.io/zone" = each.value.zone }
}
