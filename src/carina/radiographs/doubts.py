"""What a header says and cannot be used, or contradicts something else: a closed list, each with its sentence.

Such a radiograph is judged as well as it can be, and the sentence is shown with its result.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

# The pixels' own word against the header's, which it goes before.
_OfPixels = Literal["coloured", "colour", "precision", "sign", "unused bits", "longer pixels"]
# How the image is to be shown.
_OfWindow = Literal["window", "other window", "window function", "lookup table"]
_OfDisplay = Literal["decimal comma", "rescaling", "padding", "presentation"]
_OfShutter = Literal["shutter", "shutter outside", "shutter crops"]
_OfPatient = Literal["age", "age and birth", "burned in", "uid"]
# What the image is, and two words of the header on it.
_OfKind = Literal["capture", "modality", "region", "view"]
# Elements that lie where they should not.
_OfFile = Literal["elements behind", "elements twice", "bytes behind"]
Doubt = _OfPixels | _OfWindow | _OfDisplay | _OfShutter | _OfPatient | _OfKind | _OfFile

_Meaning = Literal["Modality", "BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality", "SOPClassUID"]
_Showing = Literal["PhotometricInterpretation", "PresentationLUTShape", "VOILUTFunction"]
_Rescaling = Literal["RescaleSlope", "RescaleIntercept", "LossyImageCompression"]
_Caution = Literal["PatientAge", "PatientBirthDate", "BurnedInAnnotation", "PresentationIntentType"]
SingleValued = _Meaning | _Showing | _Rescaling | _Caution
"""Attributes that have one value, and are named where a file gives several."""

SENTENCES: Mapping[Doubt, str] = MappingProxyType(
    {
        "coloured": "Parts of the image are in colour; only their brightness is judged.",
        "colour": "The header and the pixels disagree on how colours are stored; the pixels are followed.",
        "precision": "The header and the compressed pixels disagree on how many bits a grey value has; the pixels are "
        "followed.",
        "sign": "The header and the compressed pixels disagree on whether grey values may be negative; they are read "
        "as if they may.",
        "unused bits": "Some pixels use bits that are no part of a grey value by the header; these bits were left out.",
        "longer pixels": "More bytes follow the pixels than the header says; they were left out.",
        "window": "The header has a window that cannot be used; a reader may see the image with another contrast.",
        "other window": "The first window in the header cannot be used; the next one is used.",
        "window function": "The header names a window function (VOILUTFunction) that Carina does not know; the window "
        "is used as a linear one.",
        "lookup table": "The header has a lookup table (VOILUTSequence) that cannot be used; another table or the "
        "window is used.",
        "decimal comma": "The header writes a number with a decimal comma, which DICOM does not allow; it is read as a "
        "decimal point.",
        "rescaling": "RescaleSlope or RescaleIntercept is missing or cannot be used; 1 and 0 are used instead.",
        "padding": "PixelPaddingValue cannot be used; what only fills the image up is taken for a part of it.",
        "presentation": "The header has a PresentationLUTShape that Carina does not know; it was not followed.",
        "shutter": "The header has a shutter or collimator that Carina cannot follow; what it should hide is judged.",
        "shutter outside": "The shutter or collimator has edges outside the image; it may be meant for another size.",
        "shutter crops": "The shutter or collimator leaves only a small part of the image, and only that is judged.",
        "age": "The header gives the patient's age in a form that cannot be read; the intended use is adults.",
        "age and birth": "The patient's age and date of birth contradict each other; by one of them the patient is a "
        "child: outside the intended use, which is adults.",
        "burned in": "The header does not say in known words whether writing is burned into the image; it may name "
        "the patient.",
        "uid": "A UID of the image is not valid in DICOM; no report can refer to it, and it cannot be de-identified.",
        "capture": "The header says that the image was captured from a screen, digitised from a film or converted; its "
        "grey values may not be those of the detector, and names may be written into it.",
        "modality": "Modality and the class of the object (SOPClassUID) contradict each other; the first is followed.",
        "region": "BodyPartExamined and AnatomicRegionSequence contradict each other on whether this is a chest.",
        "view": "ViewPosition and ViewCodeSequence contradict each other on whether the view is frontal; the second is "
        "followed.",
        "elements behind": "Parts of the header lie behind the pixels, where other programs may not read them; they "
        "are used.",
        "elements twice": "The header gives a value before the pixels and another one behind them; the first is used.",
        "bytes behind": "Behind the pixels lie bytes that cannot be read; they were left out.",
    }
)


def in_order(doubts: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """Return doubts, each once, in the order in which they are said."""
    found = set(doubts)
    return tuple(doubt for doubt in SENTENCES if doubt in found)
