"""Sensitivity in groups of images: a planted shortcut shows, chance does not, and few patients give no figure."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import Policy, PolicySettings, fit_policy
from carina.evaluation.audit.gaps import sensitivity_gaps
from carina.evaluation.audit.judged import Judged
from carina.evaluation.audit.share import weighted_sum
from carina.statistics.intervals import proportion_interval

FINDINGS = ("COVID-19", "Normal")


@pytest.fixture(scope="module")
def policy() -> Policy:
    labels = np.repeat([0, 1], 60)
    logits = np.random.default_rng(1).normal(size=(120, 2)) + 2 * np.eye(2)[labels]
    rule = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.9)
    return fit_policy(logits, labels, FINDINGS, rule, PolicySettings(), chosen_on="invented logits")


def ask(policy: Policy, groups: list[Any], patients: Any = None) -> Any:
    """Return gaps by view of (view, images with COVID-19, flagged ones), each image of a patient of its own."""
    views = [view for view, images, _ in groups for _ in range(images)]
    flagged = np.array([place < found for _, images, found in groups for place in range(images)], dtype=bool)
    threshold = policy.operating_point.threshold
    p = np.where(flagged, threshold, threshold - 1e-6)
    patients = np.arange(len(views)) if patients is None else patients
    rows = pl.DataFrame({"view": pl.Series(views, dtype=pl.String), "group": patients})
    rows = rows.select("view", pl.lit("COVID-19").alias("finding"), "group")
    # What does not show the finding has no sensitivity.
    normal = pl.DataFrame({"view": ["LL"], "finding": ["Normal"], "group": [999]})
    judged = Judged(
        "a set",
        pl.concat([rows, normal], how="vertical_relaxed"),
        np.stack([np.append(p, 1), 1 - np.append(p, 1)], axis=1),
    )
    return sensitivity_gaps(judged, policy, replicates=300, seed=1)


def test_a_shortcut_by_view_is_a_gap_whose_interval_leaves_out_zero(policy: Policy) -> None:
    (gap,), missing = ask(policy, [("AP", 60, 54), ("PA", 70, 35)])
    assert (gap.by, gap.group, gap.reference) == ("view", "AP", "PA")
    assert (gap.sensitivity.value, gap.of_reference.value) == (0.9, 0.5)
    assert gap.gap.value == pytest.approx(0.4)
    assert 0.2 < gap.gap.low < 0.35
    assert 0.45 < gap.gap.high < 0.6
    assert missing == ["sensitivity by source, sex and age, a set: not applicable: not known"]


def test_a_model_that_finds_as_much_in_both_views_shows_no_gap(policy: Policy) -> None:
    (gap,), _ = ask(policy, [("AP", 60, 42), ("PA", 70, 49)])
    assert gap.gap.low < 0 < gap.gap.high


def test_where_all_are_found_the_interval_does_not_take_that_for_certain(policy: Policy) -> None:
    (gap,), _ = ask(policy, [("AP", 12, 12), ("PA", 70, 70)])
    assert gap.gap.value == 0
    # Of 12 all found, the sensitivity may be 76 %.
    assert gap.gap.low == pytest.approx(-0.24, abs=0.01)
    assert gap.gap.high == pytest.approx(0.05, abs=0.01)


def test_small_groups_give_their_counts_alone_and_the_unknown_is_a_group(policy: Policy) -> None:
    gaps, _ = ask(policy, [("AP", 9, 9), ("PA", 70, 60), (None, 90, 80)])
    assert [(item.group, item.reference) for item in gaps] == [("AP", "PA"), ("not known", "PA")]
    assert gaps[0].gap.value is None
    assert gaps[0].gap.note == "too few: 9 patients, 10 are the least"
    assert (gaps[0].sensitivity.numerator, gaps[0].sensitivity.denominator) == (9, 9)
    assert gaps[1].gap.value is not None


def test_patients_of_both_views_are_drawn_for_both_at_once(policy: Policy) -> None:
    views, pairs = [("AP", 60, 30), ("PA", 60, 33)], np.tile(np.arange(60), 2)
    (apart,), _ = ask(policy, views)
    (paired,), _ = ask(policy, views, pairs)
    assert paired.gap.value == pytest.approx(apart.gap.value)
    assert paired.gap.high - paired.gap.low < 0.6 * (apart.gap.high - apart.gap.low)


def test_one_view_and_no_image_with_the_finding_have_no_gap(policy: Policy) -> None:
    gaps, missing = ask(policy, [("AP", 60, 30)])
    assert gaps == ()
    assert missing[0] == "sensitivity by view, a set: not applicable: all images with the finding are alike (AP)"
    assert ask(policy, [])[1] == ["sensitivity by group, a set: not applicable: no image shows COVID-19"]


def test_a_weighted_sum_of_proportions_is_the_known_interval() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I, method 10: 56/70 and 48/80.
    one, other = (proportion_interval(np.arange(n) < hits) for hits, n in ((56, 70), (48, 80)))
    difference = weighted_sum((one, other), (1, -1))
    assert [round(x, 4) for x in (difference.value, difference.low, difference.high)] == [0.2, 0.0524, 0.3339]
