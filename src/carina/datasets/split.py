"""Splits: stratified by finding, whole groups together, the same from the same seed whatever the file order."""

import hashlib

import polars as pl

from carina.errors import DataError

TEST_SHARE = 0.20
CALIBRATION_SHARE = 0.10
_SPLITS = ("test", "calibration", "train")


def assign_splits(manifest: pl.DataFrame, *, seed: int, test_only: bool = False) -> pl.DataFrame:
    """Return the manifest with the columns ``split`` and ``baseline_split`` filled.

    ``split`` is train / calibration / test (70 / 10 / 20 %). ``baseline_split`` is the published baseline's
    train / validation (80 / 20 %), and its validation images are the test images: so the baseline and every other
    model are judged on the same images, and compared in pairs.

    Groups are put in an order by a hash of the seed and their images' pixels, so that neither file names nor file
    order matter, and fill up the test split, then the calibration split, by finding.

    Parameters
    ----------
    manifest
        With the columns sha256, finding and group.
    seed
        Another seed gives another split.
    test_only
        Put every image into the test split: an external test set.

    Raises
    ------
    DataError
        If a finding is the commonest one of fewer than three groups, so that a split could go without it.
    """
    if test_only:
        return manifest.with_columns(split=pl.lit("test"), baseline_split=pl.lit("validation"))
    groups = (
        manifest.group_by("group")
        .agg(
            # A group with two findings (a mislabelled copy) is stratified by its more frequent one.
            finding=pl.col("finding").mode().sort().first(),
            key=pl.col("sha256").min(),
            images=pl.len(),
        )
        .with_columns(key=pl.col("key").map_elements(lambda sha: _order_key(sha, seed), return_dtype=pl.String))
        .sort("finding", "key")
    )
    split_of_group: dict[int, str] = {}
    for finding, images in manifest.group_by("finding").len().sort("finding").iter_rows():
        stratum = groups.filter(pl.col("finding") == finding)
        if stratum.height < len(_SPLITS):
            msg = (
                f"Finding {finding!r} has {images} images in {stratum.height} independent groups; "
                "at least 3 are needed to train, calibrate and test. Leave it out with --findings, add images, or "
                "import with --test-only."
            )
            raise DataError(msg)
        split_of_group.update(_fill(stratum))
    split = manifest["group"].replace_strict(split_of_group, return_dtype=pl.String)
    baseline = pl.when(split == "test").then(pl.lit("validation")).otherwise(pl.lit("train"))
    return manifest.with_columns(split=split, baseline_split=baseline)


def _order_key(sha256: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {sha256}".encode()).hexdigest()


def _fill(stratum: pl.DataFrame) -> dict[int, str]:
    """Return the split of each group of one finding; each split gets at least one group."""
    total = int(stratum["images"].sum())
    room = {"test": TEST_SHARE * total, "calibration": CALIBRATION_SHARE * total}
    filled = dict.fromkeys(_SPLITS, 0)
    split_of_group = {}
    rows = list(stratum.select("group", "images").iter_rows())
    for place, (group, images) in enumerate(rows):
        needy = [split for split in _SPLITS if filled[split] == 0]
        if len(rows) - place <= len(needy):
            split = needy[0]
        else:
            # A group goes where at least half of it fits, so that a large one does not overfill a split.
            split = next((s for s in room if filled[s] + images / 2 <= room[s]), "train")
        filled[split] += images
        split_of_group[group] = split
    return split_of_group
