"""Whether probabilities mean what they say, and whether certainty tells right calls from wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from carina.reports.drawing.drawing import Drawing, Ink, file_keys
from carina.reports.drawing.panel import PERCENT_TICKS, UNIT_TICKS, Axis, Key, Panel, build_panel, look, pairs
from carina.reports.drawing.text_measure import text_width
from carina.reports.evaluated import Evaluated
from carina.reports.report_tables import ReportTable
from carina.reports.written_numbers import estimate_of, full_text, value_text
from carina.statistics.intervals import FloatArray
from carina.statistics.risk_coverage import RiskCoverage

# In files' names: what is drawn of all calls together.
_CALLS = "calls"


def draw_reliability(evaluated: Evaluated) -> list[Drawing]:
    """Return a panel for the calls and one for each finding that occurs: how often each probability came true."""
    whole, probabilities = evaluated.metrics["calibration"], evaluated.probabilities
    calls = ("Reliability of the calls", "Share of right calls", probabilities.max(axis=1))
    drawings = [_draw_reliability(_CALLS, whole, "", *calls, "ink", "circle")]
    keys = file_keys((_CALLS, *whole["per_finding"]))
    for place, (name, item) in enumerate(whole["per_finding"].items()):
        if item["bins"]:
            ink, _, mark = look(place)
            shown = probabilities[:, evaluated.findings.index(name)]
            slope, intercept = (value_text(estimate_of(item.get(key)), "signed") for key in ("slope", "intercept"))
            looks = (f"Reliability: {name}", "Share of images with it", shown, ink, mark)
            drawings.append(_draw_reliability(keys[name], item, f"; slope {slope}, intercept {intercept}", *looks))
    return drawings


def _draw_reliability(
    key: str, item: Mapping[str, Any], more: str, title: str, share: str, shown: FloatArray, ink: Ink, shape: str
) -> Drawing:
    bins = item["bins"]
    total = sum(part["n"] for part in bins)
    ece, chance = (full_text(estimate_of(item.get(name)), "area") for name in ("ece", "ece_if_calibrated"))
    words = f"ECE {ece}, by chance alone {chance}{more}; {total:,} images in {len(bins)} bins of equal size"
    said = "; ".join(
        f"probability {part['mean_probability']:.3f} came true in {part['share']:.3f} of {part['n']}" for part in bins
    )
    x, y = Axis("Mean probability", 0, 1, UNIT_TICKS), Axis(share, 0, 1, UNIT_TICKS)
    panel = build_panel(
        f"reliability_{key}", title, f"{words}. {said}", x, y, subtitle=words, height=270, above=_COUNTS
    )
    _draw_counts(panel, shown)
    panel.curve([(0, 0), (1, 1)], "muted", dash=(4, 3), width=1.3)
    for part in bins:
        at = part["mean_probability"]
        if part["low"] is not None and part["high"] is not None:
            panel.whisker(at, part["low"], part["high"], ink)
        says = f"n = {part['n']}: mean probability {at:.3f}, came true in {part['share']:.3f}"
        panel.mark(at, part["share"], shape, ink, says=says)
    return panel.drawing


_COUNTS = 46.0  # room above the plotting area


def _draw_counts(panel: Panel, probability: FloatArray) -> None:
    """Draw above the panel how many images have which probability, with numbers where there is room for them."""
    edges = np.linspace(0, 1, 21)
    counts = np.histogram(probability, edges)[0].tolist()
    foot, tall = panel.top - 3, _COUNTS - 22
    panel.drawing.line([(panel.left, foot), (panel.left + panel.width, foot)], "muted", width=1)
    taken: list[tuple[float, float]] = []
    # The largest numbers come first; one that would run into another is left to the table and the pointer.
    for place in sorted(range(len(counts)), key=lambda place: -counts[place]):
        count = counts[place]
        if not count:
            continue
        left, right = (panel.at(float(edge), 0.0)[0] for edge in edges[place : place + 2])
        height = max(1.0, tall * count / max(counts))
        says = f"{count:,} images with a probability from {edges[place]:.2f} to {edges[place + 1]:.2f}"
        panel.drawing.box(left + 1, foot - height, right - left - 2, height, "muted", opacity=0.45, says=says)
        text, middle = f"{count:,}", (left + right) / 2
        start, end = middle - text_width(text) / 2 - 3, middle + text_width(text) / 2 + 3
        if all(end < other[0] or start > other[1] for other in taken):
            panel.drawing.words(middle, foot - height - 4, text, ink="muted", anchor="middle")
            taken.append((start, end))


def reliability_table(evaluated: Evaluated) -> ReportTable:
    """Return the bins of every reliability diagram."""
    whole = evaluated.metrics["calibration"]
    parts = {"calls": whole["bins"]} | {name: item["bins"] for name, item in whole["per_finding"].items()}
    rows = tuple(
        (name, int(part["n"]), *(_digits(part[key]) for key in ("mean_probability", "share", "low", "high")))
        for name, bins in parts.items()
        for part in bins
    )
    head = ("Of", "Images", "Mean probability", "Came true", "Came true low", "Came true high")
    return ReportTable("reliability", f"Reliability: {evaluated.label}", head, rows)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def draw_risk_coverage(risk: RiskCoverage) -> Drawing:
    """Return the share of errors among the images taken, as more of them are."""
    highest = max(0.02, float(risk.high.max()) * 1.08)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if highest / step <= 6)
    ticks = tuple((place * step, f"{100 * place * step:.0f}\u00a0%") for place in range(int(highest / step) + 1))
    half = float(np.interp(0.5, risk.coverage, risk.risk))
    said = f"All calls taken: {100 * risk.risk[-1]:.1f} % wrong; the surest half: {100 * half:.1f} % wrong"
    keys = [
        Key("share of wrong calls, with its pointwise 95 % interval", "s1", "line"),
        Key("if certainty told nothing", "muted", "line", (4, 3)),
    ]
    x, y = (
        Axis("Share of images whose call is taken, surest first", 0, 1, PERCENT_TICKS),
        Axis("Wrong among them", 0, highest, ticks),
    )
    panel = build_panel("risk_coverage", "Risk and coverage", said, x, y, keys=keys, subtitle=said, height=260)
    panel.band(risk.coverage, risk.low, risk.high, "s1")
    panel.curve(pairs(risk.coverage, risk.risk), "s1")
    whole = risk.errors / risk.n
    panel.curve([(0, whole), (1, whole)], "muted", dash=(4, 3), width=1.3)
    return panel.drawing


def risk_table(risk: RiskCoverage) -> ReportTable:
    """Return the risk at each coverage."""
    rows = tuple(
        (f"{coverage:.3f}", f"{certainty:.6f}", f"{value:.6f}", f"{low:.6f}", f"{high:.6f}")
        for coverage, certainty, value, low, high in zip(
            *(getattr(risk, name).tolist() for name in ("coverage", "certainty", "risk", "low", "high")), strict=True
        )
    )
    head = ("Coverage", "Least certainty", "Risk", "Risk low", "Risk high")
    return ReportTable("risk_coverage", "Risk and coverage", head, rows)
