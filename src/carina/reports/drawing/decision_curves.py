"""Decision curves: the net benefit of acting on a finding's probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.panel import PERCENT_TICKS, Axis, Key, build_panel, look, number_ticks, pairs
from carina.reports.evaluated import Evaluated
from carina.reports.report_tables import ReportTable
from carina.statistics.decision_curve import DecisionCurve, decision_curve


def decision_curves_of(evaluated: Evaluated) -> list[DecisionCurve]:
    """Return the flagged finding's decision curve at this set's prevalence, and at the stated one if there is one."""
    positive, probability = evaluated.against_rest(evaluated.flag)
    stated = evaluated.metrics["per_finding"][evaluated.flag].get("stated_prevalence")
    curves = []
    for prevalence in (None, stated) if stated else (None,):
        moved = evaluated.policy.thresholds_at().prevalence if prevalence and evaluated.policy else None
        curves.append(
            decision_curve(
                evaluated.flag,
                positive,
                probability,
                evaluated.groups,
                prevalence=prevalence,
                calibrated_at=moved,
                operating_point=evaluated.threshold,
            )
        )
    return [curve for curve in curves if curve.note is None]


def draw_decision_curve(curve: DecisionCurve) -> Drawing:
    """Return the net benefit of acting on the probability, on the flag, on all and on nobody."""
    low = -0.25 * curve.prevalence
    high = 1.08 * curve.prevalence
    better = curve.thresholds[curve.better]
    at = f"at the {'stated' if curve.stated else 'set’s own'} prevalence {100 * curve.prevalence:.3g}\u00a0%"
    said = (
        f"Better than both at threshold probabilities {better.min():.3g} to {better.max():.3g}"
        if len(better)
        else "At no threshold probability surely better than both"
    )
    keys = [
        Key("acting where the probability reaches the threshold probability, with its pointwise 95 % interval", "s1"),
        Key("acting on the shipped flag, whatever the threshold probability", "s2", "line", (6, 3)),
        Key("acting on all", "muted", "line", (2, 3)),
        Key("acting on nobody", "ink"),
    ]
    x = Axis("Threshold probability at which one would act", 0, 1, PERCENT_TICKS)
    y = Axis("Net benefit, an image", low, high, number_ticks(low, high))
    name = "decision_curve_stated" if curve.stated else "decision_curve"
    panel = build_panel(
        name, f"Decision curve of {curve.finding}, {at}", said, x, y, keys=keys, subtitle=said, height=260
    )
    model = curve.model
    panel.band(curve.thresholds, model.low, model.high, "s1")
    panel.curve([(0, 0), (1, 0)], "ink", width=1.3)
    panel.curve(pairs(curve.thresholds, curve.treat_all), "muted", dash=(2, 3))
    if curve.flag is not None:
        panel.curve(pairs(curve.thresholds, curve.flag.value), "s2", dash=(6, 3))
    panel.curve(pairs(curve.thresholds, model.value), "s1")
    return panel.drawing


def draw_decision_curves_over(finding: str, key: str, asked: Sequence[tuple[str, Evaluated]]) -> Drawing:
    """Return one finding's net benefit in several evaluations, each at its own set's prevalence.

    `key` names the finding in the file's name.
    """
    curves = [(name, decision_curve(finding, *one.against_rest(finding), one.groups)) for name, one in asked]
    curves = [(name, curve) for name, curve in curves if curve.note is None]
    most = max((curve.prevalence for _, curve in curves), default=1.0)
    low, high = -0.25 * most, 1.08 * most
    keys = [
        Key(f"{name} (prevalence {100 * curve.prevalence:.3g}\u00a0%)", *look(place)[:1], "line", look(place)[1])
        for place, (name, curve) in enumerate(curves)
    ]
    keys += [Key("acting on all", "muted", "line", (2, 3)), Key("acting on nobody", "ink")]
    x = Axis("Threshold probability at which one would act", 0, 1, PERCENT_TICKS)
    y = Axis("Net benefit, an image", low, high, number_ticks(low, high))
    said = "Net benefit, each at its own set's prevalence"
    name, title = f"decision_curve_{key}", f"Decision curve: {finding}"
    panel = build_panel(name, title, said, x, y, keys=keys, height=280)
    panel.curve([(0, 0), (1, 0)], "ink", width=1.3)
    for place, (_, curve) in enumerate(curves):
        ink, dash, _ = look(place)
        panel.band(curve.thresholds, curve.model.low, curve.model.high, ink)
        panel.curve(pairs(curve.thresholds, curve.treat_all), "muted", dash=(2, 3), width=1.3)
        panel.curve(pairs(curve.thresholds, curve.model.value), ink, dash=dash)
    return panel.drawing


def decision_table(curve: DecisionCurve) -> ReportTable:
    """Return the net benefit at each threshold probability."""
    flag = curve.flag.value if curve.flag is not None else np.full(len(curve.thresholds), np.nan)
    columns = (curve.thresholds, curve.model.value, curve.model.low, curve.model.high, flag, curve.treat_all)
    rows = tuple(
        (f"{at:g}", *(f"{value:.6f}" for value in values))
        for at, *values in zip(*(column.tolist() for column in columns), strict=True)
    )
    head = ("Threshold probability", "Model", "Model low", "Model high", "Shipped flag", "All")
    name = "decision_curve_stated" if curve.stated else "decision_curve"
    return ReportTable(name, f"Net benefit of {curve.finding} at prevalence {curve.prevalence:.4f}", head, rows)
