"""How fast the whole way from file to decision is on this machine."""
