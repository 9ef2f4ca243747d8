"""Counts and design effects at many thresholds equal those at each one alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amount import sampled
from carina.statistics.intervals import design_effect
from carina.statistics.threshold_counts import count_at_thresholds

quick = settings(deadline=None, database=None, max_examples=sampled(80))


@st.composite
def tables(draw: Any) -> Any:
    """Few distinct probabilities and few patients, so that ties and patients of several images are common."""
    n = draw(st.integers(1, 30))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    score = np.array(draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))) / 6
    groups = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n)))
    return positive, score, groups


def test_by_hand() -> None:
    positive = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.4, 0.4, 0.2, 0.1])
    counts = count_at_thresholds(positive, score, np.array([0.0, 0.4, 0.41, 1.0]))
    assert counts.true_positive.tolist() == [2, 2, 1, 0]
    assert counts.false_positive.tolist() == [3, 1, 0, 0]
    assert counts.false_negative.tolist() == [0, 0, 1, 2]
    assert counts.true_negative.tolist() == [0, 2, 3, 3]
    assert (counts.positives, counts.negatives) == (2, 3)
    assert (counts.sensitivity_effect.tolist(), counts.specificity_effect.tolist()) == ([1] * 4, [1] * 4)


@quick
@given(tables(), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_every_threshold_alone_gives_the_same(table: Any, more: Any) -> None:
    positive, score, groups = table
    thresholds = np.array([*np.unique(score), *more, 0.0, 1.0])
    counts = count_at_thresholds(positive, score, thresholds, groups)
    for at, threshold in enumerate(thresholds):
        called = score >= threshold
        assert counts.true_positive[at] == (called & positive).sum()
        assert counts.false_positive[at] == (called & ~positive).sum()
        assert counts.false_negative[at] == (~called & positive).sum()
        assert counts.true_negative[at] == (~called & ~positive).sum()
        parts = {"sensitivity": (called, positive), "specificity": (~called, ~positive)}
        for name, (success, among) in parts.items():
            expected = design_effect(success[among], groups[among]) if among.any() else 1.0
            assert getattr(counts, f"{name}_effect")[at] == pytest.approx(expected, abs=1e-9), (name, threshold)


def test_a_copy_of_every_image_doubles_the_effect() -> None:
    rng = np.random.default_rng(1)
    positive, score = rng.random(80) < 0.4, rng.random(80)
    twice = [np.repeat(values, 2) for values in (positive, score, np.arange(80))]
    counts = count_at_thresholds(twice[0], twice[1], np.array([0.3, 0.5]), twice[2])
    # 2 for the copy, and the patients' n / (n - 1).
    assert counts.sensitivity_effect == pytest.approx(2, rel=0.05)
    assert counts.specificity_effect == pytest.approx(2, rel=0.05)
