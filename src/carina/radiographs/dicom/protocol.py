"""What a process that decodes and the one that asks it say to each other: a head, words in JSON, and bytes.

A request's words are a ``task`` and its options, its bytes a file. An answer's words are ``error`` and ``message``, or
what was asked for:

- ``decode`` (`carina.radiographs.dicom.decode.decode`): ``shape``, ``header`` and ``window``, with grey values as bytes
  (uint16, little endian on every machine that this runs on, 65535 is white).
- ``identify``: the fields of `carina.radiographs.dicom.identity.Identity`.
- ``describe``: the fields of `carina.radiographs.dicom.study_header.StudyHeader`.
- ``list``: nothing, with the names of a DICOMDIR as bytes, in JSON.
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
