"""What happened, line by line, each line bound to the one before it by a hash."""
