"""The marks: the image looks as it asks to, in whatever viewer, and the flag is written on it."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from carina.dicom.answers.answers import write_answers
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from make_dicom import data_set
from unit.dicom.sources import IDENTIFIERS, write_source


def marks_of(path: Path, predictor: Predictor) -> tuple[Prediction, Path]:
    answers = write_answers(path, predictor, path.parent, ["pr"])
    return answers.prediction, answers.written[0].path


def test_the_flag_is_written_across_the_top(predictor: Predictor, tmp_path: Path) -> None:
    prediction, path = marks_of(write_source(tmp_path / "image.dcm"), predictor)
    state = dcmread(path)
    (annotation,) = state.GraphicAnnotationSequence
    (layer,) = state.GraphicLayerSequence
    assert annotation.GraphicLayer == layer.GraphicLayer
    (text,) = annotation.TextObjectSequence
    first, second = text.UnformattedTextValue.split("\r\n")
    assert first.removeprefix("Carina: ").lower().split(",")[0].replace(" ", "-") == prediction.triage.priority
    assert second == f"P(COVID-19) {prediction.probabilities['COVID-19']:.2f}. Research use, not for diagnosis."
    assert text.BoundingBoxAnnotationUnits == "DISPLAY"
    assert not any(value in text.UnformattedTextValue for value in IDENTIFIERS.values())
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaBottomRightHandCorner) == [256, 256]


def lut(bits: int = 8) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, bits]
    item.LUTExplanation = "a curve"
    item.LUTData = np.rint(255 * (np.arange(4096) / 4095) ** 0.5).astype("<u2").tobytes()
    return item


@pytest.mark.parametrize(
    ("attributes", "window"),
    [
        ({}, ("2048", "4096", None)),
        (
            {"WindowCenter": [600, 900], "WindowWidth": [800, 500], "VOILUTFunction": "SIGMOID"},
            ("600", "800", "SIGMOID"),
        ),
        ({"WindowCenter": ["", 900], "WindowWidth": ["", 500]}, ("900", "500", None)),
        ({"WindowCenter": [600, 900], "WindowWidth": [0, 500], "VOILUTFunction": "ODD"}, ("900", "500", "LINEAR")),
        ({"WindowCenter": 600, "WindowWidth": 0}, None),
        ({"WindowCenter": ...}, None),
        ({"WindowCenter": None, "WindowWidth": None}, None),
    ],
)
def test_the_first_window_of_the_image_is_shown(
    predictor: Predictor, tmp_path: Path, attributes: dict[str, Any], window: tuple[str, str, str | None] | None
) -> None:
    _, path = marks_of(write_source(tmp_path / "image.dcm", **attributes), predictor)
    state = dcmread(path)
    if window is None:
        assert "SoftcopyVOILUTSequence" not in state
        return
    (voi,) = state.SoftcopyVOILUTSequence
    shown = (float(voi.WindowCenter), float(voi.WindowWidth), voi.get("VOILUTFunction"))
    assert shown == (float(window[0]), float(window[1]), window[2])


def test_the_window_that_was_used_is_the_one_that_is_shown(predictor: Predictor, tmp_path: Path) -> None:
    """Whatever the image also has: a broken table or line, a decimal comma, elements behind its pixels."""
    broken = Dataset()
    broken.LUTDescriptor = [10, 0, 12]
    explained = {"WindowCenter": [1, 900], "WindowWidth": [0, 500], "WindowCenterWidthExplanation": ["BONE", "LUNG"]}
    image = write_source(tmp_path / "a.dcm", VOILUTSequence=[broken], RescaleSlope=0, RescaleIntercept=7, **explained)
    state = dcmread(marks_of(image, predictor)[1])
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.WindowCenterWidthExplanation) == (900, 500, "LUNG")
    assert "VOILUTSequence" not in voi
    assert (state.RescaleSlope, state.RescaleIntercept) == (1, 0)
    state = dcmread(marks_of(write_source(tmp_path / "b.dcm", VOILUTSequence=[broken, lut(10)]), predictor)[1])
    (voi,) = state.SoftcopyVOILUTSequence
    assert voi.VOILUTSequence[0].LUTDescriptor == [4096, 0, 10]
    plain = write_source(tmp_path / "c.dcm", WindowCenter=..., WindowWidth=...)
    plain.write_bytes(plain.read_bytes() + data_set({"WindowCenter": "900,5", "WindowWidth": "500"}))
    state = dcmread(marks_of(plain, predictor)[1])
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (900.5, 500)


def test_tables_are_taken_before_windows(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", VOILUTSequence=[lut(), lut(10)], ModalityLUTSequence=[lut(12)])
    state = dcmread(marks_of(path, predictor)[1])
    (voi,) = state.SoftcopyVOILUTSequence
    (table,) = voi.VOILUTSequence
    assert table.LUTDescriptor == [4096, 0, 8]
    assert "WindowCenter" not in voi
    (modality,) = state.ModalityLUTSequence
    assert modality.LUTDescriptor == [4096, 0, 12]
    assert "RescaleSlope" not in state


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({"inverse": True}, "INVERSE"),
        ({"inverse": False}, "IDENTITY"),
        ({"inverse": True, "PresentationLUTShape": ...}, "INVERSE"),
        ({"inverse": False, "PresentationLUTShape": "INVERSE"}, "INVERSE"),
    ],
)
def test_polarity(predictor: Predictor, tmp_path: Path, attributes: dict[str, Any], shape: str) -> None:
    _, path = marks_of(write_source(tmp_path / "image.dcm", **attributes), predictor)
    assert dcmread(path).PresentationLUTShape == shape


def test_pixels_that_are_not_square_stay_so(predictor: Predictor, tmp_path: Path) -> None:
    _, path = marks_of(write_source(tmp_path / "image.dcm", PixelAspectRatio=[3, 2]), predictor)
    assert list(dcmread(path).DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio) == [3, 2]


def test_an_image_that_does_not_say_its_size_gets_none(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carina.dicom.answers.presentation_state import why_no_presentation_state
    from carina.dicom.answers.source import read_source

    source = read_source(write_source(tmp_path / "image.dcm"))
    assert why_no_presentation_state(source) is None
    del source.attributes.Rows
    assert why_no_presentation_state(source) == "the image does not say how large it is"


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"inverse": True},
        {"WindowCenter": 900, "WindowWidth": 700},
        {"inverse": True, "WindowCenter": 900, "WindowWidth": 700},
        {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 1500, "WindowWidth": 2000},
        {"VOILUTSequence": [lut()], "WindowCenter": ..., "WindowWidth": ...},
    ],
)
def test_a_viewer_shows_the_image_under_the_marks_as_without(
    predictor: Predictor, tmp_path: Path, installed: Callable[[str, str], str], attributes: dict[str, Any]
) -> None:
    """DCMTK renders the image by itself and by the presentation state; both ways give the same greys."""
    image = write_source(tmp_path / "image.dcm", **attributes)
    _, marks = marks_of(image, predictor)
    by_state, by_itself = tmp_path / "state.pgm", tmp_path / "itself.pgm"
    with_state = [installed("dcmp2pgm", "dcmtk"), "--pstate", marks, image, by_state]
    which = "+Wl" if "VOILUTSequence" in attributes else "+Wi"
    alone = [installed("dcm2pnm", "dcmtk"), "+op", which, "1", image, by_itself]
    for command in (with_state, alone):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    one, other = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(int) for path in (by_state, by_itself))
    assert np.ptp(one) > 100
    assert np.abs(one - other).max() <= 1
