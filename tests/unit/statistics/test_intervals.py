"""Proportions, likelihood ratios and predictive values: hand computation, published tables, statsmodels."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from amount import sampled
from carina.errors import ConfigurationError, DataError
from carina.statistics.intervals import (
    BinaryCounts,
    Estimate,
    design_effect,
    likelihood_ratio,
    predictive_value_at,
    proportion_interval,
    wilson_interval,
)
from carina.statistics.proportion import wilson_bounds

quick = settings(deadline=None, database=None, max_examples=sampled(60))


# --- Estimate -------------------------------------------------------------------------------------


def test_estimate_reads_as_value_and_interval() -> None:
    assert str(wilson_interval(488, 724)) == "0.674 (0.639 to 0.707)"
    assert str(wilson_interval(0, 0)) == "n/a: no images to count"
    assert str(Estimate(1.0, None, None, "none", note="no spread")) == "1.000 (no interval: no spread)"


def test_estimate_in_json_keeps_its_keys() -> None:
    assert wilson_interval(0, 0).to_json() == {
        "value": None,
        "low": None,
        "high": None,
        "method": "none",
        "numerator": 0,
        "denominator": 0,
        "note": "no images to count",
    }
    assert list(wilson_interval(1, 2).to_json()) == list(wilson_interval(0, 0).to_json())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_estimate_refuses_what_json_cannot_hold(bad: float) -> None:
    with pytest.raises(DataError, match="holds finite numbers"):
        Estimate(bad, None, None, "none")


# --- Wilson ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_bounds(successes: int, trials: int, low: float, high: float) -> None:
    got = wilson_interval(successes, trials)
    assert (round(got.low, 4), round(got.high, 4)) == (low, high)
    assert (got.method, got.numerator, got.denominator) == ("Wilson", successes, trials)


@quick
@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels_and_holds_its_value(trials: Any, share: float, confidence: float) -> None:
    successes = round(share * trials)
    got = wilson_bounds(successes / trials, trials, confidence)
    expected = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
    assert got == pytest.approx(expected, abs=1e-12)
    assert 0 <= got[0] <= successes / trials <= got[1] <= 1
    assert got[0] < got[1]
    assert (
        confidence != 0.95 or (wilson_interval(successes, trials).low, wilson_interval(successes, trials).high) == got
    )


@pytest.mark.parametrize("share", [0.7, 0.95])
def test_wilson_covers_the_truth(share: float) -> None:
    drawn = np.random.default_rng(7).binomial(60, share, size=2000)
    known = {int(k): wilson_interval(int(k), 60) for k in np.unique(drawn)}
    covered = np.mean([known[int(k)].low <= share <= known[int(k)].high for k in drawn])
    assert 0.92 <= covered <= 0.98


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (0, -1)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(DataError, match="is impossible"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_must_be_a_share(confidence: float) -> None:
    with pytest.raises(ConfigurationError, match="Give a number between 0 and 1"):
        wilson_bounds(0.5, 2, confidence)


# --- images of one patient ------------------------------------------------------------------------


def test_design_effect_of_patients_whose_images_agree() -> None:
    # 10 patients with 2 images each, both right or both wrong, 7 right. Ratio variance:
    # 10/9 * sum (t - 2p)^2 / 20^2 = 10/9 * 4 * 10 * p(1 - p) / 400 = p(1 - p) / 9; binomial p(1 - p) / 20.
    success = np.repeat([True] * 7 + [False] * 3, 2)
    groups = np.repeat(np.arange(10), 2)
    assert design_effect(success, groups) == pytest.approx(20 / 9)
    got = proportion_interval(success, groups)
    low, high = proportion_confint(0.7 * 9, 9, method="wilson")
    assert (got.low, got.high) == (pytest.approx(low), pytest.approx(high))
    assert (got.method, got.numerator, got.denominator) == ("Wilson (design effect)", 14, 20)


def test_design_effect_is_never_below_one() -> None:
    # One right and one wrong image in every patient: patients do not differ at all.
    assert design_effect(np.tile([True, False], 10), np.repeat(np.arange(10), 2)) == 1.0


def test_all_right_in_few_patients_keeps_a_wide_interval() -> None:
    # Sizes 3, 1: Kish's effective number is 4^2 / (9 + 1) = 1.6.
    got = proportion_interval(np.ones(4, bool), np.array([5, 5, 5, 9]))
    low, _ = proportion_confint(1.6, 1.6, method="wilson")
    assert (got.value, got.low, got.high) == (1.0, pytest.approx(low), 1.0)
    assert got.low < wilson_interval(4, 4).low


def test_groups_of_one_image_change_nothing() -> None:
    success = np.array([True, False, True])
    assert proportion_interval(success, np.array([7, 3, 9])) == wilson_interval(2, 3)


def test_wilson_with_design_effect_covers_the_truth() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), 3)
    covered = plain = 0
    for _ in range(400):
        # Beta-binomial patients: intra-class correlation 1 / (1 + 4 + 1) = 1/6, mean 0.8.
        success = rng.random(180) < np.repeat(rng.beta(4, 1, 60), 3)
        got, naive = proportion_interval(success, groups), proportion_interval(success)
        covered += got.low <= 0.8 <= got.high
        plain += naive.low <= 0.8 <= naive.high
    assert 0.92 <= covered / 400 <= 0.98
    assert plain < covered


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.array([0, 1]), "Give one group id an image"),
        (np.array([0.0, 1.0, 1.0]), "Give integer group ids"),
        (np.array([0, -1, -1]), r"Row 1 \(from 0\): group id -1 is negative"),
    ],
)
def test_wrong_groups_are_refused(groups: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        proportion_interval(np.ones(3, bool), groups)


# --- likelihood ratios and predictive values ------------------------------------------------------


def test_likelihood_ratios_by_hand() -> None:
    counts = BinaryCounts(80, 20, 10, 90)
    positive = likelihood_ratio(counts, positive_call=True)
    # LR+ = 0.8 / 0.1; var(log) = 1/80 - 1/100 + 1/10 - 1/100 = 0.0925
    spread = math.exp(1.959964 * math.sqrt(0.0925))
    assert [positive.low, positive.value, positive.high] == pytest.approx([8 / spread, 8, 8 * spread])
    negative = likelihood_ratio(counts, positive_call=False)
    # LR- = 0.2 / 0.9; var(log) = 1/20 - 1/100 + 1/90 - 1/100 = 0.04 + 1/900
    spread = math.exp(1.959964 * math.sqrt(0.04 + 1 / 900))
    assert [negative.low, negative.value, negative.high] == pytest.approx([2 / 9 / spread, 2 / 9, 2 / 9 * spread])
    assert (positive.note, negative.note) == (None, None)


def test_infinite_and_zero_likelihood_ratios_are_corrected_and_say_so() -> None:
    counts = BinaryCounts(10, 0, 0, 20)
    positive, negative = (likelihood_ratio(counts, positive_call=call) for call in (True, False))
    # Each cell + 0.5: 10.5/11 over 0.5/21, and 0.5/11 over 20.5/21.
    assert positive.value == pytest.approx((10.5 / 11) / (0.5 / 21))
    assert negative.value == pytest.approx((0.5 / 11) / (20.5 / 21))
    assert "infinite" in positive.note
    assert "0.5 added" in positive.note
    assert "is 0;" in negative.note
    assert positive.low < positive.value < positive.high


def test_a_ratio_that_exists_keeps_its_value_beside_an_empty_cell() -> None:
    # Everything is called positive: LR+ is exactly 1; uncorrected, its interval would have no width.
    got = likelihood_ratio(BinaryCounts(10, 0, 20, 0), positive_call=True)
    assert got.value == 1.0
    assert got.low < 1 < got.high
    assert "interval with 0.5 added" in got.note


def test_predictive_values_at_a_prevalence_follow_mercaldo() -> None:
    tp, fn, fp, tn, share = 80, 20, 10, 90, 0.02
    counts = BinaryCounts(tp, fn, fp, tn)
    ppv = predictive_value_at(counts, share, positive_call=True)
    npv = predictive_value_at(counts, share, positive_call=False)
    se, sp = tp / (tp + fn), tn / (fp + tn)
    # Mercaldo et al. 2007, equations for the logit interval, written out.
    for got, logit, variance in (
        (ppv, math.log(se * share / ((1 - sp) * (1 - share))), (1 - se) / (se * 100) + sp / ((1 - sp) * 100)),
        (npv, math.log(sp * (1 - share) / ((1 - se) * share)), se / ((1 - se) * 100) + (1 - sp) / (sp * 100)),
    ):
        ends = [logit + sign * 1.959964 * math.sqrt(variance) for sign in (-1, 0, 1)]
        assert [got.low, got.value, got.high] == pytest.approx([1 / (1 + math.exp(-end)) for end in ends], rel=1e-6)
    # By hand: 0.8 * 0.02 / (0.8 * 0.02 + 0.1 * 0.98) = 0.016 / 0.114
    assert ppv.value == pytest.approx(0.016 / 0.114)


def test_predictive_value_without_alarms_is_one_but_not_certain() -> None:
    got = predictive_value_at(BinaryCounts(10, 2, 0, 50), 0.1, positive_call=True)
    assert (got.value, got.high) == (1.0, 1.0)
    assert got.low < 0.95
    assert "0.5 added" in got.note


def test_measures_of_a_missing_side_do_not_apply() -> None:
    assert likelihood_ratio(BinaryCounts(0, 0, 1, 2), positive_call=True).note == "no image with this finding"
    assert likelihood_ratio(BinaryCounts(1, 2, 0, 0), positive_call=True).note == "no image without this finding"
    none_called = BinaryCounts(0, 5, 0, 5)
    assert predictive_value_at(none_called, 0.1, positive_call=True).note == "no image is called positive"
    assert predictive_value_at(none_called, 0.1, positive_call=False).value == pytest.approx(0.9)


@quick
@given(st.tuples(*[st.integers(0, 30)] * 4), st.floats(0.001, 0.999), st.booleans())
def test_ratios_and_predictive_values_lie_in_their_interval(cells: Any, share: float, call: Any) -> None:
    counts = BinaryCounts(*cells)
    ratio = likelihood_ratio(counts, positive_call=call)
    if ratio.value is not None:
        assert 0 <= ratio.low <= ratio.value <= ratio.high
        assert ratio.low < ratio.high
    predictive = predictive_value_at(counts, share, positive_call=call)
    if predictive.value is not None:
        assert 0 <= predictive.low <= predictive.value <= predictive.high <= 1
    json.dumps([ratio.to_json(), predictive.to_json()], allow_nan=False)


def test_design_effects_widen_the_ratio() -> None:
    narrow = likelihood_ratio(BinaryCounts(80, 20, 10, 90), positive_call=True)
    wide = likelihood_ratio(BinaryCounts(80, 20, 10, 90, 4.0, 4.0), positive_call=True)
    # Four times the variance: twice the width on the log scale.
    assert math.log(wide.high / wide.value) == pytest.approx(2 * math.log(narrow.high / narrow.value))


@pytest.mark.parametrize("share", [0.0, 1.0, 5.0])
def test_prevalence_must_be_a_share(share: float) -> None:
    with pytest.raises(ConfigurationError, match="is not a share"):
        predictive_value_at(BinaryCounts(1, 1, 1, 1), share, positive_call=True)
