"""Section 4: ROC and precision-recall with bands, reliability, net benefit, risk and coverage, and the training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from carina.evaluation.curve_bands import Band, FindingCurves, curves_with_bands
from carina.evaluation.intervals import FloatArray
from carina.evaluation.risk_coverage import measure_risk_coverage
from carina.reports.evaluated import Evaluated
from carina.reports.drawing.decision_curves import decision_curves_of, decision_table, draw_decision_curve
from carina.reports.numbers import estimate_of, full_text
from carina.reports.drawing.panel import UNIT_TICKS, Axis, Key, Panel, build_panel, look, pairs
from carina.reports.drawing.reliability import draw_reliability, draw_risk_coverage, reliability_table, risk_table
from carina.reports.drawing.drawing import Ink, Scene
from carina.reports.html.section import Section
from carina.reports.report_tables import Table
from carina.reports.drawing.learning_curves import draw_training, training_table

_BAND_WORDS = (
    "Bands are pointwise 95 % intervals over patients: each holds at its own place, not the whole curve at once."
)


def build_curves(evaluated: Evaluated) -> Section:
    """Return the fourth section."""
    section = Section("curves", "Curves over all thresholds", "Curves")
    curves = curves_with_bands(evaluated.truth, evaluated.probabilities, evaluated.findings, evaluated.groups)
    scenes = [draw_roc(evaluated, curves), draw_precision_recall(evaluated, curves)]
    if _crowded(evaluated):
        scenes.insert(1, draw_roc_corner(evaluated, curves))
        scenes.append(draw_precision_recall_corner(evaluated, curves))
    section.figures(scenes)
    section.paragraph(_BAND_WORDS, class_="note")
    if "calibration" in evaluated.metrics:
        section.figures(draw_reliability(evaluated))
        section.tables.append(reliability_table(evaluated))
        section.paragraph(
            "Each point stands for as many images of like probability; on the dashed line probabilities are what they "
            "say. Above: how many images have which probability.",
            class_="note",
        )
    called = evaluated.probabilities.argmax(axis=1)
    certainty = evaluated.probabilities.max(axis=1)
    risk = measure_risk_coverage(called == evaluated.truth, certainty, evaluated.groups)
    decisions = decision_curves_of(evaluated)
    scenes = [*(draw_decision_curve(item) for item in decisions), draw_risk_coverage(risk)]
    section.tables += [decision_table(item) for item in decisions]
    section.tables += [_band_table(evaluated, curves, roc=roc) for roc in (True, False)]
    section.tables.append(risk_table(risk))
    section.figures(scenes)
    section.paragraph(
        "Net benefit: found images less needless actions, priced by the threshold probability at which one would act; "
        "the model is worth acting on where its band lies above both acting on all and acting on nobody. "
        "Risk and coverage: if only the surest calls are taken and the others go to somebody else, how many of those "
        f"taken are wrong. Area under the curve {full_text(risk.area, 'area')}; {risk.area_random:.3f} if certainty "
        f"told nothing, {risk.area_best:.4f} if every error were among the least certain.",
        class_="note",
    )
    training = draw_training(evaluated)
    if training:
        section.figures(training)
        section.tables.append(training_table(evaluated))
    return section


def draw_roc(evaluated: Evaluated, curves: tuple[FindingCurves, ...]) -> Scene:
    """Return the ROC curve of each finding with its band, and the shipped operating point."""
    return _draw_curves(evaluated, curves, roc=True)


def draw_precision_recall(evaluated: Evaluated, curves: tuple[FindingCurves, ...]) -> Scene:
    """Return the precision-recall curve of each finding with its band, and the shipped operating point."""
    return _draw_curves(evaluated, curves, roc=False)


def _draw_curves(evaluated: Evaluated, curves: tuple[FindingCurves, ...], *, roc: bool) -> Scene:
    per_finding: dict[str, Any] = evaluated.metrics["per_finding"]
    area = "auroc" if roc else "auprc"
    keys, words = [], []
    for place, curve in enumerate(curves):
        ink, dash, _ = look(place)
        value = full_text(estimate_of(per_finding[curve.finding][area]), "area")
        words.append(f"{curve.finding}: {area.upper()} {value}")
        if curve.note is None:
            keys.append(Key(words[-1], ink, "line", dash))
    keys.append(Key(f"shipped operating point of {evaluated.flag}", "ink", "mark", mark="star"))
    if roc:
        keys.append(Key("no better than chance", "muted", "line", (3, 3)))
        x, y = Axis("1 − specificity (false alarms)", 0, 1, UNIT_TICKS), Axis("Sensitivity", 0, 1, UNIT_TICKS)
        panel = build_panel("roc", "ROC curves", "; ".join(words), x, y, keys=keys, height=340)
        panel.curve([(0, 0), (1, 1)], "muted", dash=(3, 3), width=1.3)
    else:
        x, y = Axis("Recall (sensitivity)", 0, 1, UNIT_TICKS), Axis("Precision (PPV)", 0, 1, UNIT_TICKS)
        said = "; ".join(words)
        panel = build_panel("precision_recall", "Precision–recall curves", said, x, y, keys=keys, height=340)
    for place, curve in enumerate(curves):
        if curve.note is not None:
            continue
        ink, dash, _ = look(place)
        band = curve.roc_band if roc else curve.precision_recall_band
        _draw_band(panel, band, ink)
        across, up = (curve.false_positive_rate, curve.sensitivity) if roc else (curve.recall, curve.precision)
        panel.curve(pairs(across, up), ink, dash=dash)
    reached = [
        evaluated.estimate("operating_point", "reached", name).value for name in ("sensitivity", "specificity", "ppv")
    ]
    if None not in reached:
        sensitivity, specificity, ppv = (value or 0.0 for value in reached)
        at = (1 - specificity, sensitivity) if roc else (sensitivity, ppv)
        panel.mark(*at, "star", "ink", size=8, says=f"threshold {evaluated.threshold:.4f}")
    return panel.scene


_CORNER = 0.2


def _crowded(evaluated: Evaluated) -> bool:
    """Return whether the curves lie so close to the corner that nothing of them can be seen."""
    value = evaluated.estimate("metrics", "macro_auroc").value
    return value is not None and value > 0.93


def draw_roc_corner(evaluated: Evaluated, curves: tuple[FindingCurves, ...]) -> Scene:
    """Return the upper left corner of the ROC figure, five times as large."""
    x = Axis("1 − specificity (false alarms)", 0, _CORNER, _corner_ticks(0))
    y = Axis("Sensitivity", 1 - _CORNER, 1, _corner_ticks(1 - _CORNER))
    panel = _draw_corner("roc_corner", "ROC curves, the upper left corner", evaluated, curves, x, y)
    for place, curve in enumerate(curves):
        if curve.note is None:
            _draw_corner_curve(
                panel, look(place), curve.roc_band, _within(curve.false_positive_rate, curve.sensitivity, panel)
            )
    _mark_corner(panel, evaluated, "specificity", "sensitivity", turned=True)
    return panel.scene


def draw_precision_recall_corner(evaluated: Evaluated, curves: tuple[FindingCurves, ...]) -> Scene:
    """Return the upper right corner of the precision-recall figure, five times as large."""
    x = Axis("Recall (sensitivity)", 1 - _CORNER, 1, _corner_ticks(1 - _CORNER))
    y = Axis("Precision (PPV)", 1 - _CORNER, 1, _corner_ticks(1 - _CORNER))
    title = "Precision–recall curves, the upper right corner"
    panel = _draw_corner("precision_recall_corner", title, evaluated, curves, x, y)
    for place, curve in enumerate(curves):
        if curve.note is None:
            points = _in_corner(pairs(curve.recall, curve.precision), x.low, y.low)
            _draw_corner_curve(panel, look(place), curve.precision_recall_band, points)
    _mark_corner(panel, evaluated, "sensitivity", "ppv")
    return panel.scene


def _corner_ticks(low: float) -> tuple[tuple[float, str], ...]:
    return tuple((low + place / 20, f"{low + place / 20:.2f}".rstrip("0").rstrip(".")) for place in range(5))


def _draw_corner(
    name: str, title: str, evaluated: Evaluated, curves: tuple[FindingCurves, ...], x: Axis, y: Axis
) -> Panel:
    keys = [
        Key(curve.finding, look(place)[0], "line", look(place)[1])
        for place, curve in enumerate(curves)
        if curve.note is None
    ]
    keys.append(Key(f"shipped operating point of {evaluated.flag}, with its intervals", "ink", "mark", mark="star"))
    return build_panel(name, title, "The same curves, enlarged", x, y, keys=keys, height=340)


def _draw_corner_curve(
    panel: Panel, looks: tuple[Ink, tuple[float, ...], str], band: Band, points: list[tuple[float, float]]
) -> None:
    ink, dash, _ = looks
    inside = (band.level >= panel.x.low) & (band.level <= panel.x.high) & (band.high >= panel.y.low)
    panel.band(
        pairs(band.level[inside], np.maximum(band.low[inside], panel.y.low)),
        pairs(band.level[inside], band.high[inside]),
        ink,
    )
    panel.curve(points, ink, dash=dash)


def _mark_corner(panel: Panel, evaluated: Evaluated, across: str, up: str, *, turned: bool = False) -> None:
    """Mark the shipped operating point with both intervals, where it lies in the corner; turned is 1 − x."""
    one, other = (evaluated.estimate("operating_point", "reached", name) for name in (across, up))
    if one.value is None or other.value is None:
        return

    def on(value: float) -> float:
        return 1 - value if turned else value

    at = (on(one.value), other.value)
    if not panel.x.low <= at[0] <= panel.x.high or at[1] < panel.y.low:
        return
    if one.low is not None and one.high is not None:
        panel.curve([(on(one.high), at[1]), (on(one.low), at[1])], "ink", width=1.6)
    if other.low is not None and other.high is not None:
        panel.curve([(at[0], other.low), (at[0], other.high)], "ink", width=1.6)
    panel.mark(*at, "star", "ink", size=8, says=f"threshold {evaluated.threshold:.4f}")


def _in_corner(points: Sequence[tuple[float, float]], left: float, bottom: float) -> list[tuple[float, float]]:
    """Return the stretch of a line that lies right of and above two edges, with the points where it crosses them."""

    def inside(point: tuple[float, float]) -> bool:
        return point[0] >= left and point[1] >= bottom

    kept: list[tuple[float, float]] = []
    for before, after in itertools.pairwise(points):
        if inside(before):
            kept.append(before)
        if inside(before) != inside(after):
            # How far outwards the line meets its first edge.
            inner, outer = (before, after) if inside(before) else (after, before)
            shares = [
                (one - edge) / (one - other)
                for one, other, edge in ((inner[0], outer[0], left), (inner[1], outer[1], bottom))
                if other < edge
            ]
            part = min(shares)
            kept.append((inner[0] + part * (outer[0] - inner[0]), inner[1] + part * (outer[1] - inner[1])))
    return [*kept, points[-1]] if points and inside(points[-1]) else kept


def _within(x: FloatArray, y: FloatArray, panel: Panel) -> list[tuple[float, float]]:
    """Return a rising curve cut at a right and a lower edge, with the points where it crosses them."""
    right, bottom = panel.x.high, panel.y.low
    grid = np.unique(np.concatenate([x[x <= right], [right], np.interp([bottom], y, x)]))
    points = [(float(across), float(np.interp(across, x, y))) for across in grid[grid <= right]]
    # Where the curve rises straight up, its top and its foot have the same place.
    points += [(float(across), float(up)) for across, up in zip(x, y, strict=True) if across <= right and up >= bottom]
    return [point for point in sorted(set(points)) if point[1] >= bottom - 1e-12]


def _draw_band(panel: Panel, band: Band, ink: Any) -> None:
    panel.band(pairs(band.level, band.low), pairs(band.level, band.high), ink)


def draw_bands_over(finding: str, drawn: Sequence[tuple[str, Evaluated, FindingCurves]], *, roc: bool) -> Scene:
    """Return one finding's curve of several evaluations over each other, with bands and shipped operating points."""
    area = "auroc" if roc else "auprc"
    keys, words = [], []
    for place, (name, one, _) in enumerate(drawn):
        ink, dash, _ = look(place)
        words.append(
            f"{name}: {area.upper()} {full_text(one.estimate('metrics', 'per_finding', finding, area), 'area')}"
        )
        keys.append(Key(words[-1], ink, "line", dash))
    names = ("1 − specificity (false alarms)", "Sensitivity") if roc else ("Recall (sensitivity)", "Precision (PPV)")
    x, y = (Axis(name, 0, 1, UNIT_TICKS) for name in names)
    key = f"{'roc' if roc else 'precision_recall'}_{finding.lower().replace(' ', '_')}"
    panel = build_panel(
        key, f"{'ROC' if roc else 'Precision–recall'}: {finding}", "; ".join(words), x, y, keys=keys, height=320
    )
    for place, (name, one, curve) in enumerate(drawn):
        if curve.note is not None:
            continue
        ink, dash, _ = look(place)
        _draw_band(panel, curve.roc_band if roc else curve.precision_recall_band, ink)
        across, up = (curve.false_positive_rate, curve.sensitivity) if roc else (curve.recall, curve.precision)
        panel.curve(pairs(across, up), ink, dash=dash)
        _mark_reached(panel, one, finding, ink, name, roc=roc)
    return panel.scene


def _mark_reached(panel: Panel, one: Evaluated, finding: str, ink: Ink, name: str, *, roc: bool) -> None:
    """Mark the shipped operating point, where it is of this finding."""
    sensitivity, specificity, ppv = (
        one.estimate("operating_point", "reached", key).value for key in ("sensitivity", "specificity", "ppv")
    )
    if one.flag != finding or sensitivity is None or specificity is None or ppv is None:
        return
    at = (1 - specificity, sensitivity) if roc else (sensitivity, ppv)
    panel.mark(*at, "star", ink, size=8, says=f"{name}: threshold {one.threshold:.4f}")


def _band_table(evaluated: Evaluated, curves: tuple[FindingCurves, ...], *, roc: bool) -> Table:
    bands = [(curve.finding, curve.roc_band if roc else curve.precision_recall_band) for curve in curves]
    rows = tuple(
        (finding, f"{level:.4f}", f"{value:.6f}", f"{low:.6f}", f"{high:.6f}")
        for finding, band in bands
        for level, value, low, high in zip(
            *(getattr(band, name).tolist() for name in ("level", "value", "low", "high")), strict=True
        )
    )
    across, up = ("False positive rate", "Sensitivity") if roc else ("Recall", "Precision")
    head = ("Finding", across, up, f"{up} low", f"{up} high")
    name, title = ("roc_band", "ROC") if roc else ("precision_recall_band", "Precision–recall")
    return Table(name, f"{title} bands: {evaluated.label}", head, rows)
