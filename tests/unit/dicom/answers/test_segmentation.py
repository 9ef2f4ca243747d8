"""The regions, read back by highdicom: they lie where lungs and evidence are, on the original's own pixels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from highdicom import seg
from pydicom import dcmread

from carina.dicom.answers.answer_attributes import maker_of
from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.secondary_capture import shown_finding
from carina.dicom.answers.segmentation import LEVEL, find_regions, segmentation
from carina.dicom.answers.source import read_source
from carina.dicom.quiet import quiet
from carina.inference.predictor import Predictor
from unit.dicom.reading_back import elements_of
from unit.dicom.sources import write_source
from unit.inference.small_model import LUNG_BOX


def regions_of(path: Path, predictor: Predictor) -> Any:
    """Return the regions as highdicom reads them."""
    (answer,) = write_answers(path, predictor, path.parent, ["seg"]).written
    return seg.segread(answer.path)


def masks_of(read: Any, path: Path) -> dict[str, np.ndarray]:
    uid = dcmread(path, stop_before_pixels=True).SOPInstanceUID
    (masks,) = read.get_pixels_by_source_instance([uid], ignore_spatial_locations=True)
    return {
        read.get_segment_description(number).segment_label: masks[..., number - 1].astype(bool)
        for number in read.segment_numbers
    }


def test_both_regions_lie_where_they_are(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", seed=5)
    masks = masks_of(regions_of(path, predictor), path)
    (prediction,) = predictor.predict([path], explain=True)
    finding, against = shown_finding(prediction.probabilities, maker_of(predictor, None))
    assert list(masks) == ["Lungs", f"Evidence of 0.25 log odds or more: {finding}"]
    evidence = prediction.explanation.on_radiograph(finding, smooth=True, against=against)
    np.testing.assert_array_equal(masks[f"Evidence of 0.25 log odds or more: {finding}"], evidence >= LEVEL)
    rows, columns = (np.flatnonzero(masks["Lungs"].any(axis=axis)) for axis in (1, 0))
    box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    # The mask's squares are 1.6 pixels wide here.
    np.testing.assert_allclose(box, np.array(LUNG_BOX) * 256, atol=3)


def test_a_shutter_moves_no_region(predictor: Predictor, tmp_path: Path) -> None:
    """What is judged is the part that is seen; the region's pixels are those of the whole image."""
    shutter = {"ShutterUpperHorizontalEdge": 28, "ShutterLeftVerticalEdge": 57}
    shutter |= {"ShutterLowerHorizontalEdge": 257, "ShutterRightVerticalEdge": 257}
    path = write_source(tmp_path / "image.dcm", "DX", seed=5, ShutterShape="RECTANGULAR", **shutter)
    masks = masks_of(regions_of(path, predictor), path)
    top, left, bottom, right = read_source(path).visible
    assert (top, left) == (27, 56)
    (prediction,) = predictor.predict([path], explain=True)
    expected = np.zeros((256, 256), bool)
    lungs = prediction.explanation.lungs.mask.astype(np.uint8)
    expected[top:bottom, left:right] = cv2.resize(lungs, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    both = (masks["Lungs"] & expected).sum() / (masks["Lungs"] | expected).sum()
    assert both > 0.9


@pytest.mark.parametrize(
    ("attributes", "spacing"), [({}, [1, 1]), ({"ImagerPixelSpacing": [0.2, 0.1]}, [0.2, 0.1])], ids=["none", "said"]
)
def test_they_have_a_place_in_space_that_is_the_images_alone(
    predictor: Predictor, tmp_path: Path, attributes: dict[str, Any], spacing: list[float]
) -> None:
    """Without measures, orientation and position of the plane OHIF's page goes black."""
    read = regions_of(write_source(tmp_path / "image.dcm", "CR", seed=5, **attributes), predictor)
    other = regions_of(write_source(tmp_path / "other.dcm", "CR", seed=6, **attributes), predictor)
    assert read.FrameOfReferenceUID.startswith("2.25.")
    assert read.FrameOfReferenceUID != other.FrameOfReferenceUID
    (shared,) = read.SharedFunctionalGroupsSequence
    assert shared.PixelMeasuresSequence[0].PixelSpacing == spacing
    # Across the axes of an image that says nothing of its own, OHIF shows no region.
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    positions = [item.ImagePositionPatient for item in elements_of(read, "PlanePositionSequence")]
    assert positions == [[0, 0, 0]] * 2


def test_each_says_what_it_is_and_who_says_so(predictor: Predictor, tmp_path: Path) -> None:
    read = regions_of(write_source(tmp_path / "image.dcm", seed=5), predictor)
    lungs, evidence = (read.get_segment_description(number) for number in (1, 2))
    assert lungs.segmented_property_type.value == "39607008"
    assert evidence.segmented_property_type.scheme_designator == "99CARINA"
    assert (
        "by 0.25 or more. It is no outline of disease. Research use, not for diagnosis." in evidence.SegmentDescription
    )
    for described in (lungs, evidence):
        assert described.algorithm_identification[0].AlgorithmName == "small"
        assert predictor.sha256 in described.algorithm_identification[0].AlgorithmParameters
    assert read.ContentDescription.startswith("Lungs; evidence of 0.25 log odds: ")


def test_where_no_evidence_reaches_the_level_it_is_said(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", seed=5)
    (prediction,) = predictor.predict([path], explain=True)
    nothing = replace(prediction.explanation, contributions=np.zeros_like(prediction.explanation.contributions))
    source, maker = read_source(path), maker_of(predictor, None)
    regions = find_regions(prediction, nothing, source, maker)
    assert [region.name for region in regions] == ["Lungs"]
    with quiet("it"):
        made = segmentation(regions, prediction, source, maker)
    assert made.ContentDescription.startswith("Lungs; no cell reaches 0.25 log odds: ")
    assert find_regions(prediction, replace(nothing, lungs=None), source, maker) == []
