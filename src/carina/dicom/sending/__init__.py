"""Files go to another application entity or a DICOMweb server."""
