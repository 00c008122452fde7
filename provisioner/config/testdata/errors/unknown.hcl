cluster "site" {
  versoin = "1.36.3" # ERROR: Unsupported argument
  netwrok {} # ERROR: Unsupported block type
  ssh {
    usr = "root" # ERROR: Unsupported argument
  }
}

machine "m1" {
  address = "10.0.0.1"
  adress  = "10.0.0.1" # ERROR: Unsupported argument
}

machines "m2" {} # ERROR: Unsupported block type
