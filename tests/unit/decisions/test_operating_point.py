"""An operating point meets its rule on the data that chose it, and no better one does."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from carina.decisions.operating_point import (
    OperatingPoint,
    OperatingPointRule,
    ThresholdRule,
    choose_operating_point,
)
from carina.errors import ConfigurationError

PRESENT = np.array([True, True, True, True, False, False, False, False, False])
PROBABILITY = np.array([0.9, 0.8, 0.6, 0.2, 0.7, 0.5, 0.3, 0.2, 0.1])


def rule(name: str, target: float) -> OperatingPointRule:
    return OperatingPointRule(finding="COVID-19", rule=name, target=target)


def test_specificity_at_least_by_hand() -> None:
    # Specificity 0.8 = 4 of 5 negatives under the threshold: between 0.5 and 0.6, where three positives lie above.
    point = choose_operating_point(PRESENT, PROBABILITY, rule("specificity-at-least", 0.8), chosen_on="toy data")
    assert point.threshold == pytest.approx(0.55)
    assert (point.true_positives, point.positives, point.true_negatives, point.negatives) == (3, 4, 4, 5)
    assert (point.sensitivity, point.specificity) == (0.75, 0.8)
    assert point.chosen_on == "toy data"


def test_sensitivity_at_least_by_hand() -> None:
    # All four positives: the threshold must be under 0.2, which a negative shares; only 0.1 lies below.
    point = choose_operating_point(PRESENT, PROBABILITY, rule("sensitivity-at-least", 1 - 1e-9), chosen_on="toy data")
    assert (point.true_positives, point.true_negatives) == (4, 1)
    assert 0.1 < point.threshold <= 0.2


def test_a_specificity_that_only_silence_reaches() -> None:
    present, probability = np.array([True, False]), np.array([0.3, 0.9])
    point = choose_operating_point(present, probability, rule("specificity-at-least", 0.99), chosen_on="toy data")
    assert point.threshold > 0.9 or point.true_positives == 0
    assert (point.sensitivity, point.specificity) == (0.0, 1.0)


@pytest.mark.parametrize("present", [np.array([True, True]), np.array([False, False])])
def test_one_kind_only_is_refused(present: np.ndarray) -> None:
    with pytest.raises(ConfigurationError, match=r"needs images with and without it.*toy data has [02] with and [02]"):
        choose_operating_point(present, np.array([0.1, 0.9]), rule("specificity-at-least", 0.9), chosen_on="toy data")


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=40).filter(
        lambda rows: len({present for present, _ in rows}) == 2
    ),
    st.sampled_from(["specificity-at-least", "sensitivity-at-least"]),
    st.floats(0.05, 0.95),
)
def test_it_meets_its_rule_and_no_seen_threshold_is_better(rows: Any, name: str, target: float) -> None:
    present = np.array([p for p, _ in rows])
    probability = np.array([v / 20 for _, v in rows])
    point = choose_operating_point(present, probability, rule(name, target), chosen_on="toy data")
    called = probability >= point.threshold
    # The stored counts are those that the threshold gives.
    assert int((called & present).sum()) == point.true_positives
    assert int((~called & ~present).sum()) == point.true_negatives
    wanted, other = (
        (point.specificity, point.sensitivity) if name.startswith("spec") else (point.sensitivity, point.specificity)
    )
    assert wanted >= target
    for threshold in np.append(np.unique(probability), 2.0):
        sensitivity, specificity = (
            (probability[present] >= threshold).mean(),
            (probability[~present] < threshold).mean(),
        )
        reached, rest = (specificity, sensitivity) if name.startswith("spec") else (sensitivity, specificity)
        if reached >= target:
            assert rest <= other + 1e-12


def test_youden_by_hand() -> None:
    # J at thresholds under 0.6: 3/4 + 4/5; under 0.2: 4/4 + 1/5; under 0.8: 2/4 + 5/5.
    point = choose_operating_point(
        PRESENT, PROBABILITY, OperatingPointRule(finding="COVID-19", rule="youden"), chosen_on="toy data"
    )
    assert point.threshold == pytest.approx(0.55)
    assert point.target is None


def test_of_equal_js_the_lowest_threshold_misses_fewest() -> None:
    # J is 1/2 both above 0.6 and under 0.2.
    present, probability = np.array([True, True, False, False]), np.array([0.8, 0.2, 0.1, 0.6])
    point = choose_operating_point(
        present, probability, OperatingPointRule(finding="COVID-19", rule="youden"), chosen_on="toy data"
    )
    assert point.threshold == pytest.approx(0.15)
    assert point.sensitivity == 1


@pytest.mark.parametrize(
    ("prevalence", "missed", "false_alarm", "called"),
    [(0.5, 1, 1, (3, 4)), (0.5, 100, 1, (4, 1)), (0.5, 1, 100, (2, 5)), (0.001, 1, 1, (2, 5)), (0.999, 1, 1, (4, 1))],
)
def test_lowest_expected_cost_by_hand(
    prevalence: float, missed: float, false_alarm: float, called: tuple[int, int]
) -> None:
    wanted = OperatingPointRule(
        finding="COVID-19",
        rule="lowest-expected-cost",
        prevalence=prevalence,
        cost_missed=missed,
        cost_false_alarm=false_alarm,
    )
    point = choose_operating_point(PRESENT, PROBABILITY, wanted, chosen_on="toy data")
    assert (point.true_positives, point.true_negatives) == called
    assert (point.prevalence, point.cost_missed, point.cost_false_alarm) == (prevalence, missed, false_alarm)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=40).filter(
        lambda rows: len({present for present, _ in rows}) == 2
    ),
    st.floats(0.01, 0.99),
    st.floats(0.1, 50),
)
def test_no_seen_threshold_costs_less(rows: Any, prevalence: float, missed: float) -> None:
    present, probability = np.array([p for p, _ in rows]), np.array([v / 20 for _, v in rows])
    wanted = OperatingPointRule(
        finding="COVID-19",
        rule="lowest-expected-cost",
        prevalence=prevalence,
        cost_missed=missed,
        cost_false_alarm=1.0,
    )

    def cost(called: np.ndarray) -> float:
        return prevalence * missed * (~called)[present].mean() + (1 - prevalence) * called[~present].mean()

    point = choose_operating_point(present, probability, wanted, chosen_on="toy data")
    reached = cost(probability >= point.threshold)
    for threshold in np.append(np.unique(probability), 2.0):
        assert reached <= cost(probability >= threshold) + 1e-9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "specificity-at-least"}, "rule specificity-at-least needs target"),
        ({"rule": "youden", "target": 0.9}, "target does not belong to rule youden"),
        ({"rule": "sensitivity-at-least", "target": 0.9, "cost_missed": 1}, "cost_missed does not belong"),
        ({"rule": "lowest-expected-cost", "prevalence": 0.1, "cost_missed": 1}, "needs cost_false_alarm"),
        ({"rule": "lowest-expected-cost", "cost_missed": 1, "cost_false_alarm": 1}, "needs prevalence"),
        ({"rule": "specificity-at-least", "target": 1.0}, "less than 1"),
        ({"rule": "accuracy"}, "Input should be"),
    ],
)
def test_a_rule_has_what_it_needs_and_nothing_else(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OperatingPointRule(finding="COVID-19", **fields)


def test_bounds_are_wilsons() -> None:
    point = choose_operating_point(PRESENT, PROBABILITY, rule("specificity-at-least", 0.8), chosen_on="toy data")
    # statsmodels' proportion_confint(3, 4, method="wilson") and of (4, 5).
    assert point.sensitivity_bounds() == pytest.approx(proportion_confint(3, 4, method="wilson"))
    assert point.specificity_bounds() == pytest.approx(proportion_confint(4, 5, method="wilson"))


def test_a_rule_that_only_a_trivial_threshold_meets_says_so() -> None:
    present, probability = np.array([True, False]), np.array([0.3, 0.9])
    silent = choose_operating_point(present, probability, rule("specificity-at-least", 0.99), chosen_on="toy data")
    everything = choose_operating_point(present, probability, rule("sensitivity-at-least", 0.99), chosen_on="toy data")
    assert silent.is_trivial
    assert everything.is_trivial
    assert (everything.true_positives, everything.true_negatives) == (1, 0)
    assert not choose_operating_point(
        PRESENT, PROBABILITY, rule("specificity-at-least", 0.8), chosen_on="toy data"
    ).is_trivial


def test_rules_in_words() -> None:
    assert rule("specificity-at-least", 0.98).in_words() == "specificity-at-least 0.98"
    assert ThresholdRule(rule="youden").in_words() == "youden"
    cost = ThresholdRule(rule="lowest-expected-cost", prevalence=0.1, cost_missed=10, cost_false_alarm=1)
    assert cost.in_words() == "lowest-expected-cost (prevalence 0.1, cost 10 missed, 1 false alarm)"


def test_it_survives_json_and_reads_what_older_runs_wrote() -> None:
    point = choose_operating_point(PRESENT, PROBABILITY, rule("specificity-at-least", 0.8), chosen_on="toy data")
    assert OperatingPoint.model_validate_json(point.model_dump_json()) == point
    older = point.model_dump(exclude_none=True)
    counts = {"positives", "true_positives", "negatives", "true_negatives"}
    assert set(older) == {"finding", "rule", "target", "threshold", "chosen_on"} | counts
    assert OperatingPoint(**older) == point
