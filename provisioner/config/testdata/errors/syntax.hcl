cluster "site" {
  version = # ERROR: Invalid expression
}
