"""Radiographs are found in an archive and fetched."""
