"""Everything that ``carina evaluate`` writes, under the names that the published baseline gave its files."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import polars as pl

from carina import __version__
from carina.bundles.bundle import open_model
from carina.bundles.run_folder import HISTORY_FILE, RECIPE_FILE, FinishedRun
from carina.datasets.images import images_of
from carina.datasets.manifest import Dataset, Split
from carina.errors import BundleError
from carina.evaluation.evaluate import Evaluation, OnLeak, evaluate
from carina.evaluation.predictions import findings_of
from carina.progress import Progress, no_progress
from carina.reports.drawing.composition import compose
from carina.reports.drawing.confusion import draw_rates
from carina.reports.drawing.png import write_png
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
from carina.storage.tables import write_csv, write_parquet
from carina.wording import counted, were

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


def write_evaluation(
    run: Path,
    dataset: Dataset,
    split: Split,
    out: Path,
    *,
    on_leak: OnLeak,
    prevalence: float | None,
    command: str,
    images: bool = True,
    progress: Progress = no_progress,
) -> Evaluation:
    """Judge a split with a run, write the evaluation folder, and return what it holds.

    The folder appears whole or not at all.

    Parameters
    ----------
    run, dataset, split, on_leak, prevalence, progress
        See `carina.evaluation.evaluate.evaluate`.
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
    LeakError, DataError, BundleError
        See `carina.evaluation.evaluate.evaluate`.
    """
    with whole_folder(out, what="evaluation") as folder:
        described = open_model(run)
        history = _read_history(run)
        started = time.perf_counter()
        evaluation = evaluate(run, dataset, split, on_leak=on_leak, prevalence=prevalence, progress=progress)
        seconds = time.perf_counter() - started
        title = _title(described, dataset, split, evaluation)
        write_parquet(folder / PREDICTIONS_FILE, evaluation.table)
        if evaluation.leaks.learned.height:
            write_csv(folder / LEAKS_FILE, evaluation.leaks.learned)
        content = _metrics_content(described, dataset, split, evaluation, command)
        content["bundle_sha256"] = _bundle_sha256(run)
        content["judging"] = {"seconds": round(seconds, 2), "peak_memory_mb": round(peak_memory_mb(), 1)}
        write_text(folder / METRICS_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        write_text(folder / RECIPE_FILE, (run / RECIPE_FILE).read_text(encoding="utf-8"))
        write_text(folder / HISTORY_FILE, history)
        _write_texts(folder, evaluation, title)
        if images:
            _write_gallery(folder, run, dataset)
        evaluated = read_evaluated(folder)
        report = build_report(evaluated)
        report.write_html(folder / REPORT_FILE)
        write_pictures(folder, report, evaluated, title)
        report.write_figures(folder / FIGURES_FOLDER, pictured=PICTURES)
    return evaluation


def headline(evaluation: Evaluation) -> str:
    """Return the figures that are asked for first, a line each, with their intervals."""
    metrics = evaluation.metrics
    reached = evaluation.at_operating_point
    absent = [item.finding for item in metrics.per_finding if item.n == 0]
    without = f" (without {', '.join(absent)}: no image of it)" if absent else ""
    lines = [
        (
            f"{metrics.n} images. Accuracy {metrics.accuracy}. Macro AUROC {metrics.macro_auroc}{without}. "
            f"ECE {metrics.calibration.ece}."
        ),
        *(
            f"{of.finding}: sensitivity {of.sensitivity}, specificity {of.specificity}, AUROC {of.auroc}"
            if of.n
            else f"{of.finding}: no image of it; called on {called} of {metrics.n} images, specificity {of.specificity}"
            for of, called in zip(metrics.per_finding, metrics.confusion.sum(axis=0), strict=True)
        ),
        (
            f"Flagged finding: {evaluation.flag_finding}. At the operating point (threshold {reached.threshold:.3f}): "
            f"sensitivity {reached.sensitivity}, specificity {reached.specificity}"
        ),
    ]
    refused = int((~evaluation.table["assessable"]).sum())
    if refused:
        lines.append(
            f"{counted(refused, 'image')} would be refused (no two lungs, or the gate): "
            f"{'it is' if refused == 1 else 'they are'} judged here all the same, and `carina predict` says "
            "not-assessable."
        )
    leaks = evaluation.leaks
    learned = leaks.learned.height
    lines.append(
        f"Leak check: {learned} of {counted(leaks.images, 'image')} {were(learned)} trained on"
        + (f", {evaluation.dropped} left out." if evaluation.dropped else ".")
    )
    if leaks.stopped_on:
        lines.append(
            f"Training stopped or thresholds were chosen on {leaks.stopped_on} of these images: "
            "the figures are a little too good."
        )
    return "\n".join(lines)


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


def _read_history(run: Path) -> str:
    """Return the history of a training as text, once it was seen to be a table."""
    try:
        pl.read_csv(run / HISTORY_FILE)
        return (run / HISTORY_FILE).read_text(encoding="utf-8")
    except (OSError, pl.exceptions.PolarsError):
        msg = f"{run / HISTORY_FILE} is missing or damaged. Train again."
        raise BundleError(msg) from None


def _title(run: FinishedRun, dataset: Dataset, split: Split, evaluation: Evaluation) -> str:
    leaks = evaluation.leaks
    everything = "the split that training or thresholds were chosen by"
    part = (
        everything
        if leaks.stopped_on == leaks.images
        else f"training or thresholds were chosen by {leaks.stopped_on} like them"
    )
    stopped = f", {part}" if leaks.stopped_on else ""
    return f"{run.name} on {dataset.folder.name}, {split} split (n = {evaluation.metrics.n}){stopped}"


def _write_texts(folder: Path, evaluation: Evaluation, title: str) -> None:
    for name, write in (
        ("classification_report.txt", classification_report),
        ("roc_auc.txt", roc_auc_text),
        ("sens_spec_per_class.txt", sens_spec_text),
        ("calibration.txt", calibration_text),
    ):
        write_text(folder / name, write(evaluation.metrics, title=title, notice=evaluation.notice))


def write_pictures(folder: Path, report: Report, evaluated: Evaluated, title: str) -> None:
    """Write the published baseline's pictures: those of the report, each under a heading that names the data."""
    drawn = report.drawings() | {"recall_per_class": draw_rates(evaluated, ("sensitivity",))}
    for name, (start, caption) in PICTURES.items():
        drawings = [drawing for key, drawing in drawn.items() if key.startswith(start)]
        heading = f"{evaluated.model['name']}: training" if name.endswith("_curve") else title
        sheet = compose(name, heading, drawings, columns=2, caption=caption, notice=report.notice)
        write_png(sheet, folder / f"{name}.png")


def _metrics_content(
    run: FinishedRun, dataset: Dataset, split: Split, evaluation: Evaluation, command: str
) -> dict[str, Any]:
    leaks = evaluation.leaks
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
            "split": split,
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
