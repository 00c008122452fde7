# Three Ubuntu machines that Multipass made. The addresses and host keys here are
# placeholders: up.sh copies this file to site.hcl with those of the machines.

cluster "multipass" {
  ssh {
    user = "ubuntu" # the image lets it use sudo without a password
  }
}

machine "m1" {
  role    = "master"
  address = "192.0.2.11"

  ssh { host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f m1" }
}

machine "w1" {
  address = "192.0.2.21"

  ssh { host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f w1" }
}

machine "w2" {
  address = "192.0.2.22"

  ssh { host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f w2" }
}
