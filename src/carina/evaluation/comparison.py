"""Is one model better than another? Paired tests on the images that both judged.

Both models saw the same images, so every test is paired: it looks only at images (or patients) on which they
differ. Raw and Holm-corrected p values are side by side. A p value says whether a difference could be
chance; the interval of the difference says how large it may be, and is to be read first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, ndtr

from carina.errors import DataError
from carina.notebook import boxed, table_html
from carina.statistics.checked_table import check_probabilities, check_truth
from carina.statistics.curves import checked_scores
from carina.statistics.delong import NO_VARIANCE, AurocComponents, auroc_components
from carina.statistics.intervals import BoolArray, Estimate, FloatArray, IntArray, Record, group_codes, not_applicable
from carina.statistics.proportion import normal_quantile, wilson_bounds


@dataclass(frozen=True, slots=True)
class PairedTest(Record):
    """One measure of model A against the same measure of model B."""

    measure: str  # "accuracy", "sensitivity", "specificity", "AUROC" or "Brier score"
    finding: str | None  # the finding measured against the rest; None for accuracy
    # The measure of each model; None where it does not exist.
    value_a: float | None
    value_b: float | None
    difference: Estimate  # A - B with its paired interval, range [-1, 1]
    p_value: float | None  # two-sided; None where the test does not exist, `difference.note` then says why
    p_value_holm: float | None  # corrected for all tests of one comparison; None outside a comparison
    method: str  # the test: "McNemar mid-p", "McNemar mid-p (by patient)", "DeLong paired", "DeLong paired (clustered)"
    # Images that only A, and only B, judged rightly; None for AUROC.
    only_a: int | None = None
    only_b: int | None = None
    z: float | None = None  # DeLong's standard normal statistic; None for McNemar, which is exact


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """All paired tests between two models."""

    findings: tuple[str, ...]  # names, in column order
    n: int  # number of images
    groups: int | None  # number of patients (or duplicate groups); None if every image is independent
    tests: tuple[PairedTest, ...]  # accuracy, then for each finding sensitivity, specificity and AUROC

    def rows(self) -> list[tuple[str, ...]]:
        """Return each test as text: figure, both values, difference, p, p after Holm, and the test."""
        return [
            (
                test.measure if test.finding is None else f"{test.finding}: {test.measure}",
                *("n/a" if value is None else f"{value:.3f}" for value in (test.value_a, test.value_b)),
                str(test.difference),
                *(_p(value) for value in (test.p_value, test.p_value_holm)),
                test.method,
            )
            for test in self.tests
        ]

    def _repr_html_(self) -> str:
        head = ("figure", "A", "B", "A − B", "p", "p (Holm)", "test")
        return boxed(f"<b>A against B on the same {self.n:,} images</b>", table_html(head, self.rows()))


def _p(value: float | None) -> str:
    if value is None:
        return "n/a"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def mcnemar(
    correct_a: BoolArray,
    correct_b: BoolArray,
    groups: IntArray | None = None,
    *,
    measure: str = "accuracy",
    finding: str | None = None,
) -> PairedTest:
    """Return McNemar's exact mid-p test of two proportions on the same images, with the paired interval.

    Mid-p at every size, and not exact below 25 discordant images and chi-squared above: one rule without a
    jump, and close to the nominal level where the exact test is too cautious. With groups the two models are
    exchanged for whole patients at a time, over all ways of doing so and without random draws; with one image
    a patient that is the binomial of the plain test.

    Source: Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91; interval: Newcombe 1998, method
    10, doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C; by patient: Obuchowski 1998,
    doi:10.1002/(SICI)1097-0258(19980715)17:13<1495::AID-SIM863>3.0.CO;2-I.

    Parameters
    ----------
    correct_a, correct_b
        bool (n,), whether each model judged the image rightly.
    groups
        int (n,) patient or duplicate group ids, or None.
    measure, finding
        What is compared; carried into the result.

    Raises
    ------
    DataError
        If the two are not boolean arrays of one length.
    """
    right_a, right_b = np.asarray(correct_a), np.asarray(correct_b)
    if right_a.shape != right_b.shape or right_a.ndim != 1:
        msg = f"The models have results of shape {right_a.shape} and {right_b.shape}. Compare them on the same images."
        raise DataError(msg)
    if len(right_a) and (right_a.dtype != np.bool_ or right_b.dtype != np.bool_):
        msg = f"Results have dtype {right_a.dtype} and {right_b.dtype}. Give whether each was right, as bool."
        raise DataError(msg)
    codes = group_codes(groups, len(right_a))
    method = "McNemar mid-p" if codes is None else "McNemar mid-p (by patient)"
    if len(right_a) == 0:
        nothing = not_applicable("no images to compare")
        return PairedTest(measure, finding, None, None, nothing, None, None, method, 0, 0)
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    gain = right_a.astype(np.int_) - right_b
    if codes is None:
        difference = _newcombe_paired(right_a, right_b)
        p_value = sign_flip_mid_p(gain)
    else:
        per_group = np.bincount(codes, weights=gain).astype(np.int_)
        difference = _clustered_difference(per_group, np.bincount(codes))
        p_value = sign_flip_mid_p(per_group)
    return PairedTest(
        measure,
        finding,
        float(right_a.mean()),
        float(right_b.mean()),
        difference,
        p_value,
        None,
        method,
        only_a,
        only_b,
    )


def sign_flip_mid_p(gains: IntArray) -> float:
    """Return the two-sided mid-p value of a sum when each term's sign is a fair coin.

    Twice the one-sided mid-p, P(T > t) + P(T = t) / 2. The whole distribution is computed, by convolution, so
    there is no Monte Carlo error and no seed.

    Source: Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91.

    Parameters
    ----------
    gains
        int (g,): for each patient (or image) how many more images A judged rightly than B.
    """
    sizes = np.abs(gains[gains != 0])
    singles = int((sizes == 1).sum())
    # Patients with a single discordant image form a binomial at once; the rest are convolved one by one.
    steps = np.arange(singles + 1)
    log_choose = gammaln(singles + 1) - gammaln(steps + 1) - gammaln(singles - steps + 1)
    chance = np.zeros(2 * singles + 1)
    chance[::2] = np.exp(log_choose - singles * math.log(2))
    for size in sizes[sizes > 1]:
        wider = np.zeros(len(chance) + 2 * int(size))
        wider[: len(chance)] += chance / 2
        wider[2 * int(size) :] += chance / 2
        chance = wider
    at = len(chance) // 2 + abs(int(gains.sum()))
    one_sided = float(chance[at + 1 :].sum() + chance[at] / 2)
    return min(1.0, 2 * one_sided)


def paired_brier(
    positive: BoolArray,
    probability_a: FloatArray,
    probability_b: FloatArray,
    groups: IntArray | None = None,
    *,
    finding: str | None = None,
) -> PairedTest:
    """Return two Brier scores on the same images, with the interval of their difference; the smaller one is better.

    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2. The interval is normal, with the variance
    between patients.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    probability_a, probability_b
        float (n,), each model's probability of the finding.
    groups
        int (n,) patient or duplicate group ids, or None.
    finding
        Carried into the result.
    """
    if not len(positive):
        nothing = not_applicable("no images to compare")
        return PairedTest("Brier score", finding, None, None, nothing, None, None, "Brier paired")
    losses_a, losses_b = ((probability - positive) ** 2 for probability in (probability_a, probability_b))
    codes = group_codes(groups, len(positive))
    unit = np.arange(len(positive)) if codes is None else codes
    difference = _clustered_difference(np.bincount(unit, weights=losses_a - losses_b), np.bincount(unit))
    means = float(losses_a.mean()), float(losses_b.mean())
    return PairedTest("Brier score", finding, *means, difference, None, None, "Brier paired")


def _newcombe_paired(right_a: BoolArray, right_b: BoolArray) -> Estimate:
    """Return the difference of paired proportions by Newcombe's method 10: Wilson bounds, square and add."""
    n = len(right_a)
    both, neither = float((right_a & right_b).sum()), float((~right_a & ~right_b).sum())
    only_a, only_b = float((right_a & ~right_b).sum()), float((~right_a & right_b).sum())
    share_a, share_b = (both + only_a) / n, (both + only_b) / n
    low_a, high_a = wilson_bounds(share_a, n)
    low_b, high_b = wilson_bounds(share_b, n)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    covariance = both * neither - only_a * only_b
    if covariance > 0:
        covariance = max(covariance - n / 2, 0.0)
    correlation = covariance / math.sqrt(margins) if margins > 0 else 0.0
    down = _square_and_add(share_a - low_a, high_b - share_b, correlation)
    up = _square_and_add(high_a - share_a, share_b - low_b, correlation)
    value = (only_a - only_b) / n
    return Estimate(value, max(-1.0, value - down), min(1.0, value + up), "Newcombe paired")


def _square_and_add(first: float, second: float, correlation: float) -> float:
    """Return the half width of a difference from those of its two parts."""
    return math.sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))


def _clustered_difference(gains: IntArray | FloatArray, sizes: IntArray) -> Estimate:
    """Return the difference with a normal interval whose variance is that between patients."""
    n, groups = int(sizes.sum()), len(gains)
    value = float(gains.sum() / n)
    if groups < 2 or not gains.any():
        reason = "a single patient" if groups < 2 else "the models are right on the same images"
        return Estimate(value, None, None, "none", note=f"{reason}, so the data show no spread")
    variance = groups / (groups - 1) * float(((gains - value * sizes) ** 2).sum()) / n**2
    if variance < NO_VARIANCE:
        return Estimate(value, None, None, "none", note="all patients agree, so the data show no spread")
    half = normal_quantile() * math.sqrt(variance)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), "normal (by patient)")


def paired_delong(
    positive: BoolArray,
    score_a: FloatArray,
    score_b: FloatArray,
    groups: IntArray | None = None,
    *,
    finding: str | None = None,
) -> PairedTest:
    """Return DeLong's test of two AUROCs on the same images, with the interval of their difference.

    Where neither model misplaces an image the other does not, the difference has no variance: there is no
    interval then, and no p value unless the difference is 0.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; groups: Obuchowski 1997,
    doi:10.2307/2533958.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    score_a, score_b
        float (n,), each model's probability of the finding.
    groups
        int (n,) patient or duplicate group ids, or None.
    finding
        Carried into the result.

    Raises
    ------
    DataError
        If lengths differ or a score is NaN.
    """
    positive, score_a = checked_scores(positive, score_a)
    _, score_b = checked_scores(positive, score_b)
    clustered = group_codes(groups, len(positive)) is not None
    method = "DeLong paired (clustered)" if clustered else "DeLong paired"
    if positive.all() or not positive.any():
        nothing = not_applicable(f"no image {'without' if positive.any() else 'with'} this finding")
        return PairedTest("AUROC", finding, None, None, nothing, None, None, method)
    parts_a, parts_b = (auroc_components(positive, score, groups) for score in (score_a, score_b))
    value = parts_a.auroc - parts_b.auroc
    between = AurocComponents(
        value,
        parts_a.positive - parts_b.positive,
        parts_a.negative - parts_b.negative,
        parts_a.positive_groups,
        parts_a.negative_groups,
        parts_a.pairs,
        parts_a.clustered,
    )
    variance = between.variance()
    if variance is None or variance < NO_VARIANCE:
        reason = "a side has a single patient or image" if variance is None else "the difference has no variance"
        # No variance and no difference: both rank alike, so nothing speaks against equality.
        p_value = 1.0 if variance is not None and value == 0 else None
        difference = Estimate(value, None, None, "none", note=reason)
        return PairedTest("AUROC", finding, parts_a.auroc, parts_b.auroc, difference, p_value, None, method)
    z = value / math.sqrt(variance)
    half = normal_quantile() * math.sqrt(variance)
    difference = Estimate(value, max(-1.0, value - half), min(1.0, value + half), method)
    p_value = float(2 * ndtr(-abs(z)))
    return PairedTest("AUROC", finding, parts_a.auroc, parts_b.auroc, difference, p_value, None, method, z=z)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values corrected by Holm's step-down rule; None stays None and does not count.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70, https://www.jstor.org/stable/4615733.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[index] = largest
    return corrected


def compare(
    truth: IntArray,
    probabilities_a: FloatArray,
    probabilities_b: FloatArray,
    findings: Sequence[str],
    *,
    groups: IntArray | None = None,
) -> Comparison:
    """Return every paired test between two models on the same images, Holm-corrected together.

    Accuracy, sensitivity (among the images with a finding) and specificity (among those without) by McNemar,
    one-vs-rest AUROC by DeLong. The predicted finding is the most probable one. Where `groups` holds several
    images of one patient, all tests take the patient as the unit.

    Parameters
    ----------
    truth
        int (n,), index of the true finding; unknown (-1) is refused.
    probabilities_a, probabilities_b
        float (n, k), rows sum to 1, in the same image order.
    findings
        k names in column order.
    groups
        int (n,) patient or duplicate group ids, or None.

    Raises
    ------
    DataError
        If the tables do not hold the same images, or as `measure` does.
    """
    names = tuple(findings)
    truth = check_truth(truth, len(names))
    table_a = check_probabilities(probabilities_a, len(truth), len(names))
    table_b = check_probabilities(probabilities_b, len(truth), len(names))
    codes = group_codes(groups, len(truth))
    called_a, called_b = table_a.argmax(axis=1), table_b.argmax(axis=1)
    tests = [mcnemar(called_a == truth, called_b == truth, codes)]
    for index, name in enumerate(names):
        positive = truth == index
        # A call on this finding is right where it agrees with the truth about this finding alone.
        right_a, right_b = (called_a == index) == positive, (called_b == index) == positive
        for measure, among in (("sensitivity", positive), ("specificity", ~positive)):
            members = None if codes is None else codes[among]
            tests.append(mcnemar(right_a[among], right_b[among], members, measure=measure, finding=name))
        tests.append(paired_delong(positive, table_a[:, index], table_b[:, index], codes, finding=name))
    corrected = holm([test.p_value for test in tests])
    return Comparison(
        findings=names,
        n=len(truth),
        groups=None if codes is None else int(codes.max()) + 1,
        tests=tuple(replace(test, p_value_holm=p) for test, p in zip(tests, corrected, strict=True)),
    )
