"""The regions: lungs and evidence as a DICOM SEG, which a viewer lays over the original and can take away (PS3.3 A.51).

Viewers place a SEG in space. A radiograph has no place there, so it is given one that says nothing of the patient: a
frame of reference of that image alone, whose axes are the image's rows and columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from carina._version import __version__
from carina.dicom import coded_terms as terms
from carina.dicom.answers.answer_attributes import NOTICE, Maker
from carina.dicom.answers.objects import SERIES_NUMBERS, UNNAMED, equipment, series_uid, stand_in
from carina.dicom.answers.secondary_capture import shown_finding
from carina.dicom.answers.source import Source
from carina.dicom.coded_terms import concept
from carina.dicom.computed_uids import derived_uid
from carina.findings import Code, dicom_text
from carina.inference.explanation.explain import Explanation
from carina.inference.prediction import Prediction

# Half of the picture's full colour where its scale is shortest: what looks orange there is inside, a pale tint is not.
LEVEL = 0.25
# RGB; the orange is that of the picture.
LUNG_COLOUR, EVIDENCE_COLOUR = (60, 150, 255), (255, 140, 20)
# OHIF takes the rows and columns of an image that says nothing for the first two axes, and refuses a SEG across them.
_ORIGIN, _AXES = [0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of an image, with a name that fits in 64 characters, what it means, and bool ``(rows, columns)``."""

    name: str
    meaning: str
    category: Code
    kind: Code
    colour: tuple[int, int, int]
    mask: NDArray[np.bool_]


def find_regions(prediction: Prediction, explanation: Explanation, source: Source, maker: Maker) -> list[Region]:
    """Return the lungs, and where the evidence reaches `LEVEL`: of the two those that are there."""
    finding, against = shown_finding(prediction.judged()[1], maker)
    evidence = explanation.on_radiograph(finding, smooth=True, against=against)
    found = [
        Region(
            name=dicom_text(f"Evidence of {LEVEL:g} log odds or more: {finding}"),
            meaning=_meaning(finding, against),
            category=terms.SPATIAL_CONCEPT,
            kind=terms.EVIDENCE,
            colour=EVIDENCE_COLOUR,
            mask=_placed(np.nan_to_num(evidence), source) >= LEVEL,
        )
    ]
    if explanation.lungs is not None:
        lungs = Region(
            name="Lungs",
            meaning="Where Carina finds the lungs, also behind the heart.",
            category=terms.ANATOMICAL_STRUCTURE,
            kind=terms.LUNG,
            colour=LUNG_COLOUR,
            mask=_placed(explanation.lungs.share_of_pixels(*explanation.grey.shape), source) >= 0.5,
        )
        found.insert(0, lungs)
    return [region for region in found if region.mask.any()]


def segmentation(regions: Sequence[Region], prediction: Prediction, source: Source, maker: Maker) -> Dataset:
    """Return regions as a Segmentation of one frame each, with the image's rows and columns, without patient."""
    from highdicom import seg  # noqa: PLC0415  # an optional library

    finding, _ = shown_finding(prediction.judged()[1], maker)
    shown = any(region.kind == terms.EVIDENCE for region in regions)
    said = "evidence of" if shown else "no cell reaches"
    made: Dataset = seg.Segmentation(
        source_images=[_in_space(source)],
        pixel_array=np.stack([region.mask for region in regions], axis=-1)[np.newaxis],
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(n, region, source, maker) for n, region in enumerate(regions, start=1)],
        series_instance_uid=series_uid(source, maker, "seg", prediction.triage.priority),
        series_number=SERIES_NUMBERS["seg"],
        sop_instance_uid=UNNAMED,
        instance_number=source.instance_number,
        content_label="CARINA_REGIONS",
        content_description=dicom_text(f"Lungs; {said} {LEVEL:g} log odds: {finding}"),
        **equipment(maker),
    )
    # highdicom draws a new one each time, and the same answer is the same object.
    organisation = derived_uid("dimensions", *maker.identity, source.sop_instance_uid)
    for element in made.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = organisation
    return made


def _meaning(finding: str, against: str | None) -> str:
    over = "the mean of all findings" if against is None else against
    return (
        f"Where a cell of the network's last map raises the log odds of {finding} over {over} by {LEVEL:g} or more. It "
        f"is no outline of disease. {NOTICE}."
    )


def _placed(shown: NDArray[np.float32], source: Source) -> NDArray[np.float32]:
    """Return values of what is shown of an image at each of its pixels; 0 where a shutter hides it."""
    whole = np.zeros((source.rows, source.columns), np.float32)
    top, left, bottom, right = source.visible
    whole[top:bottom, left:right] = cv2.resize(shown, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return whole


def _described(number: int, region: Region, source: Source, maker: Maker) -> Any:
    from highdicom import AlgorithmIdentificationSequence, seg  # noqa: PLC0415
    from highdicom.color import CIELabColor  # noqa: PLC0415

    described = seg.SegmentDescription(
        segment_number=number,
        segment_label=region.name,
        segmented_property_category=concept(region.category),
        segmented_property_type=concept(region.kind),
        algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=maker.name,
            version=maker.version,
            family=concept(terms.ARTIFICIAL_INTELLIGENCE),
            source=f"Carina {__version__}",
            parameters={"bundle": maker.sha256},
        ),
        tracking_uid=derived_uid("tracking", *maker.identity, source.sop_instance_uid, "region", region.name),
        tracking_id=f"Carina {region.name}"[:64],
        display_color=CIELabColor.from_rgb(*region.colour),
    )
    described.SegmentDescription = region.meaning
    return described


def _in_space(source: Source) -> Dataset:
    """Return what highdicom needs of the image, with a place in space that is only this image's."""
    image = stand_in(source)
    image.FrameOfReferenceUID = derived_uid("frame of reference", source.sop_instance_uid)
    image.ImagePositionPatient, image.ImageOrientationPatient = _ORIGIN, _AXES
    image.PixelSpacing = list(source.pixel_spacing_mm or (1.0, 1.0))
    # Of a projection; a SEG must say one.
    image.SliceThickness = 1.0
    return image
