"""An explanation adds up, lies where the network looked, and says how much of it is lung."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from carina.decisions.calibration import Calibration
from carina.errors import BundleError, ConfigurationError
from carina.inference.explanation.explain import LONGEST_SIDE_PX, Explanation, build_explanation, display_grey
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.preprocess import Preprocessing, frame
from carina.radiographs.radiograph import Radiograph, build_radiograph
from make import make_grey, write_image
from unit.inference.small_model import BIAS, CELLS, FINDINGS, LUNG_BOX, spotted, write_small_run


def lungs_of(mask: np.ndarray) -> Lungs:
    return Lungs(mask.astype(np.bool_))


def explanation(
    contributions: np.ndarray,
    *,
    seen: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    lungs: Lungs | None = None,
    scale: tuple[float, ...] = (1.0, 1.0, 1.0),
    grey: np.ndarray | None = None,
) -> Explanation:
    calibration = Calibration(
        method="vector", scale=scale, offset=(0.5, -0.5, 0.0), fitted_on="", images=0, nll_before=0, nll_after=0
    )
    logits = contributions.sum(axis=(0, 1)) + BIAS
    return Explanation(
        FINDINGS, contributions.astype(np.float32), logits.astype(np.float32), calibration, seen, lungs,
        np.zeros((100, 80), np.uint8) if grey is None else grey,
    )  # fmt: skip


def test_cells_and_constant_make_the_calibrated_probabilities(predictor: Predictor, films: list[Path]) -> None:
    assert len(set(predictor.run.policy.calibration.scale)) == 3  # a scale a finding, so that each must be used
    for prediction in predictor.predict(films, explain=True):
        assert isinstance(prediction, Prediction)
        why = prediction.explanation
        assert why is not None
        np.testing.assert_allclose(why.bias, BIAS, atol=1e-4)
        logs = np.log([prediction.probabilities[finding] for finding in FINDINGS])
        for finding, log in zip(FINDINGS, logs, strict=True):
            assert why.evidence(finding).shape == (CELLS, CELLS)
            assert why.evidence(finding).sum() + why.constant(finding) == pytest.approx(log - logs.mean(), abs=1e-4)


def test_what_is_added_to_every_finding_is_no_evidence() -> None:
    rng = np.random.default_rng(1)
    contributions = rng.normal(size=(4, 5, 3))
    one = explanation(contributions)
    other = explanation(contributions + rng.normal(size=(4, 5, 1)))
    for finding in FINDINGS:
        np.testing.assert_allclose(one.evidence(finding), other.evidence(finding), atol=1e-5)
    assert sum(one.evidence(finding).sum() for finding in FINDINGS) == pytest.approx(0, abs=1e-5)
    # What a cell adds to the log odds of two findings.
    scaled = explanation(contributions, scale=(2.0, 0.5, 1.0))
    between = scaled.evidence(FINDINGS[0]) - scaled.evidence(FINDINGS[1])
    np.testing.assert_allclose(between, 2 * contributions[..., 0] - 0.5 * contributions[..., 1], atol=1e-5)
    np.testing.assert_allclose(scaled.evidence(FINDINGS[0], against=FINDINGS[1]), between, atol=1e-6)


def test_evidence_against_another_finding_is_their_log_odds(predictor: Predictor, films: list[Path]) -> None:
    first, second, _ = FINDINGS
    for prediction in predictor.predict(films, explain=True):
        assert isinstance(prediction, Prediction)
        why = prediction.explanation
        assert why is not None
        odds = np.log(prediction.probabilities[first] / prediction.probabilities[second])
        total = why.evidence(first, against=second).sum() + why.constant(first, against=second)
        assert total == pytest.approx(odds, abs=1e-4)
        shown = why.on_radiograph(first, against=second)
        assert np.nanmax(shown) == pytest.approx(why.evidence(first, against=second).max(), abs=1e-5)
        positive = np.maximum(why.evidence(first, against=second), 0)
        assert (why.inside_lungs(first, against=second) is None) == (positive.sum() == 0)


def test_it_comes_only_when_it_is_asked_for(predictor: Predictor, films: list[Path], tmp_path: Path) -> None:
    plain, explained = (list(predictor.predict(films, explain=explain)) for explain in (False, True))
    for one, other in zip(plain, explained, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert (one.sha256, one.probabilities, one.triage) == (other.sha256, other.probabilities, other.triage)
        assert one.explanation is None
        assert other.explanation is not None
    # A radiograph that must not be judged, and one that cannot be read, get none.
    black = write_image(tmp_path / "black.png", np.tile(np.array([[0, 1]], np.uint8), (64, 32)))
    (tmp_path / "text.png").write_text("no image")
    refused, failed, good = predictor.predict([black, tmp_path / "text.png", films[0]], explain=True)
    assert isinstance(refused, Prediction)
    assert (refused.triage.priority, refused.explanation) == ("not-assessable", None)
    assert not hasattr(failed, "explanation")
    assert isinstance(good, Prediction)
    assert good.explanation is not None


def test_a_model_without_contributions_says_so(films: list[Path], tmp_path: Path) -> None:
    old = Predictor(write_small_run(tmp_path / "old", contributions=False))
    assert len(list(old.predict(films))) == len(films)
    with pytest.raises(BundleError, match=r"model.onnx of small does not give what each cell contributes"):
        list(old.predict(films, explain=True))


@pytest.mark.parametrize(("height", "width"), [(200, 200), (330, 210), (120, 260)])
@pytest.mark.parametrize("crop", ["lungs", "none"])
def test_the_map_lies_where_the_network_looked(tmp_path: Path, crop: str, height: int, width: int) -> None:
    """A bright spot raises the cell that it lies in, wherever that is in the radiograph."""
    model = Predictor(write_small_run(tmp_path / "run", crop=crop))
    top, left, bottom, right = LUNG_BOX if crop == "lungs" else (0.0, 0.0, 1.0, 1.0)
    for row, column in ((0, 0), (1, 2), (3, 1), (3, 3)):
        down, across = top + (bottom - top) * (row + 0.5) / CELLS, left + (right - left) * (column + 0.5) / CELLS
        path = write_image(tmp_path / "spot.png", spotted(height, width, (down, across)))
        (prediction,) = model.predict([path], explain=True)
        assert isinstance(prediction, Prediction)
        why = prediction.explanation
        assert why is not None
        evidence = why.evidence(FINDINGS[0])
        assert np.unravel_index(evidence.argmax(), evidence.shape) == (row, column)
        shown = why.on_radiograph(FINDINGS[0])
        assert shown.shape == (height, width)
        peak = shown[round(down * height), round(across * width)]
        assert peak == pytest.approx(evidence.max(), abs=1e-5)
        assert np.isnan(shown[0, 0]) == (crop == "lungs")


def test_the_frame_is_what_was_cut_out() -> None:
    """What `seen` names is, cut out plainly, what `frame` gives to the network."""
    whole = make_grey(5, (96, 96))
    mask = np.zeros((160, 160))
    mask[30:110, 25:70] = mask[35:118, 85:140] = 1
    for margin in (0.0, 0.1):
        preprocessing = Preprocessing(size=64, crop="lungs", whole_size=96, crop_margin=margin)
        shown = frame(whole, lungs_of(mask), preprocessing)
        why = build_explanation(
            np.zeros((2, 2, 3), np.float32), np.zeros(3, np.float32), FINDINGS,
                explanation(np.zeros((1, 1, 3))).calibration,
            preprocessing, lungs_of(mask), whole,
        )  # fmt: skip
        top, left, bottom, right = (round(edge * 960) for edge in why.seen)
        cut = cv2.resize(whole, (960, 960), interpolation=cv2.INTER_LINEAR)[top:bottom, left:right]
        cut = cv2.resize(cut, (64, 64), interpolation=cv2.INTER_AREA)
        inner = np.s_[2:-2, 2:-2]
        off, shifted = (np.abs(np.roll(cut, by, axis=1)[inner].astype(float) - shown[inner]).mean() for by in (0, 1))
        # A shift of a single pixel of the frame would show.
        assert off < 1.5
        assert shifted > 5 * off


def test_evidence_inside_the_lungs() -> None:
    mask = np.zeros((160, 160))
    mask[:, :80] = 1  # the left half
    cells = np.zeros((2, 2, 3))
    cells[0, 0, 0], cells[0, 1, 0], cells[1, 1, 0] = 3.0, 1.5, -6.0
    why = explanation(cells, lungs=lungs_of(mask))
    assert why.lungs_fill == pytest.approx(0.5)
    assert why.inside_lungs(FINDINGS[0]) == pytest.approx(2 / 3)
    # Cells that the border of the lungs divides count by their part: seen is the middle, 0.25 to 0.75 of the width.
    middle = explanation(cells, lungs=lungs_of(mask), seen=(0.0, 0.3, 1.0, 0.7))
    assert middle.lungs_fill == pytest.approx(0.5)
    aside = explanation(cells, lungs=lungs_of(mask), seen=(0.0, 0.45, 1.0, 0.65))
    assert aside.lungs_fill == pytest.approx(0.25)
    assert aside.inside_lungs(FINDINGS[0]) == pytest.approx(2 / 3 * 0.5)
    assert explanation(cells).inside_lungs(FINDINGS[0]) is None
    assert explanation(cells).lungs_fill is None
    # Where nothing speaks for a finding there is nothing to share out.
    assert explanation(-np.eye(3)[0] * np.ones((2, 2, 1)), lungs=lungs_of(mask)).inside_lungs(FINDINGS[0]) is None


def test_smooth_meets_the_cells_at_their_centres_and_adds_nothing() -> None:
    cells = np.random.default_rng(2).normal(size=(5, 4, 3))
    why = explanation(cells, seen=(0.2, 0.1, 0.7, 0.9), grey=np.zeros((1001, 803), np.uint8))
    plain, smooth = (why.on_radiograph(FINDINGS[1], smooth=smooth) for smooth in (False, True))
    evidence = why.evidence(FINDINGS[1])
    assert (np.isnan(plain) == np.isnan(smooth)).all()
    for row in range(5):
        for column in range(4):
            y, x = round((0.2 + 0.1 * (row + 0.5)) * 1001), round((0.1 + 0.2 * (column + 0.5)) * 803)
            assert smooth[y, x] == pytest.approx(evidence[row, column], abs=0.02)
            assert plain[y, x] == pytest.approx(evidence[row, column], abs=1e-6)
    assert np.nanmax(smooth) <= evidence.max() + 1e-6
    assert np.nanmin(smooth) >= evidence.min() - 1e-6


def test_an_unknown_finding_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"does not know 'Lupus'. Name one of: COVID-19, Normal"):
        explanation(np.zeros((2, 2, 3))).evidence("Lupus")


def test_a_radiograph_is_displayed_as_it_is_up_to_a_size() -> None:
    eight = build_radiograph(np.arange(40 * 50, dtype=np.uint16).reshape(40, 50).astype(np.uint8))
    assert display_grey(eight) is eight.pixels
    twelve = build_radiograph(np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16))
    np.testing.assert_array_equal(display_grey(twelve), np.rint(twelve.pixels / 4095 * 255).astype(np.uint8))
    unit = build_radiograph(np.linspace(0, 1, 64 * 64).reshape(64, 64))
    assert (display_grey(unit).min(), display_grey(unit).max()) == (0, 255)
    tall = Radiograph(np.zeros((4300, 3500), np.uint16) + np.uint16(7), 4095.0)
    assert display_grey(tall).shape == (LONGEST_SIDE_PX, round(3500 * LONGEST_SIDE_PX / 4300))


def test_explanations_do_not_hold_the_batch(predictor: Predictor, films: list[Path]) -> None:
    (prediction,) = predictor.predict(films[:1], explain=True)
    assert isinstance(prediction, Prediction)
    assert prediction.explanation is not None
    assert prediction.explanation.contributions.base is None
    with Image.open(films[0]) as image:
        np.testing.assert_array_equal(prediction.explanation.grey, np.asarray(image))
