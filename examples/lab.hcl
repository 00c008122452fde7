# The lab that comes with the project, as `lab up --masters 1 --workers 2` makes
# it (which writes a file like this one, with the machines' own host keys).
#
#   provision up examples/lab.hcl --var key=.lab/id_ed25519

variable "version" {
  description = "of Kubernetes; empty: the newest bundle"
  default     = ""
}

variable "key" {
  description = "private key that the machines let in; empty: the agent and the keys in ~/.ssh"
  default     = ""
}

cluster "lab" {
  version = var.version

  ssh {
    user       = "root"
    key        = var.key
    accept_new = true # they are new each time, and nobody else is on their network
  }
}

machine "m1" {
  role    = "master"
  address = "192.168.56.11"
}

machine "w" {
  for_each = { w1 = 21, w2 = 22 }
  name     = each.key
  role     = "worker"
  address  = cidrhost("192.168.56.0/24", each.value)
}
