"""A model is fitted to the site's own verdicts: recalibrated or adapted, by the library's functions."""
