"""What the shipped threshold and others reach on this set, as tables."""

from __future__ import annotations

from carina.reports.evaluated import Evaluated
from carina.reports.report_tables import Cell, Measured, ReportTable
from carina.statistics.intervals import Estimate, not_applicable
from carina.statistics.operating_table import build_operating_table
from carina.statistics.proportion import wilson_bounds

# As many rows as are read on a page; the file has all that tell something apart.
FEW_THRESHOLDS = 24
_CELLS = (("true", "positive"), ("false", "negative"), ("false", "positive"), ("true", "negative"))


def operating_points_table(evaluated: Evaluated) -> ReportTable:
    """Return the shipped operating point with what it reaches on this set, and points read off this set's own curve."""
    chosen = evaluated.content["operating_point"]["chosen"]
    rule = chosen["rule"] if chosen.get("target") is None else f"{chosen['rule']} {chosen['target']:g}"
    reached = evaluated.reached("sensitivity", "specificity", "ppv", "npv")
    rows: list[tuple[Cell, ...]] = [
        (
            f"shipped: {rule}",
            f"{evaluated.threshold:.4f}",
            *(Measured(estimate, counts=True) for estimate in reached),
        )
    ]
    read_off = evaluated.content.get("sensitivity_at_specificity", {})
    rows += [
        (
            "read off this set's own curve",
            "–",
            Measured(evaluated.estimate("sensitivity_at_specificity", specificity)),
            f"{100 * float(specificity):g}\u00a0%",
            "–",
            "–",
        )
        for specificity in read_off
    ]
    head = ("Operating point", "Threshold", "Sensitivity", "Specificity", "PPV, in this set", "NPV, in this set")
    caption = f"Operating points of {evaluated.flag} on this set"
    notes = (
        ("Points read off this set's own curve look a little better here than they will elsewhere.",)
        if read_off
        else ()
    )
    return ReportTable("operating_point", caption, head, tuple(rows), notes)


def thresholds_table(evaluated: Evaluated, limit: int) -> ReportTable:
    """Return counts, sensitivity and specificity at the thresholds of the flagged finding, at most so many rows."""
    positive, probability = evaluated.against_rest(evaluated.flag)
    found = build_operating_table(positive, probability, evaluated.groups, shipped=(evaluated.threshold,), limit=limit)
    counts = found.counts
    rows: list[tuple[Cell, ...]] = []
    for row, threshold in enumerate(counts.thresholds.tolist()):
        cells = [int(getattr(counts, f"{name}_{kind}")[row]) for name, kind in _CELLS]
        sides = [
            share_estimate(hits, hits + others, float(getattr(counts, f"{name}_effect")[row]))
            for name, hits, others in (("sensitivity", cells[0], cells[1]), ("specificity", cells[3], cells[2]))
        ]
        sign = f"{threshold!r} (shipped)" if row in found.shipped else repr(threshold)
        rows.append((sign, *cells, *(Measured(side) for side in sides)))
    head = ("Threshold", "Found", "Missed", "False alarms", "True negatives", "Sensitivity", "Specificity")
    return ReportTable("thresholds", f"Thresholds of P({evaluated.flag}) on this set", head, tuple(rows))


def share_estimate(hits: int, n: int, effect: float) -> Estimate:
    """Return a share with Wilson's interval at a design effect."""
    if not n:
        return not_applicable("no image")
    low, high = wilson_bounds(hits / n, n / effect)
    return Estimate(hits / n, low, high, "Wilson", numerator=hits, denominator=n)
