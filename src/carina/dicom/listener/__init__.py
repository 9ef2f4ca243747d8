"""Objects come in over the network, are judged, and their answers go out."""
