"""Sensitivity at a given specificity is the best that a threshold reaches, ties and all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amount import sampled
from carina.statistics.fixed_specificity import sensitivity_at_specificity


def brute_force(positive: np.ndarray, score: np.ndarray, specificity: float) -> float:
    best = 0.0
    for threshold in np.append(np.unique(score), np.inf):
        if (score[~positive] < threshold).mean() >= specificity - 1e-9:
            best = max(best, float((score[positive] >= threshold).mean()))
    return best


def test_by_hand() -> None:
    positive = np.array([True, True, True, True, False, False, False, False, False])
    score = np.array([0.9, 0.8, 0.6, 0.2, 0.7, 0.5, 0.3, 0.2, 0.1])
    at_100, at_80, at_20 = sensitivity_at_specificity(positive, score, (1.0, 0.8, 0.2), replicates=50)
    # No false alarm: 0.9 and 0.8. One of five (0.7): 0.6 as well. Four of five: all.
    assert (at_100.value, at_80.value, at_20.value) == (0.5, 0.75, 1.0)


@settings(max_examples=sampled(60), deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=4, max_size=40).filter(
        lambda rows: len({present for present, _ in rows}) == 2
    ),
    st.floats(0, 1),
)
def test_against_every_threshold(rows: list[tuple[bool, int]], specificity: float) -> None:
    positive, score = np.array([p for p, _ in rows]), np.array([s / 12 for _, s in rows])
    (estimate,) = sensitivity_at_specificity(positive, score, (specificity,), replicates=20)
    assert estimate.value == pytest.approx(brute_force(positive, score, specificity))


def test_the_interval_holds_the_value_and_widens_with_groups() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(300) < 0.4
    score = rng.normal(size=300) + 1.5 * positive
    (alone,) = sensitivity_at_specificity(positive, score, (0.9,))
    assert alone.low is not None
    assert alone.high is not None
    assert alone.low < alone.value < alone.high
    fourfold = [np.repeat(a, 4) for a in (positive, score, np.arange(300))]
    (copied,) = sensitivity_at_specificity(fourfold[0], fourfold[1], (0.9,), groups=fourfold[2])
    assert copied.low is not None
    assert copied.high is not None
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.15)


@pytest.mark.parametrize("positive", [np.ones(5, dtype=bool), np.zeros(5, dtype=bool)])
def test_one_side_only_is_not_applicable(positive: np.ndarray) -> None:
    (estimate,) = sensitivity_at_specificity(positive, np.linspace(0, 1, 5), (0.9,))
    assert estimate.value is None
