cluster {} # ERROR: Missing name for cluster

machine "m1" { address = "10.0.0.1" }
