"""Thinned curves are points of the full ones; bands hold the truth as often as they say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from sklearn import metrics as sk

from amount import sampled
from carina.errors import DataError
from carina.statistics.curve_bands import POINTS, curves_with_bands
from carina.statistics.fixed_specificity import sensitivity_at_specificity

quick = settings(deadline=None, database=None, max_examples=sampled(40))


def two(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([1 - probability, probability])


def binormal(
    rng: np.random.Generator, n: int, distance: float, images_a_patient: int = 1
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Return truth, probability and patients of two normal distributions; a patient's images are alike."""
    patients = n // images_a_patient
    positive = np.repeat(rng.random(patients) < 0.3, images_a_patient)
    own = 1.0 if images_a_patient == 1 else 0.4
    noise = np.repeat(rng.normal(size=patients), images_a_patient) * np.sqrt(1 - own)
    value = noise + np.sqrt(own) * rng.normal(size=len(positive)) + distance * positive
    return (
        positive,
        1 / (1 + np.exp(-distance * (value - distance / 2))),
        np.repeat(np.arange(patients), images_a_patient),
    )


@quick
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60))
def test_small_curves_are_whole_and_agree_with_scikit_learn(rows: Any) -> None:
    positive, probability = np.array([flag for flag, _ in rows]), np.array([step for _, step in rows]) / 20
    curves = curves_with_bands(positive.astype(int), two(probability), ("a", "b"), replicates=20)[1]
    if positive.all() or not positive.any():
        assert curves.note in {"no image with this finding", "no image without this finding"}
        assert curves.sensitivity.size == curves.roc_band.level.size == 0
        return
    rates, sensitivity, _ = sk.roc_curve(positive, probability, drop_intermediate=False)
    assert curves.false_positive_rate == pytest.approx(rates)
    assert curves.sensitivity == pytest.approx(sensitivity)
    precision, recall, thresholds = sk.precision_recall_curve(positive, probability)
    # Theirs come from the lowest threshold to the highest, and end with a point that no threshold has.
    assert curves.precision == pytest.approx(precision[-2::-1])
    assert curves.recall == pytest.approx(recall[-2::-1])
    assert len(curves.recall) == len(thresholds)
    for band in (curves.roc_band, curves.precision_recall_band):
        assert (band.low <= band.value).all()
        assert (band.value <= band.high).all()
        assert (band.low >= 0).all()
        assert (band.high <= 1).all()


def test_band_values_by_hand() -> None:
    # Falling: + + - + - -, with a tie of the last + and the second -.
    positive = np.array([True, True, False, True, False, False])
    probability = np.array([0.9, 0.8, 0.7, 0.4, 0.4, 0.1])
    curves = curves_with_bands(positive.astype(int), two(probability), ("a", "b"), replicates=20)[1]
    # With 3 negatives the ROC band has nothing to say below "all of them".
    assert curves.roc_band.level.tolist() == [1.0]
    at = dict(zip(curves.precision_recall_band.level.round(2), curves.precision_recall_band.value, strict=True))
    # Recall 1/3 and 2/3 without a false alarm; all three only together with the tied negative and the one above.
    assert (at[0.33], at[0.66], at[0.67], at[1.0]) == (1.0, 1.0, 3 / 5, 3 / 5)


def test_roc_band_is_linear_between_steps_and_takes_the_top_of_a_rise() -> None:
    rng = np.random.default_rng(0)
    positive, probability, _ = binormal(rng, 900, 1.5)
    curves = curves_with_bands(positive.astype(int), two(probability), ("a", "b"), replicates=50)[1]
    rates, sensitivity, _ = sk.roc_curve(positive, probability, drop_intermediate=False)
    # A hair to the right of each level, so that a vertical rise on it is passed.
    expected = np.interp(curves.roc_band.level + 1e-9, rates + 1e-13 * np.arange(len(rates)), sensitivity)
    assert curves.roc_band.value == pytest.approx(expected, abs=1e-6)


def test_a_large_curve_is_thinned_to_real_thresholds() -> None:
    rng = np.random.default_rng(2)
    positive, probability, _ = binormal(rng, 9000, 2.5)
    curves = curves_with_bands(positive.astype(int), two(probability), ("a", "b"), replicates=20)[1]
    assert len(curves.sensitivity) <= POINTS
    assert len(curves.recall) <= POINTS
    rates, sensitivities, _ = sk.roc_curve(positive, probability, drop_intermediate=False)
    reached = set(zip(rates.round(9), sensitivities.round(9), strict=True))
    assert set(zip(curves.false_positive_rate.round(9), curves.sensitivity.round(9), strict=True)) <= reached
    assert (curves.false_positive_rate[-1], curves.sensitivity[-1], curves.recall[-1]) == (1, 1, 1)
    step = np.abs(np.diff(curves.false_positive_rate)) + np.abs(np.diff(curves.sensitivity))
    assert step.max() < 2 * 2 / (POINTS - 1)
    # The area under what is left is that of the whole curve.
    thinned = np.trapezoid(curves.sensitivity, curves.false_positive_rate)
    assert thinned == pytest.approx(sk.roc_auc_score(positive, probability), abs=2e-4)


def test_the_band_agrees_with_another_bootstrap() -> None:
    rng = np.random.default_rng(4)
    positive, probability, _ = binormal(rng, 800, 1.5)
    band = curves_with_bands(positive.astype(int), two(probability), ("a", "b"))[1].roc_band
    for level in (0.04, 0.25):
        at = int(np.argmin(np.abs(band.level - level)))
        (other,) = sensitivity_at_specificity(positive, probability, (1 - band.level[at],))
        assert band.high[at] - band.low[at] == pytest.approx(other.high - other.low, rel=0.12)


def test_bands_respect_patients_and_their_draws_are_fixed() -> None:
    rng = np.random.default_rng(3)
    positive, probability, _ = binormal(rng, 600, 1.5)
    alone = curves_with_bands(positive.astype(int), two(probability), ("a", "b"))[1]
    again = curves_with_bands(positive.astype(int), two(probability), ("a", "b"))[1]
    assert alone.roc_band.low.tolist() == again.roc_band.low.tolist()
    assert alone.precision_recall_band.high.tolist() == again.precision_recall_band.high.tolist()
    four = [np.repeat(values, 4, axis=0) for values in (positive.astype(int), two(probability), np.arange(600))]
    copied = curves_with_bands(four[0], four[1], ("a", "b"), four[2])[1]
    at = [int(np.argmin(np.abs(band.level - 0.36))) for band in (alone.roc_band, copied.roc_band)]
    widths = [band.high[i] - band.low[i] for band, i in zip((alone.roc_band, copied.roc_band), at, strict=True)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    certain = curves_with_bands(np.array([0, 0, 1, 1] * 10), two(np.array([0.0, 0.0, 1.0, 1.0] * 10)), ("a", "b"))[1]
    # A perfect curve of 20 and 20 images is no certainty.
    assert certain.roc_band.value.min() == 1
    assert 0.8 < certain.roc_band.low.min() < 0.9


@pytest.mark.parametrize("images_a_patient", [pytest.param(1, marks=pytest.mark.long), 3])
def test_bands_hold_the_truth_as_often_as_they_say(images_a_patient: int) -> None:
    distance, roc, precision = 2.0, [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        positive, probability, patients = binormal(rng, 600, distance, images_a_patient)
        curves = curves_with_bands(
            positive.astype(int), two(probability), ("a", "b"), patients, replicates=150, seed=seed
        )[1]
        band = curves.roc_band
        inside = band.level >= 0.04
        true = ndtr(distance + ndtri(band.level))
        roc.append(((band.low <= true) & (true <= band.high))[inside])
        band = curves.precision_recall_band
        rate = ndtr(ndtri(band.level) - distance)
        true = 0.3 * band.level / (0.3 * band.level + 0.7 * rate)
        precision.append(((band.low <= true) & (true <= band.high))[5:95])
    # 300 such sets gave 0.93 to 0.96; levels of one set go together, so that 60 leave some room.
    assert 0.9 < np.mean(roc) < 0.99
    assert 0.9 < np.mean(precision) < 0.99


def test_refuses_what_is_no_prediction_table() -> None:
    with pytest.raises(DataError, match="does not sum to 1"):
        curves_with_bands(np.array([0, 1]), np.array([[0.5, 0.4], [0.5, 0.5]]), ("a", "b"))
    with pytest.raises(DataError, match="Unknown is not negative"):
        curves_with_bands(np.array([0, -1]), two(np.array([0.5, 0.5])), ("a", "b"))
