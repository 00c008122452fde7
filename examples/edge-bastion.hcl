# Machines at a remote site: reached through the site's jump host, but for one
# that has an address of its own on the internet. The host keys of what stands
# in the open are pinned here; those inside are in a file beside this one once
# they have been seen (accept_new).

cluster "edge" {
  network {
    node_mask = 26 # 62 addresses a machine are plenty
    pods      = "10.60.0.0/20"
    services  = "10.61.0.0/20"
    domain    = "edge.example.org"
  }

  ssh {
    user        = "ops"
    known_hosts = "edge-known-hosts"
    accept_new  = true

    bastion {
      host     = "jump.edge.example.org"
      port     = 2222
      host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
    }
  }

  verify {
    outside = "registry.example.org:443" # pods must reach it
  }
}

machine "gate" {
  role    = "master"
  address = "10.50.0.1" # where the others reach it

  ssh {
    host     = "203.0.113.7" # where we do
    host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"
  }
}

machine "sensor" {
  for_each = toset(["east", "west"])
  role     = "worker"
  address  = each.key == "east" ? "10.50.0.2" : "10.50.0.3"
  labels   = { side = each.key }
}
