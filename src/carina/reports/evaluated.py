"""What a report is made from: the files of an evaluation folder, read once and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.bundle import open_bundle
from carina.bundles.run_folder import HISTORY_FILE, RECIPE_FILE
from carina.bundles.safety import without_directories, without_folders
from carina.decisions.policy import Policy
from carina.decisions.triage import Priority
from carina.errors import ConfigurationError, DataError
from carina.evaluation.predictions import findings_of, groups_of, probabilities_of, truth_of
from carina.evaluation.priorities import priorities_of
from carina.reports.evaluation_files import GALLERY_FILE, difference_of_models, read_evaluation
from carina.reports.written_numbers import estimate_of
from carina.statistics.binary_metrics import binary_estimates
from carina.statistics.intervals import BinaryCounts, BoolArray, Estimate, FloatArray, group_codes

_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Evaluated:
    """One evaluation, as its folder tells it."""

    name: str  # of the folder
    content: dict[str, Any]  # ``metrics.json``, without a folder of the machine that it was made on
    table: pl.DataFrame  # the prediction table
    history: pl.DataFrame | None  # one row per epoch; None where the folder has none
    recipe: str  # the recipe as text; empty where the folder has none
    audit: dict[str, Any] | None  # ``audit.json`` of the same model; None where none was named
    gallery: pl.DataFrame | None  # small images of chosen rows; None where images were left out

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the findings in the order of the probabilities."""
        return findings_of(self.table)

    @property
    def metrics(self) -> dict[str, Any]:
        """Return the figures of ``metrics.json``."""
        return dict(self.content["metrics"])

    @property
    def model(self) -> dict[str, Any]:
        """Return what the evaluation says of the model."""
        return dict(self.content["model"])

    @property
    def flag(self) -> str:
        """Return the finding of the operating point."""
        return str(self.content["operating_point"]["chosen"]["finding"])

    @property
    def threshold(self) -> float:
        """Return the operating point's threshold."""
        return float(self.content["operating_point"]["chosen"]["threshold"])

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Return the names of the data sets that the model learned from."""
        return tuple(str(self.model["dataset"]).split(" + "))

    @property
    def internal(self) -> bool:
        """Return whether the tested images are of a collection that the model learned from."""
        data = self.content["data"]
        # Several data sets have one fingerprint over all of them, in which each is known by its name alone.
        same = data["fingerprint"] == self.model["data_fingerprint"]
        return same or (len(self.trained_on) > 1 and data["name"] in self.trained_on)

    @property
    def label(self) -> str:
        """Return model and data in a few words."""
        data = self.content["data"]
        return f"{self.model['name']} on {data['name']}, {data['split']} split"

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """Index of the true finding, int64 (n,)."""
        return truth_of(self.table)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Calibrated probabilities, float64 (n, k)."""
        return probabilities_of(self.table)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """A number for each patient or set of near-duplicates from 0, in no order that tells who is who: int64 (n,)."""
        return np.asarray(np.unique(groups_of(self.table), return_inverse=True)[1], dtype=np.int64)

    @cached_property
    def policy(self) -> Policy | None:
        """The model's policy; None where the evaluation was written by a version that knew none."""
        try:
            return Policy.model_validate(self.model["policy"])
        except (KeyError, ValueError):
            return None

    @cached_property
    def priorities(self) -> list[Priority] | None:
        """The priority that triage gives to each image; None where there is no policy."""
        return None if self.policy is None else priorities_of(self.table, self.policy)

    def against_rest(self, finding: str) -> tuple[BoolArray, FloatArray]:
        """Return whether each image shows a finding, and the finding's probability: bool and float64 (n,)."""
        index = self.findings.index(finding)
        return self.truth == index, self.probabilities[:, index]

    @cached_property
    def shipped(self) -> BinaryCounts:
        """The four cells of the flagged finding at the shipped threshold, with the design effects of both sides."""
        positive, probability = self.against_rest(self.flag)
        return binary_estimates(positive, probability >= self.threshold, group_codes(self.groups, len(positive)))[0]

    def estimate(self, *path: str) -> Estimate:
        """Return an estimate of ``metrics.json`` by its keys; not applicable where the file has none."""
        found: Any = self.content
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return estimate_of(found)

    def reached(self, *names: str) -> list[Estimate]:
        """Return what the shipped operating point reached on this set, by the measures' names."""
        return [self.estimate("operating_point", "reached", name) for name in names]


def read_evaluated(folder: Path, *, bundle: Path | None = None, images: bool = True) -> Evaluated:
    """Return what an evaluation folder holds, without an audit.

    Parameters
    ----------
    bundle
        That the evaluated run was sealed into: its name, version and hash are in the report.

    Raises
    ------
    DataError
        If the folder is no evaluation, was written by another version, or a file in it is damaged.
    ConfigurationError
        If the bundle holds another model.
    BundleError
        If the bundle is none or damaged.
    """
    content, table = read_evaluation(folder)
    content["command"] = without_directories(str(content.get("command", "")))
    content["model"] = without_folders(content["model"])
    if "command" in content["model"]:
        content["model"]["command"] = without_directories(content["model"]["command"])
    if bundle is not None:
        _name_bundle(content, folder, bundle)
    if "assessable" not in table.columns:
        # Written before anything was refused.
        table = table.with_columns(assessable=pl.lit(True))
    gallery = _read(folder / GALLERY_FILE, pl.read_parquet) if images else None
    history = _read(folder / HISTORY_FILE, pl.read_csv)
    recipe = _read(folder / RECIPE_FILE, _recipe_text) or ""
    return Evaluated(folder.resolve().name, content, table, history, recipe, None, gallery)


def _read(path: Path, read: Callable[[Path], _Content]) -> _Content | None:
    """Return a file that an evaluation folder may lack."""
    if not path.is_file():
        return None
    try:
        return read(path)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        msg = f"{path} is damaged. Evaluate again."
        raise DataError(msg) from None


def _recipe_text(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    tomllib.loads(text)
    return text


def _name_bundle(content: dict[str, Any], folder: Path, bundle: Path) -> None:
    described, seal = open_bundle(bundle)
    if what := difference_of_models(content["model"], described.model_dump(mode="json")):
        msg = f"{folder} judged {what} than {bundle} holds. Name the bundle that was made of the evaluated run."
        raise ConfigurationError(msg)
    content["model"] |= {"name": described.name, "version": described.version}
    content["bundle_sha256"] = seal.sha256
