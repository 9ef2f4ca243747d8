"""Pictures of an evaluation and of a training, for people: `draw_` writes a PNG, `build_` returns its figure.

Every text is placed and measured in inches, and wrapped where it is long, because Matplotlib's own layout lets long
finding names run into each other. Colour never carries a meaning alone: there is always a label, marker, line style
or hatch. All colours, fonts and widths that show are given here, so that a style which the caller has set for other
plots changes nothing, and the same input gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FixedLocator, Formatter, MaxNLocator, ScalarFormatter, StrMethodFormatter
from numpy.typing import NDArray

from carina.atomic import whole_file
from carina.errors import DataError
from carina.evaluation.curves import roc_curve
from carina.evaluation.intervals import Estimate, FloatArray, IntArray
from carina.evaluation.metrics import FindingMetrics, Metrics, OperatingPointMetrics

_DPI = 150
_FONT = "DejaVu Sans"  # comes with Matplotlib, so it is the same on every machine
_TITLE_PT, _TEXT_PT, _SMALL_PT = 15.0, 12.0, 11.0
_MARGIN = 0.25  # inches, as all lengths here
_WIDTH = 8.0
_INK, _GREY, _GRID = "#1a1a1a", "#555555", "#d9d9d9"
_ALARM = "#a50f15"  # white on it: contrast 8.1

# Okabe and Ito 2008, "Color Universal Design", without the yellow that is too faint on white.
_BLUE, _ORANGE, _GREEN, _VERMILLION, _PURPLE, _SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
_YELLOW = "#f0e442"  # of the same palette, too faint on white but for a star with a black edge
_CURVE_COLORS = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY, _GREY)
_CURVE_STYLES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (6, 2)),
    (0, (1.5, 1.5)),
    (0, (6, 2, 1.5, 2)),
    (0, (9, 2, 3, 2)),
)
_CURVE_MARKERS = "osD^vP<>Xph8"
_RATE_COLORS = LinearSegmentedColormap.from_list("row rate", ["#ffffff", "#c6dbef", "#6baed6", "#2171b5", "#08306b"])


def draw_confusion_matrix(
    confusion: IntArray, findings: Sequence[str], path: Path, *, title: str, notice: str | None = None
) -> None:
    """Write the confusion matrix with counts and row shares as a PNG; arguments as `build_confusion_matrix`."""
    _write(build_confusion_matrix(confusion, findings, title=title, notice=notice), path)


def build_confusion_matrix(
    confusion: IntArray, findings: Sequence[str], *, title: str, notice: str | None = None
) -> Figure:
    """Return the confusion matrix: in each cell the count and its share of the row, rows are the truth.

    Parameters
    ----------
    confusion
        int (k, k), rows = truth, columns = called.
    findings
        k names in the order of the rows.
    title
        The data, in words; what is shown is written before it.
    notice
        A warning that no reader may miss, drawn as a banner; None where there is none.

    Raises
    ------
    DataError
        If the shape of the matrix does not fit the findings.
    """
    k = len(findings)
    if np.shape(confusion) != (k, k):
        raise DataError(f"The confusion matrix has shape {np.shape(confusion)} for {k} findings. Give {(k, k)}.")
    rows = [
        [*_wrap_evenly(name, 2.3, _TEXT_PT), f"n = {total}"]
        for name, total in zip(findings, confusion.sum(1), strict=True)
    ]
    left = _MARGIN + 0.4 + max(_width_of(line, _TEXT_PT) for lines in rows for line in lines) + 0.12
    counts = max(_width_of(str(count), 14, bold=True) for count in confusion.ravel())
    cell = max(min((_WIDTH - left - _MARGIN) / k, 2.4), 0.78, counts + 0.2)
    tall = max(min(0.62 * cell, 1.05), 0.62, max(_lines_height(len(lines), _TEXT_PT) for lines in rows) + 0.1)
    columns, upright = _column_labels(findings, cell)
    below = max(len(lines) for lines in columns) * _line_height(_TEXT_PT) + 0.1
    if not upright:
        below = max(_width_of(line, _TEXT_PT) for lines in columns for line in lines) + 0.15
    bottom = _MARGIN + 0.3 + below
    sheet = _build_sheet(
        max(_WIDTH, left + k * cell + _MARGIN),
        bottom + k * tall,
        title=f"Confusion matrix: {title}",
        caption="Cells: number of images and their share of the row. Framed: called correctly.",
        notice=notice,
    )
    for i in range(k):
        top = bottom + (k - i) * tall
        sheet.text(left - 0.12, top - tall / 2, rows[i], ha="right")
        at = left + (i + 0.5) * cell
        if upright:
            sheet.text(at, bottom - 0.08, columns[i], va="top")
        else:
            sheet.text(at, bottom - 0.08, columns[i], va="top", rotation=90)
        for j in range(k):
            _draw_cell(sheet, left + j * cell, top - tall, cell, tall, int(confusion[i, j]), int(confusion[i].sum()))
    for i in range(k):  # after all cells, so that no neighbour covers a frame
        corner = (left + i * cell, bottom + (k - 1 - i) * tall)
        sheet.ink.add_patch(Rectangle(corner, cell, tall, fill=False, edgecolor=_INK, linewidth=2.5))
    sheet.text(left + k * cell / 2, _MARGIN, "Called finding", bold=True, va="bottom", size=13)
    sheet.text(_MARGIN, bottom + k * tall / 2, "True finding", bold=True, ha="left", rotation=90, size=13)
    return sheet.figure


def _column_labels(findings: Sequence[str], cell: float) -> tuple[list[list[str]], bool]:
    """Return the lines of each column's label, and whether they stand upright (else turned by 90 degrees)."""
    upright = [_wrap(name, cell - 0.12, _TEXT_PT) for name in findings]
    if all(
        len(lines) <= 3 and " ".join(lines) == " ".join(name.split())
        for lines, name in zip(upright, findings, strict=True)
    ):
        return upright, True
    width = 1.6
    turned = [_wrap_evenly(name, width, _TEXT_PT) for name in findings]
    while max(_lines_height(len(lines), _TEXT_PT) for lines in turned) > cell:
        width += 0.2
        turned = [_wrap_evenly(name, width, _TEXT_PT) for name in findings]
    return turned, False


def _draw_cell(sheet: _Sheet, x: float, y: float, width: float, height: float, count: int, total: int) -> None:
    """Draw one cell with its count and share."""
    fill = _RATE_COLORS(count / total)[:3] if total else to_rgb("#eeeeee")
    sheet.ink.add_patch(Rectangle((x, y), width, height, facecolor=fill, edgecolor=_GRID, linewidth=0.8))
    color = _readable_on(fill)
    middle = y + height / 2
    sheet.text(x + width / 2, middle + 0.02, str(count), bold=True, size=14, color=color, va="bottom")
    sheet.text(x + width / 2, middle - 0.03, _share(count, total), size=_SMALL_PT, color=color, va="top")


def _share(count: int, total: int) -> str:
    """Return a share in percent that never rounds some to none or most to all."""
    if total == 0:
        return "n/a"
    percent = f"{100 * count / total:.1f}"
    if percent == "0.0" and count > 0:
        return "< 0.1 %"
    if percent == "100.0" and count < total:
        return "> 99.9 %"
    return f"{percent} %"


def _readable_on(fill: tuple[float, ...]) -> str:
    """Return black or white, whichever stands out more; the better of the two has a contrast of at least 4.5.

    Source: WCAG 2.2, relative luminance and contrast ratio.
    """
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in fill]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def draw_history(
    history: pl.DataFrame,
    path: Path,
    *,
    quantity: Literal["accuracy", "loss"],
    stopping_split: str,
    best_epoch: int,
    title: str,
    notice: str | None = None,
) -> None:
    """Write accuracy or loss over the epochs as a PNG; arguments as `build_history`."""
    figure = build_history(
        history, quantity=quantity, stopping_split=stopping_split, best_epoch=best_epoch, title=title, notice=notice
    )
    _write(figure, path)


def build_history(
    history: pl.DataFrame,
    *,
    quantity: Literal["accuracy", "loss"],
    stopping_split: str,
    best_epoch: int,
    title: str,
    notice: str | None = None,
) -> Figure:
    """Return accuracy or loss over the epochs, on the training images and on the split that stopped the training.

    Parameters
    ----------
    history
        A row an epoch: epoch, loss, accuracy, val_loss, val_accuracy.
    quantity
        Which of the two.
    stopping_split
        What the ``val_`` columns were measured on, in words.
    best_epoch
        The epoch whose weights were kept; 0 where none was.
    title
        Which training, and what is shown of it; written as it is.
    notice
        As for `build_confusion_matrix`.

    Raises
    ------
    DataError
        If a column is missing, there is no epoch, or `best_epoch` is not among the epochs.
    """
    wanted = ("epoch", quantity, f"val_{quantity}")
    missing = [name for name in wanted if name not in history.columns]
    if missing or history.height == 0:
        what = f"lacks {', '.join(missing)}" if missing else "holds no epoch"
        raise DataError(f"The training history {what}. Draw it from the history.csv of a finished run.")
    epochs = history["epoch"].to_numpy()
    if best_epoch and best_epoch not in epochs:
        raise DataError(f"Best epoch {best_epoch} is not in the history of epochs {epochs[0]} to {epochs[-1]}.")
    lines = [_finite(history[name]) for name in wanted[1:]]
    lost = int(np.isnan(lines).any(axis=0).sum())
    entries = [
        _Entry("Training", _BLUE, marker="o", face=_BLUE),
        _Entry(f"{stopping_split} (stopping split)", _VERMILLION, marker="s", face="#ffffff", style=(0, (5, 1.5))),
    ]
    best = lines[1][epochs == best_epoch]
    if best_epoch:
        reached = "n/a" if np.isnan(best[0]) else f"{best[0]:.3f}"
        entries.append(
            _Entry(
                f"Best epoch {best_epoch} (kept): {reached}",
                _INK,
                marker="*",
                face=_YELLOW,
                style=(0, (1, 2)),
                marker_size=15,
            )
        )
    rows = _flow(entries, _WIDTH - 2 * _MARGIN)
    low, high = _history_range(np.concatenate(lines), quantity)
    numbers = _short_numbers(high)
    left, bottom, panel = 1.1 if isinstance(numbers, ScalarFormatter) else 1.4, 0.85, 4.0
    sheet = _build_sheet(
        _WIDTH,
        bottom + panel + 0.1 + len(rows) * _LEGEND_ROW,
        title=title,
        caption=f"Not drawn: {lost} of {len(epochs)} epochs, where a value is not a number." if lost else None,
        notice=notice,
    )
    axes = sheet.axes(left, bottom, _WIDTH - left - _MARGIN - 0.1, panel)
    _draw_legend(sheet, _MARGIN, bottom + panel + 0.1 + len(rows) * _LEGEND_ROW, rows)
    step = max(1, round(len(epochs) / 15))
    for values, entry in zip(lines, entries, strict=False):
        line = entry.line(epochs, values)
        line.set_markevery(step)
        axes.add_line(line)
    if best_epoch:
        axes.axvline(best_epoch, color=_INK, linewidth=1.4, linestyle=(0, (1, 2)), zorder=1)
        axes.plot(
            [best_epoch],
            best,
            marker="*",
            markersize=17,
            markerfacecolor=_YELLOW,
            markeredgecolor=_INK,
            markeredgewidth=1.2,
            linestyle="none",
            zorder=5,
        )
    margin = 0.5 if len(epochs) < 30 else 0.9  # less than 1, so that no epoch 0 is written
    axes.set_xlim(float(epochs[0]) - margin, float(epochs[-1]) + margin)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(numbers)
    sheet.text(left + axes.get_position().width * _WIDTH / 2, _MARGIN, "Epoch", bold=True, va="bottom")
    sheet.text(_MARGIN, bottom + panel / 2, quantity.capitalize(), bold=True, ha="left", rotation=90)
    return sheet.figure


def _finite(column: pl.Series) -> FloatArray:
    """Return a column as float64 (n,), NaN for whatever cannot be drawn (missing, infinite)."""
    values: FloatArray = column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _short_numbers(largest: float) -> Formatter:
    """Return how the numbers of an axis are written: all with the same decimals, unless they would be too long."""
    if not 1e-3 <= largest < 1e5:
        return StrMethodFormatter("{x:g}")
    formatter = ScalarFormatter(useOffset=False, useMathText=False, useLocale=False)
    formatter.set_scientific(False)
    return formatter


def _history_range(values: FloatArray, quantity: str) -> tuple[float, float]:
    """Return the ends of the vertical axis: a loss starts at 0, an accuracy wherever its details can be seen."""
    drawn = values[np.isfinite(values)]
    if len(drawn) == 0:
        return 0.0, 1.0
    low, high = float(drawn.min()), float(drawn.max())
    if quantity == "loss":
        return min(0.0, 1.08 * low), 1.08 * high or 1.0
    room = max(0.05, 0.12 * (high - low))
    return max(0.0, low - room), min(1.0, high + room) + 0.01


@dataclass(frozen=True, slots=True)
class _Measure:
    """How a measure of a finding is drawn as a bar."""

    name: str
    field: Literal["sensitivity", "specificity"]
    color: str
    hatch: str | None

    def of(self, item: FindingMetrics) -> Estimate:
        estimate: Estimate = getattr(item, self.field)
        return estimate


_SENSITIVITY = _Measure("Sensitivity (recall)", "sensitivity", _SKY, None)
_SPECIFICITY = _Measure("Specificity", "specificity", "#f4c869", "///")


def draw_recall_per_class(metrics: Metrics, path: Path, *, title: str, notice: str | None = None) -> None:
    """Write the sensitivity of each finding as a PNG; arguments as `build_recall_per_class`."""
    _write(build_recall_per_class(metrics, title=title, notice=notice), path)


def build_recall_per_class(metrics: Metrics, *, title: str, notice: str | None = None) -> Figure:
    """Return a bar a finding: sensitivity, its 95 % interval, and the number of images.

    Parameters
    ----------
    metrics
        Of `carina.evaluation.metrics.measure` at a confidence of 0.95.
    title, notice
        As for `build_confusion_matrix`.
    """
    return _build_bars(metrics, (_SENSITIVITY,), f"Sensitivity of each finding: {title}", notice)


def draw_sensitivity_specificity(metrics: Metrics, path: Path, *, title: str, notice: str | None = None) -> None:
    """Write sensitivity and specificity of each finding as a PNG; arguments as `build_sensitivity_specificity`."""
    _write(build_sensitivity_specificity(metrics, title=title, notice=notice), path)


def build_sensitivity_specificity(metrics: Metrics, *, title: str, notice: str | None = None) -> Figure:
    """Return two bars a finding: sensitivity and specificity with their 95 % intervals.

    Parameters
    ----------
    metrics
        Of `carina.evaluation.metrics.measure` at a confidence of 0.95.
    title, notice
        As for `build_confusion_matrix`.
    """
    return _build_bars(metrics, (_SENSITIVITY, _SPECIFICITY), f"Sensitivity and specificity: {title}", notice)


def _build_bars(metrics: Metrics, measures: Sequence[_Measure], title: str, notice: str | None) -> Figure:
    """Return horizontal bars, so that a long name of a finding stays level: names, bars, and a column of values."""
    names = [[*_wrap_evenly(item.finding, 2.3, _TEXT_PT), f"n = {item.n}"] for item in metrics.per_finding]
    labels = [[_label(measure.of(item)) for measure in measures] for item in metrics.per_finding]
    left = _MARGIN + max(_width_of(line, _TEXT_PT) for lines in names for line in lines) + 0.15
    right = 0.15 + max(_width_of(text, _TEXT_PT) for texts in labels for text in texts) + _MARGIN
    bar = 0.36 if len(measures) > 1 else 0.46
    row = max(len(measures) * bar, *(_lines_height(len(lines), _TEXT_PT) for lines in names)) + 0.28
    bottom, panel = 0.85, row * len(names)
    entries = [_Entry(measure.name, measure.color, hatch=measure.hatch, bar=True) for measure in measures]
    rows = _flow(entries, _WIDTH) if len(measures) > 1 else []
    above = 0.1 + len(rows) * _LEGEND_ROW
    estimates = [measure.of(item) for item in metrics.per_finding for measure in measures]
    sheet = _build_sheet(
        _WIDTH,
        bottom + panel + above,
        title=title,
        caption=f"Whiskers and brackets: 95 % intervals ({_methods(estimates)}). n: images with the finding.",
        notice=notice,
    )
    axes = sheet.axes(left, bottom, _WIDTH - left - right, panel)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1)
    axes.set_ylim(panel, 0)
    axes.xaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    axes.yaxis.set_major_locator(FixedLocator([]))
    for index, item in enumerate(metrics.per_finding):
        middle = (index + 0.5) * row
        sheet.text(left - 0.15, bottom + panel - middle, names[index], ha="right")
        for rank, measure in enumerate(measures):
            at = middle + (rank - (len(measures) - 1) / 2) * bar
            _draw_bar(axes, at, bar, measure, measure.of(item))
            sheet.text(_WIDTH - right + 0.15, bottom + panel - at, labels[index][rank], ha="left")
    _draw_legend(sheet, left, bottom + panel + above, rows)
    what = measures[0].name if len(measures) == 1 else "Share of images"
    sheet.text(left + (_WIDTH - left - right) / 2, _MARGIN, what, bold=True, va="bottom")
    return sheet.figure


def _draw_bar(axes: Axes, at: float, height: float, measure: _Measure, estimate: Estimate) -> None:
    """Draw one bar with its whisker; nothing where the value does not exist."""
    if estimate.value is None:
        return
    corner = (0.0, at - 0.4 * height)
    patch = Rectangle(
        corner, estimate.value, 0.8 * height, facecolor=measure.color, edgecolor=_INK, linewidth=0.8, clip_on=False
    )
    _hatch(patch, measure.hatch)
    axes.add_patch(patch)
    if estimate.low is not None and estimate.high is not None:
        for x, y in (
            ((estimate.low, estimate.high), (at, at)),
            ((estimate.low, estimate.low), (at - 0.2 * height, at + 0.2 * height)),
            ((estimate.high, estimate.high), (at - 0.2 * height, at + 0.2 * height)),
        ):
            axes.add_line(Line2D(x, y, color=_INK, linewidth=2.0, clip_on=False, zorder=4))


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
    _write(build_roc(truth, probabilities, metrics, title=title, operating_point=operating_point, notice=notice), path)


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
    key_height = sum(_lines_height(len(lines), _TEXT_PT) + 0.14 for _, lines in blocks)
    panel = min(max(5.0, key_height - below), 6.8)
    body = max(below + panel, key_height + _MARGIN) + 0.1
    intervals = [item.auroc for item in metrics.per_finding]
    if operating_point is not None:
        intervals += [operating_point[1].sensitivity, operating_point[1].specificity]
    sheet = _build_sheet(
        left + panel + 0.3 + 0.6 + key_width + _MARGIN,
        body,
        title=f"ROC curves: {title}",
        caption=f"Each finding against all others. In brackets: 95 % intervals ({_methods(intervals)}).",
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
        entry.sample(sheet, left + panel + 0.3, y - _line_height(_TEXT_PT) / 2)
        sheet.text(left + panel + 0.9, y, lines, ha="left", va="top")
        y -= _lines_height(len(lines), _TEXT_PT) + 0.14
    sheet.text(left + panel / 2, bottom - 0.45, "1 − specificity (share of false alarms)", bold=True, va="top")
    sheet.text(_MARGIN, bottom + panel / 2, "Sensitivity", bold=True, ha="left", rotation=90)
    return sheet.figure


def _roc_key(
    metrics: Metrics, operating_point: tuple[str, OperatingPointMetrics] | None, width: float
) -> list[tuple[_Entry, list[str]]]:
    """Return the key of the ROC figure: for each line its looks and the lines of its text."""
    blocks = []
    for index, item in enumerate(metrics.per_finding):
        reason = "" if item.auroc.value is not None else f": {item.auroc.note}"
        lines = [*_wrap(item.finding, width, _TEXT_PT), *_wrap(f"AUROC {_label(item.auroc)}{reason}", width, _TEXT_PT)]
        blocks.append((_curve_entry(index, item.finding), lines))
    if operating_point is not None:
        finding, reached = operating_point
        lines = [
            *_wrap(f"Operating point: {finding} where its probability is ≥ {reached.threshold:.3g}", width, _TEXT_PT),
            f"sensitivity {_label(reached.sensitivity)}",
            f"specificity {_label(reached.specificity)}",
        ]
        blocks.append((_STAR, lines))
    blocks.append((_CHANCE, ["no better than chance"]))
    return blocks


def _curve_entry(index: int, name: str) -> _Entry:
    """Return how the curve of the finding at `index` looks; twelve findings differ by marker alone."""
    color = _CURVE_COLORS[index % len(_CURVE_COLORS)]
    style = _CURVE_STYLES[index % len(_CURVE_STYLES)]
    marker = _CURVE_MARKERS[index % len(_CURVE_MARKERS)]
    return _Entry(name, color, marker=marker, face="#ffffff", style=style, every=(0.03 + 0.02 * (index % 6), 0.2))


def _draw_operating_point(axes: Axes, reached: OperatingPointMetrics) -> None:
    """Mark sensitivity and specificity with their intervals as a cross; nothing where either does not exist."""
    sensitivity, specificity = reached.sensitivity, reached.specificity
    if sensitivity.value is None or specificity.value is None:
        return
    x, y = 1 - specificity.value, sensitivity.value
    if specificity.low is not None and specificity.high is not None:
        axes.add_line(Line2D((1 - specificity.high, 1 - specificity.low), (y, y), color=_INK, linewidth=2, zorder=6))
    if sensitivity.low is not None and sensitivity.high is not None:
        axes.add_line(Line2D((x, x), (sensitivity.low, sensitivity.high), color=_INK, linewidth=2, zorder=6))
    line = _STAR.line(np.array([x]), np.array([y]))
    line.set(zorder=7, clip_on=False)
    axes.add_line(line)


def _label(estimate: Estimate) -> str:
    """Return "0.93 (0.91–0.95)", with more digits where 1.00 would be untrue or both ends would look alike."""
    if estimate.value is None:
        return "n/a"
    ends = [end for end in (estimate.low, estimate.high) if end is not None]
    for digits in (2, 3, 4):
        value, *interval = (f"{number:.{digits}f}" for number in (estimate.value, *ends))
        looks_certain = estimate.value not in (0, 1) and float(value) in (0, 1)
        if not looks_certain and len(set(interval)) == len(ends):
            break
    return f"{value} ({'–'.join(interval)})" if len(ends) == 2 else f"{value} (no interval)"


def _methods(estimates: Sequence[Estimate]) -> str:
    """Return how the intervals were made, each method once, in the order in which they appear."""
    names = dict.fromkeys(item.method for item in estimates if item.low is not None)
    return ", ".join(names) or "none"


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A white sheet; `ink` lies over all of it, in inches from the lower left corner."""

    figure: Figure
    ink: Axes
    width: float
    height: float

    def text(
        self,
        x: float,
        y: float,
        text: str | Sequence[str],
        *,
        size: float = _TEXT_PT,
        bold: bool = False,
        color: str = _INK,
        ha: Literal["left", "center", "right"] = "center",
        va: Literal["top", "center", "bottom"] = "center",
        rotation: float = 0,
    ) -> None:
        """Write one or more lines; a dollar sign in a finding's name is a dollar sign and no formula."""
        self.ink.text(
            x,
            y,
            text if isinstance(text, str) else "\n".join(text),
            fontproperties=_font(size, bold=bold),
            color=color,
            ha=ha,
            va=va,
            multialignment=ha if not rotation else "center",
            rotation=rotation,
            linespacing=1.2,
            parse_math=False,
            usetex=False,
        )

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return a panel with a thin grid whose every visible property is set."""
        box = (x / self.width, y / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box, facecolor="#ffffff")
        axes.set_axisbelow(True)
        axes.grid(visible=True, color=_GRID, linewidth=0.8, linestyle="-")
        axes.tick_params(
            which="both",
            direction="out",
            length=4,
            width=0.8,
            color=_GREY,
            labelcolor=_INK,
            pad=4,
            labelsize=_TEXT_PT,
            labelfontfamily=_FONT,
            bottom=True,
            left=True,
            top=False,
            right=False,
        )
        for side, spine in axes.spines.items():
            spine.set(visible=side in ("left", "bottom"), color=_GREY, linewidth=1.0)
        return axes


def _build_sheet(width: float, body: float, *, title: str, caption: str | None, notice: str | None) -> _Sheet:
    """Return a sheet with its head (banner, title, caption) above `body` inches that are left to be drawn on."""
    room = width - 2 * _MARGIN
    banner = _wrap_evenly(notice, room - 0.3, 14, bold=True) if notice else []
    titles = _wrap_evenly(title, room, _TITLE_PT, bold=True)
    captions = _wrap(caption, room, _SMALL_PT) if caption else []
    banner_height = _lines_height(len(banner), 14) + 0.3 if banner else 0.0
    title_height = _lines_height(len(titles), _TITLE_PT) + 0.1
    caption_height = _lines_height(len(captions), _SMALL_PT) + 0.12 if captions else 0.05
    height = body + caption_height + title_height + 0.18 + banner_height
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="#ffffff", edgecolor="#ffffff")
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    ink = figure.add_axes((0, 0, 1, 1), facecolor="none", zorder=2)
    ink.set(xlim=(0, width), ylim=(0, height))
    ink.set_axis_off()
    sheet = _Sheet(figure, ink, width, height)
    if banner:
        ink.add_patch(Rectangle((0, height - banner_height), width, banner_height, facecolor=_ALARM, linewidth=0))
        sheet.text(width / 2, height - banner_height / 2, banner, size=14, bold=True, color="#ffffff")
    top = height - banner_height - 0.18
    sheet.text(_MARGIN, top, titles, size=_TITLE_PT, bold=True, ha="left", va="top")
    sheet.text(_MARGIN, top - title_height, captions, size=_SMALL_PT, color=_GREY, ha="left", va="top")
    return sheet


_LEGEND_ROW = 0.3


@dataclass(frozen=True, slots=True)
class _Entry:
    """How one line or bar looks, in its panel and in the key."""

    name: str
    color: str
    marker: str = "none"
    face: str = "#ffffff"
    style: tuple[int, tuple[float, ...]] | None = (0, ())
    every: tuple[float, float] | None = None
    marker_size: float = 7
    bar: bool = False
    hatch: str | None = None

    def line(self, x: NDArray[np.generic], y: NDArray[np.generic]) -> Line2D:
        """Return the line through the points."""
        return Line2D(
            x,
            y,
            color=self.color,
            linewidth=2.2,
            linestyle=self.style if self.style is not None else "none",
            marker=self.marker,
            markersize=self.marker_size,
            markerfacecolor=self.face,
            markeredgecolor=self.color,
            markeredgewidth=1.5,
            fillstyle="full",
            antialiased=True,
            drawstyle="default",
        )

    def onto(self, axes: Axes, x: FloatArray, y: FloatArray) -> None:
        """Draw the line in a panel, with markers at even distances along it."""
        line = self.line(x, y)
        if self.every is not None:
            line.set_markevery(self.every)
        line.set(clip_on=False, zorder=3)
        axes.add_line(line)

    def sample(self, sheet: _Sheet, x: float, y: float) -> None:
        """Draw a short piece, 0.5 inches wide, in a key."""
        if self.bar:
            patch = Rectangle((x, y - 0.08), 0.5, 0.16, facecolor=self.color, edgecolor=_INK, linewidth=0.8)
            _hatch(patch, self.hatch)
            sheet.ink.add_patch(patch)
            return
        line = self.line(np.array([x, x + 0.25, x + 0.5]), np.array([y, y, y]))
        line.set_markevery([1])
        sheet.ink.add_line(line)


_CHANCE = _Entry("chance", "#999999", style=(0, (3, 3)))
_STAR = _Entry("operating point", _INK, marker="*", face=_YELLOW, style=None, marker_size=17)


def _hatch(patch: Rectangle, hatch: str | None) -> None:
    """Hatch a bar with thin lines of its edge's colour."""
    if hatch is not None:
        patch.set_hatch(hatch)
        patch.set_hatch_linewidth(0.8)


def _flow(entries: Sequence[_Entry], width: float) -> list[list[_Entry]]:
    """Return the entries of a key in rows that are no wider than the sheet."""
    rows: list[list[_Entry]] = []
    used = width
    for entry in entries:
        needed = 0.6 + _width_of(entry.name, _TEXT_PT) + 0.3
        if not rows or used + needed > width:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += needed
    return rows


def _draw_legend(sheet: _Sheet, left: float, top: float, rows: Sequence[Sequence[_Entry]]) -> None:
    """Draw the rows of a key from the top down."""
    for index, row in enumerate(rows):
        x, y = left, top - (index + 0.5) * _LEGEND_ROW
        for entry in row:
            entry.sample(sheet, x, y)
            sheet.text(x + 0.6, y, entry.name, ha="left")
            x += 0.6 + _width_of(entry.name, _TEXT_PT) + 0.3


def _font(size: float, *, bold: bool = False) -> FontProperties:
    return FontProperties(family=_FONT, size=size, weight="bold" if bold else "normal", style="normal")


@cache
def _width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line in inches."""
    width, _, _ = TextToPath().get_text_width_height_descent(text, _font(size, bold=bold), ismath=False)
    return width / 72


def _line_height(size: float) -> float:
    return size * 1.24 / 72  # as Matplotlib sets DejaVu Sans at a line spacing of 1.2


def _lines_height(lines: int, size: float) -> float:
    return lines * _line_height(size)


def _wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Return the text in lines of at most `width` inches: broken at spaces, else after - _ /, else anywhere."""
    lines = [""]
    for word in text.split() or [""]:
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _width_of(joined, size, bold=bold) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for piece in re.findall(r"[^-_/]+[-_/]*|[-_/]+", word):
            for part in [piece] if _width_of(piece, size, bold=bold) <= width else piece:
                if lines[-1] and _width_of(lines[-1] + part, size, bold=bold) > width:
                    lines.append("")
                lines[-1] += part
    return lines


def _wrap_evenly(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Return the text in as few lines as `_wrap`, of about one length: no word stands alone in the last."""
    lines = _wrap(text, width, size, bold=bold)
    while width > 0.2:
        width -= 0.1
        narrower = _wrap(text, width, size, bold=bold)
        if len(narrower) > len(lines) or " ".join(narrower) != " ".join(lines):
            break
        lines = narrower
    return lines


def _write(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG without its maker's name, a date or a path: the same input gives the same bytes."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    with whole_file(path) as temporary:
        canvas.print_png(str(temporary), metadata={"Software": None})  # type: ignore[no-untyped-call]
