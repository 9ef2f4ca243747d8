"""Paired tests against published examples, scipy, statsmodels and brute-force enumeration."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from amount import sampled
from carina.errors import DataError
from carina.evaluation.comparison import compare, holm, mcnemar, paired_brier, paired_delong, sign_flip_mid_p

quick = settings(deadline=None, database=None, max_examples=sampled(60))


def paired(both: int, only_a: int, only_b: int, neither: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images each model judged rightly, from the four cells."""
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


def drawn(n: int, seed: int, shift: float = 1.5) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(3), rng.integers(0, 3, n - 3)])
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), truth] += shift
    return truth, logits


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exps = np.exp(logits)
    return exps / exps.sum(axis=1, keepdims=True)


# --- McNemar --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "p_value", "low", "high"),
    [
        # Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91: airway hyper-responsiveness of
        # Bentur et al. 2009, mid-p 0.039; interval -0.507 to -0.026.
        ((1, 1, 7, 12), 0.039, -0.507, -0.026),
        # Fagerland, Lydersen and Laake 2017, Statistical Analysis of Contingency Tables, chapter 8: complete
        # response of Cavo et al. 2012, Newcombe's interval -0.119 to -0.005.
        ((59, 6, 16, 80), None, -0.119, -0.005),
    ],
)
def test_published_examples(cells: tuple[int, int, int, int], p_value: float | None, low: float, high: float) -> None:
    got = mcnemar(*paired(*cells))
    assert (round(got.difference.low, 3), round(got.difference.high, 3)) == (low, high)
    assert got.difference.value == pytest.approx((cells[1] - cells[2]) / sum(cells))
    assert (got.only_a, got.only_b) == (cells[1], cells[2])
    if p_value is not None:
        # By hand: 2 * (1 + 8) / 2^8 - 8 / 2^8 = 10 / 256.
        assert got.p_value == pytest.approx(10 / 256)
        assert round(got.p_value, 3) == p_value


@quick
@given(st.integers(0, 400), st.integers(0, 400))
def test_mid_p_is_the_exact_test_less_half_of_each_tail(only_a: int, only_b: int) -> None:
    got = mcnemar(*paired(5, only_a, only_b, 5)).p_value
    if only_a == only_b:
        assert got == pytest.approx(1.0)
        return
    exact = statsmodels_mcnemar([[5, only_a], [only_b, 5]], exact=True).pvalue
    at = stats.binom.pmf(min(only_a, only_b), only_a + only_b, 0.5)
    assert got == pytest.approx(exact - at, rel=1e-9, abs=1e-300)


def test_mid_p_of_thousands_does_not_overflow() -> None:
    got = mcnemar(*paired(0, 3100, 2900, 0)).p_value
    # Normal approximation of the same: z = 200 / sqrt 6000.
    assert got == pytest.approx(2 * stats.norm.sf(200 / math.sqrt(6000)), rel=0.01)


@quick
@given(*[st.integers(0, 40)] * 4)
def test_swapping_the_models_swaps_the_sign(both: int, only_a: int, only_b: int, neither: int) -> None:
    assume(both + only_a + only_b + neither > 0)
    one, two = (
        mcnemar(*paired(both, only_a, only_b, neither)),
        mcnemar(*paired(both, only_b, only_a, neither)),
    )
    assert one.p_value == pytest.approx(two.p_value)
    assert -1 <= one.difference.low <= one.difference.value <= one.difference.high <= 1
    assert one.difference.low < one.difference.high
    assert (one.difference.low, one.difference.high) == (
        pytest.approx(-two.difference.high),
        pytest.approx(-two.difference.low),
    )


def test_no_disagreement_is_no_evidence() -> None:
    got = mcnemar(*paired(30, 0, 0, 4))
    assert (got.p_value, got.difference.value) == (1.0, 0.0)
    assert got.difference.low < 0 < got.difference.high


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones(3, bool), np.ones(4, bool), "Compare them on the same images"),
        (np.ones(3, int), np.ones(3, bool), "Give whether each was right, as bool"),
    ],
)
def test_wrong_results_are_refused(a: NDArray[Any], b: NDArray[np.bool_], message: str) -> None:
    with pytest.raises(DataError, match=message):
        mcnemar(a, b)


def test_nothing_to_compare_does_not_apply() -> None:
    got = mcnemar(np.array([], bool), np.array([], bool))
    assert (got.p_value, got.difference.value, got.difference.note) == (None, None, "no images to compare")


@quick
@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flips_agree_with_all_flips(gains: Any) -> None:
    sums = [
        abs(sum(s * g for s, g in zip(signs, gains, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gains))
    ]
    seen = abs(sum(gains))
    # One side's mid-p, doubled; sums fall on both sides alike, so counting |T| does it except at 0.
    expected = 1.0 if seen == 0 else np.mean([1.0 if s > seen else 0.5 if s == seen else 0.0 for s in sums])
    assert sign_flip_mid_p(np.array(gains, int)) == pytest.approx(expected)


def test_repeated_images_of_a_patient_add_no_evidence() -> None:
    a, b = paired(20, 9, 2, 5)
    once = mcnemar(a, b)
    groups = np.repeat(np.arange(36), 4)
    grouped, naive = (
        mcnemar(np.repeat(a, 4), np.repeat(b, 4), groups),
        mcnemar(np.repeat(a, 4), np.repeat(b, 4)),
    )
    assert grouped.p_value == pytest.approx(once.p_value)
    assert grouped.method == "McNemar mid-p (by patient)"
    assert naive.p_value < grouped.p_value / 20
    width = grouped.difference.high - grouped.difference.low
    assert width == pytest.approx(once.difference.high - once.difference.low, rel=0.1)
    # Between patients: sum (d - mean)^2 = 11 - 49/36 over 36 * 35.
    half = 1.959964 * math.sqrt((11 - 49 / 36) / (36 * 35))
    assert grouped.difference.high - grouped.difference.value == pytest.approx(half)


def test_patients_without_spread_have_no_interval() -> None:
    groups = np.array([0, 0, 1, 1])
    same = mcnemar(np.array([True, True, False, False]), np.array([True, True, False, False]), groups)
    assert (same.difference.value, same.difference.low, same.p_value) == (0.0, None, 1.0)
    always = mcnemar(np.ones(4, bool), np.zeros(4, bool), groups)
    assert (always.difference.value, always.difference.low) == (1.0, None)


def test_both_forms_keep_the_level() -> None:
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(40), 3)
    plain = grouped = covered = 0
    for _ in range(600):
        right = rng.random((2, 120)) < np.repeat(rng.beta(4, 2, 40), 3)
        test = mcnemar(*right)
        plain += test.p_value < 0.05
        covered += test.difference.low <= 0 <= test.difference.high
        # Each model has its own good and bad patients: images of a patient are far from independent.
        own = rng.random((2, 40)) < 0.6
        right = rng.random((2, 120)) < np.repeat(np.where(own, 0.95, 0.3), 3, axis=1)
        grouped += mcnemar(*right, groups).p_value < 0.05
    assert 0.03 <= plain / 600 <= 0.07
    assert 0.03 <= grouped / 600 <= 0.07
    assert 0.92 <= covered / 600 <= 0.98


# --- paired DeLong --------------------------------------------------------------------------------


def brute_paired(
    positive: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[list[np.float64], np.float64]:
    """Areas and the variance of their difference from all pairs, DeLong 1988 with its 2 x 2 covariances."""
    kernels = [
        np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in s[~positive]] for x in s[positive]])
        for s in (a, b)
    ]
    s10 = np.cov([k.mean(axis=1) for k in kernels])
    s01 = np.cov([k.mean(axis=0) for k in kernels])
    m, n = kernels[0].shape
    cov = s10 / m + s01 / n
    return [k.mean() for k in kernels], cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]


@quick
@given(st.integers(8, 40), st.integers(0, 10_000))
def test_paired_delong_agrees_with_all_pairs(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = np.arange(n) % 3 == 0
    a = np.round(rng.normal(size=n) + positive, 1)
    b = np.round(a + rng.normal(size=n), 1)
    areas, variance = brute_paired(positive, a, b)
    assume(variance > 1e-9)
    got = paired_delong(positive, a, b)
    assert [got.value_a, got.value_b] == pytest.approx(areas)
    assert got.z == pytest.approx((areas[0] - areas[1]) / math.sqrt(variance), rel=1e-6, abs=1e-9)
    assert got.p_value == pytest.approx(2 * stats.norm.sf(abs(got.z)))
    assert got.difference.low == pytest.approx(max(-1, areas[0] - areas[1] - 1.959964 * math.sqrt(variance)), abs=1e-6)
    swapped = paired_delong(positive, b, a)
    assert (swapped.z, swapped.p_value) == (pytest.approx(-got.z), pytest.approx(got.p_value))


def test_paired_delong_keeps_the_level_and_sees_a_difference() -> None:
    rng = np.random.default_rng(9)
    positive = np.arange(120) < 50
    false_alarms = found = 0
    for _ in range(600):
        shared = rng.normal(size=120) + 1.2 * positive
        a, b = shared + 0.7 * rng.normal(size=120), shared + 0.7 * rng.normal(size=120)
        false_alarms += paired_delong(positive, a, b).p_value < 0.05
        found += paired_delong(positive, shared, shared + 1.5 * rng.normal(size=120)).p_value < 0.05
    assert 0.03 <= false_alarms / 600 <= 0.075
    assert found / 600 > 0.7


def test_repeated_images_add_no_evidence_to_delong() -> None:
    rng = np.random.default_rng(10)
    positive, a, b = np.arange(40) < 15, rng.normal(size=40), rng.normal(size=40)
    a[positive] += 1
    once = paired_delong(positive, a, b)
    groups = np.repeat(np.arange(40), 3)
    thrice = paired_delong(np.repeat(positive, 3), np.repeat(a, 3), np.repeat(b, 3), groups)
    assert thrice.z == pytest.approx(once.z)
    assert thrice.method == "DeLong paired (clustered)"


def test_models_that_rank_alike_do_not_differ() -> None:
    positive, score = np.arange(12) % 3 == 0, np.arange(12.0) ** 2
    got = paired_delong(positive, score, np.sqrt(score))
    assert (got.difference.value, got.difference.low, got.p_value, got.z) == (0.0, None, 1.0, None)
    assert got.difference.note == "the difference has no variance"


def test_a_difference_without_variance_has_no_p_value() -> None:
    positive = np.arange(12) < 5
    got = paired_delong(positive, 1.0 * positive, -1.0 * positive)
    assert (got.difference.value, got.p_value) == (1.0, None)
    single = paired_delong(np.arange(12) < 1, np.arange(12.0), -np.arange(12.0))
    assert (single.p_value, single.difference.note) == (None, "a side has a single patient or image")


def test_one_side_has_no_areas_to_compare() -> None:
    got = paired_delong(np.ones(4, bool), np.arange(4.0), np.arange(4.0))
    assert (got.value_a, got.p_value, got.difference.note) == (None, None, "no image without this finding")


def test_scores_of_other_images_are_refused() -> None:
    with pytest.raises(DataError, match="Give two arrays of one length"):
        paired_delong(np.array([True, False]), np.arange(2.0), np.arange(3.0))


# --- Holm -----------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # Sorted 0.01 * 3, 0.03 * 2, 0.04 * 1 raised to the one before.
    assert holm([0.04, None, 0.01, 0.03]) == [
        pytest.approx(0.06),
        None,
        pytest.approx(0.03),
        pytest.approx(0.06),
    ]


@settings(quick, max_examples=sampled(15))
@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_holm_agrees_with_statsmodels(p_values: Any) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


# --- all together ---------------------------------------------------------------------------------


def test_compare_holds_every_test_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2, 2])
    called_a, called_b = np.array([0, 0, 1, 1, 1, 2, 0]), np.array([0, 1, 1, 1, 0, 2, 2])
    table_a, table_b = (np.full((7, 3), 0.1) + 0.7 * np.eye(3)[called] for called in (called_a, called_b))
    got = compare(truth, table_a, table_b, "abc")
    assert [(t.measure, t.finding) for t in got.tests] == [
        ("accuracy", None),
        *[(m, f) for f in "abc" for m in ("sensitivity", "specificity", "AUROC")],
    ]
    by_name = {(t.measure, t.finding): t for t in got.tests}
    assert (by_name["accuracy", None].only_a, by_name["accuracy", None].only_b) == (2, 1)
    # Finding a: of 3 images A finds 2 and B 1; of the 4 others A calls the last a, B the fifth.
    assert (by_name["sensitivity", "a"].value_a, by_name["sensitivity", "a"].value_b) == (2 / 3, 1 / 3)
    assert (by_name["specificity", "a"].only_a, by_name["specificity", "a"].only_b) == (1, 1)
    # Neither calls any of the other five c, however wrong they are about a and b.
    assert (by_name["specificity", "c"].value_a, by_name["specificity", "c"].value_b) == (1.0, 1.0)
    # AUROC of a hard call is the mean of sensitivity and specificity.
    assert by_name["AUROC", "a"].value_a == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert [t.p_value_holm for t in got.tests] == holm([t.p_value for t in got.tests])
    assert (got.n, got.groups) == (7, None)


def test_compare_takes_the_patient_as_the_unit() -> None:
    truth, logits = drawn(90, 4)
    other = logits + np.random.default_rng(5).normal(size=logits.shape)
    once = compare(truth, softmax(logits), softmax(other), "abc")
    groups = np.repeat(np.arange(90), 3)
    thrice = compare(*(np.repeat(x, 3, axis=0) for x in (truth, softmax(logits), softmax(other))), "abc", groups=groups)
    assert thrice.groups == 90
    for one, three in zip(once.tests, thrice.tests, strict=True):
        assert three.p_value == pytest.approx(one.p_value)
    assert min(t.p_value for t in once.tests) < 0.05


def test_compare_in_json() -> None:
    truth, logits = drawn(30, 6)
    truth[truth == 2] = 1
    out = compare(truth, softmax(logits), softmax(-logits), "abc").to_json()
    assert json.loads(json.dumps(out, allow_nan=False)) == out
    assert list(out) == ["findings", "n", "groups", "tests"]
    assert list(out["tests"][0]) == [
        "measure",
        "finding",
        "value_a",
        "value_b",
        "difference",
        "p_value",
        "p_value_holm",
        "method",
        "only_a",
        "only_b",
        "z",
    ]
    absent = [t for t in out["tests"] if t["finding"] == "c"]
    assert [t["p_value"] is None for t in absent] == [True, False, True]
    assert absent[0]["difference"]["note"] == "no images to compare"


@pytest.mark.parametrize(
    ("truth", "rows", "message"),
    [([0, 1, -1], 3, "Unknown is not negative"), ([0, 1, 2], 2, r"need \(3, 3\)"), ([], 0, "is empty")],
)
def test_compare_refuses_wrong_tables(truth: list[Any], rows: int, message: str) -> None:
    table = np.full((len(truth), 3), 1 / 3)
    with pytest.raises(DataError, match=message):
        compare(np.array(truth, int), table, np.full((rows, 3), 1 / 3), "abc")


def test_brier_scores_by_hand_and_by_patients() -> None:
    positive = np.array([True, False, True, False])
    a, b = np.array([0.9, 0.2, 0.8, 0.4]), np.array([0.6, 0.2, 0.5, 0.1])
    test = paired_brier(positive, a, b, finding="x")
    assert (test.value_a, test.value_b) == (pytest.approx(0.25 / 4), pytest.approx((0.16 + 0.04 + 0.25 + 0.01) / 4))
    # Differences -0.15, 0, -0.21, 0.15: mean -0.0525, standard error sd / 2 (of four).
    gains = np.array([-0.15, 0.0, -0.21, 0.15])
    half = 1.959964 * gains.std(ddof=1) / 2
    assert (test.difference.low, test.difference.high) == pytest.approx((-0.0525 - half, -0.0525 + half))
    # The same images three times, as one patient each, say no more.
    thrice = np.repeat(np.arange(4), 3)
    again = paired_brier(positive[thrice], a[thrice], b[thrice], thrice).difference
    assert (again.low, again.high) == pytest.approx((test.difference.low, test.difference.high))
    assert paired_brier(positive[:0], a[:0], b[:0]).difference.note == "no images to compare"
