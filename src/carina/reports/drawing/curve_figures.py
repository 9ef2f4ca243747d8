"""Pictures of curves: ROC, and reliability diagrams; as in `carina.reports.drawing.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from carina.errors import DataError
from carina.evaluation.calibration import Calibration, FindingCalibration, ReliabilityBin
from carina.evaluation.curves import roc_curve
from carina.evaluation.intervals import Estimate, FloatArray, IntArray
from carina.evaluation.metrics import Metrics, OperatingPointMetrics
from carina.reports.drawing.sheet import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MARGIN,
    ORANGE,
    PURPLE,
    SKY,
    SMALL_PT,
    TEXT_PT,
    VERMILLION,
    YELLOW,
    Entry,
    build_sheet,
    label_of,
    line_height,
    lines_height,
    methods_of,
    wrap,
    write_png,
)

_CURVE_COLORS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
_CURVE_STYLES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (6, 2)),
    (0, (1.5, 1.5)),
    (0, (6, 2, 1.5, 2)),
    (0, (9, 2, 3, 2)),
)
_CURVE_MARKERS = "osD^vP<>Xph8"

_CHANCE = Entry("chance", "#999999", style=(0, (3, 3)))
_NOTHING = Entry("not drawn", GREY, style=None)
_STAR = Entry("operating point", INK, marker="*", face=YELLOW, style=None, marker_size=17)


def draw_roc(
    truth: IntArray,
    probabilities: FloatArray,
    metrics: Metrics,
    path: Path,
    *,
    title: str,
    operating_point: tuple[str, OperatingPointMetrics] | None = None,
    notice: str | None = None,
) -> None:
    """Write the ROC curve of each finding as a PNG; arguments as `build_roc`."""
    write_png(
        build_roc(truth, probabilities, metrics, title=title, operating_point=operating_point, notice=notice), path
    )


def build_roc(
    truth: IntArray,
    probabilities: FloatArray,
    metrics: Metrics,
    *,
    title: str,
    operating_point: tuple[str, OperatingPointMetrics] | None = None,
    notice: str | None = None,
) -> Figure:
    """Return the ROC curve of each finding against the rest, its AUROC beside it.

    Parameters
    ----------
    truth
        int (n,), index of the true finding.
    probabilities
        float (n, k), the table that `metrics` was measured on.
    metrics
        Of `carina.evaluation.metrics.measure` at a confidence of 0.95; gives names and AUROCs.
    operating_point
        A finding and what its threshold reaches on this set (`at_operating_point`), marked with a star.
    title, notice
        As for `build_confusion_matrix`.

    Raises
    ------
    DataError
        If the table does not fit the metrics, or the operating point's finding is not one of them.
    """
    k = len(metrics.findings)
    if np.shape(probabilities) != (metrics.n, k) or np.shape(truth) != (metrics.n,):
        raise DataError(
            f"The table has {np.shape(truth)} truths and {np.shape(probabilities)} probabilities; the metrics are of "
            f"{metrics.n} images and {k} findings. Draw the table that was measured."
        )
    if operating_point is not None and operating_point[0] not in metrics.findings:
        raise DataError(f"The operating point is for {operating_point[0]!r}. Known: {', '.join(metrics.findings)}.")
    left, below, key_width = 1.0, 0.85, 3.3
    blocks = _roc_key(metrics, operating_point, key_width)
    key_height = sum(lines_height(len(lines), TEXT_PT) + 0.14 for _, lines in blocks)
    panel = min(max(5.0, key_height - below), 6.8)
    body = max(below + panel, key_height + MARGIN) + 0.1
    intervals = [item.auroc for item in metrics.per_finding]
    if operating_point is not None:
        intervals += [operating_point[1].sensitivity, operating_point[1].specificity]
    sheet = build_sheet(
        left + panel + 0.3 + 0.6 + key_width + MARGIN,
        body,
        title=f"ROC curves: {title}",
        caption=f"Each finding against all others. In brackets: 95 % intervals ({methods_of(intervals)}).",
        notice=notice,
    )
    bottom = body - 0.1 - panel
    axes = sheet.axes(left, bottom, panel, panel)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    _CHANCE.onto(axes, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    for index, item in enumerate(metrics.per_finding):
        if item.auroc.value is None:
            continue
        curve = roc_curve(truth == index, probabilities[:, index])
        _curve_entry(index, "").onto(axes, 1 - curve.specificity, curve.sensitivity)
    if operating_point is not None:
        _draw_operating_point(axes, operating_point[1])
    y = body - 0.1
    for entry, lines in blocks:
        entry.sample(sheet, left + panel + 0.3, y - line_height(TEXT_PT) / 2)
        sheet.text(left + panel + 0.9, y, lines, ha="left", va="top")
        y -= lines_height(len(lines), TEXT_PT) + 0.14
    sheet.text(left + panel / 2, bottom - 0.45, "1 − specificity (share of false alarms)", bold=True, va="top")
    sheet.text(MARGIN, bottom + panel / 2, "Sensitivity", bold=True, ha="left", rotation=90)
    return sheet.figure


def _roc_key(
    metrics: Metrics, operating_point: tuple[str, OperatingPointMetrics] | None, width: float
) -> list[tuple[Entry, list[str]]]:
    """Return the key of the ROC figure: for each line its looks and the lines of its text."""
    blocks = []
    for index, item in enumerate(metrics.per_finding):
        reason = "" if item.auroc.value is not None else f": {item.auroc.note}"
        lines = [*wrap(item.finding, width, TEXT_PT), *wrap(f"AUROC {label_of(item.auroc)}{reason}", width, TEXT_PT)]
        # No sample of a curve that is not drawn.
        blocks.append((_NOTHING if reason else _curve_entry(index, item.finding), lines))
    if operating_point is not None:
        finding, reached = operating_point
        lines = [
            *wrap(f"Operating point: {finding} where its probability is ≥ {reached.threshold:.3g}", width, TEXT_PT),
            f"sensitivity {label_of(reached.sensitivity)}",
            f"specificity {label_of(reached.specificity)}",
        ]
        blocks.append((_STAR, lines))
    blocks.append((_CHANCE, ["no better than chance"]))
    return blocks


def _curve_entry(index: int, name: str) -> Entry:
    """Return how the curve of the finding at `index` looks; twelve findings differ by marker alone."""
    color = _CURVE_COLORS[index % len(_CURVE_COLORS)]
    style = _CURVE_STYLES[index % len(_CURVE_STYLES)]
    marker = _CURVE_MARKERS[index % len(_CURVE_MARKERS)]
    return Entry(name, color, marker=marker, face="#ffffff", style=style, every=(0.03 + 0.02 * (index % 6), 0.2))


def _draw_operating_point(axes: Axes, reached: OperatingPointMetrics) -> None:
    """Mark sensitivity and specificity with their intervals as a cross; nothing where either does not exist."""
    sensitivity, specificity = reached.sensitivity, reached.specificity
    if sensitivity.value is None or specificity.value is None:
        return
    x, y = 1 - specificity.value, sensitivity.value
    if specificity.low is not None and specificity.high is not None:
        axes.add_line(Line2D((1 - specificity.high, 1 - specificity.low), (y, y), color=INK, linewidth=2, zorder=6))
    if sensitivity.low is not None and sensitivity.high is not None:
        axes.add_line(Line2D((x, x), (sensitivity.low, sensitivity.high), color=INK, linewidth=2, zorder=6))
    line = _STAR.line(np.array([x]), np.array([y]))
    line.set(zorder=7, clip_on=False)
    axes.add_line(line)


def draw_reliability(metrics: Metrics, path: Path, *, title: str, notice: str | None = None) -> None:
    """Write reliability diagrams as a PNG; arguments as `build_reliability`."""
    write_png(build_reliability(metrics, title=title, notice=notice), path)


def build_reliability(metrics: Metrics, *, title: str, notice: str | None = None) -> Figure:
    """Return a panel for the calls and one for each finding that occurs: how often each bin's probability came true.

    Parameters
    ----------
    metrics
        Of `carina.evaluation.metrics.measure` at a confidence of 0.95.
    title, notice
        As for `carina.reports.drawing.figures.build_confusion_matrix`.
    """
    whole = metrics.calibration
    panels = [("Called finding", whole.bins, _called_lines(whole), Entry("calls", INK, marker="o"))]
    # The looks that the finding has among the ROC curves.
    panels += [
        (item.finding, item.bins, _finding_lines(item), _curve_entry(index, item.finding))
        for index, item in enumerate(whole.per_finding)
        if item.n
    ]
    absent = [item.finding for item in whole.per_finding if item.n == 0]
    across, side, gap, left, below = 2 if len(panels) < 5 else 3, 3.0, 0.95, 0.95, 0.85
    texts = [
        [*wrap(name, side, TEXT_PT, bold=True), *(part for line in lines for part in wrap(line, side, SMALL_PT))]
        for name, _, lines, _ in panels
    ]
    above = max(lines_height(len(lines), SMALL_PT) for lines in texts) + 0.2
    down = -(-len(panels) // across)
    body = down * (above + side + below) + 0.1
    captions = [
        f"Each point: about {round(metrics.n / len(whole.bins))} images of like probability; whiskers: 95 % intervals.",
        "On the dashed line the probabilities are calibrated. In brackets: ECE by chance alone, if they were.",
        *([f"No image shows {' or '.join(absent)}."] if absent else []),
    ]
    width = left + across * side + (across - 1) * gap + MARGIN + 0.15
    sheet = build_sheet(
        width, body, title=f"Reliability of the probabilities: {title}", caption=" ".join(captions), notice=notice
    )
    for index, (name, bins, _, looks) in enumerate(panels):
        x = left + index % across * (side + gap)
        top = body - 0.1 - index // across * (above + side + below)
        heading = len(wrap(name, side, TEXT_PT, bold=True))
        sheet.text(x, top, texts[index][:heading], bold=True, ha="left", va="top")
        sheet.text(x, top - lines_height(heading, TEXT_PT), texts[index][heading:], size=SMALL_PT, ha="left", va="top")
        axes = sheet.axes(x, top - above - side, side, side)
        _draw_reliability(axes, bins, looks)
        sheet.text(x + side / 2, top - above - side - 0.4, "Mean probability", bold=True, va="top", size=SMALL_PT)
        if index % across == 0:
            at = top - above - side / 2
            sheet.text(MARGIN, at, "Share of images", bold=True, ha="left", rotation=90, size=SMALL_PT)
    return sheet.figure


def _called_lines(whole: Calibration) -> list[str]:
    return [f"Share of right calls. ECE {_with_chance(whole.ece, whole.ece_if_calibrated)}"]


def _finding_lines(item: FindingCalibration) -> list[str]:
    slope = "n/a" if item.slope.value is None else f"{item.slope.value:.2f}"
    intercept = "n/a" if item.intercept.value is None else f"{item.intercept.value:.2f}".replace("-", "−")
    return [
        f"n = {item.n}. ECE {_with_chance(item.ece, item.ece_if_calibrated)}",
        f"slope {slope}, intercept {intercept}",
    ]


def _with_chance(ece: Estimate, calibrated: Estimate) -> str:
    return "n/a" if ece.value is None or calibrated.value is None else f"{ece.value:.3f} ({calibrated.value:.3f})"


def _draw_reliability(axes: Axes, bins: Sequence[ReliabilityBin], looks: Entry) -> None:
    """Draw the points with their whiskers over the diagonal."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    _CHANCE.onto(axes, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    for part in bins:
        if part.share.low is not None and part.share.high is not None:
            x = part.mean_probability
            whisker = Line2D((x, x), (part.share.low, part.share.high), color=looks.color, linewidth=1.4, zorder=2)
            whisker.set_clip_on(False)
            axes.add_line(whisker)
    probability = np.array([part.mean_probability for part in bins])
    share = np.array([np.nan if part.share.value is None else part.share.value for part in bins])
    line = looks.line(probability, share)
    line.set(linestyle="none", clip_on=False, zorder=3)
    axes.add_line(line)
