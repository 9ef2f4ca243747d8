"""Whether a test set holds images that the model learned from, as they are or nearly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from carina.datasets.duplicates import find_duplicates
from carina.datasets.manifest import Dataset
from carina.errors import BundleError
from carina.run_folder import TRAINING_DETAILS_FILE, TRAINING_IMAGES_FILE


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """Which test images the model has seen.

    Attributes
    ----------
    learned
        A row an image that was trained on: sha256, kind (``same pixels`` or ``near-duplicate``).
    stopped_on
        How many of the images, as they are or nearly, decided when training stopped: the figures on them are a little
        too good.
    images
        How many test images were checked.
    training_images
        Against how many.
    """

    learned: pl.DataFrame
    stopped_on: int
    images: int
    training_images: int

    @property
    def same_pixels(self) -> int:
        """Return how many test images are training images to the pixel."""
        return int((self.learned["kind"] == "same pixels").sum())

    @property
    def near_duplicates(self) -> int:
        """Return how many more are training images scaled, compressed, cropped a little or drawn on."""
        return self.learned.height - self.same_pixels


def check_leaks(run: Path, dataset: Dataset, rows: pl.DataFrame) -> LeakCheck:
    """Return which of the rows a run learned from.

    Parameters
    ----------
    run
        A finished run.
    dataset, rows
        The test data: rows of its manifest with their index in the column ``row``.

    Raises
    ------
    BundleError
        If the run does not say what it learned from.
    """
    try:
        seen = pl.read_parquet(run / TRAINING_IMAGES_FILE)
        details = np.load(run / TRAINING_DETAILS_FILE, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        msg = (
            f"{run} does not say what it learned from ({TRAINING_IMAGES_FILE}): a leak could not be found. Train again."
        )
        raise BundleError(msg) from None
    pairs = find_duplicates(
        rows["perceptual_hash"].to_numpy(),
        np.asarray(dataset.details[rows["row"].to_numpy()]),
        seen["perceptual_hash"].to_numpy(),
        np.asarray(details),
    )
    trained = (seen["role"] == "train").to_numpy()
    near = np.zeros((2, rows.height), dtype=np.bool_)
    near[trained[pairs[:, 1]].astype(np.intp), pairs[:, 0]] = True
    same_trained, same_stopped = (
        rows["sha256"].is_in(seen.filter(pl.col("role") == role)["sha256"].implode()).to_numpy()
        for role in ("train", "stopping")
    )
    kind = pl.when(pl.Series(same_trained)).then(pl.lit("same pixels")).otherwise(pl.lit("near-duplicate"))
    learned = rows.select("sha256", kind=kind).filter(pl.Series(near[1] | same_trained))
    return LeakCheck(learned, int((near[0] | same_stopped).sum()), rows.height, int(trained.sum()))
