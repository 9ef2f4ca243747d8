"""Each row of the table is what is reached at its threshold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amount import sampled
from carina.errors import ConfigurationError, DataError
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.operating_table import LIMIT, build_operating_table
from carina.statistics.proportion import wilson_bounds

quick = settings(deadline=None, database=None, max_examples=sampled(80))
CELLS = ("true_positive", "false_positive", "false_negative", "true_negative")

probabilities = st.one_of(
    st.integers(0, 10).map(lambda tenths: tenths / 10), st.floats(0, 1), st.floats(0, 1e-12), st.floats(0.9999999, 1)
)


def two_findings(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([1 - probability, probability])


@quick
@given(
    st.lists(st.tuples(st.booleans(), probabilities), min_size=1, max_size=40), st.lists(st.floats(0, 1), max_size=3)
)
def test_every_row_is_what_is_reached_at_its_threshold(rows: Any, shipped: Any) -> None:
    positive, probability = np.array([flag for flag, _ in rows]), np.array([value for _, value in rows])
    table = build_operating_table(positive, probability, shipped=shipped)
    counts = table.counts
    assert (counts.sensitivity_effect == 1).all()
    assert counts.thresholds[list(table.shipped)].tolist() == shipped
    assert counts.thresholds.tolist() == sorted(counts.thresholds)
    for row, threshold in enumerate(counts.thresholds):
        reached = at_operating_point(positive.astype(int), two_findings(probability), 1, threshold)
        assert [getattr(counts, name)[row] for name in CELLS] == [getattr(reached, name) for name in CELLS]
    # Complete: the called images at any threshold are those of the next row that is not below it.
    for threshold in (0.0, 0.3, 0.5, 0.77, *probability):
        called = int((probability >= threshold).sum())
        assert called in (counts.true_positive + counts.false_positive)


def test_thresholds_are_short_and_lie_between_two_probabilities() -> None:
    probability = np.array([0.12, 0.48731, 0.50412, 0.50412, 0.9999512, 0.9999571])
    table = build_operating_table(np.array([0, 0, 0, 1, 1, 1], dtype=bool), probability)
    assert table.counts.thresholds.tolist() == [0.0, 0.3, 0.5, 0.8, 0.999954, 1.0]


def test_a_shipped_threshold_stands_for_its_step() -> None:
    probability = np.array([0.2, 0.4, 0.6])
    table = build_operating_table(np.array([False, True, True]), probability, shipped=(0.333, 0.35, 0.6))
    # 0.333 and 0.35 call the same images, 0.3 would too; 0.6 calls the image that has it.
    assert table.counts.thresholds.tolist() == [0.0, 0.333, 0.35, 0.6, 1.0]
    assert table.shipped == (1, 2, 3)
    assert table.counts.true_positive.tolist() == [2, 2, 2, 1, 0]


def test_neighbouring_floats_have_the_upper_one() -> None:
    lower = 0.3
    upper = float(np.nextafter(lower, 1))
    table = build_operating_table(np.array([False, True]), np.array([lower, upper]))
    assert table.counts.thresholds.tolist() == [0.0, upper, 1.0]
    assert table.counts.false_positive.tolist() == [1, 0, 0]
    assert table.counts.true_positive.tolist() == [1, 1, 0]


def test_where_a_probability_is_one_no_threshold_calls_nothing() -> None:
    table = build_operating_table(np.array([False, True]), np.array([0.2, 1.0]))
    assert table.counts.thresholds.tolist() == [0.0, 0.6]
    nothing = float(np.nextafter(1.0, 2))
    table = build_operating_table(np.array([False, True]), np.array([0.2, 1.0]), shipped=(nothing,))
    assert table.counts.thresholds.tolist() == [0.0, 0.6, nothing]
    assert table.counts.true_positive.tolist() == [1, 1, 0]


def test_thinning_keeps_the_ends_the_shipped_and_an_even_way() -> None:
    rng = np.random.default_rng(5)
    positive = rng.random(30_000) < 0.2
    logit = 3 * rng.normal(size=30_000) - 4 + 6 * positive
    probability = 1 / (1 + np.exp(-logit))
    shipped = (0.4990506359291127, 0.9999104, 0.00000312)
    table = build_operating_table(positive, probability, shipped=shipped)
    counts = table.counts
    assert len(counts.thresholds) <= LIMIT
    assert tuple(counts.thresholds[list(table.shipped)].tolist()) == shipped
    assert (counts.thresholds[0], counts.thresholds[-1]) == (0.0, 1.0)
    sensitivity = counts.true_positive / counts.positives
    specificity = counts.true_negative / counts.negatives
    way = np.abs(np.diff(sensitivity)) + np.abs(np.diff(specificity)) + 2 * np.diff(counts.thresholds)
    assert way.max() < 2 * 4 / LIMIT
    for row in (1, 400, *table.shipped):
        called = probability >= counts.thresholds[row]
        assert counts.true_positive[row] == (called & positive).sum()
        assert counts.false_positive[row] == (called & ~positive).sum()


def test_intervals_follow_from_counts_and_effects() -> None:
    rng = np.random.default_rng(6)
    positive = rng.random(400) < 0.3
    probability = np.clip(rng.random(400) * 0.7 + 0.3 * positive, 0, 1).round(3)
    groups = np.arange(400) // 2
    table = build_operating_table(positive, probability, groups, shipped=(0.45,))
    (row,) = table.shipped
    counts = table.counts
    reached = at_operating_point(positive.astype(int), two_findings(probability), 1, 0.45, groups)
    hits, misses = counts.true_positive[row], counts.false_negative[row]
    bounds = wilson_bounds(hits / (hits + misses), (hits + misses) / counts.sensitivity_effect[row])
    assert bounds == pytest.approx((reached.sensitivity.low, reached.sensitivity.high))
    rest, alarms = counts.true_negative[row], counts.false_positive[row]
    bounds = wilson_bounds(rest / (rest + alarms), (rest + alarms) / counts.specificity_effect[row])
    assert bounds == pytest.approx((reached.specificity.low, reached.specificity.high))


def test_refuses_what_is_no_probability_or_threshold() -> None:
    with pytest.raises(DataError, match="probabilities from 0 to 1"):
        build_operating_table(np.array([True]), np.array([1.2]))
    with pytest.raises(DataError, match="at least one image"):
        build_operating_table(np.array([], dtype=bool), np.array([]))
    with pytest.raises(ConfigurationError, match="that are not negative"):
        build_operating_table(np.array([True]), np.array([0.2]), shipped=(-0.5,))
    with pytest.raises(ConfigurationError, match="limit is 3 rows"):
        build_operating_table(np.array([True]), np.array([0.2]), shipped=(0.5, 0.6), limit=3)
