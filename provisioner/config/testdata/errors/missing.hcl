# ERROR: Missing cluster block; No machines
