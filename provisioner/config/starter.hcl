# A cluster for provision. Say what you have, then:
#
#   provision validate cluster.hcl    find mistakes in this file
#   provision plan cluster.hcl        look at the machines, show what would change
#   provision up cluster.hcl          make it so
#
# Lines that are commented out show the defaults.

cluster "site" {
  # version = "1.36.3"             # of Kubernetes; left out: the newest bundle

  network {
    # pods      = "10.244.0.0/16"  # these two ranges must be free: no machine,
    # services  = "10.96.0.0/16"   # and nothing that pods must reach, inside
    # node_mask = 24               # each machine gets one /24 of pods
    # domain    = "cluster.local"
  }

  # overlay {
  #   mode = "auto"                # "kernel" or "userspace" WireGuard; auto takes the kernel's if there
  #   port = 51820                 # UDP, open between the machines
  # }

  # addons {
  #   metrics = true               # kubectl top
  #   storage = true               # a default StorageClass: folders of the machines
  # }

  # failover {
  #   detect = "6s"                # a dead machine is noticed,
  #   evict  = "4s"                # and this much later its pods are replaced
  # }

  ssh {
    user = "root"                  # any other user needs sudo without a password
    # port        = 22
    # key         = "~/.ssh/id_ed25519"     # or a list; default: ssh-agent and the keys in ~/.ssh
    # known_hosts = "~/.ssh/known_hosts"    # host keys are always checked
    # accept_new  = true                    # trust a machine's key at first sight, and remember it

    # bastion {                    # machines behind a jump host; repeat for a chain
    #   host = "bastion.example.org"
    #   user = "jump"
    # }
  }
}

# address is where the machines reach each other. If you reach a machine
# elsewhere, say so in an ssh block of its own.

machine "m1" {
  role    = "master"               # or "worker"; one master, unless `provision plan` takes more
  address = "192.168.56.11"

  # ssh {
  #   host     = "203.0.113.7"
  #   host_key = "ssh-ed25519 AAAA..."      # pin the host key instead of known_hosts
  # }
}

machine "w" {                      # several at once: w1, w2
  for_each = { w1 = 21, w2 = 22 }
  name     = each.key
  role     = "worker"
  address  = cidrhost("192.168.56.0/24", each.value)
  # labels = { disk = "ssd" }
  # taints = ["dedicated=database:NoSchedule"]
}
