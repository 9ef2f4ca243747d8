"""Calibration against hand computation and scikit-learn, coverage by simulation, what does not exist."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from amount import LONG, sampled
from carina.statistics.calibration_measures import CalibrationMeasures, measure_calibration
from carina.statistics.intervals import wilson_interval
from unit.statistics.drawn import drawn_table

quick = settings(deadline=None, database=None, max_examples=sampled(30))


def estimates(calibration: CalibrationMeasures) -> Iterator[Any]:
    for item in (calibration, *calibration.per_finding):
        for name in item.__dataclass_fields__:
            if hasattr(getattr(item, name), "method"):
                yield name, getattr(item, name)


# --- known answers --------------------------------------------------------------------------------


def test_a_case_worked_by_hand() -> None:
    # Finding a: probabilities 0.1, 0.3 | 0.6, 0.8 in two bins; images 1, 2 and 3 show it.
    first = np.array([0.8, 0.1, 0.6, 0.3])
    truth = np.array([0, 1, 0, 0])
    got = measure_calibration(truth, np.column_stack([first, 1 - first]), "ab", bins=2, replicates=50)
    a, b = got.per_finding
    squares = (0.2**2 + 0.1**2 + 0.4**2 + 0.7**2) / 4
    assert a.brier.value == pytest.approx(squares)
    assert got.brier.value == pytest.approx(2 * squares)
    # Bins {0.1, 0.3}: mean 0.2 against 1 / 2; {0.6, 0.8}: mean 0.7 against 1.
    assert a.ece.value == b.ece.value == got.mean_ece.value == pytest.approx((0.3 + 0.3) / 2)
    assert [(part.n, part.mean_probability) for part in a.bins] == [(2, pytest.approx(0.2)), (2, pytest.approx(0.7))]
    assert [part.share for part in a.bins] == [wilson_interval(1, 2), wilson_interval(2, 2)]
    # Called: a, b, a, b at 0.8, 0.9, 0.6, 0.7, of which the last is wrong. Bins {0.6, 0.7} and {0.8, 0.9}.
    assert got.ece.value == pytest.approx((abs(0.65 - 0.5) + abs(0.85 - 1)) / 2)
    assert [part.n for part in got.bins] == [2, 2]
    assert (a.prevalence, a.mean_probability) == (0.75, pytest.approx(0.45))


@quick
@given(st.integers(8, 80), st.integers(0, 10_000), st.integers(2, 4))
def test_brier_agrees_with_scikit_learn_and_adds_up(n: int, seed: int, k: int) -> None:
    truth, table = drawn_table(n, seed, k=k)
    truth[:k] = np.arange(k)
    got = measure_calibration(truth, table, "abcd"[:k], replicates=2)
    theirs = brier_score_loss(truth, table, labels=range(k), scale_by_half=False)
    assert got.brier.value == pytest.approx(theirs)
    for index, item in enumerate(got.per_finding):
        assert item.brier.value == pytest.approx(brier_score_loss(truth == index, table[:, index]))
    assert sum(item.brier.value for item in got.per_finding) == pytest.approx(got.brier.value)


# --- bins -----------------------------------------------------------------------------------------


def test_equal_probabilities_share_a_bin_whatever_their_order() -> None:
    first = np.repeat([0.1, 0.5, 0.9], (40, 200, 60))
    truth = np.resize([0, 1, 1], 300)
    rows = np.random.default_rng(0).permutation(300)
    one, other = (
        measure_calibration(truth[order], np.column_stack([first, 1 - first])[order], "ab", replicates=2)
        for order in (np.arange(300), rows)
    )
    assert [(part.n, part.mean_probability) for part in one.per_finding[0].bins] == [
        (40, pytest.approx(0.1)),
        (200, pytest.approx(0.5)),
        (60, pytest.approx(0.9)),
    ]
    assert one.per_finding[0].ece.value == pytest.approx(other.per_finding[0].ece.value)


def test_a_run_of_equals_lies_where_its_middle_does() -> None:
    first = np.array([0.1, *[0.5] * 8, 0.9])
    got = measure_calibration(np.resize([0, 1], 10), np.column_stack([first, 1 - first]), "ab", bins=2, replicates=2)
    assert [part.n for part in got.per_finding[0].bins] == [1, 9]


@quick
@given(st.integers(1, 200), st.integers(1, 20), st.integers(0, 9999), st.booleans())
def test_bins_hold_every_image_once_and_rise(n: int, bins: int, seed: int, tied: Any) -> None:
    truth, table = drawn_table(n, seed, k=2)
    if tied:
        table = np.round(table, 1)
    for parts in (measure_calibration(truth, table, "ab", bins=bins, replicates=2).bins,):
        assert sum(part.n for part in parts) == n
        assert len(parts) <= bins
        means = [part.mean_probability for part in parts]
        assert means == sorted(means)
        if not tied and n % bins == 0:
            assert {part.n for part in parts} == {n // bins}


def test_bins_respect_patients() -> None:
    truth, table = drawn_table(60, 1)
    groups = np.repeat(np.arange(60), 3)
    once = measure_calibration(truth, table, "abc", bins=3, replicates=50)
    thrice = measure_calibration(
        np.repeat(truth, 3), np.repeat(table, 3, axis=0), "abc", groups=groups, bins=3, replicates=50
    )
    for a, b in zip(once.bins, thrice.bins, strict=True):
        assert b.share.low == pytest.approx(a.share.low, abs=0.03)
        assert b.share.method == "Wilson (design effect)"


# --- intervals ------------------------------------------------------------------------------------


def test_images_of_a_patient_narrow_nothing() -> None:
    truth, table = drawn_table(120, 2)
    twice = (np.repeat(truth, 4), np.repeat(table, 4, axis=0), "abc")
    once = measure_calibration(truth, table, "abc", replicates=1500)
    grouped = measure_calibration(*twice, groups=np.repeat(np.arange(120), 4), replicates=1500)
    naive = measure_calibration(*twice, replicates=1500)
    for (name, a), (_, b), (_, c) in zip(estimates(once), estimates(grouped), estimates(naive), strict=True):
        if "ece" in name:
            continue  # bins of four times as many images are others
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.05), name
        assert b.high - b.low > 1.7 * (c.high - c.low), name
    # Where chance works on patients, a calibrated model shows as much by chance as on so many images.
    assert grouped.ece_if_calibrated.value == pytest.approx(once.ece_if_calibrated.value, rel=0.1)
    assert naive.ece_if_calibrated.value < 0.7 * once.ece_if_calibrated.value


@pytest.mark.sampled
@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_intervals_cover_the_truth(sharpness: float) -> None:
    # The truth on a very large set of the same kind; a calibrated model's ECE is 0.
    large = measure_calibration(*drawn_table(200_000, 999, sharpness), "abc", replicates=1)
    expected = {
        "brier": large.brier.value,
        "ece": 0.0 if sharpness == 1 else large.ece.value,
        "intercept": large.per_finding[0].intercept.value,
        "slope": large.per_finding[0].slope.value,
    }
    covered = dict.fromkeys(expected, 0)
    draws = sampled(200)
    for seed in range(draws):
        small = measure_calibration(*drawn_table(300, seed, sharpness), "abc", replicates=150, seed=seed)
        for name, value in expected.items():
            item = small if name in ("brier", "ece") else small.per_finding[0]
            got = getattr(item, name)
            covered[name] += got.low <= value <= got.high
    for name, count in covered.items():
        assert (0.9 if LONG else 0.85) <= count / draws <= 1, (name, count)


def test_a_calibrated_model_shows_what_is_expected_of_one() -> None:
    inside, values, means = 0, [], []
    for seed in range(100):
        got = measure_calibration(*drawn_table(200, seed), "abc", replicates=200)
        inside += got.ece_if_calibrated.low <= got.ece.value <= got.ece_if_calibrated.high
        values.append(got.ece.value)
        means.append(got.ece_if_calibrated.value)
    assert np.mean(means) > 0.05  # a calibrated model, and yet: the bias of the plug-in
    assert np.mean(values) == pytest.approx(np.mean(means), rel=0.06)
    assert inside >= 89


def test_an_overconfident_model_shows_more_than_is_expected_of_a_calibrated_one() -> None:
    got = measure_calibration(*drawn_table(1000, 1, sharpness=3), "abc", replicates=200)
    assert got.ece.value > got.ece_if_calibrated.high
    assert 0 < got.ece.low < got.ece.value < got.ece.high
    assert got.ece.note is None
    calm = measure_calibration(*drawn_table(1000, 1), "abc", replicates=200)
    assert (calm.ece.low, calm.ece.note) == (0.0, "no larger than chance alone would give a calibrated model")


def test_the_seed_decides() -> None:
    table = drawn_table(80)
    one, same, other = (measure_calibration(*table, "abc", replicates=50, seed=s).to_json() for s in (1, 1, 2))
    assert one == same
    assert one["ece"] != other["ece"]


# --- what does not exist --------------------------------------------------------------------------


def test_an_absent_finding_does_not_apply_but_its_probability_is_missing_elsewhere() -> None:
    truth, table = drawn_table(200, 4, k=4)
    truth, table = truth[truth != 3], table[truth != 3]
    got = measure_calibration(truth, table, "abcd", replicates=50)
    absent = got.per_finding[3]
    for name in ("brier", "ece", "ece_if_calibrated", "intercept", "slope"):
        assert getattr(absent, name).note == "no image with this finding"
        assert getattr(absent, name).value is None
    assert (absent.n, absent.prevalence, absent.bins) == (0, 0.0, ())
    assert absent.mean_probability == pytest.approx(table[:, 3].mean())
    assert got.brier.value == pytest.approx(((table - np.eye(4)[truth]) ** 2).sum(axis=1).mean())
    assert got.mean_ece.value == pytest.approx(np.mean([item.ece.value for item in got.per_finding[:3]]))


def test_a_set_of_one_finding_has_no_slope() -> None:
    got = measure_calibration(np.zeros(30, int), drawn_table(30)[1], "abc", replicates=50)
    only = got.per_finding[0]
    assert only.slope.note == only.intercept.note == "no image without this finding"
    assert only.ece.value == pytest.approx(1 - only.mean_probability)
    assert got.mean_ece.value == only.ece.value
    json.dumps(got.to_json(), allow_nan=False)


def test_probabilities_of_exactly_0_and_1() -> None:
    truth = np.repeat([0, 1, 2], 7)
    got = measure_calibration(truth, np.eye(3)[truth], "abc", replicates=50)
    assert got.brier.value == got.ece.value == got.ece_if_calibrated.value == 0
    assert got.brier.low is got.ece.low is None
    assert got.per_finding[0].slope.note == "every probability is 0 or 1"
    wrong = np.eye(3)[(truth + 1) % 3]
    assert measure_calibration(truth, wrong, "abc", replicates=50).brier.value == 2


def test_a_single_image_or_patient_shows_no_spread() -> None:
    got = measure_calibration(np.array([0]), np.array([[0.6, 0.4]]), "ab", replicates=20)
    assert (got.brier.value, got.brier.low) == (pytest.approx(0.32), None)
    assert (got.ece.value, got.ece.low) == (pytest.approx(0.4), None)
    _, table = drawn_table(30, 2)
    truth = np.resize([0, 1, 2], 30)
    lonely = measure_calibration(truth, table, "abc", groups=np.zeros(30, int), replicates=20)
    assert lonely.per_finding[0].slope.note == "a single patient, so the data show no spread"
    assert lonely.ece.low is None
