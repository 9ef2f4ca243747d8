"""Everything that ``carina evaluate`` writes, under the names that the published baseline gave its files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

from carina import __version__
from carina.bundles.run_folder import HISTORY_FILE, RECIPE_FILE
from carina.datasets.images import images_of
from carina.datasets.manifest import Dataset
from carina.errors import BundleError
from carina.evaluation.evaluate import SplitResult
from carina.evaluation.predictions import findings_of, probabilities_of, truth_of
from carina.reports.curve_figures import draw_reliability, draw_roc
from carina.reports.evaluation_files import (
    EVALUATION_FORMAT,
    FIGURES_FOLDER,
    GALLERY_FILE,
    LEAKS_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
)
from carina.reports.figures import (
    draw_confusion_matrix,
    draw_history,
    draw_recall_per_class,
    draw_sensitivity_specificity,
)
from carina.reports.gallery_images import write_gallery
from carina.reports.page.content import read_evaluated
from carina.reports.page.gallery import choose_rows
from carina.reports.page.write import open_report
from carina.reports.text_files import calibration_text, classification_report, roc_auc_text, sens_spec_text
from carina.runtime.machine import describe_machine, library_versions, peak_memory_mb
from carina.storage.atomic import whole_folder, write_text
from carina.storage.seal import SEAL_FILE
from carina.storage.tables import write_csv, write_parquet


def write_evaluation(evaluation: SplitResult, out: Path, *, command: str, images: bool = True) -> None:
    """Write an evaluation folder: predictions, figures, texts, pictures and the report.

    The folder appears whole or not at all.

    Parameters
    ----------
    evaluation
        What to write.
    out
        The folder to write; it must not exist.
    command
        What was typed, for the record.
    images
        Whether small images of chosen rows are written, for the report.

    Raises
    ------
    ConfigurationError
        If `out` exists.
    BundleError
        If the model has no readable record of its training.
    """
    with whole_folder(out, what="evaluation") as folder:
        write_record(evaluation, folder, command=command, images=images)
        _write_texts(folder, evaluation)
        _draw_figures(folder, evaluation)
        report = open_report(folder)
        report.write_html(folder / REPORT_FILE)
        report.write_figures(folder / FIGURES_FOLDER)


def write_record(evaluation: SplitResult, folder: Path, *, command: str, images: bool) -> None:
    """Write into a folder what its report is made from; see `write_evaluation`."""
    run = evaluation.model_folder
    write_parquet(folder / PREDICTIONS_FILE, evaluation.table)
    if evaluation.leaks.learned.height:
        write_csv(folder / LEAKS_FILE, evaluation.leaks.learned)
    content = _metrics_content(evaluation, command)
    content["bundle_sha256"] = _bundle_sha256(run)
    content["judging"] = {"seconds": round(evaluation.seconds, 2), "peak_memory_mb": round(peak_memory_mb(), 1)}
    write_text(folder / METRICS_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    for name in (RECIPE_FILE, HISTORY_FILE):
        write_text(folder / name, (run / name).read_text(encoding="utf-8"))
    if images:
        _write_gallery(folder, run, evaluation.dataset)


def _bundle_sha256(run: Path) -> str | None:
    """Return the hash that stands for the whole of a bundle, which was checked when it was opened; none for a run."""
    seal = run / SEAL_FILE
    return hashlib.sha256(seal.read_bytes()).hexdigest() if seal.is_file() else None


def _write_gallery(folder: Path, run: Path, dataset: Dataset) -> None:
    evaluated = read_evaluated(folder)
    images = {image.sha256: image for image in images_of(dataset.manifest)}
    sha256 = evaluated.table["sha256"]
    rows = [(item.row, images[sha256[item.row]]) for item in choose_rows(evaluated)]
    write_gallery(folder / GALLERY_FILE, run, rows)


def read_history(run: Path) -> pl.DataFrame:
    """Return what the training of a run or bundle wrote down after each epoch.

    Raises
    ------
    BundleError
        If it is missing or damaged.
    """
    try:
        return pl.read_csv(run / HISTORY_FILE)
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


def _draw_figures(folder: Path, evaluation: SplitResult) -> None:
    run, metrics, title, notice = evaluation.model, evaluation.metrics, evaluation.title, evaluation.notice
    draw_confusion_matrix(
        metrics.confusion, metrics.findings, folder / "confusion_matrix.png", title=title, notice=notice
    )
    draw_recall_per_class(metrics, folder / "recall_per_class.png", title=title, notice=notice)
    draw_sensitivity_specificity(metrics, folder / "sens_spec_per_class.png", title=title, notice=notice)
    truth, probabilities = truth_of(evaluation.table), probabilities_of(evaluation.table)
    point = (run.operating_point.finding, evaluation.at_operating_point)
    draw_roc(truth, probabilities, metrics, folder / "roc.png", title=title, operating_point=point, notice=notice)
    draw_reliability(metrics, folder / "reliability.png", title=title, notice=notice)
    history = read_history(evaluation.model_folder)
    for quantity in ("accuracy", "loss"):
        draw_history(
            history,
            folder / f"{quantity}_curve.png",
            quantity=quantity,
            stopping_split=run.stopping_split,
            best_epoch=run.best_epoch,
            title=f"{run.name}: {quantity} while training",
            notice=notice,
        )


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
