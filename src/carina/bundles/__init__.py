"""Folders that hold a model: what training leaves (a run), and what is handed on (a bundle), written and verified."""
