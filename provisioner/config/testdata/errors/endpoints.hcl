cluster "site" {}

machine "m1" {
  address  = "10.0.0.1"
  endpoint = "203.0.113.7"
}

machine "w1" {
  address  = "10.0.0.2"
  endpoint = "gateway.example.org:51820" # ERROR: Invalid endpoint
}

machine "w2" {
  address  = "10.0.0.3"
  endpoint = "203.0.113.7:0" # ERROR: Invalid endpoint
}

machine "w3" {
  address  = "10.0.0.4"
  endpoint = "[fe80::1]:51820" # ERROR: Invalid endpoint
}

machine "w4" {
  address  = "10.0.0.5"
  endpoint = "10.244.3.4" # ERROR: Endpoint inside the cluster
}

machine "w5" {
  address  = "10.0.0.6"
  endpoint = "203.0.113.7:51820" # ERROR: Duplicate endpoint
}
