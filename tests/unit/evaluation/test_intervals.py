"""Proportions, likelihood ratios and the bootstrap: hand computation, published tables, statsmodels."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from carina.errors import CarinaError, ConfigurationError, DataError
from carina.evaluation.intervals import (
    BinaryCounts,
    Estimate,
    bootstrap_estimates,
    design_effect,
    likelihood_ratio,
    predictive_value_at,
    proportion_interval,
    wilson_interval,
)

quick = settings(deadline=None, database=None, max_examples=60)


def total(weights):
    """Return the share of the images with an odd index under each row of weights."""
    odd = np.arange(weights.shape[1]) % 2
    return ((weights * odd).sum(axis=1) / weights.sum(axis=1))[:, None]


# --- Estimate -------------------------------------------------------------------------------------


def test_estimate_reads_as_value_and_interval():
    assert str(wilson_interval(488, 724)) == "0.674 (0.639 to 0.707)"
    assert str(wilson_interval(0, 0)) == "n/a: no images to count"
    assert str(Estimate(1.0, None, None, "none", note="no spread")) == "1.000 (no interval: no spread)"


def test_estimate_in_json_keeps_its_keys():
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
def test_estimate_refuses_what_json_cannot_hold(bad):
    with pytest.raises(DataError, match="holds finite numbers"):
        Estimate(bad, None, None, "none")


# --- Wilson ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_bounds(successes, trials, low, high):
    got = wilson_interval(successes, trials)
    assert (round(got.low, 4), round(got.high, 4)) == (low, high)
    assert (got.method, got.numerator, got.denominator) == ("Wilson", successes, trials)


@quick
@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels_and_holds_its_value(trials, share, confidence):
    successes = round(share * trials)
    got = wilson_interval(successes, trials, confidence)
    low, high = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
    assert got.low == pytest.approx(low, abs=1e-12)
    assert got.high == pytest.approx(high, abs=1e-12)
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high


@pytest.mark.parametrize("share", [0.7, 0.95])
def test_wilson_covers_the_truth(share):
    drawn = np.random.default_rng(7).binomial(60, share, size=2000)
    known = {int(k): wilson_interval(int(k), 60) for k in np.unique(drawn)}
    covered = np.mean([known[int(k)].low <= share <= known[int(k)].high for k in drawn])
    assert 0.92 <= covered <= 0.98


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (0, -1)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(DataError, match="is impossible"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_must_be_a_share(confidence):
    with pytest.raises(ConfigurationError, match="Give a number between 0 and 1"):
        wilson_interval(1, 2, confidence)


# --- images of one patient ------------------------------------------------------------------------


def test_design_effect_of_patients_whose_images_agree():
    # 10 patients with 2 images each, both right or both wrong, 7 right. Ratio variance:
    # 10/9 * sum (t - 2p)^2 / 20^2 = 10/9 * 4 * 10 * p(1 - p) / 400 = p(1 - p) / 9; binomial p(1 - p) / 20.
    success = np.repeat([True] * 7 + [False] * 3, 2)
    groups = np.repeat(np.arange(10), 2)
    assert design_effect(success, groups) == pytest.approx(20 / 9)
    got = proportion_interval(success, groups)
    low, high = proportion_confint(0.7 * 9, 9, method="wilson")
    assert (got.low, got.high) == (pytest.approx(low), pytest.approx(high))
    assert (got.method, got.numerator, got.denominator) == ("Wilson (design effect)", 14, 20)


def test_design_effect_is_never_below_one():
    # One right and one wrong image in every patient: patients do not differ at all.
    assert design_effect(np.tile([True, False], 10), np.repeat(np.arange(10), 2)) == 1.0


def test_all_right_in_few_patients_keeps_a_wide_interval():
    # Sizes 3, 1: Kish's effective number is 4^2 / (9 + 1) = 1.6.
    got = proportion_interval(np.ones(4, bool), np.array([5, 5, 5, 9]))
    low, _ = proportion_confint(1.6, 1.6, method="wilson")
    assert (got.value, got.low, got.high) == (1.0, pytest.approx(low), 1.0)
    assert got.low < wilson_interval(4, 4).low


def test_groups_of_one_image_change_nothing():
    success = np.array([True, False, True])
    assert proportion_interval(success, np.array([7, 3, 9])) == wilson_interval(2, 3)


def test_wilson_with_design_effect_covers_the_truth():
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
def test_wrong_groups_are_refused(groups, message):
    with pytest.raises(DataError, match=message):
        proportion_interval(np.ones(3, bool), groups)


# --- likelihood ratios and predictive values ------------------------------------------------------


def test_likelihood_ratios_by_hand():
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


def test_infinite_and_zero_likelihood_ratios_are_corrected_and_say_so():
    counts = BinaryCounts(10, 0, 0, 20)
    positive, negative = (likelihood_ratio(counts, positive_call=call) for call in (True, False))
    # Each cell + 0.5: 10.5/11 over 0.5/21, and 0.5/11 over 20.5/21.
    assert positive.value == pytest.approx((10.5 / 11) / (0.5 / 21))
    assert negative.value == pytest.approx((0.5 / 11) / (20.5 / 21))
    assert "infinite" in positive.note
    assert "0.5 added" in positive.note
    assert "is 0;" in negative.note
    assert positive.low < positive.value < positive.high


def test_a_ratio_that_exists_keeps_its_value_beside_an_empty_cell():
    # Everything is called positive: LR+ is exactly 1; uncorrected, its interval would have no width.
    got = likelihood_ratio(BinaryCounts(10, 0, 20, 0), positive_call=True)
    assert got.value == 1.0
    assert got.low < 1 < got.high
    assert "interval with 0.5 added" in got.note


def test_predictive_values_at_a_prevalence_follow_mercaldo():
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


def test_predictive_value_without_alarms_is_one_but_not_certain():
    got = predictive_value_at(BinaryCounts(10, 2, 0, 50), 0.1, positive_call=True)
    assert (got.value, got.high) == (1.0, 1.0)
    assert got.low < 0.95
    assert "0.5 added" in got.note


def test_measures_of_a_missing_side_do_not_apply():
    assert likelihood_ratio(BinaryCounts(0, 0, 1, 2), positive_call=True).note == "no image with this finding"
    assert likelihood_ratio(BinaryCounts(1, 2, 0, 0), positive_call=True).note == "no image without this finding"
    none_called = BinaryCounts(0, 5, 0, 5)
    assert predictive_value_at(none_called, 0.1, positive_call=True).note == "no image is called positive"
    assert predictive_value_at(none_called, 0.1, positive_call=False).value == pytest.approx(0.9)


@quick
@given(st.tuples(*[st.integers(0, 30)] * 4), st.floats(0.001, 0.999), st.booleans())
def test_ratios_and_predictive_values_lie_in_their_interval(cells, share, call):
    counts = BinaryCounts(*cells)
    ratio = likelihood_ratio(counts, positive_call=call)
    if ratio.value is not None:
        assert 0 <= ratio.low <= ratio.value <= ratio.high
        assert ratio.low < ratio.high
    predictive = predictive_value_at(counts, share, positive_call=call)
    if predictive.value is not None:
        assert 0 <= predictive.low <= predictive.value <= predictive.high <= 1
    json.dumps([ratio.to_json(), predictive.to_json()], allow_nan=False)


def test_design_effects_widen_the_ratio():
    narrow = likelihood_ratio(BinaryCounts(80, 20, 10, 90), positive_call=True)
    wide = likelihood_ratio(BinaryCounts(80, 20, 10, 90, 4.0, 4.0), positive_call=True)
    # Four times the variance: twice the width on the log scale.
    assert math.log(wide.high / wide.value) == pytest.approx(2 * math.log(narrow.high / narrow.value))


@pytest.mark.parametrize("share", [0.0, 1.0, 5.0])
def test_prevalence_must_be_a_share(share):
    with pytest.raises(ConfigurationError, match="is not a share"):
        predictive_value_at(BinaryCounts(1, 1, 1, 1), share, positive_call=True)


# --- bootstrap ------------------------------------------------------------------------------------


def test_draws_keep_the_size_of_each_finding_and_the_whole_of_each_patient():
    truth = np.array([0] * 6 + [1] * 4)
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    seen = []

    def statistic(weights):
        seen.append(weights)
        return total(weights)

    bootstrap_estimates(statistic, truth=truth, replicates=50)
    assert (seen[0][:, :6].sum(axis=1) == 6).all()
    assert (seen[0][:, 6:].sum(axis=1) == 4).all()
    assert len(np.unique(seen[0], axis=0)) > 10
    seen.clear()
    bootstrap_estimates(statistic, truth=truth, groups=groups, replicates=50)
    assert (seen[0][:, ::2] == seen[0][:, 1::2]).all()
    assert (seen[0][:, :6].sum(axis=1) == 6).all()


def test_a_patient_belongs_to_the_finding_of_most_images():
    truth = np.array([0, 0, 1, 0, 1, 1, 1, 2])
    groups = np.array([0, 0, 0, 1, 2, 2, 3, 4])
    seen = []

    def statistic(weights):
        seen.append(weights)
        return total(weights)

    bootstrap_estimates(statistic, truth=truth, groups=groups, replicates=40)
    # Patients 0 and 1 stand for finding 0, 2 and 3 for finding 1 (two of each are drawn), 4 for finding 2.
    assert (seen[0][:, 7] == 1).all()
    assert (seen[0][:, [0, 3]].sum(axis=1) == 2).all()
    assert (seen[0][:, [4, 6]].sum(axis=1) == 2).all()


def test_bootstrap_of_a_share_is_that_of_the_binomial():
    truth = np.zeros(400, int)
    (got,) = bootstrap_estimates(total, truth=truth, replicates=4000, seed=5)
    # Half of the images are odd: standard error sqrt(0.25 / 400) = 0.025.
    assert got.value == 0.5
    assert got.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.004)
    assert got.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.004)
    assert (got.method, got.note) == ("bootstrap (stratified)", None)


def test_the_seed_decides_the_interval():
    truth = np.repeat([0, 1], 37)
    first, same, other = (bootstrap_estimates(total, truth=truth, replicates=300, seed=s) for s in (1, 1, 2))
    assert first == same
    assert first != other


def test_whole_patients_give_a_wider_interval():
    truth = np.zeros(200, int)
    groups = np.arange(200) % 2 + 2 * (np.arange(200) // 10)  # five equal images a patient
    (plain,) = bootstrap_estimates(total, truth=truth, replicates=1000)
    (grouped,) = bootstrap_estimates(total, truth=truth, groups=groups, replicates=1000)
    assert grouped.high - grouped.low > 1.8 * (plain.high - plain.low)
    assert grouped.method == "bootstrap (stratified, by patient)"


def test_the_interval_of_a_share_is_symmetric_on_the_logit_scale():
    # 28 of 30 even images drawn by weights: a share near 1 whose replicates pile up there.
    right = np.arange(30) >= 2
    (got,) = bootstrap_estimates(lambda w: ((w * right).sum(axis=1) / w.sum(axis=1))[:, None], truth=np.zeros(30, int))
    low, value, high = (math.log(v / (1 - v)) for v in (got.low, got.value, got.high))
    assert high - value == pytest.approx(value - low)
    # Binomial standard error on the logit scale: 1 / sqrt(n p (1 - p)).
    assert high - value == pytest.approx(1.96 / math.sqrt(30 * (28 / 30) * (2 / 30)), rel=0.05)


def test_a_number_that_is_no_share_gets_percentiles():
    (got,) = bootstrap_estimates(lambda w: 3 + total(w), truth=np.zeros(400, int), replicates=4000)
    assert (got.low, got.value, got.high) == pytest.approx((3.451, 3.5, 3.549), abs=0.005)


def test_undefined_replicates_are_dropped_and_counted():
    def statistic(weights):
        return np.where(weights[:, :1] == 0, np.nan, total(weights))

    (got,) = bootstrap_estimates(statistic, truth=np.zeros(20, int), replicates=500)
    # An image is left out of a replicate with probability 0.95^20 = 0.358.
    dropped = int(got.note.split()[2])
    assert 130 < dropped < 230
    assert got.note == f"undefined in {dropped} of 500 replicates, which were dropped"


def test_no_spread_is_no_interval():
    (got,) = bootstrap_estimates(lambda w: np.ones((len(w), 1)), truth=np.zeros(20, int), replicates=50)
    assert (got.value, got.low, got.high, got.method) == (1.0, None, None, "none")
    assert "every replicate gave the same value" in got.note


def test_a_lonely_image_is_pointed_out():
    (got,) = bootstrap_estimates(total, truth=np.array([0, 0, 0, 0, 0, 0, 1]), replicates=50)
    assert "a single image or patient" in got.note


def test_an_undefined_value_does_not_apply():
    (got,) = bootstrap_estimates(lambda w: np.full((len(w), 1), np.nan), truth=np.zeros(3, int), replicates=5)
    assert (got.value, got.note) == (None, "undefined on this set")


def test_blocks_stay_small():
    largest = []
    bootstrap_estimates(lambda w: (largest.append(w.size), total(w))[1], truth=np.zeros(30_000, int), replicates=100)
    assert max(largest) <= 1_000_000
    assert sum(largest) == 101 * 30_000


@pytest.mark.parametrize(
    ("truth", "replicates", "message"),
    [([], 10, "keep at least one"), ([0, -1], 10, "Drop unknown"), ([0, 1], 0, "Give at least 1")],
)
def test_what_cannot_be_drawn_is_refused(truth, replicates, message):
    with pytest.raises(CarinaError, match=message):
        bootstrap_estimates(total, truth=np.array(truth, int), replicates=replicates)
