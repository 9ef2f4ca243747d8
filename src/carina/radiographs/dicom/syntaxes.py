"""The transfer syntaxes that are read. Source: PS3.5 Annex A."""

from types import MappingProxyType
from typing import Literal

Coding = Literal["native", "deflated", "RLE", "JPEG", "JPEG-LS", "JPEG 2000"]

_UID = "1.2.840.10008.1.2"
BIG_ENDIAN = f"{_UID}.2"
CODINGS: MappingProxyType[str, Coding] = MappingProxyType(
    {
        _UID: "native",
        f"{_UID}.1": "native",
        f"{_UID}.1.99": "deflated",
        BIG_ENDIAN: "native",
        f"{_UID}.5": "RLE",
        f"{_UID}.4.50": "JPEG",
        f"{_UID}.4.51": "JPEG",
        f"{_UID}.4.57": "JPEG",
        f"{_UID}.4.70": "JPEG",
        f"{_UID}.4.80": "JPEG-LS",
        f"{_UID}.4.81": "JPEG-LS",
        f"{_UID}.4.90": "JPEG 2000",
        f"{_UID}.4.91": "JPEG 2000",
        # High-throughput JPEG 2000.
        f"{_UID}.4.201": "JPEG 2000",
        f"{_UID}.4.202": "JPEG 2000",
        f"{_UID}.4.203": "JPEG 2000",
    }
)
READ = "uncompressed, RLE, JPEG, JPEG-LS and JPEG 2000"
