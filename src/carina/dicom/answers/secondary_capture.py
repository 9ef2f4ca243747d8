"""The picture: the radiograph with the evidence over it, the priority above it, and what it is for (PS3.3 A.8)."""

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from carina._version import __version__
from carina.decisions.probabilities import probability_in_words
from carina.decisions.triage import Priority
from carina.dicom import coded_terms as terms
from carina.dicom.answers.answer_attributes import NOTICE, Maker
from carina.dicom.answers.objects import SERIES_NUMBERS, UNNAMED, equipment, series_uid
from carina.dicom.answers.source import Source
from carina.findings import NORMAL
from carina.inference.explanation.explain import Explanation
from carina.inference.explanation.lettering import BLACK, FAINT, INK, Colour, Strip
from carina.inference.explanation.overlay import draw_overlay
from carina.inference.prediction import Prediction

# Of the radiograph's longer side. The original is beside it in the same study; this is to be seen at a glance, and a
# PACS keeps it: with its writing some 6 MB.
LONGEST_SIDE_PX = 1280
# Colours mean nearly the same on all pictures of a list: weak evidence is pale, and not blown up to full colour.
_SMALLEST_FULL = 0.5
# Band and letters. The two that are to be read soon have a colour of their own, the others grey: none is green, which
# would say that all is well.
_BANDS: dict[Priority, tuple[Colour, Colour]] = {
    "fast-track": ((213, 94, 0), (255, 255, 255)),
    "expedite": ((240, 180, 40), BLACK),
    "secondary-review": ((90, 90, 90), INK),
    "routine": ((60, 60, 60), INK),
}
_DOUBT = (240, 180, 40)
_LOSSES = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def secondary_capture(picture: NDArray[np.uint8], prediction: Prediction, source: Source, maker: Maker) -> Dataset:
    """Return the picture of an answer (`draw_answer`) as a Secondary Capture image, without patient and study."""
    from highdicom.sc import SCImage  # noqa: PLC0415  # an optional library

    image: Dataset = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.study_uid,
        series_instance_uid=series_uid(source, maker, "sc", prediction.triage.priority),
        series_number=SERIES_NUMBERS["sc"],
        sop_instance_uid=UNNAMED,
        instance_number=source.instance_number,
        # Asked for by highdicom, and set below.
        patient_orientation=("L", "F"),
        **equipment(maker),
    )
    # A page of writing and a picture. As OT, OHIF lays a video bar over it; as CR or DX, a rule that forwards
    # radiographs would hand it to other programs, and they would judge it.
    image.Modality = "DOC"
    image.ConversionType = "WSD"
    image.DerivationDescription = (
        "Scaled, shown in 8 bit as the image asks for, with contributions to a logit in colour, and writing"
    )
    image.SourceImageSequence = [_reference(source)]
    for keyword in _LOSSES:
        if keyword in source.attributes:
            image.add(source.attributes[keyword])
    # The writing of ours names nobody. What is burned into the radiograph stays there, and is said as it says.
    image.pop("BurnedInAnnotation", None)
    said = {word.upper() for word in source.texts("BurnedInAnnotation")}
    if "YES" in said or said == {"NO"}:
        image.BurnedInAnnotation = "YES" if "YES" in said else "NO"
    image.PatientOrientation = None
    if "PatientOrientation" in source.attributes:
        image.add(source.attributes["PatientOrientation"])
    return image


def draw_answer(prediction: Prediction, explanation: Explanation, maker: Maker) -> NDArray[np.uint8]:
    """Return the picture: uint8 ``(height, width, 3)``; the radiograph's longer side has at most 1,280 pixels.

    What is written says nothing about the patient.
    """
    _, shares = prediction.judged()
    shown, normal = shown_finding(shares, maker)
    probability = shares[shown]
    film = draw_overlay(_scaled(explanation), shown, probability, against=normal, smallest_full=_SMALLEST_FULL)
    width = film.shape[1]
    size = max(14, round(width / 46))
    strip = Strip(width, size)
    fill, ink = _BANDS[prediction.triage.priority]
    strip.write_on_band(terms.PRIORITIES[prediction.triage.priority].meaning, size=2 * size, fill=fill, ink=ink)
    strip.write(f"{NOTICE}. A radiograph without a flag is still to be read.")
    strip.write(prediction.triage.reason)
    if doubts := prediction.reservations:
        strip.write(" ".join(doubts), fill=_DOUBT)
    # Spaces at which no line breaks, between a finding and its probability.
    said = (f"{finding} {probability_in_words(p)}".replace(" ", "\N{NO-BREAK SPACE}") for finding, p in shares.items())
    strip.write("P:  " + "   ".join(said))
    strip.write(f"{maker.name} {maker.version}, Carina {__version__}", fill=FAINT)
    return np.concatenate([strip.finished(), film])


def shown_finding(probabilities: Mapping[str, float], maker: Maker) -> tuple[str, str | None]:
    """Return the finding whose evidence is shown, and that against which it is: Normal, or none without a Normal.

    So orange is on every picture what speaks for disease: for the finding of the operating point where it is flagged,
    else for the most probable one that is not Normal. Over the mean of all findings, what is merely less improbable
    than others would be orange, too.
    """
    shown = maker.policy.flag_finding
    if probabilities[shown] < maker.policy.operating_point.threshold:
        shown = max((finding for finding in probabilities if finding != NORMAL), key=probabilities.__getitem__)
    return shown, NORMAL if NORMAL in maker.findings else None


def _scaled(explanation: Explanation) -> Explanation:
    height, width = explanation.grey.shape
    factor = LONGEST_SIDE_PX / max(height, width)
    if factor >= 1:
        return explanation
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    smaller = cv2.resize(explanation.grey, size, interpolation=cv2.INTER_AREA)
    return replace(explanation, grey=np.asarray(smaller, np.uint8))


def _reference(source: Source) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.sop_class_uid
    reference.ReferencedSOPInstanceUID = source.sop_instance_uid
    reference.PurposeOfReferenceCodeSequence = [terms.item_of(terms.SOURCE_OF_PROCESSING)]
    return reference
