"""What the listener accepts and the query fetches: SOP classes and transfer syntaxes."""

from importlib.util import find_spec
from types import MappingProxyType

# Source: PS3.4 B.5. Multi-frame objects are left out: what cannot be judged is not accepted, so that its sender knows
# at once.
STORAGE_CLASSES = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography Image Storage",
        "1.2.840.10008.5.1.4.1.1.1.1": "Digital X-Ray Image Storage - For Presentation",
        "1.2.840.10008.5.1.4.1.1.1.1.1": "Digital X-Ray Image Storage - For Processing",
        "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image Storage",
    }
)
VERIFICATION = "1.2.840.10008.1.1"

# In the order of preference where a sender offers several in one context: without loss first, and what the image is
# stored in as it is before what has to be decoded.
_ALWAYS = MappingProxyType(
    {
        "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
        "1.2.840.10008.1.2": "Implicit VR Little Endian",
        "1.2.840.10008.1.2.2": "Explicit VR Big Endian (retired)",
        "1.2.840.10008.1.2.5": "RLE Lossless",
        "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
        "1.2.840.10008.1.2.4.90": "JPEG 2000 (Lossless Only)",
        "1.2.840.10008.1.2.4.81": "JPEG-LS Near-lossless",
        "1.2.840.10008.1.2.4.91": "JPEG 2000",
        "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 (Lossless Only)",
        "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)",
        "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
        "1.2.840.10008.1.2.4.50": "JPEG Baseline (8 bit)",
        "1.2.840.10008.1.2.4.51": "JPEG Extended (8 and 12 bit)",
    }
)
_WITH_GDCM = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.70": "JPEG Lossless, first-order prediction",
        "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    }
)


def transfer_syntaxes() -> dict[str, str]:
    """Return the transfer syntaxes that are read here, UID to name, the preferred ones first.

    Deflated objects are not among them: a small one can grow to thousands of times its size, and answers to one are
    not written (`carina.dicom.answers.source`).
    """
    return {**_ALWAYS, **(_WITH_GDCM if find_spec("gdcm") is not None else {})}
