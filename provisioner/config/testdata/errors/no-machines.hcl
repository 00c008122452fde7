cluster "site" {} # ERROR: No machines
