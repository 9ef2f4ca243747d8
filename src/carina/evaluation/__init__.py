"""A model is judged on a data set: predictions, leaks, metrics, comparison, audit, and what it does to a reading room."""
