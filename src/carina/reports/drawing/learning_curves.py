"""Learning curves: loss and accuracy over the epochs."""

from __future__ import annotations

import numpy as np

from carina.reports.evaluated import Evaluated
from carina.reports.drawing.panel import Axis, Key, build_panel, number_ticks, pairs
from carina.reports.drawing.drawing import Scene
from carina.reports.report_tables import Table


def draw_training(evaluated: Evaluated) -> list[Scene]:
    """Return loss and accuracy over the epochs; nothing where the folder has no history."""
    history = evaluated.history
    if history is None or history.height < 2 or "epoch" not in history.columns:
        return []
    epochs = history["epoch"].to_numpy().astype(np.float64)
    best = int(evaluated.model["best_epoch"])
    stopping = f"{evaluated.model['stopping_split']} split"
    scenes = []
    for quantity, title in (("loss", "Loss while training"), ("accuracy", "Accuracy while training")):
        names = [name for name in (quantity, f"val_{quantity}") if name in history.columns]
        lines = [history[name].cast(float).fill_null(float("nan")).to_numpy() for name in names]
        kept = [(epochs[np.isfinite(line)], line[np.isfinite(line)]) for line in lines]
        values = np.concatenate([line for _, line in kept]) if kept else np.zeros(0)
        if len(values) < 2:
            continue
        low = 0.0 if quantity == "loss" else max(0.0, float(values.min()) - 0.05)
        high = float(np.quantile(values, 0.98)) * 1.15 if quantity == "loss" else 1.0
        keys = [
            Key("training images", "s1", "line"),
            Key(f"{stopping}", "s2", "line", (6, 3)),
            Key(f"epoch {best}, which was kept", "muted", "line", (2, 3)),
        ]
        said = f"{quantity.capitalize()} over {history.height} epochs, epoch {best} kept"
        x = Axis(
            "Epoch", float(epochs[0]), float(epochs[-1]), number_ticks(float(epochs[0]), float(epochs[-1]), whole=True)
        )
        panel = build_panel(
            f"{quantity}_curve",
            title,
            said,
            x,
            Axis(quantity.capitalize(), low, high, number_ticks(low, high)),
            keys=keys,
            height=220,
        )
        for (across, line), ink, dash in zip(kept, ("s1", "s2"), ((), (6.0, 3.0)), strict=False):
            panel.curve(pairs(across, line), ink, dash=dash)  # type: ignore[arg-type]
        if best:
            panel.curve([(best, low), (best, high)], "muted", dash=(2, 3), width=1.3)
        scenes.append(panel.scene)
    return scenes


def training_table(evaluated: Evaluated) -> Table:
    """Return the history, a row an epoch; empty where the folder has none."""
    history = evaluated.history
    if history is None:
        return Table("history", "Training", (), ())
    rows = tuple(tuple("" if value is None else str(value) for value in row) for row in history.iter_rows())
    return Table("history", f"Training of {evaluated.model['name']}", tuple(history.columns), rows)
