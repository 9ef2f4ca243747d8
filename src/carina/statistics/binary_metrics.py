"""One finding against the rest by a yes or no: the four counts, and the shares that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carina.errors import ConfigurationError
from carina.statistics.checked_table import check_probabilities, check_truth
from carina.statistics.intervals import (
    BinaryCounts,
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    Record,
    design_effect,
    group_codes,
    not_applicable,
    proportion_interval,
)


@dataclass(frozen=True, slots=True)
class OperatingPointMetrics(Record):
    """What a finding's binary decision `probability >= threshold` reaches against the rest.

    Parameters
    ----------
    threshold
        The threshold, range [0, 1].
    true_positive, false_negative, false_positive, true_negative
        Counts of images.
    sensitivity, specificity, ppv, npv
        With Wilson intervals, at the design effect where patients have several images.
    """

    threshold: float
    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


def at_operating_point(
    truth: IntArray,
    probabilities: FloatArray,
    finding_index: int,
    threshold: float,
    groups: IntArray | None = None,
) -> OperatingPointMetrics:
    """Return what the binary decision `probability >= threshold` reaches for one finding against the rest.

    Parameters
    ----------
    truth, probabilities, groups
        As `metrics.measure` takes them.
    finding_index
        Column of the finding.

    Raises
    ------
    DataError
        As `measure` does.
    ConfigurationError
        If the finding index is not a column or the threshold is not a finite number.
    """
    findings = np.shape(probabilities)[1] if np.ndim(probabilities) == 2 else 0
    truth = check_truth(truth, findings)
    probabilities = check_probabilities(probabilities, len(truth), findings)
    if not 0 <= finding_index < findings:
        msg = f"Finding index {finding_index} is not one of 0 to {findings - 1}."
        raise ConfigurationError(msg)
    if not np.isfinite(threshold):
        msg = f"The threshold is {threshold}. Give a finite number, such as 0.5."
        raise ConfigurationError(msg)
    codes = group_codes(groups, len(truth))
    called = probabilities[:, finding_index] >= threshold
    cells, estimates = binary_estimates(truth == finding_index, called, codes)
    return OperatingPointMetrics(
        threshold=float(threshold),
        true_positive=cells.true_positive,
        false_negative=cells.false_negative,
        false_positive=cells.false_positive,
        true_negative=cells.true_negative,
        **estimates,
    )


def binary_estimates(
    positive: BoolArray, called: BoolArray, codes: IntArray | None
) -> tuple[BinaryCounts, dict[str, Estimate]]:
    """Return the four cells and sensitivity, specificity, PPV and NPV of a binary decision."""
    parts = {
        "sensitivity": (called, positive, "no image with this finding"),
        "specificity": (~called, ~positive, "no image without this finding"),
        "ppv": (positive, called, "no image is called positive"),
        "npv": (~positive, ~called, "no image is called negative"),
    }
    estimates, effects = {}, {}
    for name, (success, among, reason) in parts.items():
        if not among.any():
            estimates[name] = not_applicable(reason, numerator=0, denominator=0)
            effects[name] = 1.0
            continue
        if name in ("ppv", "npv") and not positive.any():
            # All alarms false and no miss possible, by the making of the set: nothing about the model.
            estimates[name] = not_applicable(
                "no image with this finding", numerator=int((success & among).sum()), denominator=int(among.sum())
            )
            continue
        members = None if codes is None else codes[among]
        estimates[name] = proportion_interval(success[among], members)
        effects[name] = design_effect(success[among], members)
    cells = BinaryCounts(
        int((positive & called).sum()),
        int((positive & ~called).sum()),
        int((~positive & called).sum()),
        int((~positive & ~called).sum()),
        effects["sensitivity"],
        effects["specificity"],
    )
    return cells, estimates
