"""Numbers become something to look at."""
