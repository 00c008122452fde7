# Three machines in a cupboard: Debian, an ordinary user with sudo, and the
# host keys that ssh has already learnt.

cluster "home" {
  version = "1.36.3"

  network {
    # The house has 10.0.0.0/8 all to itself, so pods and Services go elsewhere.
    pods     = "172.20.0.0/16"
    services = "172.21.0.0/16"
  }

  ssh {
    user = "debian" # sudo without a password
  }
}

machine "tower" {
  role    = "master"
  address = "10.0.0.10"
  taints  = [] # it is the largest: pods may run here, too
}

machine "nuc" {
  address = "10.0.0.11"
  labels  = { disk = "ssd" }
  sysctls = { "vm.max_map_count" = 262144 }

  kubelet {
    max_pods = 200
    settings = { kubeReserved = { memory = "500Mi" } }
  }
}

machine "attic" {
  address = "10.0.0.12"
  labels  = { disk = "hdd", "example.org/ups" = "no" }
  taints  = ["example.org/slow:PreferNoSchedule"]
}
