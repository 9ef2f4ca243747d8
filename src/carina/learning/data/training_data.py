"""What a training learns from: the rows of one data set, or of several joined into one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from carina.bundles.run_folder import RECIPE_FILE, STARTED_FILE, StartedRun
from carina.datasets.duplicates import find_duplicates
from carina.datasets.manifest import Dataset, open_dataset
from carina.errors import BundleError, ConfigurationError, DataError
from carina.findings import NORMAL, order_findings
from carina.learning.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class TrainingData:
    """Rows to learn from and rows to stop on.

    Attributes
    ----------
    datasets
        The first one and those that were added.
    findings
        Of all of them, in the order of the logits.
    train_rows, stopping_rows
        Rows of the manifests; ``set`` is the place of their data set, ``row`` their place in it, and ``group`` is told
        apart between data sets.
    near_duplicates
        How many images of added data sets were left out, because an earlier data set holds them, as they are or nearly.
    """

    datasets: tuple[Dataset, ...]
    findings: tuple[str, ...]
    train_rows: pl.DataFrame
    stopping_rows: pl.DataFrame
    near_duplicates: int

    @property
    def name(self) -> str:
        """Return the names of the folders, joined."""
        return " + ".join(dataset.folder.name for dataset in self.datasets)

    @property
    def fingerprint(self) -> str:
        """Return the data set's own fingerprint, or one over all."""
        return joint_fingerprint(self.datasets)

    def details(self, rows: pl.DataFrame) -> NDArray[np.int8]:
        """Return int8 ``(n, 1764)``: what the images of these rows are recognised by."""
        details = np.empty((rows.height, self.datasets[0].details.shape[1]), np.int8)
        places, sets = rows["row"].to_numpy(), rows["set"].to_numpy()
        for i, dataset in enumerate(self.datasets):
            details[sets == i] = dataset.details[places[sets == i]]
        return details


def reopen_training_data(run: Path) -> tuple[Recipe, TrainingData]:
    """Return a run's recipe and what it learns from, where that still lies where it lay.

    Raises
    ------
    BundleError
        If the run does not say from what.
    DataError
        If a data set is gone or has changed.
    """
    try:
        started = StartedRun.model_validate_json((run / STARTED_FILE).read_bytes())
    except (OSError, ValidationError):
        msg = f"{run / STARTED_FILE} is missing or damaged: nobody knows what the run learned from. Train again."
        raise BundleError(msg) from None
    folders = [Path(folder) for folder in started.datasets]
    if joint_fingerprint([open_dataset(folder) for folder in folders]) != started.data_fingerprint:
        msg = f"{' + '.join(started.datasets)} is not the data that {run} was trained on. Import it again."
        raise DataError(msg)
    recipe = load_recipe(run / RECIPE_FILE)
    return recipe, gather_training_data(folders, recipe, without_sources=started.without_sources)


def joint_fingerprint(datasets: Sequence[Dataset]) -> str:
    """Return what the images, labels and splits of all data sets are recognised by, in their order."""
    fingerprints = [dataset.description.fingerprint for dataset in datasets]
    return fingerprints[0] if len(fingerprints) == 1 else hashlib.sha256("".join(fingerprints).encode()).hexdigest()


def gather_training_data(
    folders: Sequence[Path], recipe: Recipe, *, without_sources: Sequence[str] = ()
) -> TrainingData:
    """Return what to learn from.

    Parameters
    ----------
    folders
        Imported data sets. Of all but the first, images that an earlier one holds are left out, whatever its split.
    recipe
        Its split.
    without_sources
        Sources to leave out, to see how the model does on a source that it never saw.

    Raises
    ------
    DataError
        If a data set is missing, or there is nothing to learn from or to stop on.
    ConfigurationError
        If there is one finding only, or a source to leave out does not exist.
    """
    datasets = tuple(open_dataset(folder) for folder in folders)
    column = _split_column(recipe)
    manifests: list[pl.DataFrame] = []
    left_out, groups = 0, 0
    for i, dataset in enumerate(datasets):
        rows = dataset.manifest.with_row_index("row").with_columns(
            pl.lit(i).alias("set"), pl.col("row").cast(pl.Int64), pl.col("group") + groups
        )
        groups = int(rows["group"].max()) + 1  # type: ignore[arg-type]  # integers have an integer as their largest
        known = _held_by(rows, dataset, manifests, datasets)
        left_out += int(known.sum())
        manifests.append(rows.filter(~known))
    manifest = pl.concat(manifests)
    missing = sorted(set(without_sources) - set(manifest["source"].drop_nulls()))
    if missing:
        msg = (
            f"There is no source {missing[0]!r}. There are: {', '.join(sorted(set(manifest['source'].drop_nulls())))}."
        )
        raise ConfigurationError(msg)
    manifest = manifest.filter(~pl.col("source").fill_null("").is_in(list(without_sources)))
    train_rows = manifest.filter(pl.col(column) == "train")
    if train_rows.is_empty():
        msg = f"{folders[0]} has no images to train on: it was imported with --test-only, or its sources are left out."
        raise DataError(msg)
    findings = order_findings(train_rows["finding"].to_list())
    if len(findings) < 2:
        msg = f"{folders[0]} has one finding only ({findings[0]}); at least two are needed to tell apart."
        raise ConfigurationError(msg)
    stopping_rows = manifest.filter((pl.col(column) == recipe.stopping_split) & pl.col("finding").is_in(findings))
    if stopping_rows.is_empty():
        msg = f"{folders[0]} has no images in its {recipe.stopping_split} split. Import it again."
        raise DataError(msg)
    return TrainingData(datasets, findings, train_rows, stopping_rows, left_out)


def find_unpaired(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Return which rows are abnormal and of a source without normal images: bool ``(n,)``.

    Sources are told apart by data set (the column ``set``): two that call theirs "1" have two sources. A data set
    without sources is one.

    Raises
    ------
    ConfigurationError
        If no source has normal and abnormal images: nothing would teach the difference.
    """
    with_normal = (pl.col("finding") == NORMAL).any().over("set", pl.col("source").fill_null(""))
    unpaired = rows.select((pl.col("finding") != NORMAL) & ~with_normal).to_series().to_numpy()
    if unpaired.sum() == (rows["finding"] != NORMAL).sum():
        msg = (
            "fine_tuning.unpaired: no source has normal and abnormal images, so that nothing would teach what is "
            "abnormal. Add a data set of one source with both, or leave the setting out."
        )
        raise ConfigurationError(msg)
    return np.asarray(unpaired)


def require_training_images(data: TrainingData, recipe: Recipe) -> None:
    """Refuse data of which a part is a test set: it would bring nothing, and nobody would notice.

    Raises
    ------
    DataError
        If so.
    """
    for dataset in data.datasets:
        if "train" not in dataset.manifest[_split_column(recipe)]:
            msg = (
                f"{dataset.folder} was imported with --test-only: it has no images to train on. Leave it out, or "
                "import it without that option."
            )
            raise DataError(msg)


def _split_column(recipe: Recipe) -> str:
    return "baseline_split" if recipe.split == "train-validation" else "split"


def _held_by(
    rows: pl.DataFrame, dataset: Dataset, earlier: Sequence[pl.DataFrame], datasets: Sequence[Dataset]
) -> pl.Series:
    """Return which rows an earlier data set holds, as they are or nearly."""
    known = np.zeros(rows.height, np.bool_)
    for manifest, other in zip(earlier, datasets, strict=False):
        pairs = find_duplicates(
            rows["perceptual_hash"].to_numpy(),
            np.asarray(dataset.details),
            manifest["perceptual_hash"].to_numpy(),
            np.asarray(other.details[manifest["row"].to_numpy()]),
        )
        known[pairs[:, 0]] = True
        known |= rows["sha256"].is_in(manifest["sha256"].implode()).to_numpy()
    return pl.Series(known)
