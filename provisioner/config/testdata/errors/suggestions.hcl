variable "domain" { default = "cluster.local" }

variable "home" { default = evn("HOME") } # ERROR: Unknown function

locals { subnet = "10.0.0.0/24" }

cluster "site" {
  verison = "1.36.3" # ERROR: Unsupported argument
  newtork {} # ERROR: Unsupported block type
  network {
    pod    = "10.244.0.0/16" # ERROR: Unsupported argument
    domain = var.domian # ERROR: Unknown variable
  }
  overlay { mod = "auto" } # ERROR: Unsupported argument
  failover { dectect = "6s" } # ERROR: Unsupported argument
  ssh {
    known_host = "hosts" # ERROR: Unsupported argument
    bastoin {} # ERROR: Unsupported block type
  }
  verify { outsied = "example.org:443" } # ERROR: Unsupported argument
}

machine "m1" {
  lables  = {} # ERROR: Unsupported argument
  address = cidrhots(local.subnet, 1) # ERROR: Unknown function
  taints  = [fil("taint"), frobnicate()] # ERROR: Unknown function; Unknown function
}

machine "w1" { address = cidrhost(local.subnte, 2) } # ERROR: Unknown local

machine "w2" { address = cidrhost(locl.subnet, 3) } # ERROR: Unknown variable

machnie "w3" {} # ERROR: Unsupported block type

variabel "x" {} # ERROR: Unsupported block type
