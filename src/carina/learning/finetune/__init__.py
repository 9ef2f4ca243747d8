"""Deeper layers of the network are trained in stages."""
