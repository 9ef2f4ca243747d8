"""The picture: the radiograph, what is written above it, and what it says of itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from carina._version import __version__
from carina.decisions.triage import Priority
from carina.dicom.answers.answer_attributes import Maker, maker_of
from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.secondary_capture import LONGEST_SIDE_PX, draw_answer
from carina.inference.explanation.explain import Explanation
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.gate import NO_GATE
from unit.dicom.sources import IDENTIFIERS, write_source


def picture_of(path: Path, predictor: Predictor) -> tuple[Prediction, Dataset]:
    answers = write_answers(path, predictor, path.parent, ["sc"])
    return answers.prediction, dcmread(answers.written[0].path)


@pytest.fixture
def judged(predictor: Predictor, tmp_path: Path) -> tuple[Prediction, Explanation, Maker]:
    (prediction,) = predictor.predict([write_source(tmp_path / "judged.dcm")], explain=True)
    assert isinstance(prediction, Prediction)
    assert prediction.explanation is not None
    return prediction, prediction.explanation, maker_of(predictor, None)


def test_its_pixels_are_the_drawing(predictor: Predictor, tmp_path: Path) -> None:
    prediction, picture = picture_of(write_source(tmp_path / "image.dcm"), predictor)
    assert prediction.explanation is not None
    drawn = draw_answer(prediction, prediction.explanation, maker_of(predictor, None))
    np.testing.assert_array_equal(picture.pixel_array, drawn)
    assert (picture.PhotometricInterpretation, picture.BitsStored) == ("RGB", 8)
    assert picture.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert picture.ConversionType == "WSD"
    # Nobody is to measure on it.
    assert not {"PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing"} & set(picture.dir())


def test_it_says_what_it_is_for_the_priority_and_why(words: list[str], judged: tuple[Any, Any, Maker]) -> None:
    prediction, explanation, maker = judged
    draw_answer(prediction, explanation, maker)
    # Film and legend are drawn first, the lines above them after.
    above = words[-6:]
    assert above[0] in ("Fast-track", "Expedite", "Secondary review", "Routine, still to be read")
    assert above[1].startswith("Research use, not for diagnosis.")
    assert above[2] == prediction.triage.reason
    assert above[3] == NO_GATE
    assert above[4].replace("\N{NO-BREAK SPACE}", " ").startswith("P:  COVID-19 0.")
    assert above[5] == f"small {__version__}, Carina {__version__}"


@pytest.mark.parametrize("priority", ["fast-track", "expedite", "secondary-review", "routine"])
def test_the_two_that_are_read_soon_have_a_colour_and_none_is_green(
    judged: tuple[Any, Any, Maker], priority: Priority
) -> None:
    prediction, explanation, maker = judged
    triage = replace(prediction.triage, priority=priority)
    picture = draw_answer(replace(prediction, triage=triage), explanation, maker)
    red, green, blue = (int(value) for value in picture[2, -2])
    assert (red != green) == (priority in ("fast-track", "expedite"))
    assert green <= red
    assert blue <= red


def test_nothing_of_the_patient_is_written_into_it(words: list[str], predictor: Predictor, tmp_path: Path) -> None:
    picture_of(write_source(tmp_path / "image.dcm"), predictor)
    assert len(words) > 5
    said = " ".join(words)
    for value in (*IDENTIFIERS.values(), "Zwiebelfisch", "1941", "image.dcm", "1.2.826", "2024"):
        assert value not in said


@pytest.mark.parametrize(
    ("probabilities", "shown"),
    [
        ({"COVID-19": 0.9, "Normal": 0.06, "Viral Pneumonia": 0.04}, "COVID-19"),
        # Flagged, though not the most probable: the operating point of the small model is far below.
        ({"COVID-19": 0.46, "Normal": 0.04, "Viral Pneumonia": 0.5}, "COVID-19"),
        ({"COVID-19": 0.001, "Normal": 0.1, "Viral Pneumonia": 0.899}, "Viral Pneumonia"),
        ({"COVID-19": 0.002, "Normal": 0.997, "Viral Pneumonia": 0.001}, "COVID-19"),
    ],
)
def test_what_is_looked_for_is_drawn_and_never_normal(
    words: list[str], judged: tuple[Any, Any, Maker], probabilities: dict[str, float], shown: str
) -> None:
    prediction, explanation, maker = judged
    assert 0.002 < maker.policy.operating_point.threshold < 0.46
    draw_answer(replace(prediction, network_probabilities=probabilities), explanation, maker)
    assert any(line.startswith(f"{shown}   P = ") for line in words)
    assert any(f"the cell raises the odds of {shown} against Normal; blue: it lowers them" in line for line in words)


def test_weak_evidence_is_pale(judged: tuple[Any, Any, Maker]) -> None:
    """A tenth of the evidence has a tenth of the colour, once it is weak: the scale does not follow it down."""
    prediction, explanation, maker = judged

    def colour(share: float) -> float:
        weak = replace(explanation, contributions=np.float32(share) * explanation.contributions)
        film = draw_answer(prediction, weak, maker).astype(int)
        # Right of the letters of the head and the legend there is film alone.
        return float(np.abs(film[300:700, 200:500, 0] - film[300:700, 200:500, 2]).mean())

    strongest = float(np.abs(explanation.evidence("COVID-19", against="Normal")).max())
    assert colour(0.05 / strongest) < 0.2 * colour(0.5 / strongest)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [({}, "NO"), ({"BurnedInAnnotation": "YES"}, "YES"), ({"BurnedInAnnotation": ...}, None),
     ({"BurnedInAnnotation": None}, None), ({"BurnedInAnnotation": ["NO", "YES"]}, "YES"),
     ({"BurnedInAnnotation": ["NO", "N"]}, None), ({"BurnedInAnnotation": "no"}, "NO")],
)  # fmt: skip
def test_what_is_burned_in_is_said_as_the_image_says_it(
    predictor: Predictor, tmp_path: Path, attributes: dict[str, Any], expected: str | None
) -> None:
    _, picture = picture_of(write_source(tmp_path / "image.dcm", **attributes), predictor)
    assert picture.get("BurnedInAnnotation") == expected


def test_losses_of_the_image_are_losses_of_the_picture(predictor: Predictor, tmp_path: Path) -> None:
    lost = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 12.5,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    _, picture = picture_of(write_source(tmp_path / "image.dcm", **lost), predictor)
    assert {keyword: picture[keyword].value for keyword in lost} == lost
    _, whole = picture_of(write_source(tmp_path / "whole.dcm", seed=2), predictor)
    assert "LossyImageCompression" not in whole


def test_the_side_is_that_of_the_image(predictor: Predictor, tmp_path: Path) -> None:
    _, picture = picture_of(write_source(tmp_path / "image.dcm", PatientOrientation=["R", "F"]), predictor)
    assert picture.PatientOrientation == ["R", "F"]
    _, unknown = picture_of(write_source(tmp_path / "unknown.dcm", seed=2, PatientOrientation=...), predictor)
    assert unknown["PatientOrientation"].value in (None, "", [])


@pytest.mark.parametrize("size", [64, 1500, 2600])
def test_the_picture_has_a_bounded_size(judged: tuple[Any, Any, Maker], size: int) -> None:
    prediction, explanation, maker = judged
    grey = cv2.resize(explanation.grey, (round(0.8 * size), size))
    picture = draw_answer(prediction, replace(explanation, grey=np.asarray(grey, np.uint8)), maker)
    assert 640 <= picture.shape[1] <= LONGEST_SIDE_PX
    assert picture.shape[0] <= 1.7 * LONGEST_SIDE_PX
