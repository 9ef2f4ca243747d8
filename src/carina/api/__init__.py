"""What users of Python call, and what the commands call: each function joins what several rooms do.

`carina` itself offers these names. Functions that need one room alone lie there: `carina.import_dataset` is
`carina.datasets.importing.import_dataset`.
"""
