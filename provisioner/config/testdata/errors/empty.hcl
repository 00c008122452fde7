# ERROR: Empty cluster file
