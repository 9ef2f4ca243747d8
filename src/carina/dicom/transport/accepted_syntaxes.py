"""What the listener accepts and the query fetches: SOP classes and transfer syntaxes."""

from importlib.util import find_spec

from pydicom import uid

# Source: PS3.4 B.5. Multi-frame objects are left out: what cannot be judged is not accepted, so that its sender knows
# at once.
STORAGE_CLASSES = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.SecondaryCaptureImageStorage,
)
# In the order of preference where a sender offers several in one context: without loss first, and what the image is
# stored in as it is before what has to be decoded.
_ALWAYS = (
    *(uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless),
    *(uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLSNearLossless, uid.JPEG2000),
    *(uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit),
)
_WITH_GDCM = (uid.JPEGLosslessSV1, uid.JPEGLossless)


def transfer_syntaxes() -> list[str]:
    """Return the UIDs of the transfer syntaxes that are read here, the preferred ones first.

    Deflated objects are not among them: a small one can grow to thousands of times its size, and answers to one are
    not written (`carina.dicom.answers.source`).
    """
    return [*_ALWAYS, *(_WITH_GDCM if find_spec("gdcm") is not None else ())]
