"""Synthetic images: chest radiographs for the demo and the tests, and images that are no chest radiographs."""
