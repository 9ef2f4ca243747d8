"""ROC and precision-recall curves with bands: of one model's findings, or of one finding in several evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from carina.reports.drawing.drawing import Drawing, Ink
from carina.reports.drawing.panel import UNIT_TICKS, Axis, Key, build_panel, look, pairs
from carina.reports.evaluated import Evaluated
from carina.reports.report_tables import ReportTable
from carina.reports.written_numbers import full_text
from carina.statistics.curve_bands import FindingCurves
from carina.statistics.intervals import Estimate

_CORNER = 0.2
_CORNER_TICKS = tuple((0.8 + place / 20, f"{0.8 + place / 20:.2f}".rstrip("0").rstrip(".")) for place in range(5))
_LEFT_TICKS = tuple((place / 20, f"{place / 20:.2f}".rstrip("0").rstrip(".") or "0") for place in range(5))


@dataclass(frozen=True, slots=True)
class _Asked:
    """One curve: its name, what its key says, which area it has, and whose operating point may lie on it."""

    name: str
    words: str
    curve: FindingCurves
    of: Evaluated
    ink: Ink
    dash: tuple[float, ...]


def draw_threshold_curves(evaluated: Evaluated, curves: Sequence[FindingCurves], *, roc: bool) -> list[Drawing]:
    """Return the ROC or precision-recall curve of each finding; and its corner enlarged, where they crowd there."""
    title = "ROC curves" if roc else "Precision–recall curves"
    asked = [_ask(curve.finding, evaluated, curve, place, roc=roc) for place, curve in enumerate(curves)]
    name = "roc" if roc else "precision_recall"
    drawn = [_draw(name, title, asked, roc=roc, star="ink")]
    crowded = evaluated.estimate("metrics", "macro_auroc").value
    if crowded is not None and crowded > 0.93:
        title += ", the upper left corner" if roc else ", the upper right corner"
        short = [replace(one, words=one.curve.finding) for one in asked]
        drawn.append(_draw(f"{name}_corner", title, short, roc=roc, star="ink", corner=True))
    return drawn


def draw_over_each_other(
    finding: str, key: str, drawn: Sequence[tuple[str, Evaluated, FindingCurves]]
) -> list[Drawing]:
    """Return one finding's ROC and precision-recall curve of several evaluations, with shipped operating points.

    `key` names the finding in the files' names.
    """
    return [
        _draw(
            f"{'roc' if roc else 'precision_recall'}_{key}",
            f"{'ROC' if roc else 'Precision–recall'}: {finding}",
            [_ask(name, one, curve, place, roc=roc) for place, (name, one, curve) in enumerate(drawn)],
            roc=roc,
        )
        for roc in (True, False)
    ]


def _ask(name: str, one: Evaluated, curve: FindingCurves, place: int, *, roc: bool) -> _Asked:
    area = "auroc" if roc else "auprc"
    value = full_text(one.estimate("metrics", "per_finding", curve.finding, area), "area")
    ink, dash, _ = look(place)
    return _Asked(name, f"{name}: {area.upper()} {value}", curve, one, ink, dash)


def _draw(
    name: str, title: str, asked: Sequence[_Asked], *, roc: bool, star: Ink | None = None, corner: bool = False
) -> Drawing:
    """Return curves in a panel; `star` is the ink of operating points, by default that of their curves."""
    names = ("1 − specificity (false alarms)", "Sensitivity") if roc else ("Recall (sensitivity)", "Precision (PPV)")
    x, y = (Axis(text, 0, 1, UNIT_TICKS) for text in names)
    if corner:
        x = Axis(names[0], 0, _CORNER, _LEFT_TICKS) if roc else Axis(names[0], 1 - _CORNER, 1, _CORNER_TICKS)
        y = Axis(names[1], 1 - _CORNER, 1, _CORNER_TICKS)
    keys = [
        Key(one.words, one.ink, "line" if one.curve.note is None else "none", one.dash)
        for one in asked
        if one.curve.note is None or not corner
    ]
    own = {id(one.of): one for one in asked if one.curve.finding == one.of.flag}
    for one in own.values():
        words = (
            f"shipped operating point of {one.of.flag}, with its intervals" if corner else _reached_words(one, roc=roc)
        )
        # Several stars are told apart by name, and not by colour alone.
        keys.append(Key(words if star else f"{one.name}, {words}", star or one.ink, "none", mark="star"))
    if roc and not corner:
        keys.append(Key("no better than chance", "muted", "line", (3, 3)))
    said = "The same curves, enlarged" if corner else "; ".join(key.text for key in keys)
    panel = build_panel(name, title, said, x, y, keys=keys, height=340)
    if roc and not corner:
        panel.curve([(0, 0), (1, 1)], "muted", dash=(3, 3), width=1.3)
    for one in asked:
        if one.curve.note is None:
            band = one.curve.roc_band if roc else one.curve.precision_recall_band
            panel.band(band.level, band.low, band.high, one.ink)
    for one in asked:
        if one.curve.note is None:
            curve = one.curve
            points = (curve.false_positive_rate, curve.sensitivity) if roc else (curve.recall, curve.precision)
            panel.curve(pairs(*points), one.ink, dash=one.dash)
    for one in own.values():
        across, up = one.of.reached("specificity" if roc else "sensitivity", "sensitivity" if roc else "ppv")
        panel.cross(_turned(across) if roc else across, up, star or one.ink, f"threshold {one.of.threshold:.4f}")
    return panel.drawing


def _reached_words(one: _Asked, *, roc: bool) -> str:
    names = ("sensitivity", "specificity") if roc else ("sensitivity", "ppv")
    reached = one.of.reached(*names)
    said = ", ".join(
        f"{name if name != 'ppv' else 'PPV'} {full_text(estimate)}"
        for name, estimate in zip(names, reached, strict=True)
    )
    return f"shipped operating point: P({one.of.flag}) ≥ {one.of.threshold:.3g}: {said}"


def _turned(estimate: Estimate) -> Estimate:
    """Return one minus an estimate."""
    value, low, high = (None if end is None else 1 - end for end in (estimate.value, estimate.high, estimate.low))
    return replace(estimate, value=value, low=low, high=high)


def curves_table(evaluated: Evaluated, curves: Sequence[FindingCurves], *, roc: bool) -> ReportTable:
    """Return the bands of the ROC or precision-recall curves."""
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
    return ReportTable(name, f"{title} bands: {evaluated.label}", head, rows)
