"""An operating point meets its rule on the data that chose it, and no better one does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina.decisions.operating_point import OperatingPointRule, choose_operating_point
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
def test_it_meets_its_rule_and_no_seen_threshold_is_better(rows, name: str, target: float) -> None:  # type: ignore[no-untyped-def]
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
