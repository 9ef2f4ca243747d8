"""Risk among the most certain images: by hand, by brute force, and with intervals that hold the truth."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amount import sampled
from carina.errors import ConfigurationError, DataError
from carina.statistics.proportion import wilson_bounds
from carina.statistics.risk_coverage import measure_risk_coverage

quick = settings(deadline=None, database=None, max_examples=sampled(60))


def brute_force(
    right: NDArray[np.bool_], certainty: NDArray[np.float64], draws: int = 400
) -> tuple[NDArray[np.float64], float]:
    """Return the mean risk at each number of images, and the mean of these, over random orders of equal images."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(draws):
        order = np.lexsort((rng.random(len(right)), -certainty))
        rows.append(np.cumsum(~right[order]) / np.arange(1, len(right) + 1))
    return np.mean(rows, axis=0), float(np.mean(rows))


def test_by_hand() -> None:
    # 20 images; the errors are the 5th, 12th and 20th in certainty.
    right = np.ones(20, dtype=bool)
    right[[4, 11, 19]] = False
    measured = measure_risk_coverage(right, np.linspace(1, 0.5, 20), replicates=20)
    at = dict(zip(measured.coverage, measured.risk, strict=True))
    assert measured.coverage[0] == 0.5
    assert (at[0.5], at[0.6], at[0.95], at[1.0]) == pytest.approx((1 / 10, 2 / 12, 2 / 19, 3 / 20))
    assert (measured.n, measured.errors) == (20, 3)
    risks = [0] * 4 + [1 / k for k in range(5, 12)] + [2 / k for k in range(12, 20)] + [3 / 20]
    assert measured.area.value == pytest.approx(sum(risks) / 20)
    # Best: 17 right ones first.
    assert measured.area_best == pytest.approx((1 / 18 + 2 / 19 + 3 / 20) / 20)
    assert measured.area_random == 3 / 20
    assert measured.certainty[-1] == 0.5


@quick
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=25))
def test_ties_are_cut_in_proportion(rows: Any) -> None:
    right, certainty = np.array([flag for flag, _ in rows]), np.array([step for _, step in rows]) / 4
    risks, area = brute_force(right, certainty)
    measured = measure_risk_coverage(right, certainty, replicates=5)
    assert measured.area.value == pytest.approx(area, abs=0.06)
    assert measured.area_best <= measured.area.value + 1e-9
    for coverage, risk in zip(measured.coverage, measured.risk, strict=True):
        taken = coverage * len(right)
        if taken == int(taken):
            assert risk == pytest.approx(risks[int(taken) - 1], abs=0.12)
    assert measured.risk[-1] == pytest.approx((~right).mean())


def test_equal_certainty_is_the_same_as_none() -> None:
    right = np.array([True] * 70 + [False] * 30)
    measured = measure_risk_coverage(right, np.full(100, 0.9), replicates=20)
    assert measured.risk == pytest.approx(np.full(len(measured.risk), 0.3))
    assert measured.area.value == pytest.approx(measured.area_random)


def test_many_images_are_counted_in_cells_without_a_difference() -> None:
    rng = np.random.default_rng(1)
    certainty = rng.random(5000)
    right = rng.random(5000) < 0.5 + certainty / 2
    measured = measure_risk_coverage(right, certainty, replicates=30)
    cumulative = np.cumsum(~right[np.argsort(-certainty)])
    expected = cumulative[(measured.coverage * 5000).round().astype(int) - 1] / (measured.coverage * 5000)
    assert measured.risk == pytest.approx(expected)
    assert measured.area.value == pytest.approx((cumulative / np.arange(1, 5001)).mean())
    assert len(measured.coverage) < 500


def test_no_error_is_no_certainty() -> None:
    measured = measure_risk_coverage(np.ones(50, dtype=bool), np.linspace(0.5, 1, 50), replicates=20)
    assert measured.risk.max() == 0
    assert measured.high[-1] == pytest.approx(wilson_bounds(0, 50)[1])
    assert measured.area.value == 0
    assert measured.area.low is None
    in_pairs = measure_risk_coverage(
        np.ones(50, dtype=bool), np.linspace(0.5, 1, 50), np.arange(50) // 2, replicates=20
    )
    assert in_pairs.high[-1] == pytest.approx(wilson_bounds(0, 25)[1])


def test_copies_of_an_image_narrow_nothing() -> None:
    rng = np.random.default_rng(2)
    certainty = rng.random(300)
    right = rng.random(300) < 0.6 + 0.4 * certainty
    alone = measure_risk_coverage(right, certainty)
    four = [np.repeat(values, 4) for values in (right, certainty, np.arange(300))]
    copied = measure_risk_coverage(four[0], four[1], four[2])
    assert copied.area.value == pytest.approx(alone.area.value, abs=2e-3)
    assert copied.high[-1] - copied.low[-1] == pytest.approx(alone.high[-1] - alone.low[-1], rel=0.1)
    assert copied.area.high - copied.area.low == pytest.approx(alone.area.high - alone.area.low, rel=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # Certainty u uniform, wrong with probability (1 - u) / 2: the risk at coverage c is c / 4, its mean 1 / 8.
    held, areas = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        certainty = rng.random(400)
        right = rng.random(400) >= (1 - certainty) / 2
        measured = measure_risk_coverage(right, certainty, replicates=150, seed=seed)
        true = measured.coverage / 4
        held.append((measured.low <= true) & (true <= measured.high))
        areas.append(measured.area.low <= 1 / 8 <= measured.area.high)
    assert 0.92 < np.mean(held) < 0.985
    assert np.mean(areas) > 0.88
    # Images at the cut are worse than those taken: Wilson's interval at the number taken would be too narrow there.
    assert np.mean([row[-60:] for row in held]) > 0.91


def test_refuses() -> None:
    with pytest.raises(DataError, match="NaN"):
        measure_risk_coverage(np.array([True]), np.array([math.nan]))
    with pytest.raises(DataError, match="bootstrap needs images"):
        measure_risk_coverage(np.array([], dtype=bool), np.array([]))
    with pytest.raises(ConfigurationError, match="replicates is 0"):
        measure_risk_coverage(np.array([True]), np.array([0.5]), replicates=0)
    assert measure_risk_coverage(np.array([True]), np.array([0.5]), replicates=3).area.value is None
