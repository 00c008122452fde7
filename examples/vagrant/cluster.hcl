# The machines of the Vagrantfile beside this file.
#
#   export VAGRANT_DEFAULT_PROVIDER=virtualbox    # or libvirt
#   vagrant up
#   provision up cluster.hcl

locals {
  # Vagrant reads the same variable. It keeps the key that it made for each
  # machine in a folder of the provider's name.
  provider = env("VAGRANT_DEFAULT_PROVIDER", "")
}

cluster "vagrant" {
  ssh {
    user = "vagrant" # the box lets it use sudo without a password

    # The machines make their host keys when they first boot, and their network
    # does not leave this computer.
    known_hosts = "known_hosts"
    accept_new  = true
  }
}

machine "m1" {
  role    = "master"
  address = "192.168.56.11"

  ssh {
    key = local.provider == "" ? "" : ".vagrant/machines/m1/${local.provider}/private_key"
  }
}

machine "w" {
  for_each = { w1 = 21, w2 = 22 }
  name     = each.key
  role     = "worker"
  address  = cidrhost("192.168.56.0/24", each.value)

  ssh {
    key = local.provider == "" ? "" : ".vagrant/machines/${each.key}/${local.provider}/private_key"
  }
}
