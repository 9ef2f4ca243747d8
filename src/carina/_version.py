"""The version of the package, for whatever writes down what made it. The model has a version of its own."""

__version__ = "0.1.0"
