"""Net benefit by hand, against its definition, and with intervals that hold the truth."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amount import sampled
from carina.errors import ConfigurationError
from carina.statistics.decision_curve import decision_curve
from carina.statistics.proportion import wilson_bounds

quick = settings(deadline=None, database=None, max_examples=sampled(60))


def test_by_hand() -> None:
    positive = np.array([True, True, False, False, False, False, False, False, False, False])
    probability = np.array([0.9, 0.2, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    curve = decision_curve("f", positive, probability, thresholds=(0.2, 0.5), operating_point=0.5)
    # At 0.2 both are found with 2 alarms at a price of 1/4: (2 - 2/4) / 10. At 0.5 one with one alarm, price 1.
    assert curve.model.value == pytest.approx([0.15, 0.0])
    assert curve.flag.value == pytest.approx([(1 - 1 / 4) / 10, 0.0])
    assert curve.treat_all == pytest.approx([(2 - 8 / 4) / 10, (2 - 8) / 10])
    assert (curve.prevalence, curve.stated) == (0.2, False)
    # At a prevalence of 0.4: 0.4 x 1 - 0.6 x 2/8 / 4 and 0.4 x 1/2 - 0.6 x 1/8.
    moved = decision_curve("f", positive, probability, thresholds=(0.2, 0.5), prevalence=0.4)
    assert moved.model.value == pytest.approx([0.4 - 0.6 / 16, 0.2 - 0.6 / 8])
    assert moved.treat_all == pytest.approx([0.4 - 0.6 / 4, 0.4 - 0.6])
    assert moved.stated


@quick
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=4, max_size=40).filter(
        lambda rows: len({flag for flag, _ in rows}) == 2
    ),
    st.floats(0.01, 0.99),
)
def test_is_true_less_false_positives_at_their_price(rows: Any, threshold: float) -> None:
    positive, probability = np.array([flag for flag, _ in rows]), np.array([step for _, step in rows]) / 20
    curve = decision_curve("f", positive, probability, thresholds=(threshold,))
    called = probability >= threshold
    expected = ((called & positive).sum() - (called & ~positive).sum() * threshold / (1 - threshold)) / len(positive)
    assert curve.model.value[0] == pytest.approx(expected)
    assert curve.model.low[0] <= curve.model.value[0] <= curve.model.high[0]
    assert curve.model.value[0] <= curve.prevalence + 1e-12


def test_nothing_called_has_no_benefit_but_an_interval() -> None:
    positive = np.array([True] * 10 + [False] * 30)
    curve = decision_curve("f", positive, np.full(40, 0.05), thresholds=(0.5,))
    assert curve.model.value[0] == 0
    # Wilson of 0 of 10, and of 0 of 30, at prevalence 1/4.
    assert curve.model.high[0] == pytest.approx(0.25 * wilson_bounds(0.0, 10)[1])
    assert curve.model.low[0] == pytest.approx(-0.75 * wilson_bounds(0.0, 30)[1])
    assert not curve.better.any()


def test_probabilities_moved_by_bayes_serve_another_prevalence() -> None:
    # Calibrated at 0.5: P = likelihood ratio / (1 + likelihood ratio). Used at 0.1.
    rng = np.random.default_rng(1)
    positive = rng.random(60_000) < 0.5
    value = rng.normal(size=60_000) + 2 * positive
    probability = 1 / (1 + np.exp(-2 * (value - 1)))
    at = (0.05, 0.1, 0.3, 0.7)
    moved = decision_curve("f", positive, probability, prevalence=0.1, calibrated_at=0.5, thresholds=at)
    odds = probability / (1 - probability) / 9
    for place, threshold in enumerate(at):
        called = odds / (1 + odds) >= threshold
        price = threshold / (1 - threshold)
        expected = 0.1 * called[positive].mean() - 0.9 * called[~positive].mean() * price
        assert moved.model.value[place] == pytest.approx(expected)
    as_given = decision_curve("f", positive, probability, prevalence=0.1, thresholds=at)
    # Who knows the prevalence does better, and never worse than acting on all or on nobody.
    assert (moved.model.value >= as_given.model.value).all()
    assert (moved.model.value >= np.maximum(0, moved.treat_all)).all()
    assert as_given.model.value[3] < moved.model.value[3]


def test_patients_of_several_images_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(300) < 0.3
    probability = np.clip(rng.random(300) * 0.6 + 0.4 * positive, 0, 1)
    alone = decision_curve("f", positive, probability, thresholds=(0.4, 0.6))
    three = [np.repeat(values, 3) for values in (positive, probability, np.arange(300))]
    copied = decision_curve("f", three[0], three[1], three[2], thresholds=(0.4, 0.6))
    assert copied.model.value == pytest.approx(alone.model.value)
    widths = [curve.model.high - curve.model.low for curve in (alone, copied)]
    assert widths[1] == pytest.approx(widths[0], rel=0.03)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # P uniform and true: sensitivity at t is 1 - t ** 2, the false positive rate (1 - t) ** 2, prevalence a half.
    at = np.array([0.02, 0.1, 0.3, 0.6, 0.9])
    true = 0.5 * (1 - at**2) - 0.5 * (1 - at) ** 2 * at / (1 - at)
    held = []
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        probability = rng.random(120)
        positive = rng.random(120) < probability
        curve = decision_curve("f", positive, probability, prevalence=0.5, thresholds=at)
        held.append((curve.model.low <= true) & (true <= curve.model.high))
    assert (np.mean(held, axis=0) > 0.93).all()
    assert (np.mean(held, axis=0) < 0.98).all()


def test_one_side_only_has_a_reason() -> None:
    curve = decision_curve("f", np.array([True, True]), np.array([0.1, 0.9]))
    assert curve.note == "no image without this finding"
    assert curve.thresholds.size == 0


def test_refuses_what_is_no_share() -> None:
    table = (np.array([True, False]), np.array([0.4, 0.6]))
    with pytest.raises(ConfigurationError, match="prevalence is 0"):
        decision_curve("f", *table, prevalence=0)
    with pytest.raises(ConfigurationError, match=r"calibrated_at is 1\.5"):
        decision_curve("f", *table, calibrated_at=1.5)
    with pytest.raises(ConfigurationError, match=r"threshold probability is 1\.0"):
        decision_curve("f", *table, thresholds=(0.5, 1.0))
