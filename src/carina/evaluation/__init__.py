"""A model is judged on a data set: predictions, leaks, comparison, audit, and what it does to a reading room."""
