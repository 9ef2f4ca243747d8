"""A judged image becomes DICOM objects: report, picture, regions."""
