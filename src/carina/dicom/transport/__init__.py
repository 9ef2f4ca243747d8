"""What every DICOM connection needs: limits, TLS, settings, the log, messages in parts."""
