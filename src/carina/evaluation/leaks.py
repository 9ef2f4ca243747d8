"""Whether a test set holds images that the model learned from, as they are or nearly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.run_folder import TRAINING_IMAGES_FILE
from carina.bundles.training_images import TrainingImages, read_training_images
from carina.datasets.duplicates import MAX_HAMMING_DISTANCE, MIN_CORRELATION
from carina.datasets.manifest import Dataset
from carina.radiographs.fingerprint import detail_correlation, detail_hash_correlation
from carina.wording import counted, were

# Details themselves tell copies from 0.70 on. Their hashes say it within 0.04, and a copy missed is a result too good:
# at 0.60 all 947 pairs found by details in four collections are found, and few more:
# docs/decisions/0024-leak-hashes.md.
MIN_HASH_CORRELATION = 0.60

# Pairs compared at once: bounds the memory whatever the number of images.
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """Which test images the model has seen."""

    learned: pl.DataFrame  # one row per image that was trained on: sha256, kind (``same pixels`` or ``near-duplicate``)
    # How many of the images, as they are or nearly, decided when training stopped or where thresholds lie: the figures
    # on them are a little too good.
    stopped_on: int
    images: int  # how many test images were checked
    training_images: int  # against how many

    @property
    def same_pixels(self) -> int:
        """Return how many test images are training images to the pixel."""
        return int((self.learned["kind"] == "same pixels").sum())

    @property
    def near_duplicates(self) -> int:
        """Return how many more are training images scaled, compressed, cropped a little or drawn on."""
        return self.learned.height - self.same_pixels

    def in_words(self, dataset: Path, split: str) -> str:
        """Return what was found in a split of a data set, in one sentence."""
        learned, near = self.learned.height, self.near_duplicates
        return (
            f"{learned} of the {counted(self.images, 'image')} in {dataset} ({split}) {were(learned)} trained on: "
            f"{self.same_pixels} to the pixel, {counted(near, 'as a near-duplicate', 'as near-duplicates')}."
        )


def check_leaks(model: Path, dataset: Dataset, rows: pl.DataFrame) -> LeakCheck:
    """Return which rows of a manifest, with their index in the column ``row``, a run or a bundle learned from.

    Raises
    ------
    BundleError
        If the model does not say what it learned from.
    """
    seen = read_training_images(model / TRAINING_IMAGES_FILE)
    trained, learned_from = seen.with_role("train"), seen.learned
    # The same images hashed the same way; a role does not matter to it.
    tested = TrainingImages.of(
        rows["sha256"].to_list(),
        "stopping",
        rows["perceptual_hash"].to_numpy(),
        np.asarray(dataset.details[rows["row"].to_numpy()]),
    )
    pairs = _confirmed(find_near(tested, seen), seen, dataset, rows["row"].to_numpy())
    near = np.zeros((2, rows.height), dtype=np.bool_)
    near[trained[pairs[:, 1]].astype(np.intp), pairs[:, 0]] = True
    decided = set(seen.sha256) - learned_from
    same_trained = np.array([sha256 in learned_from for sha256 in tested.sha256], dtype=np.bool_)
    same_stopped = np.array([sha256 in decided for sha256 in tested.sha256], dtype=np.bool_)
    kind = pl.when(pl.Series(same_trained)).then(pl.lit("same pixels")).otherwise(pl.lit("near-duplicate"))
    learned = rows.select("sha256", kind=kind).filter(pl.Series(near[1] | same_trained))
    return LeakCheck(learned, int((near[0] | same_stopped).sum()), rows.height, int(trained.sum()))


def find_near(tested: TrainingImages, seen: TrainingImages) -> NDArray[np.int64]:
    """Return the pairs that show the same radiograph, as their hashes say: int64 ``(pairs, 2)``, tested and seen."""
    step = max(1, _PAIRS_AT_ONCE // len(seen))
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(tested), step):
        part = tested.perceptual_hash[start : start + step, None]
        rows, columns = np.nonzero(np.bitwise_count(part ^ seen.perceptual_hash) <= MAX_HAMMING_DISTANCE)
        rows = rows + start
        near = detail_hash_correlation(tested.detail_hash[rows], seen.detail_hash[columns]) >= MIN_HASH_CORRELATION
        found.append(np.stack([rows[near], columns[near]], axis=1))
    return np.concatenate(found)


def _confirmed(
    pairs: NDArray[np.int64], seen: TrainingImages, dataset: Dataset, rows: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Return the pairs without those of strangers, where details can tell: the data set holds the seen image, too.

    So it is for the test split of the data set that was trained on, whose splits were made by details.
    """
    place = {sha256: row for row, sha256 in enumerate(dataset.manifest["sha256"])}
    other = np.array([place.get(seen.sha256[column], -1) for column in pairs[:, 1].tolist()], dtype=np.int64)
    known = np.flatnonzero(other >= 0)
    details = dataset.details
    correlation = detail_correlation(details[rows[pairs[known, 0]]], details[other[known]])
    return np.delete(pairs, known[correlation < MIN_CORRELATION], axis=0)
