"""Calibration finds what was done to logits, agrees with a general optimiser, and stays sane where data say little."""

import numpy as np
import pytest
from scipy.optimize import minimize

from carina.decisions.calibration import Calibration, calibrate, fit_calibration
from carina.decisions.probabilities import softmax
from carina.errors import ConfigurationError

WORDS = "toy data"


def draw(images: int, findings: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the truth, and labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(images, findings))
    cumulative = softmax(logits).cumsum(axis=1)
    return logits, (rng.random((images, 1)) > cumulative[:, :-1]).sum(axis=1)


def nll(logits: np.ndarray, labels: np.ndarray, calibration: Calibration) -> float:
    return float(-np.log(calibrate(logits, calibration)[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits, labels = draw(20_000)
    fitted = fit_calibration(temperature * logits, labels, "temperature", fitted_on=WORDS)
    assert fitted.temperature == pytest.approx(temperature, rel=0.03)
    assert len(set(fitted.scale)) == 1
    assert fitted.offset == (0.0, 0.0, 0.0)
    assert (fitted.images, fitted.fitted_on) == (20_000, WORDS)
    assert fitted.nll_after == pytest.approx(nll(temperature * logits, labels, fitted), abs=1e-12)


def test_vector_corrects_what_was_done_to_each_finding() -> None:
    logits, labels = draw(20_000)
    scale, offset = np.array([2.0, 1.0, 0.5]), np.array([1.5, -1.0, -0.5])
    spoiled = logits * scale + offset
    fitted = fit_calibration(spoiled, labels, "vector", fitted_on=WORDS)
    np.testing.assert_allclose(np.array(fitted.scale) * scale, 1, rtol=0.06)
    corrected = spoiled * fitted.scale + fitted.offset
    # A number that is added to all logits changes nothing.
    moved = corrected - logits
    np.testing.assert_allclose(moved - moved.mean(axis=1, keepdims=True), 0, atol=0.35)
    common = fit_calibration(spoiled, labels, "temperature", fitted_on=WORDS)
    assert fitted.nll_after < common.nll_after - 0.05
    assert sum(fitted.offset) == pytest.approx(0, abs=1e-6)


def test_the_columns_keep_their_order() -> None:
    logits, labels = draw(4000)
    spoiled = logits + np.array([2.0, 0.0, -2.0])
    straight = fit_calibration(spoiled, labels, "vector", fitted_on=WORDS)
    turned = fit_calibration(spoiled[:, [2, 0, 1]], (labels + 1) % 3, "vector", fitted_on=WORDS)
    np.testing.assert_allclose(np.array(turned.scale), np.array(straight.scale)[[2, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(np.array(turned.offset), np.array(straight.offset)[[2, 0, 1]], atol=1e-6)
    assert straight.offset[0] < -0.5 < 0.5 < straight.offset[2]


def test_both_agree_with_a_general_optimiser() -> None:
    logits, labels = draw(300, seed=3)
    spoiled = 2 * logits + np.array([0.7, 0.0, -0.4])
    rows = np.arange(len(labels))

    def loss(moved: np.ndarray) -> float:
        return float(-np.log(softmax(moved)[rows, labels]).sum())

    common = minimize(lambda at: loss(at[0] * spoiled) + (at[0] - 1) ** 2 / 2, [1.0], tol=1e-12).x[0]
    assert fit_calibration(spoiled, labels, "temperature", fitted_on=WORDS).scale[0] == pytest.approx(common, rel=1e-5)

    def penalised(at: np.ndarray) -> float:
        held = 4 * ((at[:3] - 1) ** 2).sum() / 2 + (at[3:] ** 2).sum() / 2
        return loss(common * spoiled * at[:3] + at[3:]) + float(held)

    found = minimize(penalised, np.repeat([1.0, 0.0], 3), tol=1e-12).x
    fitted = fit_calibration(spoiled, labels, "vector", fitted_on=WORDS)
    np.testing.assert_allclose(fitted.scale, common * found[:3], rtol=1e-4)
    np.testing.assert_allclose(fitted.offset, found[3:], atol=1e-4)


@pytest.mark.parametrize("method", ["temperature", "vector"])
@pytest.mark.parametrize("images", [3, 3000])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_data_without_a_mistake_do_not_make_it_certain(method: str, images: int, size: float) -> None:
    labels = np.arange(images) % 3
    fitted = fit_calibration(size * np.eye(3)[labels], labels, method, fitted_on=WORDS)
    assert 0 < min(fitted.scale) <= max(fitted.scale) < 20
    assert np.abs(fitted.offset).max() < 1e-6
    assert fitted.nll_after <= fitted.nll_before


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_a_finding_without_an_image_stays_as_it_is(method: str) -> None:
    logits, labels = draw(2000, findings=4)
    kept = labels != 2
    spoiled = 3 * logits + np.array([1.0, 0.0, 0.0, -1.0])
    fitted = fit_calibration(spoiled[kept], labels[kept], method, fitted_on=WORDS)
    others = np.array(fitted.scale)[[0, 1, 3]]
    assert others.min() * 0.7 < fitted.scale[2] < others.max() * 1.4
    assert fitted.offset[2] == 0
    assert np.abs(fitted.offset).max() < 2
    # Fitted without the column, the others come out the same.
    alone = fit_calibration(
        spoiled[kept][:, [0, 1, 3]], np.searchsorted([0, 1, 3], labels[kept]), method, fitted_on=WORDS
    )
    np.testing.assert_allclose(others, alone.scale)


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_images_of_one_finding_say_nothing(method: str) -> None:
    logits, _ = draw(10)
    fitted = fit_calibration(logits, np.full(10, 1), method, fitted_on=WORDS)
    assert (fitted.scale, fitted.offset) == ((1.0,) * 3, (0.0,) * 3)


@pytest.mark.parametrize("method", ["none", "temperature", "vector"])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("seed", range(6))
def test_it_never_makes_the_labels_less_likely(method: str, size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (size * rng.normal(size=(40, 3))).astype(np.float32)
    # Labels that have nothing to do with the logits, and labels that go against them.
    for labels in (rng.integers(0, 3, 40), logits.argmin(axis=1), logits.argmax(axis=1)):
        fitted = fit_calibration(logits, labels, method, fitted_on=WORDS)
        assert fitted.nll_after <= fitted.nll_before * (1 + 1e-12)
        assert min(fitted.scale) > 0
        probabilities = calibrate(logits, fitted)
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_none_changes_nothing() -> None:
    logits, labels = draw(50)
    fitted = fit_calibration(logits, labels, "none", fitted_on=WORDS)
    np.testing.assert_array_equal(calibrate(logits, fitted), softmax(logits))
    assert fitted.nll_after == fitted.nll_before


def test_extreme_logits_give_probabilities() -> None:
    fitted = fit_calibration(*draw(50), "none", fitted_on=WORDS)
    probabilities = calibrate(np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], np.float32), fitted)
    np.testing.assert_allclose(probabilities, [[1, 0, 0], [1 / 3] * 3])


def test_a_patient_counts_once() -> None:
    logits, labels = draw(200)
    often = np.concatenate([np.arange(200), np.zeros(500, int)])
    once = fit_calibration(logits, labels, "vector", fitted_on=WORDS)
    grouped = fit_calibration(logits[often], labels[often], "vector", fitted_on=WORDS, groups=often)
    np.testing.assert_allclose(grouped.scale, once.scale, rtol=1e-6)
    plain = fit_calibration(logits[often], labels[often], "vector", fitted_on=WORDS)
    assert not np.allclose(plain.scale, once.scale, rtol=1e-2)


def test_it_survives_json() -> None:
    fitted = fit_calibration(*draw(50), "vector", fitted_on=WORDS)
    assert Calibration.model_validate_json(fitted.model_dump_json()) == fitted


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), r"no image; toy data has none"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), np.array([0, 1]), r"1 of 2 images of toy data have a logit"),
        (np.array([[1.0, np.inf]]), np.array([0]), r"1 of 1 images"),
        (np.zeros((2, 3)), np.array([0, 3]), r"Labels must lie in 0 to 2\. Received: 0 to 3"),
        (np.zeros((2, 3)), np.array([0]), r"labels \(n,\).*Received: \(2, 3\), \(1,\), None"),
    ],
)
def test_what_cannot_be_fitted_is_refused(logits: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fit_calibration(logits, labels, "vector", fitted_on=WORDS)


def test_another_models_logits_are_refused() -> None:
    fitted = fit_calibration(*draw(50), "none", fitted_on=WORDS)
    with pytest.raises(ConfigurationError, match=r"for 3 findings; received logits of shape \(2, 4\)"):
        calibrate(np.zeros((2, 4)), fitted)


def test_a_calibration_that_cannot_be_is_refused() -> None:
    good = fit_calibration(*draw(50), "vector", fitted_on=WORDS).model_dump()
    for wrong in ({"scale": (1.0, -1.0, 1.0)}, {"offset": (0.0,)}, {"offset": (0.0, np.nan, 0.0)}, {"bias": 1}):
        with pytest.raises(ValueError, match=r"scale|offset|Extra inputs"):
            Calibration(**{**good, **wrong})
