"""Probabilities become a decision with its reason."""
