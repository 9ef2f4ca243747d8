"""The sections of the report, in the order of reading: each gathers its numbers, drawings and tables."""
