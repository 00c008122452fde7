# ERROR: Missing cluster block
machine "m1" { address = "10.0.0.1" }
