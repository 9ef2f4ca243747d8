"""Answers go back as DICOM, and radiographs come in over the network."""
