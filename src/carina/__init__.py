"""Chest X-ray triage toolkit: learns, measures itself, and says how far it can be trusted."""

from importlib.metadata import version

__version__ = version("carina-cxr")
