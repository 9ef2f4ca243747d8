"""Learning curves: loss and accuracy over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from carina.errors import DataError
from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.panel import Axis, Key, build_panel, number_ticks, pairs
from carina.reports.evaluated import Evaluated
from carina.reports.report_tables import ReportTable
from carina.statistics.intervals import FloatArray


def draw_learning(evaluated: Evaluated) -> list[Drawing]:
    """Return loss and accuracy over the epochs; nothing where the folder has no history.

    Raises
    ------
    DataError
        If a column of the history is missing, it has no epoch, or the epoch that was kept is not in it.
    """
    if evaluated.history is None:
        return []
    return [draw_learning_curve(evaluated.history, evaluated.model, quantity) for quantity in ("loss", "accuracy")]


def draw_learning_curve(history: pl.DataFrame, model: Mapping[str, Any], quantity: str) -> Drawing:
    """Return one quantity on the training images and on the split that stopped the training.

    Parameters
    ----------
    history
        One row per epoch: epoch, loss, accuracy, val_loss, val_accuracy.

    Raises
    ------
    DataError
        If a column of the history is missing, it has no epoch, or the epoch that was kept is not in it.
    """
    best = int(model["best_epoch"])
    names = ("epoch", quantity, f"val_{quantity}")
    missing = [name for name in names if name not in history.columns]
    if missing or not history.height:
        what = f"lacks {', '.join(missing)}" if missing else "holds no epoch"
        msg = f"The training history {what}. Draw it from the history.csv of a finished run."
        raise DataError(msg)
    epochs, *lines = (history[name].cast(float).fill_null(float("nan")).to_numpy() for name in names)
    if best and best not in epochs:
        msg = f"Epoch {best} was kept, but the history has epochs {epochs[0]:g} to {epochs[-1]:g} only."
        raise DataError(msg)
    drawn = [np.isfinite(line) for line in lines]
    lost = int((~(drawn[0] & drawn[1])).sum())
    values = np.concatenate([line[kept] for line, kept in zip(lines, drawn, strict=True)])
    low, high = _ends(values, quantity)
    few = len(epochs) <= 30
    keys = [
        Key("training images", "s1", "line", mark="circle" if few else ""),
        Key(f"{model['stopping_split']} split", "s2", "line", (6, 3), mark="square" if few else ""),
    ]
    if best:
        reached = lines[1][epochs == best][0]
        value = f"{reached:.3f}" if np.isfinite(reached) else "n/a"
        keys.append(Key(f"epoch {best}, which was kept: {value}", "ink", "line", (2, 3), mark="star"))
    # An axis from half an epoch before the first to half after the last: a single epoch has a width, too.
    ends = (float(epochs[0]) - 0.5, float(epochs[-1]) + 0.5)
    ticks = tuple(tick for tick in number_ticks(*ends, whole=True) if tick[0] >= epochs[0])
    told = [f"Not drawn: {lost} of {len(epochs)} epochs, where a value is not a number."] if lost else []
    if len(values) and values.max() > high:
        told.append(f"The highest value, {values.max():.3g}, is beyond the panel.")
    said = f"{quantity.capitalize()} over {history.height} epochs, epoch {best} kept"
    panel = build_panel(
        f"{quantity}_curve",
        f"{quantity.capitalize()} while training",
        said,
        Axis("Epoch", *ends, ticks),
        Axis(quantity.capitalize(), low, high, number_ticks(low, high)),
        keys=keys,
        subtitle=" ".join(told),
        height=220,
    )
    for key, line, kept in zip(keys, lines, drawn, strict=False):
        panel.curve(pairs(epochs[kept], line[kept]), key.ink, dash=key.dash, mark=key.mark)
    if best:
        panel.curve([(best, low), (best, high)], "ink", dash=(2, 3), width=1.3)
        if np.isfinite(reached):
            panel.mark(best, reached, "star", "ink", size=8, says=keys[-1].text)
    return panel.drawing


def _ends(values: FloatArray, quantity: str) -> tuple[float, float]:
    """Return the ends of the vertical axis: a loss starts at 0, an accuracy wherever its details can be seen."""
    if not len(values):
        return 0.0, 1.0
    if quantity == "loss":
        most, usual = float(values.max()), float(np.quantile(values, 0.98))
        return min(0.0, 1.08 * float(values.min())), (1.08 * most if most <= 3 * usual else 1.15 * usual) or 1.0
    return max(0.0, float(values.min()) - 0.05), 1.0


def learning_table(history: pl.DataFrame, model: str) -> ReportTable:
    """Return the history, one row per epoch."""
    rows = tuple(tuple("" if value is None else str(value) for value in row) for row in history.iter_rows())
    return ReportTable("history", f"Training of {model}", tuple(history.columns), rows)
