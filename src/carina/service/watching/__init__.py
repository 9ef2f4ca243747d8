"""Watching: every day the site is measured, and a chart that leaves the limits of the first weeks raises an alert."""
