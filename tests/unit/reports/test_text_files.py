"""The text files of an evaluation: the exact text of a small case, scikit-learn's numbers, width, and what is n/a."""

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import classification_report as sk_report

from carina.reports.text_files import calibration_text, classification_report, roc_auc_text, sens_spec_text
from carina.reports.written_numbers import full_text, value_text
from carina.statistics.intervals import Estimate
from carina.statistics.metrics import Metrics, measure

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
PUBLISHED = np.array([[488, 234, 2], [18, 2014, 7], [2, 47, 220]])
ALL = (classification_report, roc_auc_text, sens_spec_text, calibration_text)


def metrics_of(confusion: NDArray[np.int64], findings: tuple[Any, ...] = FINDINGS, **options: Any) -> Metrics:
    """Return the metrics of a prediction table that gives a confusion matrix."""
    if confusion is PUBLISHED and not options:
        return published()
    return measured(confusion, findings, **options)


@functools.cache
def published() -> Any:
    return measured(PUBLISHED, FINDINGS)


def measured(confusion: NDArray[np.int64], findings: tuple[Any, ...], **options: Any) -> Metrics:
    k = len(confusion)
    truth = np.repeat(np.repeat(np.arange(k), k), confusion.ravel())
    called = np.repeat(np.tile(np.arange(k), k), confusion.ravel())
    raw = np.random.default_rng(5).uniform(0.05, 0.4, (len(truth), k))
    raw[np.arange(len(truth)), called] += 0.5
    return measure(truth, raw / raw.sum(axis=1, keepdims=True), findings, replicates=10, **options)


SMALL_BLOCK = """\
Sensitivity and specificity, each finding against the rest: a small set
20 images
95 % intervals: Wilson for sensitivity, specificity, PPV in this set, NPV in this set; log odds for PPV at
stated prevalence, NPV at stated prevalence; bootstrap (stratified) for F1; log ratio for LR+, LR-.

Sick: 10 of 20 images, prevalence in this set 50 %
  sensitivity                       0.800 (0.490-0.943)  8 / 10
  specificity                       0.900 (0.596-0.982)  9 / 10
  PPV in this set, prevalence 50 %  0.889 (0.565-0.980)  8 / 9
  NPV in this set, prevalence 50 %  0.818 (0.523-0.949)  9 / 11
  PPV at stated prevalence 5 %      0.296 (0.060-0.735)  by Bayes' theorem
  NPV at stated prevalence 5 %      0.988 (0.961-0.997)  by Bayes' theorem
  F1                                <F1>  2 x 8 / (10 + 9)
  LR+                               8.00 (1.21-52.7)     (8 / 10) / (1 / 10)
  LR-                               0.222 (0.063-0.781)  (2 / 10) / (9 / 10)
"""


def test_a_small_case_worked_by_hand_reads_exactly_so() -> None:
    metrics = metrics_of(np.array([[8, 2], [1, 9]]), ("Sick", "Well"), prevalence={"Sick": 0.05})
    text = sens_spec_text(metrics, title="a small set")
    f1 = metrics.per_finding[0].f1
    assert f1.value == pytest.approx(16 / 19)
    # Only the bootstrap's ends cannot be worked out by hand.
    expected = SMALL_BLOCK.replace("<F1>", f"0.842 ({f1.low:.3f}-{f1.high:.3f})")
    assert text.startswith(expected + "\nWell: 10 of 20 images, prevalence in this set 50 %\n")
    assert "stated" not in text.split("Well:")[1]


def test_the_classification_report_reads_exactly_so() -> None:
    metrics = metrics_of(np.array([[8, 2], [1, 9]]), ("Sick", "Well"))
    ends = [
        f"{item.value:.3f} ({item.low:.3f}-{item.high:.3f})"
        for item in (
            metrics.per_finding[0].f1,
            metrics.per_finding[1].f1,
            metrics.balanced_accuracy,
            metrics.macro_f1,
            metrics.weighted_f1,
        )
    ]
    assert classification_report(metrics, title="a small set") == (
        "Classification report: a small set\n"
        "20 images\n"
        "95 % intervals: Wilson for precision, recall, accuracy; bootstrap (stratified) for mean recall, f1-score.\n"
        "\n"
        "              precision            recall               f1-score             support\n"
        "\n"
        f"        Sick  0.889 (0.565-0.980)  0.800 (0.490-0.943)  {ends[0]}       10\n"
        f"        Well  0.818 (0.523-0.949)  0.900 (0.596-0.982)  {ends[1]}       10\n"
        "\n"
        "    accuracy                                            0.850 (0.640-0.948)       20\n"
        f"   macro avg  0.854                {ends[2]}  {ends[3]}       20\n"
        f"weighted avg  0.854                0.850 (0.640-0.948)  {ends[4]}       20\n"
    )


@pytest.mark.parametrize("confusion", [PUBLISHED, np.array([[5, 1, 2], [3, 7, 0], [1, 4, 9]])])
def test_point_values_are_those_of_scikit_learn(confusion: NDArray[np.int64]) -> None:
    truth = np.repeat(np.repeat(np.arange(3), 3), confusion.ravel())
    called = np.repeat(np.tile(np.arange(3), 3), confusion.ravel())
    theirs = sk_report(truth, called, target_names=FINDINGS, digits=3)
    ours = classification_report(metrics_of(confusion), title="x").split("\n\n", 1)[1]
    bare = re.sub(r" \([^)]*\)", "", ours)
    assert bare.split() == theirs.split()


def test_every_measure_stands_in_its_row() -> None:
    text = roc_auc_text(metrics_of(PUBLISHED), title="x")
    metrics = metrics_of(PUBLISHED)
    rows = {line[:15].strip(): line for line in text.splitlines()}
    for name, auroc, auprc, n in (
        ("macro avg", metrics.macro_auroc, metrics.macro_auprc, 3032),
        ("weighted avg", metrics.weighted_auroc, metrics.weighted_auprc, 3032),
        *((item.finding, item.auroc, item.auprc, item.n) for item in metrics.per_finding),
    ):
        cells = [f"{item.value:.3f} ({item.low:.3f}-{item.high:.3f})" for item in (auroc, auprc)]
        assert re.split(r" {2,}", rows[name].strip()) == [name, *cells, str(n)]
    assert "95 % intervals: DeLong for AUROC; bootstrap (stratified) for AUPRC." in text


@pytest.mark.parametrize("write", ALL)
def test_the_notice_comes_first_in_capitals(write: Callable[..., Any]) -> None:
    text = write(metrics_of(PUBLISHED), title="x", notice="Leak allowed: 37 test images were also trained on")
    first, second, third, fourth, *_ = text.splitlines()
    assert first == third == "!" * 110
    assert second == "LEAK ALLOWED: 37 TEST IMAGES WERE ALSO TRAINED ON"
    assert fourth == ""
    assert "!" not in write(metrics_of(PUBLISHED), title="x")


LONG = (
    "Tuberculosis",
    "Pulmonary oedema with pleural effusions",
    "W" * 40,
    "Cardiomegaly (cardiothoracic ratio >0.5)",
    "chronic_obstructive_pulmonary_disease_xy",
)


@pytest.mark.parametrize("write", ALL)
def test_no_line_is_wider_than_110_characters(write: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    confusion = rng.integers(0, 900, (5, 5))
    confusion[2] = 0
    metrics = metrics_of(confusion, LONG, prevalence=dict.fromkeys(LONG, 0.0123))
    text = write(metrics, title="images of a data set with a long name " * 6, notice="a long warning " * 20)
    assert max(map(len, text.splitlines())) <= 110
    assert not any(line != line.rstrip() for line in text.splitlines())
    assert text.endswith("\n")
    for name in LONG:
        assert name.replace(" ", "") in re.sub(r"\s", "", text) or name[:20] in text


@pytest.mark.parametrize("write", ALL)
def test_columns_are_aligned(write: Callable[..., Any]) -> None:
    text = write(metrics_of(PUBLISHED, prevalence={"COVID-19": 0.05}), title="x")
    starts = {found.start() for line in text.splitlines() for found in re.finditer(r"0\.\d{3} \(0\.\d{3}-", line)}
    assert len(starts) == {classification_report: 3, roc_auc_text: 2, sens_spec_text: 1, calibration_text: 3}[write]


def test_what_does_not_exist_is_na_and_the_notes_say_why() -> None:
    metrics = metrics_of(np.array([[2, 0, 0], [1, 3, 0], [0, 0, 0]]))
    report = classification_report(metrics, title="x")
    assert re.search(r"Viral Pneumonia +n/a +n/a +n/a +0\n", report)
    assert "- precision of Viral Pneumonia: no image is called positive\n" in report
    assert "- recall, f1-score of Viral Pneumonia: no image with this finding\n" in report
    assert "averaged without Viral Pneumonia" in report
    assert re.search(r"macro avg +0\.833 ", report)  # (2 / 3 + 1) / 2, without the finding that does not occur
    areas = roc_auc_text(metrics, title="x")
    assert re.search(r"Viral Pneumonia +n/a +n/a +0\n", areas)
    assert "- AUROC, AUPRC of Viral Pneumonia: no image with this finding\n" in areas
    assert re.search(r"sensitivity +n/a +0 / 0\n", sens_spec_text(metrics, title="x"))


def test_a_value_without_an_interval_says_so() -> None:
    truth = np.repeat([0, 1, 2], 3)
    text = roc_auc_text(measure(truth, np.eye(3)[truth], FINDINGS, replicates=20), title="x")
    assert re.search(r"COVID-19 +1\.000 \(0\.\d{3}-1\.000\)  1\.000 \(no interval\) +3\n", text)
    assert "every replicate gave the same value, so the data show no spread" in " ".join(text.split())


def test_an_average_of_precision_says_which_finding_counts_as_0() -> None:
    confusion = np.array([[5, 1, 0], [1, 7, 0], [2, 2, 0]])
    text = classification_report(metrics_of(confusion), title="x")
    assert "- never called, counts as 0 in the averages of precision: Viral Pneumonia\n" in text
    assert re.search(rf"macro avg +{(5 / 8 + 7 / 10) / 3:.3f} ", text)
    assert "never called" not in classification_report(metrics_of(PUBLISHED), title="x")


def test_several_images_of_a_patient_are_told() -> None:
    metrics = metrics_of(PUBLISHED, groups=np.arange(PUBLISHED.sum()) // 2)
    for write in ALL:
        text = write(metrics, title="x")
        assert "3032 images of 1516 patients\n" in text
        if write is sens_spec_text:
            assert text.count("design effect 1.89 to 2.01") == 1
            assert "Wilson (design effect) for sensitivity" in text
    assert "sandwich (by patient) for intercept, slope" in text


def test_ratios_keep_three_digits() -> None:
    text = sens_spec_text(metrics_of(PUBLISHED), title="x")
    assert re.search(r"LR\+ +77\.8 \(50\.\d-12\d\) +\(488 / 724\) / \(20 / 2308\)", text)
    assert re.search(r"LR\+ +251 \(\d{3}-\d{3}\) +\(220 / 269\) / \(9 / 2763\)", text)
    assert re.search(r"LR- +0\.329 ", text)


def test_a_ratio_below_zero_has_as_many_digits_and_a_minus_sign() -> None:
    slope = Estimate(2.904, -2.2061, 8.004, "sandwich")
    assert full_text(slope, "ratio") == "2.90 (−2.21 to 8.00)"
    assert value_text(Estimate(-0.51234, None, None, "none"), "ratio") == "−0.512"


def test_every_measure_of_calibration_stands_in_its_row() -> None:
    metrics = metrics_of(PUBLISHED)
    text = calibration_text(metrics, title="x")
    whole = metrics.calibration
    errors, lines = ({}, {})
    for line in text.split("Notes")[0].splitlines():
        name, *cells = re.split(r" {2,}", line.strip())
        (lines if name in errors else errors)[name] = cells

    def cell(item: Any) -> Any:
        return f"{item.value:.3f} ({item.low:.3f}-{item.high:.3f})"

    def signed(item: Any) -> Any:
        return f"{item.value:.2f} ({item.low:.2f} to {item.high:.2f})"

    assert errors["called finding"] == [cell(whole.ece), cell(whole.ece_if_calibrated), "3032"]
    assert errors["all findings"] == [*map(cell, (whole.brier, whole.mean_ece, whole.mean_ece_if_calibrated)), "3032"]
    for item in whole.per_finding:
        assert errors[item.finding] == [*map(cell, (item.brier, item.ece, item.ece_if_calibrated)), str(item.n)]
        expected = [f"{item.mean_probability:.3f}", f"{item.n / 3032:.3f}", signed(item.intercept), signed(item.slope)]
        assert lines[item.finding] == expected
    assert "of all findings their sum, at most 2" in " ".join(text.split())


FOUR = (*FINDINGS, "Other opacity")
ABSENT = np.array([[30, 2, 1, 4], [3, 50, 2, 6], [1, 1, 20, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("write", ALL)
def test_an_absent_finding_is_na_and_averages_say_that_it_is_left_out(write: Callable[..., Any]) -> None:
    text = " ".join(write(metrics_of(ABSENT, FOUR), title="x").split())
    assert "of Other opacity: no image with this finding" in text
    if write is not sens_spec_text:
        assert "averaged without Other opacity: no image with this finding" in text
    else:
        block = text.split("Other opacity: 0 of 120 images")[1]
        assert "sensitivity n/a 0 / 0 specificity 0.917" in block
        assert "PPV in this set, prevalence 0 % n/a 0 / 10 NPV in this set, prevalence 0 % n/a 110 / 110" in block
