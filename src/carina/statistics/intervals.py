"""A number with its confidence interval: proportions, likelihood ratios and predictive values.

Two rules hold in the whole room. A number that does not exist (no positives, nothing predicted) is an
`Estimate` without a value and with the reason, never NaN or 0. An interval that the data cannot give (every
replicate alike) is left out with the reason, because an interval of no width claims certainty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.errors import ConfigurationError, DataError
from carina.statistics.proportion import normal_quantile, wilson_bounds

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int_]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A dataclass whose fields become JSON."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON-safe nested dict, always with the same keys; null for what is missing.

        `per_finding` is keyed by the finding's name.
        """
        out = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        if "per_finding" in out:
            out["per_finding"] = {item["finding"]: item for item in out["per_finding"]}
        return out


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@dataclass(frozen=True, slots=True)
class Estimate(Record):
    """A value with its confidence interval, or the reason why there is none.

    Parameters
    ----------
    value
        The number, or None where it does not apply; `note` then says why.
    low, high
        Ends of the interval, `low <= value <= high`; None where the data cannot give them.
    method
        How the interval was made: "Wilson", "Wilson (design effect)", "DeLong", "DeLong (clustered)",
        "independent pairs", "bootstrap (stratified)", "bootstrap (stratified, by patient)", "log ratio",
        "log odds", and so on; "none" where there is no interval.
    numerator, denominator
        The counts behind a proportion.
    note
        Whatever a reader must know to read the number rightly.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    numerator: int | None = None
    denominator: int | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                msg = (
                    f"The {name} of an estimate is {number}. An estimate holds finite numbers; "
                    "use not_applicable() with the reason."
                )
                raise DataError(msg)

    def __str__(self) -> str:
        if self.value is None:
            return f"n/a: {self.note}"
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (no interval: {self.note})"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def not_applicable(reason: str, *, numerator: int | None = None, denominator: int | None = None) -> Estimate:
    """Return an estimate without a value that carries the reason."""
    return Estimate(None, None, None, "none", numerator, denominator, reason)


def wilson_interval(successes: int, trials: int) -> Estimate:
    """Return a proportion with its Wilson score interval.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953; preferred to the Wald interval by
    Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286.

    Parameters
    ----------
    successes, trials
        Counts of independent trials.

    Raises
    ------
    DataError
        If the counts are negative or there are more successes than trials.
    """
    successes, trials = int(successes), int(trials)
    if not 0 <= successes <= trials:
        msg = f"{successes} successes in {trials} trials is impossible. Give 0 <= successes <= trials."
        raise DataError(msg)
    if trials == 0:
        return not_applicable("no images to count", numerator=0, denominator=0)
    proportion = successes / trials
    low, high = wilson_bounds(proportion, trials)
    return Estimate(proportion, low, high, "Wilson", successes, trials)


def refuse_rows(wrong: BoolArray, reason: Callable[[int], str]) -> None:
    """Refuse a table by its first wrong row, if there is one; the reason is asked for with its number.

    Raises
    ------
    DataError
        If a row is wrong.
    """
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = f"Row {row} (from 0): {reason(row)}"
        raise DataError(msg)


def group_codes(groups: IntArray | None, n: int) -> IntArray | None:
    """Return groups renumbered from 0 without gaps, or None if every image is independent.

    Parameters
    ----------
    groups
        int (n,): one id for all images of a patient (or of a set of duplicates), not negative.
    n
        Number of images.

    Raises
    ------
    DataError
        If `groups` has another length, holds something else than integers, or holds a negative id.
    """
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (n,):
        msg = f"groups has shape {groups.shape} for {n} images. Give one group id an image."
        raise DataError(msg)
    if groups.dtype.kind not in "iu":
        msg = f"groups has dtype {groups.dtype}. Give integer group ids."
        raise DataError(msg)
    # A -1 for "patient unknown" would silently tie all unknown patients into one huge group.
    remedy = "Give an image of an unknown patient an id of its own."
    refuse_rows(groups < 0, lambda row: f"group id {groups[row]} is negative. {remedy}")
    values, codes = np.unique(groups, return_inverse=True)
    return None if len(values) == n else codes.astype(np.int_)


def design_effect(success: BoolArray, groups: IntArray | None) -> float:
    """Return by how much grouping inflates the variance of a proportion, at least 1.

    The variance is that of a ratio of group totals. Where the proportion is 0 or 1 the data show no variance,
    so the images of a group are taken as fully dependent: the effective number is that of Kish,
    (sum of sizes) squared over the sum of squared sizes.

    Source: Rao and Scott 1992, doi:10.2307/2532311; Kish 1965, Survey Sampling, chapter 11.

    Parameters
    ----------
    success
        bool (n,), n > 0.
    groups
        int (n,) group ids, or None.
    """
    n = len(success)
    codes = group_codes(groups, n)
    if codes is None:
        return 1.0
    sizes = np.bincount(codes).astype(np.float64)
    totals = np.bincount(codes, weights=success)
    proportion, count = float(totals.sum() / n), len(sizes)
    if count == 1 or proportion in (0.0, 1.0):
        return float((sizes**2).sum() / n)
    variance = count / (count - 1) * float(((totals - proportion * sizes) ** 2).sum()) / n**2
    # Below 1 is noise more often than truth: no interval narrower than that of independent images is claimed.
    return max(1.0, variance * n / (proportion * (1 - proportion)))


def proportion_interval(success: BoolArray, groups: IntArray | None = None) -> Estimate:
    """Return the share of successes with a Wilson interval that respects images of one patient.

    Without groups of several images this is `wilson_interval`. With them the Wilson interval is computed at
    the effective number of images, n / design effect: unlike a bootstrap it keeps its width at 0 % and 100 %.

    Source: Rao and Scott 1992, doi:10.2307/2532311; Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Parameters
    ----------
    success
        bool (n,).
    groups
        int (n,) patient or duplicate group ids, or None.
    """
    success = np.asarray(success, dtype=np.bool_)
    n, hits = len(success), int(success.sum())
    if n == 0 or group_codes(groups, n) is None:
        return wilson_interval(hits, n)
    effect = design_effect(success, groups)
    low, high = wilson_bounds(hits / n, n / effect)
    note = f"design effect {effect:.2f}"
    return Estimate(hits / n, low, high, "Wilson (design effect)", hits, n, note)


@dataclass(frozen=True, slots=True)
class BinaryCounts:
    """The four cells of one finding against the rest, with the design effects of its two proportions.

    Parameters
    ----------
    true_positive, false_negative, false_positive, true_negative
        Counts of images.
    effect_positive, effect_negative
        Design effect of sensitivity and of specificity; 1 for independent images.
    """

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int
    effect_positive: float = 1.0
    effect_negative: float = 1.0

    @property
    def positives(self) -> int:
        """Number of images with the finding."""
        return self.true_positive + self.false_negative

    @property
    def negatives(self) -> int:
        """Number of images without the finding."""
        return self.false_positive + self.true_negative

    def called(self, *, positive_call: bool) -> tuple[int, int]:
        """Return the images with and without the finding that are called positive, or that are called negative."""
        if positive_call:
            return self.true_positive, self.false_positive
        return self.false_negative, self.true_negative


_CORRECTED = "a cell of the 2 x 2 table is 0"


def _log_ratio_bounds(counts: BinaryCounts, *, positive_call: bool) -> tuple[float, float, float]:
    """Return likelihood ratio, low and high on the log scale, each cell + 0.5 where one of the four is 0."""
    hits, alarms = map(float, counts.called(positive_call=positive_call))
    positives, negatives = float(counts.positives), float(counts.negatives)
    if 0 in (hits, alarms, positives - hits, negatives - alarms):
        hits, alarms, positives, negatives = hits + 0.5, alarms + 0.5, positives + 1, negatives + 1
    ratio = (hits / positives) / (alarms / negatives)
    variance = counts.effect_positive * (1 / hits - 1 / positives)
    variance += counts.effect_negative * (1 / alarms - 1 / negatives)
    spread = math.exp(normal_quantile() * math.sqrt(variance))
    return ratio, ratio / spread, ratio * spread


def likelihood_ratio(counts: BinaryCounts, *, positive_call: bool) -> Estimate:
    """Return LR+ = sensitivity / (1 - specificity), or LR- = (1 - sensitivity) / specificity.

    The interval is symmetric on the log scale. Where one of the four cells is 0 it comes from the table with
    0.5 added to each cell; a ratio that would be 0 or infinite comes from that table too. The note says so.

    Source: Simel, Samsa and Matchar 1991, doi:10.1016/0895-4356(91)90128-v.

    Parameters
    ----------
    counts
        The four cells.
    positive_call
        True for LR+, False for LR-.
    """
    if counts.positives == 0 or counts.negatives == 0:
        return not_applicable(_missing_side(counts))
    corrected, low, high = _log_ratio_bounds(counts, positive_call=positive_call)
    hits, alarms = counts.called(positive_call=positive_call)
    value, note = corrected, None
    if hits and alarms:
        value = (hits / counts.positives) / (alarms / counts.negatives)
        if 0 in (counts.positives - hits, counts.negatives - alarms):
            note = f"{_CORRECTED}: interval with 0.5 added to each cell"
    else:
        what = "infinite" if hits else "0" if alarms else "0/0"
        note = f"{_CORRECTED}: the ratio itself is {what}; value and interval with 0.5 added to each cell"
    return Estimate(value, min(low, value), max(high, value), "log ratio", note=note)


def predictive_value_at(counts: BinaryCounts, prevalence: float, *, positive_call: bool) -> Estimate:
    """Return the PPV (or NPV) that sensitivity and specificity give at a prevalence, by Bayes' theorem.

    The interval is that of the likelihood ratio carried through Bayes' theorem, which is exactly the logit
    interval of Mercaldo, Lau and Zhou. The prevalence is taken as known.

    Source: Mercaldo, Lau and Zhou 2007, doi:10.1002/sim.2677.

    Parameters
    ----------
    counts
        The four cells.
    prevalence
        Share of the finding where the model is to be used, strictly between 0 and 1.
    positive_call
        True for PPV, False for NPV.

    Raises
    ------
    ConfigurationError
        If the prevalence does not lie strictly between 0 and 1.
    """
    if not 0 < prevalence < 1:
        msg = f"Prevalence {prevalence} is not a share. Give a number between 0 and 1, such as 0.05."
        raise ConfigurationError(msg)
    if counts.positives == 0 or counts.negatives == 0:
        return not_applicable(_missing_side(counts))
    hits, alarms = counts.called(positive_call=positive_call)
    if hits + alarms == 0:
        return not_applicable(f"no image is called {'positive' if positive_call else 'negative'}")
    with_finding = prevalence * hits / counts.positives
    without = (1 - prevalence) * alarms / counts.negatives
    odds = prevalence / (1 - prevalence)
    _, low_ratio, high_ratio = _log_ratio_bounds(counts, positive_call=positive_call)
    low, high = (ratio * odds / (1 + ratio * odds) for ratio in (low_ratio, high_ratio))
    value = with_finding / (with_finding + without)
    if not positive_call:
        value, low, high = without / (with_finding + without), 1 - high, 1 - low
    zero = 0 in (hits, alarms, counts.positives - hits, counts.negatives - alarms)
    note = f"at prevalence {prevalence:g}"
    if zero:
        note += f"; {_CORRECTED}: interval with 0.5 added to each cell"
    return Estimate(value, min(low, value), max(high, value), "log odds", note=note)


def _missing_side(counts: BinaryCounts) -> str:
    """Return why a measure that needs both sides does not exist."""
    return "no image with this finding" if counts.positives == 0 else "no image without this finding"
