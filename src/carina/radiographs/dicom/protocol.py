"""What a process that decodes and the one that asks it say to each other: a head, words in JSON, and bytes.

A request's words are the options of `carina.radiographs.dicom.decode.decode`, its bytes a file. An answer's words are
``shape`` and ``header`` with grey values as bytes (uint16, little endian on every machine that this runs on, 65535 is
white), or ``error`` and ``message``.
"""

import struct

# Said once, when a process is ready for its first file.
READY = b"carina\n"
# How long the words are, and how long the bytes.
HEAD = struct.Struct("<IQ")
MAX_WORDS = 16_384
# In the place of an error's code: the bytes are no DICOM at all.
NOT_DICOM = "not-dicom"
WHITE = 65_535
