"""What a DICOM file may ask for: everything that could be large, deep or slow has its limit here."""

from dataclasses import dataclass

# A radiograph's header has a few hundred elements, with private ones a few thousand, nested three deep.
MAX_ELEMENTS = 50_000
MAX_DEPTH = 16
# Of an element that Carina reads, in bytes: the vertices of a polygonal shutter are the longest.
MAX_VALUE_BYTES = 65_536
# 65,536 entries of 16 bit.
MAX_LUT_BYTES = 131_072
MAX_FRAGMENTS = 100_000
# Tiles of 128 pixels in the largest image that is read, twice over.
MAX_TILES = 8_192
# What a deflated data set may grow to: the largest image that is read, of 16 bit, and its header.
MAX_INFLATED_BYTES = 160_000_000

# A DICOMDIR has a dozen elements a file.
MAX_DIRECTORY_FILES = 20_000
MAX_DIRECTORY_ELEMENTS = 500_000


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What a process that decodes may use for one file.

    Attributes
    ----------
    seconds
        From handing a file over until its radiograph is back; then the process is killed.
    cpu_seconds
        Of processor time, kept by the system even if nobody is left to watch.
    memory_bytes
        Of address space, libraries included. Not kept on Windows and macOS, whose systems have no such limit.
    """

    seconds: float = 60.0
    cpu_seconds: int = 30
    memory_bytes: int = 1_000_000_000
