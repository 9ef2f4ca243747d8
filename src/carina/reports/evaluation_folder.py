"""Everything that ``carina evaluate`` writes, under the names that the published baseline gave its files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

from carina._version import __version__
from carina.bundles.run_folder import HISTORY_FILE, RECIPE_FILE
from carina.datasets.images import images_of
from carina.datasets.manifest import Dataset
from carina.errors import BundleError
from carina.evaluation.evaluate import SplitResult
from carina.evaluation.predictions import findings_of
from carina.places import kind_of, wrong_place
from carina.reports.drawing.composition import compose
from carina.reports.drawing.confusion import draw_rates
from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.png import FOR_SCREEN, write_png
from carina.reports.evaluated import Evaluated, read_evaluated
from carina.reports.evaluation_files import (
    EVALUATION_FORMAT,
    FIGURES_FOLDER,
    GALLERY_FILE,
    LEAKS_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
)
from carina.reports.gallery_images import write_gallery
from carina.reports.html.open_reports import build_report
from carina.reports.html.page import Report
from carina.reports.html.sections.gallery_section import choose_rows
from carina.reports.text_files import calibration_text, classification_report, roc_auc_text, sens_spec_text
from carina.runtime.machine import describe_machine, library_versions, peak_memory_mb
from carina.storage.atomic import whole_folder, write_text
from carina.storage.seal import SEAL_FILE
from carina.storage.tables import write_parquet

_CELLS = "Cells: number of images and their share of the row. Framed: called correctly."
_INTERVALS = "In brackets and as lines: 95 % intervals. The text files in this folder say how they were made."
# The published baseline's pictures: how the names of the report's drawings on them begin, and a caption.
PICTURES = {
    "confusion_matrix": ("confusion_matrix", _CELLS),
    "recall_per_class": ("recall_per_class", _INTERVALS),
    "sens_spec_per_class": ("findings", _INTERVALS),
    "roc": ("roc", f"Each finding against all others. {_INTERVALS}"),
    "reliability": ("reliability_", f"Each point: images of like probability. {_INTERVALS}"),
    "accuracy_curve": ("accuracy_curve", ""),
    "loss_curve": ("loss_curve", ""),
}


def write_evaluation(evaluation: SplitResult, out: Path, *, command: str, images: bool = True) -> None:
    """Write an evaluation folder: predictions, figures, texts, pictures and the report.

    The folder appears whole or not at all.

    Raises
    ------
    ConfigurationError
        If `out` exists.
    BundleError
        If the model has no readable record of its training.
    """
    with whole_folder(out, what="evaluation") as folder:
        evaluated = write_record(evaluation, folder, command=command, images=images)
        _write_texts(folder, evaluation)
        report = build_report(evaluated)
        report.write_html(folder / REPORT_FILE)
        write_pictures(folder, report, evaluated, evaluation.title)
        report.write_figures(folder / FIGURES_FOLDER, pictured=PICTURES)


def write_record(evaluation: SplitResult, folder: Path, *, command: str, images: bool) -> Evaluated:
    """Write into a folder what its report is made from, and return that as it is read; see `write_evaluation`."""
    run = evaluation.model_folder
    write_parquet(folder / PREDICTIONS_FILE, evaluation.table)
    if evaluation.leaks.learned.height:
        write_text(folder / LEAKS_FILE, evaluation.leaks.learned.write_csv())
    content = _metrics_content(evaluation, command)
    # The hash over all files of a bundle, which was checked when it was opened; none for a run.
    seal = run / SEAL_FILE
    content["bundle_sha256"] = hashlib.sha256(seal.read_bytes()).hexdigest() if seal.is_file() else None
    content["judging"] = {"seconds": round(evaluation.seconds, 2), "peak_memory_mb": round(peak_memory_mb(), 1)}
    write_text(folder / METRICS_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / RECIPE_FILE, (run / RECIPE_FILE).read_text(encoding="utf-8"))
    write_text(folder / HISTORY_FILE, read_history(run))
    if images:
        _write_gallery(folder, run, evaluation.dataset)
    return read_evaluated(folder)


def _write_gallery(folder: Path, run: Path, dataset: Dataset) -> None:
    evaluated = read_evaluated(folder)
    images = {image.sha256: image for image in images_of(dataset.manifest)}
    sha256 = evaluated.table["sha256"]
    rows = [(item.row, images[sha256[item.row]]) for item in choose_rows(evaluated)]
    write_gallery(folder / GALLERY_FILE, run, rows)


def read_history(run: Path) -> str:
    """Return the history of a training as text, once it was seen to be a table.

    Raises
    ------
    BundleError
        If it is missing or damaged, or the folder holds no model.
    """
    if kind_of(run) not in ("bundle", "finished run"):
        raise BundleError(wrong_place(run, "model"))
    try:
        pl.read_csv(run / HISTORY_FILE)
        return (run / HISTORY_FILE).read_text(encoding="utf-8")
    except (OSError, pl.exceptions.PolarsError):
        msg = f"{run / HISTORY_FILE} is missing or damaged. Train again."
        raise BundleError(msg) from None


def _write_texts(folder: Path, evaluation: SplitResult) -> None:
    for name, write in (
        ("classification_report.txt", classification_report),
        ("roc_auc.txt", roc_auc_text),
        ("sens_spec_per_class.txt", sens_spec_text),
        ("calibration.txt", calibration_text),
    ):
        write_text(folder / name, write(evaluation.metrics, title=evaluation.title, notice=evaluation.notice))


def pictures_of(report: Report, evaluated: Evaluated) -> dict[str, list[Drawing]]:
    """Return what is drawn on each of the published baseline's pictures, by the picture's name."""
    recall = draw_rates(evaluated, ("sensitivity",), name="recall_per_class")
    drawn = report.drawings() | {recall.name: recall}
    return {
        name: [drawing for key, drawing in drawn.items() if key.startswith(start)]
        for name, (start, _) in PICTURES.items()
    }


def write_pictures(folder: Path, report: Report, evaluated: Evaluated, title: str) -> None:
    """Write the published baseline's pictures: those of the report, each under a heading that names the data."""
    for name, drawings in pictures_of(report, evaluated).items():
        heading = f"{evaluated.model['name']}: training" if name.endswith("_curve") else title
        sheet = compose(name, heading, drawings, columns=2, caption=PICTURES[name][1], notice=report.notice)
        write_png(sheet, folder / f"{name}.png", FOR_SCREEN)


def _metrics_content(evaluation: SplitResult, command: str) -> dict[str, Any]:
    run, dataset, leaks = evaluation.model, evaluation.dataset, evaluation.leaks
    return {
        "format": EVALUATION_FORMAT,
        "notice": evaluation.notice,
        "command": command,
        "carina": __version__,
        "machine": describe_machine(),
        "versions": library_versions(),
        "data": {
            "name": dataset.folder.name,
            "fingerprint": dataset.description.fingerprint,
            "split": evaluation.split,
            "images": evaluation.table.height,
            "not_assessable": int((~evaluation.table["assessable"]).sum()),
            "patients_or_groups": int(evaluation.table["group"].n_unique()),
            "findings": dict(evaluation.table.group_by("finding").len().sort("finding").iter_rows()),
        },
        "leak_check": {
            "images_checked": leaks.images,
            "training_images": leaks.training_images,
            "same_pixels": leaks.same_pixels,
            "near_duplicates": leaks.near_duplicates,
            "dropped": evaluation.dropped,
            "stopped_on": leaks.stopped_on,
        },
        "model": run.model_dump(mode="json"),
        "metrics": evaluation.metrics.to_json(),
        "operating_point": {
            "chosen": run.operating_point.model_dump(mode="json"),
            "reached": evaluation.at_operating_point.to_json(),
        },
        "sensitivity_at_specificity": {
            f"{specificity:g}": sensitivity.to_json() for specificity, sensitivity in evaluation.at_specificity.items()
        },
        "findings": list(findings_of(evaluation.table)),
    }
