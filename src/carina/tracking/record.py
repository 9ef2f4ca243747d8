"""What a tracker is told of a run or an evaluation.

Nothing of a patient is in it, and no hash of an image.
"""

import csv
import io
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carina.bundles.run_folder import HISTORY_FILE, ONNX_FILE, RECIPE_FILE, RUN_FILE, open_run
from carina.evaluation.figures import figures_of
from carina.reports.evaluation_files import METRICS_FILE, REPORT_FILE, read_metrics
from carina.reports.evaluation_folder import read_history


@dataclass(frozen=True, slots=True)
class Record:
    """What a tracker is told.

    Attributes
    ----------
    kind, name
        ``run`` or ``evaluation``, and its name.
    parameters
        Every setting of the recipe by its place, such as ``training.epochs``.
    tags
        What identifies data and model.
    metrics
        Figures; bounds of an interval are figures of their own, ``NAME.low`` and ``NAME.high``.
    curves
        Figures per epoch, the first epoch first.
    artefacts
        Files to keep.
    """

    kind: str
    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    artefacts: Sequence[Path] = ()


Tracker = Callable[[Record], None]


def run_record(folder: Path) -> Record:
    """Return what is told of a finished run."""
    run, recipe = open_run(folder), tomllib.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    rows = list(csv.DictReader(io.StringIO(read_history(folder))))
    names = [
        name for name in (rows[0] if rows else {}) if name != "epoch" and all(_is_number(row[name]) for row in rows)
    ]
    point = run.operating_point
    return Record(
        "run",
        run.name,
        parameters={**_flat(recipe), "weights": run.weights, "dataset": run.dataset},
        tags={"data_fingerprint": run.data_fingerprint, "model_sha256": run.model_sha256, "flags": point.finding},
        metrics={
            "best_epoch": float(run.best_epoch),
            "seconds": float(run.seconds["total"]),
            "peak_memory_mb": float(run.peak_memory_mb),
            f"operating_point.threshold.{point.finding}": point.threshold,
            f"operating_point.sensitivity.{point.finding}": point.sensitivity,
            f"operating_point.specificity.{point.finding}": point.specificity,
            **{f"images.{split}": float(count) for split, count in run.images.items()},
        },
        curves={name: [float(row[name]) for row in rows] for name in names},
        artefacts=[folder / name for name in (RECIPE_FILE, HISTORY_FILE, RUN_FILE, ONNX_FILE)],
    )


def evaluation_record(folder: Path) -> Record:
    """Return what is told of an evaluation that was written to a folder."""
    content = read_metrics(folder)
    point, data = content["operating_point"], content["data"]
    metrics: dict[str, float] = {}
    for figure in figures_of(content["metrics"], point["reached"], point["chosen"]["finding"]):
        name = figure.measure if figure.finding is None else f"{figure.measure}.{figure.finding}"
        bounds = {name: figure.value, f"{name}.low": figure.low, f"{name}.high": figure.high}
        metrics |= {key: value for key, value in bounds.items() if value is not None}
    return Record(
        "evaluation",
        f"{content['model']['name']} on {data['name']} {data['split']}",
        parameters={"dataset": data["name"], "split": data["split"]},
        tags={"data_fingerprint": data["fingerprint"], "model_sha256": content["model"]["model_sha256"]},
        metrics={"images": float(data["images"]), **metrics},
        artefacts=[folder / METRICS_FILE, folder / REPORT_FILE],
    )


def _flat(told: Mapping[str, Any], place: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in told.items():
        flat |= _flat(value, f"{place}{name}.") if isinstance(value, Mapping) else {f"{place}{name}": str(value)}
    return flat


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
