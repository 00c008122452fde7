cluster "site" {
  network { pods = "10.244.0.0/23" } # ERROR: Too many machines
}

machine "m" {
  for_each = ["m1", "m2", "m3"]
  address  = "10.0.0.${trimprefix(each.key, "m")}"
}
