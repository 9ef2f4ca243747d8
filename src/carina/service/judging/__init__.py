"""How images that came in are judged."""
