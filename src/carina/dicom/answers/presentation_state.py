"""The marks: a presentation state that shows the image as it asks for, with the priority written on it (PS3.3 A.33.1).

It holds no pixels: a viewer writes the words over the original, and can take them away.
"""

from copy import deepcopy

from pydicom.dataset import Dataset

from carina.decisions.probabilities import probability_in_words
from carina.dicom import coded_terms as terms
from carina.dicom.answers.answer_attributes import NOTICE, Maker
from carina.dicom.answers.objects import SERIES_NUMBERS, UNNAMED, equipment, series_uid, stand_in
from carina.dicom.answers.source import Source
from carina.inference.prediction import Prediction

_LAYER = "CARINA"
_MODALITY_LUT = ("RescaleIntercept", "RescaleSlope")
# Across the top of what is displayed, whatever its size: the marks on films stand lower.
_TOP_LEFT, _BOTTOM_RIGHT = (0.02, 0.01), (0.98, 0.08)


def why_no_presentation_state(source: Source) -> str | None:
    """Return why there can be none for an image, or none where there can."""
    if not source.is_grey:
        return "a presentation state of this kind is for grey images"
    if not all(isinstance(source.attributes.get(keyword), int) for keyword in ("Rows", "Columns")):
        return "the image does not say how large it is"
    if source.display.voi_lut is not None and source.display.voi_lut_item is None:
        return "the image has its lookup table in a functional group, where a presentation state has none"
    return None


def presentation_state(prediction: Prediction, source: Source, maker: Maker) -> Dataset:
    """Return the marks of an answer as a Grayscale Softcopy Presentation State, without patient and study."""
    from highdicom import pr  # noqa: PLC0415  # an optional library

    image, flag = stand_in(source), maker.policy.flag_finding
    words = f"Carina: {terms.PRIORITIES[prediction.triage.priority].meaning}"
    words += f"\r\nP({flag}) {probability_in_words(prediction.judged()[1][flag])}. {NOTICE}."
    text = pr.TextObject(
        text_value=words,
        units=pr.AnnotationUnitsValues.DISPLAY,
        bounding_box=(*_TOP_LEFT, *_BOTTOM_RIGHT),
        text_justification=pr.TextJustificationValues.LEFT,
    )
    marks = pr.GraphicAnnotation([image], pr.GraphicLayer(_LAYER, order=1), text_objects=[text])
    state: Dataset = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        series_instance_uid=series_uid(source, maker, "pr"),
        series_number=SERIES_NUMBERS["pr"],
        sop_instance_uid=UNNAMED,
        instance_number=source.instance_number,
        content_label="CARINA_TRIAGE",
        content_description="Place in the reading order, research use",
        graphic_layers=[pr.GraphicLayer(_LAYER, order=1, description="Carina's answer")],
        graphic_annotations=[marks],
        **equipment(maker),
    )
    _show_as_the_image_asks(state, source)
    return state


def _show_as_the_image_asks(state: Dataset, source: Source) -> None:
    """Set modality LUT, window or VOI LUT, and polarity: a viewer takes them from here and not from the image.

    Source: PS3.3 C.11.1, C.11.8 and C.11.6; PS3.4 N.2.
    """
    asked, display = source.attributes, source.display
    if display.modality_lut is not None:
        state.ModalityLUTSequence = deepcopy(asked.ModalityLUTSequence[:1])
    elif all(keyword in asked for keyword in _MODALITY_LUT) or (display.slope, display.intercept) != (1.0, 0.0):
        state.RescaleSlope, state.RescaleIntercept = _decimal(display.slope), _decimal(display.intercept)
        state.RescaleType = source.text("RescaleType") or "US"
    voi = Dataset()
    if display.voi_lut_item is not None:
        voi.VOILUTSequence = [deepcopy(asked.VOILUTSequence[display.voi_lut_item])]
    elif (window := display.window) is not None:
        voi.WindowCenter, voi.WindowWidth = _decimal(window.centre), _decimal(window.width)
        if words := source.text("WindowCenterWidthExplanation", window.place):
            voi.WindowCenterWidthExplanation = words
        if window.function != "LINEAR" or source.text("VOILUTFunction"):
            voi.VOILUTFunction = window.function
    if len(voi):
        state.SoftcopyVOILUTSequence = [voi]
    # What comes out of the window of a MONOCHROME1 image is white at its smallest value, which only this says here.
    inverse = source.photometric == "MONOCHROME1" or display.inverse
    state.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    if "PixelAspectRatio" in asked:
        ratio = [int(side) for side in asked.PixelAspectRatio]
        state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio = ratio


def _decimal(number: float) -> str:
    """Return a number as a decimal string, which has at most 16 characters (PS3.5 6.2)."""
    return next(text for digits in (15, 12, 9) if len(text := f"{number:.{digits}g}") <= 16)
