"""The files in an evaluation folder, and of its audit: their names for whoever writes them, and how they are read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from carina.errors import ConfigurationError, DataError
from carina.evaluation.audit.audit_results import AUDIT_FORMAT
from carina.places import MARKERS, kind_of, wrong_place

EVALUATION_FORMAT = "carina-evaluation-1"
METRICS_FILE = MARKERS["evaluation"]
PREDICTIONS_FILE = "predictions.parquet"
LEAKS_FILE = "leaks.csv"
GALLERY_FILE = "gallery.parquet"
REPORT_FILE = "report.html"
FIGURES_FOLDER = "figures"
AUDIT_FILE = MARKERS["audit"]


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the content of an evaluation's ``metrics.json``.

    Raises
    ------
    DataError
        If the folder is no evaluation, or one that was damaged or written by another version.
    """
    if kind_of(folder) != "evaluation":
        raise DataError(wrong_place(folder, "evaluation"))
    try:
        content = json.loads((folder / METRICS_FILE).read_bytes())
    except (OSError, ValueError):
        msg = f"{folder / METRICS_FILE} is damaged. Evaluate again."
        raise DataError(msg) from None
    if not isinstance(content, dict) or content.get("format") != EVALUATION_FORMAT:
        msg = f"{folder} was written by another version of Carina. Evaluate again."
        raise DataError(msg)
    return content


def read_evaluation(folder: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return the content of an evaluation's ``metrics.json``, and its prediction table.

    Raises
    ------
    DataError
        See `read_metrics`.
    """
    content = read_metrics(folder)
    try:
        return content, pl.read_parquet(folder / PREDICTIONS_FILE)
    except (OSError, pl.exceptions.PolarsError):
        msg = f"{folder / PREDICTIONS_FILE} is missing or damaged. Evaluate again."
        raise DataError(msg) from None


def difference_of_models(judged: Mapping[str, Any], told: Mapping[str, Any]) -> str | None:
    """Return what was judged in place of a bundle's model, as words after "judged"; None where it was that model."""
    if judged.get("model_sha256") != told["model_sha256"]:
        return "another model"
    return "this model with other thresholds" if judged.get("policy") != told["policy"] else None


def read_audit(folder: Path) -> dict[str, Any]:
    """Return the content of ``audit.json``.

    Raises
    ------
    ConfigurationError
        If the folder is no audit, or one that was damaged or written by another version.
    """
    if kind_of(folder) != "audit":
        raise ConfigurationError(wrong_place(folder, "audit"))
    try:
        audit: dict[str, Any] = json.loads((folder / AUDIT_FILE).read_bytes())
        if audit["format"] != AUDIT_FORMAT:
            msg = "format"
            raise KeyError(msg)
        str(audit["sentence"] + audit["model_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        msg = f"{folder / AUDIT_FILE} is damaged, or was written by another version of Carina. Audit again."
        raise ConfigurationError(msg) from None
    return audit
