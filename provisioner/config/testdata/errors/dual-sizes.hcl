cluster "x" {
  network {
    pods     = ["10.244.0.0/16", "fd00:244::/64"] # ERROR: Too many machines
    services = ["10.96.0.0/16", "fd00:96::/107"]  # ERROR: Service range too wide
  }
}

machine "m1" {
  address = "10.0.0.1"
}

machine "m2" {
  address = "10.0.0.2"
}
