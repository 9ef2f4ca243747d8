"""Measures of a prediction table against a published confusion matrix, hand computation and scikit-learn."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from amount import LONG, sampled
from carina.errors import CarinaError, ConfigurationError, DataError
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.intervals import Estimate, wilson_interval
from carina.statistics.metrics import Metrics, count_confusion, measure

quick = settings(deadline=None, database=None, max_examples=sampled(30))

FINDINGS = ("COVID-19", "Normal", "Viral pneumonia")
PUBLISHED = np.array([[488, 234, 2], [18, 2014, 7], [2, 47, 220]])
AVERAGES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "macro_auroc",
    "weighted_auroc",
    "macro_auprc",
    "weighted_auprc",
)


def table_of(confusion: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return truth and probabilities (0.8 on the predicted finding) that give a confusion matrix."""
    k = len(confusion)
    truth = np.repeat(np.repeat(np.arange(k), k), confusion.ravel())
    predicted = np.repeat(np.tile(np.arange(k), k), confusion.ravel())
    return truth, np.full((len(truth), k), 0.2 / (k - 1)) + np.eye(k)[predicted] * (0.8 - 0.2 / (k - 1))


def drawn_table(n: int, seed: int = 0, shift: float = 1.5, k: int = 3) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), truth] += shift
    exps = np.exp(logits)
    return truth, exps / exps.sum(axis=1, keepdims=True)


def estimates(metrics: Metrics) -> Iterator[Any]:
    """Yield (name, estimate) for everything in the result."""
    for item in (metrics, *metrics.per_finding):
        for name in item.__dataclass_fields__:
            value = getattr(item, name)
            if isinstance(value, Estimate):
                yield name, value


# --- known answers --------------------------------------------------------------------------------


def test_published_baseline() -> None:
    metrics = measure(*table_of(PUBLISHED), FINDINGS, replicates=50)
    assert (metrics.confusion == PUBLISHED).all()
    assert metrics.n == 3032
    assert str(metrics.accuracy) == "0.898 (0.886 to 0.908)"
    assert metrics.accuracy.value == pytest.approx(0.8978, abs=5e-5)
    got = {f.finding: (f.sensitivity.value, f.specificity.value) for f in metrics.per_finding}
    assert got["COVID-19"] == pytest.approx((0.6740, 0.9913), abs=5e-5)
    assert got["Normal"] == pytest.approx((0.9877, 0.7170), abs=5e-5)
    assert got["Viral pneumonia"] == pytest.approx((0.8178, 0.9967), abs=5e-5)


def test_counts_of_one_finding_by_hand() -> None:
    # Truth a, a, a, b, b, c; called a, a, b, b, a, c. For a: TP 2, FN 1, FP 1, TN 2.
    truth = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 0, 2])
    metrics = measure(truth, np.full((6, 3), 1 / 3), "abc", predicted=predicted, replicates=200)
    first = metrics.per_finding[0]
    assert metrics.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert (first.n, first.prevalence) == (3, 0.5)
    assert first.sensitivity == wilson_interval(2, 3)
    assert first.specificity == wilson_interval(2, 3)
    assert first.ppv == wilson_interval(2, 3)
    assert first.npv == wilson_interval(2, 3)
    assert first.f1.value == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert first.likelihood_ratio_positive.value == pytest.approx((2 / 3) / (1 / 3))
    assert metrics.balanced_accuracy.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.macro_f1.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.weighted_f1.value == pytest.approx((3 * 2 / 3 + 2 * 1 / 2 + 1) / 6)
    # All probabilities equal: no order, so one half, and precision is the prevalence.
    assert (first.auroc.value, first.auprc.value) == (0.5, pytest.approx(0.5))


@quick
@given(st.integers(6, 80), st.integers(0, 10_000), st.integers(2, 4))
def test_values_agree_with_scikit_learn(n: int, seed: int, k: int) -> None:
    truth, table = drawn_table(n, seed, k=k)
    predicted = table.argmax(axis=1)
    metrics = measure(truth, table, "abcd"[:k], replicates=3)
    assert (metrics.confusion == sk.confusion_matrix(truth, predicted, labels=range(k))).all()
    assert metrics.accuracy.value == pytest.approx(sk.accuracy_score(truth, predicted))
    assert metrics.balanced_accuracy.value == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
    onehot = np.eye(k, dtype=int)[truth]
    for average in ("macro", "weighted"):
        got = {name: getattr(metrics, f"{average}_{name}").value for name in ("f1", "auroc", "auprc")}
        assert got["f1"] == pytest.approx(sk.f1_score(truth, predicted, average=average))
        assert got["auroc"] == pytest.approx(sk.roc_auc_score(onehot, table, average=average))
        assert got["auprc"] == pytest.approx(sk.average_precision_score(onehot, table, average=average))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        truth, predicted, labels=range(k), zero_division=np.nan
    )
    for i, item in enumerate(metrics.per_finding):
        assert item.n == support[i]
        assert item.sensitivity.value == pytest.approx(recall[i])
        assert item.f1.value == pytest.approx(f1[i])
        if math.isnan(precision[i]):
            assert item.ppv.note == "no image is called positive"
        else:
            assert item.ppv.value == pytest.approx(precision[i])
        rest = sk.confusion_matrix(truth == i, predicted == i, labels=[False, True])
        assert item.specificity.value == pytest.approx(rest[0, 0] / rest[0].sum())


@quick
@given(st.integers(4, 40), st.integers(0, 10_000), st.booleans(), st.floats(0.01, 0.99))
def test_every_number_lies_in_its_interval_and_in_json(n: int, seed: int, grouped: Any, share: float) -> None:
    truth, table = drawn_table(n, seed)
    groups = np.arange(n) // 2 if grouped else None
    metrics = measure(truth, table, "abc", groups=groups, prevalence={"b": share}, replicates=40)
    for name, item in estimates(metrics):
        if item.value is None:
            assert item.note
            assert (item.low, item.high) == (None, None)
        elif item.low is None:
            assert item.note
        else:
            assert 0 <= item.low <= item.value <= item.high
            assert name.startswith("likelihood") or item.high <= 1
    json.dumps(metrics.to_json(), allow_nan=False)


def test_order_of_images_does_not_matter() -> None:
    truth, table = drawn_table(60, 3)
    rows = np.random.default_rng(0).permutation(60)
    one, two = (
        measure(truth, table, "abc", replicates=20),
        measure(truth[rows], table[rows], "abc", replicates=20),
    )
    for (name, a), (_, b) in zip(estimates(one), estimates(two), strict=True):
        assert a.value == pytest.approx(b.value), name
        if "bootstrap" not in a.method and a.value is not None:
            assert (a.low, a.high) == (pytest.approx(b.low), pytest.approx(b.high)), name


def test_names_follow_the_columns() -> None:
    truth, table = drawn_table(60, 3)
    swapped = measure(2 - truth, table[:, ::-1], "cba", replicates=20)
    plain = measure(truth, table, "abc", replicates=20)
    assert swapped.macro_auroc.value == pytest.approx(plain.macro_auroc.value)
    assert swapped.per_finding[2].sensitivity == plain.per_finding[0].sensitivity
    assert (swapped.per_finding[2].finding, plain.per_finding[0].finding) == ("a", "a")


# --- intervals ------------------------------------------------------------------------------------


def test_methods_are_named() -> None:
    truth, table = drawn_table(90)
    plain = measure(truth, table, "abc", replicates=100)
    grouped = measure(truth, table, "abc", groups=np.arange(90) // 2, replicates=100)
    names = ("accuracy", "macro_f1", "macro_auroc")
    assert [getattr(plain, n).method for n in names] == ["Wilson", "bootstrap (stratified)", "DeLong"]
    assert [getattr(grouped, n).method for n in names] == [
        "Wilson (design effect)",
        "bootstrap (stratified, by patient)",
        "DeLong (clustered)",
    ]
    assert (plain.groups, grouped.groups) == (None, 45)


def test_repeated_images_of_a_patient_do_not_narrow_any_interval() -> None:
    truth, table = drawn_table(80, 5, shift=1)
    once = measure(truth, table, "abc", prevalence={"a": 0.1}, replicates=1500)
    repeated = {"truth": np.repeat(truth, 5), "probabilities": np.repeat(table, 5, axis=0), "findings": "abc"}
    grouped = measure(**repeated, groups=np.repeat(np.arange(80), 5), prevalence={"a": 0.1}, replicates=1500)
    naive = measure(**repeated, prevalence={"a": 0.1}, replicates=1500)
    for (name, a), (_, b), (_, c) in zip(estimates(once), estimates(grouped), estimates(naive), strict=True):
        if a.value is None:
            continue
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.15), name
        assert b.high - b.low > 1.7 * (c.high - c.low), name


def test_the_seed_decides_the_intervals() -> None:
    truth, table = drawn_table(50)
    one, same, other = (measure(truth, table, "abc", replicates=100, seed=s).to_json() for s in (1, 1, 2))
    assert one == same
    assert one["macro_f1"] != other["macro_f1"]


@pytest.mark.sampled
def test_bootstrap_intervals_of_f1_and_auprc_cover_the_truth() -> None:
    # The truth is the value on a very large set of the same kind.
    truth, table = drawn_table(30_000, 99)
    large = measure(truth, table, "abc", replicates=1)
    names = ("macro_f1", "weighted_auprc", "balanced_accuracy")
    covered = dict.fromkeys(names, 0)
    draws = sampled(200)
    for seed in range(draws):
        small = measure(*drawn_table(150, seed), "abc", replicates=200, seed=seed)
        for name in names:
            got = getattr(small, name)
            covered[name] += got.low <= getattr(large, name).value <= got.high
    for name in names:
        assert (0.91 if LONG else 0.85) <= covered[name] / draws <= (0.985 if LONG else 1), name


def test_prevalence_moves_the_predictive_values_only() -> None:
    truth, table = drawn_table(120)
    plain = measure(truth, table, "abc", replicates=20)
    stated = measure(truth, table, "abc", replicates=20, prevalence={"a": 0.02})
    first = stated.per_finding[0]
    se, sp = first.sensitivity.value, first.specificity.value
    assert first.stated_prevalence == 0.02
    assert first.ppv_at.value == pytest.approx(se * 0.02 / (se * 0.02 + (1 - sp) * 0.98))
    assert first.npv_at.value == pytest.approx(sp * 0.98 / (sp * 0.98 + (1 - se) * 0.02))
    assert first.ppv == plain.per_finding[0].ppv
    assert plain.per_finding[0].ppv_at.note == "no prevalence stated"
    assert stated.per_finding[1].stated_prevalence is None


# --- what does not exist --------------------------------------------------------------------------


def test_a_finding_that_never_occurs_does_not_apply_and_averages_say_so() -> None:
    truth, table = drawn_table(40, 1)
    kept = truth != 2
    metrics = measure(truth[kept], table[kept], "abc", replicates=50)
    absent = metrics.per_finding[2]
    for name in (
        "sensitivity",
        "f1",
        "auroc",
        "auprc",
        "likelihood_ratio_positive",
        "likelihood_ratio_negative",
    ):
        assert getattr(absent, name).value is None
        assert getattr(absent, name).note == "no image with this finding"
    assert absent.specificity.value is not None
    others = metrics.per_finding[:2]
    assert metrics.balanced_accuracy.value == pytest.approx(np.mean([f.sensitivity.value for f in others]))
    assert metrics.macro_auroc.value == pytest.approx(np.mean([f.auroc.value for f in others]))
    assert metrics.macro_auprc.value == pytest.approx(np.mean([f.auprc.value for f in others]))
    for name in AVERAGES[1:]:
        assert "averaged without c: no image with this finding" in getattr(metrics, name).note
    assert metrics.accuracy.note is None


def test_calls_of_a_finding_that_never_occurs_are_errors_and_have_no_predictive_value() -> None:
    truth, table = drawn_table(200, 4, k=4)
    kept = truth < 3
    truth, table = truth[kept], table[kept]
    metrics = measure(truth, table, "abcd", replicates=50)
    absent, calls = metrics.per_finding[3], int((table.argmax(axis=1) == 3).sum())
    assert calls > 0
    assert metrics.confusion[:, 3].sum() == calls
    assert metrics.confusion[3].sum() == 0
    assert metrics.accuracy.value == pytest.approx(sk.accuracy_score(truth, table.argmax(axis=1)))
    assert absent.specificity.value == 1 - calls / len(truth)
    for name, counts in (("ppv", (0, calls)), ("npv", (len(truth) - calls,) * 2)):
        got = getattr(absent, name)
        assert (got.value, got.note) == (None, "no image with this finding")
        assert (got.numerator, got.denominator) == counts
    others = metrics.per_finding[:3]
    assert metrics.macro_f1.value == pytest.approx(np.mean([f.f1.value for f in others]))
    for name in ("mean_ece", "mean_ece_if_calibrated"):
        assert "averaged without d: no image with this finding" in getattr(metrics.calibration, name).note
    point = at_operating_point(truth, table, 3, 0.2)
    assert point.sensitivity.value is point.ppv.value is point.npv.value is None
    assert point.specificity.value == pytest.approx((table[:, 3] < 0.2).mean())
    json.dumps(metrics.to_json(), allow_nan=False)


def test_with_two_findings_present_the_auroc_of_one_is_that_of_abnormality() -> None:
    # Normal (1) and pneumonia (2) of four findings: how well 1 - P(Normal) tells the second.
    truth, table = drawn_table(400, 6, shift=0.8, k=4)
    kept = (truth == 1) | (truth == 2)
    truth, table = truth[kept], table[kept]
    metrics = measure(truth, table, "abcd", replicates=20)
    assert metrics.per_finding[1].auroc.value == pytest.approx(sk.roc_auc_score(truth == 2, 1 - table[:, 1]))
    assert metrics.per_finding[2].auroc.value == pytest.approx(sk.roc_auc_score(truth == 2, table[:, 2]))
    assert metrics.per_finding[1].auroc.value != metrics.per_finding[2].auroc.value
    both = [metrics.per_finding[index].auroc.value for index in (1, 2)]
    assert metrics.macro_auroc.value == pytest.approx(np.mean(both))
    assert "averaged without a, d" in metrics.macro_auroc.note


def test_a_set_of_one_finding_has_no_ranking() -> None:
    _, table = drawn_table(12, 1)
    metrics = measure(np.zeros(12, int), table, "abc", replicates=50)
    for name in ("macro_auroc", "weighted_auroc", "macro_auprc", "weighted_auprc"):
        assert getattr(metrics, name).value is None
        assert "the set shows a single finding" in getattr(metrics, name).note
    only = metrics.per_finding[0]
    assert only.auroc.note == only.auprc.note == only.specificity.note == "no image without this finding"
    assert metrics.accuracy.value == only.sensitivity.value
    json.dumps(metrics.to_json(), allow_nan=False)


def test_perfect_predictions_claim_no_certainty() -> None:
    truth = np.repeat([0, 1, 2], 7)
    metrics = measure(truth, np.eye(3)[truth], "abc", replicates=50)
    for name, item in estimates(metrics):
        if item.value == 1.0:
            assert item.low is None or item.low < 0.95, name
    assert metrics.macro_f1.low is None
    assert metrics.macro_auroc.low == pytest.approx(0.025 ** (1 / 7))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"truth": np.array([0, -1, -1, 2])},
            DataError,
            r"Row 1 \(from 0\): the true finding is unknown \(-1\), as in 2 rows",
        ),
        (
            {"truth": np.array([0, 1, 3, 2])},
            DataError,
            r"Row 2 \(from 0\): true finding 3 is not one of 0 to 2",
        ),
        ({"truth": np.array([0.0, 1, 1, 2])}, DataError, "truth has dtype float64"),
        ({"truth": np.array([0, 1])}, DataError, r"need \(2, 3\)"),
        ({"truth": np.array([], int)}, DataError, "The prediction table is empty"),
        ({"truth": np.array([])}, DataError, "The prediction table is empty"),
        ({"probabilities": np.full((4, 2), 0.5)}, DataError, r"need \(4, 3\)"),
        ({"probabilities": (1, 0, math.nan)}, DataError, r"Row 2 \(from 0\).*holds NaN"),
        ({"probabilities": (2, -0.5, -0.5)}, DataError, r"Row 2 \(from 0\).*not logits"),
        ({"probabilities": (0.4, 0.4, 0.198)}, DataError, r"Row 2 \(from 0\).*does not sum to 1"),
        ({"findings": ["a", "a", "b"]}, DataError, "Give at least two names, each once"),
        ({"predicted": np.array([0, 1, 1])}, DataError, "Give 4 integers"),
        ({"predicted": np.array([0, 1, -1, 2])}, DataError, r"Row 2 \(from 0\): predicted finding -1"),
        ({"groups": np.array([0, 1, 1])}, DataError, "Give one group id an image"),
        ({"prevalence": {"d": 0.1}}, ConfigurationError, "prevalence names 'd'. Known findings: a, b, c"),
        ({"prevalence": {"a": 1.0}}, ConfigurationError, "Give a share between 0 and 1"),
        ({"replicates": 0}, ConfigurationError, "Give at least 1"),
    ],
)
def test_wrong_tables_are_refused(change: dict[str, Any], error: type[Any], message: str) -> None:
    good = {"truth": np.array([0, 1, 1, 2]), "probabilities": np.full((4, 3), 1 / 3), "findings": "abc"}
    if isinstance(change.get("probabilities"), tuple):
        table = good["probabilities"].copy()
        table[2] = change["probabilities"]
        change = {"probabilities": table}
    measure(**good, replicates=2)
    with pytest.raises(error, match=message) as caught:
        measure(**{**good, **change})
    assert isinstance(caught.value, CarinaError)


def test_a_sum_within_a_thousandth_is_accepted() -> None:
    table = np.array([[0.4, 0.4, 0.1995], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6]])
    assert measure(np.array([0, 1, 2]), table, "abc", replicates=2).n == 3


# --- result as JSON -------------------------------------------------------------------------------


def test_json_has_stable_keys() -> None:
    truth, table = drawn_table(30)
    out = measure(truth, table, FINDINGS, replicates=20).to_json()
    assert list(out) == ["findings", "n", "groups", "confusion", *AVERAGES, "per_finding", "calibration"]
    assert list(out["per_finding"]) == list(FINDINGS)
    assert list(out["per_finding"]["Normal"]) == [
        "finding",
        "n",
        "prevalence",
        "sensitivity",
        "specificity",
        "ppv",
        "npv",
        "stated_prevalence",
        "ppv_at",
        "npv_at",
        "f1",
        "likelihood_ratio_positive",
        "likelihood_ratio_negative",
        "auroc",
        "auprc",
    ]
    assert json.loads(json.dumps(out, allow_nan=False)) == out


def test_the_confusion_matrix_cannot_be_changed() -> None:
    truth, table = drawn_table(30)
    with pytest.raises(ValueError, match="read-only"):
        measure(truth, table, "abc", replicates=2).confusion[0, 0] = 5
    assert count_confusion(np.array([0, 0, 1]), np.array([1, 1, 0]), 2).tolist() == [[0, 2], [1, 0]]


# --- operating points -----------------------------------------------------------------------------


def test_operating_point_by_hand_and_at_the_threshold_itself() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    first = np.array([0.9, 0.5, 0.4, 0.5, 0.1, 0.2])
    table = np.stack([first, (1 - first) / 2, (1 - first) / 2], axis=1)
    got = at_operating_point(truth, table, 0, 0.5)
    # >= 0.5 calls images 0, 1 and 3: TP 2, FN 1, FP 1, TN 2.
    assert (got.true_positive, got.false_negative, got.false_positive, got.true_negative) == (2, 1, 1, 2)
    assert got.sensitivity == got.specificity == got.ppv == got.npv == wilson_interval(2, 3)
    assert at_operating_point(truth, table, 0, 0.500001).sensitivity == wilson_interval(1, 3)
    nobody = at_operating_point(truth, table, 0, 0.95)
    assert (nobody.sensitivity.value, nobody.ppv.note) == (0.0, "no image is called positive")
    assert json.loads(json.dumps(got.to_json(), allow_nan=False))["sensitivity"]["numerator"] == 2


def test_operating_point_respects_patients() -> None:
    truth, table = drawn_table(60, 2)
    plain = at_operating_point(truth, table, 0, 0.4)
    groups = np.repeat(np.arange(60), 3)
    grouped = at_operating_point(np.repeat(truth, 3), np.repeat(table, 3, axis=0), 0, 0.4, groups)
    assert grouped.specificity.value == plain.specificity.value
    assert grouped.specificity.low == pytest.approx(plain.specificity.low, abs=0.01)
    assert grouped.specificity.method == "Wilson (design effect)"


@pytest.mark.parametrize(
    ("truth", "index", "threshold", "error", "message"),
    [
        ([0, -1, 2], 0, 0.5, DataError, "unknown"),
        ([0, 1, 2], 3, 0.5, ConfigurationError, "Finding index 3 is not one of 0 to 2"),
        ([0, 1, 2], -1, 0.5, ConfigurationError, "Finding index -1"),
        ([0, 1, 2], 0, math.nan, ConfigurationError, "Give a finite number"),
    ],
)
def test_wrong_operating_points_are_refused(
    truth: list[int], index: int, threshold: float, error: type[Any], message: str
) -> None:
    with pytest.raises(error, match=message):
        at_operating_point(np.array(truth), np.full((3, 3), 1 / 3), index, threshold)
