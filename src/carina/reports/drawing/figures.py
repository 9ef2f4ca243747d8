"""Pictures of an evaluation and of a training, for people: `draw_` writes a PNG, `build_` returns its figure.

The confusion matrix, the training history, and bars; curves are in `carina.reports.drawing.curve_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, Formatter, MaxNLocator, ScalarFormatter, StrMethodFormatter

from carina.errors import DataError
from carina.evaluation.intervals import Estimate, FloatArray, IntArray
from carina.evaluation.metrics import FindingMetrics, Metrics
from carina.reports.drawing.sheet import (
    BLUE,
    GREY,
    GRID,
    INK,
    LEGEND_ROW,
    MARGIN,
    SKY,
    SMALL_PT,
    TEXT_PT,
    VERMILLION,
    WIDTH,
    YELLOW,
    Entry,
    Sheet,
    build_sheet,
    draw_legend,
    flow_entries,
    hatch_patch,
    label_of,
    line_height,
    lines_height,
    methods_of,
    width_of,
    wrap,
    wrap_evenly,
    write_png,
)

_RATE_COLORS = LinearSegmentedColormap.from_list("row rate", ["#ffffff", "#c6dbef", "#6baed6", "#2171b5", "#08306b"])


def draw_confusion_matrix(
    confusion: IntArray, findings: Sequence[str], path: Path, *, title: str, notice: str | None = None
) -> None:
    """Write the confusion matrix with counts and row shares as a PNG; arguments as `build_confusion_matrix`."""
    write_png(build_confusion_matrix(confusion, findings, title=title, notice=notice), path)


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
    absent = [name for name, total in zip(findings, confusion.sum(1), strict=True) if total == 0]
    caption = "Cells: number of images and their share of the row. Framed: called correctly."
    if absent:
        caption += f" No image shows {' or '.join(absent)}: such calls are errors."
    rows = [
        [*wrap_evenly(name, 2.3, TEXT_PT), f"n = {total}"]
        for name, total in zip(findings, confusion.sum(1), strict=True)
    ]
    left = MARGIN + 0.4 + max(width_of(line, TEXT_PT) for lines in rows for line in lines) + 0.12
    counts = max(width_of(str(count), 14, bold=True) for count in confusion.ravel())
    cell = max(min((WIDTH - left - MARGIN) / k, 2.4), 0.78, counts + 0.2)
    tall = max(min(0.62 * cell, 1.05), 0.62, max(lines_height(len(lines), TEXT_PT) for lines in rows) + 0.1)
    columns, upright = _column_labels(findings, cell)
    below = max(len(lines) for lines in columns) * line_height(TEXT_PT) + 0.1
    if not upright:
        below = max(width_of(line, TEXT_PT) for lines in columns for line in lines) + 0.15
    bottom = MARGIN + 0.3 + below
    sheet = build_sheet(
        max(WIDTH, left + k * cell + MARGIN),
        bottom + k * tall,
        title=f"Confusion matrix: {title}",
        caption=caption,
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
        if confusion[i].sum() == 0:
            _draw_absent_row(sheet, left, top - tall, k * cell, tall)
            continue
        for j in range(k):
            _draw_cell(sheet, left + j * cell, top - tall, cell, tall, int(confusion[i, j]), int(confusion[i].sum()))
    for i in np.flatnonzero(confusion.sum(1)).tolist():  # after all cells, so that no neighbour covers a frame
        corner = (left + i * cell, bottom + (k - 1 - i) * tall)
        sheet.ink.add_patch(Rectangle(corner, cell, tall, fill=False, edgecolor=INK, linewidth=2.5))
    sheet.text(left + k * cell / 2, MARGIN, "Called finding", bold=True, va="bottom", size=13)
    sheet.text(MARGIN, bottom + k * tall / 2, "True finding", bold=True, ha="left", rotation=90, size=13)
    return sheet.figure


def _column_labels(findings: Sequence[str], cell: float) -> tuple[list[list[str]], bool]:
    """Return the lines of each column's label, and whether they stand upright (else turned by 90 degrees)."""
    upright = [wrap(name, cell - 0.12, TEXT_PT) for name in findings]
    if all(
        len(lines) <= 3 and " ".join(lines) == " ".join(name.split())
        for lines, name in zip(upright, findings, strict=True)
    ):
        return upright, True
    width = 1.6
    turned = [wrap_evenly(name, width, TEXT_PT) for name in findings]
    while max(lines_height(len(lines), TEXT_PT) for lines in turned) > cell:
        width += 0.2
        turned = [wrap_evenly(name, width, TEXT_PT) for name in findings]
    return turned, False


def _draw_absent_row(sheet: Sheet, x: float, y: float, width: float, height: float) -> None:
    """Draw the row of a finding that no image shows as one strip: cells of zeros would look like a result."""
    sheet.ink.add_patch(Rectangle((x, y), width, height, facecolor="#eeeeee", edgecolor=GRID, linewidth=0.8))
    sheet.text(x + width / 2, y + height / 2, "not applicable: no image of it", color=GREY)


def _draw_cell(sheet: Sheet, x: float, y: float, width: float, height: float, count: int, total: int) -> None:
    """Draw one cell with its count and share."""
    fill = _RATE_COLORS(count / total)[:3]
    sheet.ink.add_patch(Rectangle((x, y), width, height, facecolor=fill, edgecolor=GRID, linewidth=0.8))
    color = _readable_on(fill)
    middle = y + height / 2
    sheet.text(x + width / 2, middle + 0.02, str(count), bold=True, size=14, color=color, va="bottom")
    sheet.text(x + width / 2, middle - 0.03, _share(count, total), size=SMALL_PT, color=color, va="top")


def _share(count: int, total: int) -> str:
    """Return a share in percent that never rounds some to none or most to all."""
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
    write_png(figure, path)


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
        Entry("Training", BLUE, marker="o", face=BLUE),
        Entry(stopping_split, VERMILLION, marker="s", face="#ffffff", style=(0, (5, 1.5))),
    ]
    best = lines[1][epochs == best_epoch]
    if best_epoch:
        reached = "n/a" if np.isnan(best[0]) else f"{best[0]:.3f}"
        entries.append(
            Entry(
                f"Best epoch {best_epoch} (kept): {reached}",
                INK,
                marker="*",
                face=YELLOW,
                style=(0, (1, 2)),
                marker_size=15,
            )
        )
    rows = flow_entries(entries, WIDTH - 2 * MARGIN)
    low, high = _history_range(np.concatenate(lines), quantity)
    numbers = _short_numbers(high)
    left, bottom, panel = 1.1 if isinstance(numbers, ScalarFormatter) else 1.4, 0.85, 4.0
    sheet = build_sheet(
        WIDTH,
        bottom + panel + 0.1 + len(rows) * LEGEND_ROW,
        title=title,
        caption=f"Not drawn: {lost} of {len(epochs)} epochs, where a value is not a number." if lost else None,
        notice=notice,
    )
    axes = sheet.axes(left, bottom, WIDTH - left - MARGIN - 0.1, panel)
    draw_legend(sheet, MARGIN, bottom + panel + 0.1 + len(rows) * LEGEND_ROW, rows)
    step = max(1, round(len(epochs) / 15))
    for values, entry in zip(lines, entries, strict=False):
        line = entry.line(epochs, values)
        line.set_markevery(step)
        axes.add_line(line)
    if best_epoch:
        axes.axvline(best_epoch, color=INK, linewidth=1.4, linestyle=(0, (1, 2)), zorder=1)
        axes.plot(
            [best_epoch],
            best,
            marker="*",
            markersize=17,
            markerfacecolor=YELLOW,
            markeredgecolor=INK,
            markeredgewidth=1.2,
            linestyle="none",
            zorder=5,
        )
    margin = 0.5 if len(epochs) < 30 else 0.9  # less than 1, so that no epoch 0 is written
    axes.set_xlim(float(epochs[0]) - margin, float(epochs[-1]) + margin)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(numbers)
    sheet.text(left + axes.get_position().width * WIDTH / 2, MARGIN, "Epoch", bold=True, va="bottom")
    sheet.text(MARGIN, bottom + panel / 2, quantity.capitalize(), bold=True, ha="left", rotation=90)
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


_SENSITIVITY = _Measure("Sensitivity (recall)", "sensitivity", SKY, None)
_SPECIFICITY = _Measure("Specificity", "specificity", "#f4c869", "///")


def draw_recall_per_class(metrics: Metrics, path: Path, *, title: str, notice: str | None = None) -> None:
    """Write the sensitivity of each finding as a PNG; arguments as `build_recall_per_class`."""
    write_png(build_recall_per_class(metrics, title=title, notice=notice), path)


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
    write_png(build_sensitivity_specificity(metrics, title=title, notice=notice), path)


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
    names = [[*wrap_evenly(item.finding, 2.3, TEXT_PT), f"n = {item.n}"] for item in metrics.per_finding]
    labels = [[label_of(measure.of(item)) for measure in measures] for item in metrics.per_finding]
    left = MARGIN + max(width_of(line, TEXT_PT) for lines in names for line in lines) + 0.15
    right = 0.15 + max(width_of(text, TEXT_PT) for texts in labels for text in texts) + MARGIN
    bar = 0.36 if len(measures) > 1 else 0.46
    row = max(len(measures) * bar, *(lines_height(len(lines), TEXT_PT) for lines in names)) + 0.28
    bottom, panel = 0.85, row * len(names)
    entries = [Entry(measure.name, measure.color, hatch=measure.hatch, bar=True) for measure in measures]
    rows = flow_entries(entries, WIDTH) if len(measures) > 1 else []
    above = 0.1 + len(rows) * LEGEND_ROW
    estimates = [measure.of(item) for item in metrics.per_finding for measure in measures]
    sheet = build_sheet(
        WIDTH,
        bottom + panel + above,
        title=title,
        caption=f"Whiskers and brackets: 95 % intervals ({methods_of(estimates)}). n: images with the finding."
        + (" n/a: no image to count." if any(item.value is None for item in estimates) else ""),
        notice=notice,
    )
    axes = sheet.axes(left, bottom, WIDTH - left - right, panel)
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
            sheet.text(WIDTH - right + 0.15, bottom + panel - at, labels[index][rank], ha="left")
    draw_legend(sheet, left, bottom + panel + above, rows)
    what = measures[0].name if len(measures) == 1 else "Share of images"
    sheet.text(left + (WIDTH - left - right) / 2, MARGIN, what, bold=True, va="bottom")
    return sheet.figure


def _draw_bar(axes: Axes, at: float, height: float, measure: _Measure, estimate: Estimate) -> None:
    """Draw one bar with its whisker; nothing where the value does not exist."""
    if estimate.value is None:
        return
    corner = (0.0, at - 0.4 * height)
    patch = Rectangle(
        corner, estimate.value, 0.8 * height, facecolor=measure.color, edgecolor=INK, linewidth=0.8, clip_on=False
    )
    hatch_patch(patch, measure.hatch)
    axes.add_patch(patch)
    if estimate.low is not None and estimate.high is not None:
        for x, y in (
            ((estimate.low, estimate.high), (at, at)),
            ((estimate.low, estimate.low), (at - 0.2 * height, at + 0.2 * height)),
            ((estimate.high, estimate.high), (at - 0.2 * height, at + 0.2 * height)),
        ):
            axes.add_line(Line2D(x, y, color=INK, linewidth=2.0, clip_on=False, zorder=4))
