"""Splits: stratified by finding, whole groups together, the same from the same seed whatever the file order.

Or a split that was published with the images is kept, with all that is wrong with it counted.
"""

import hashlib
from collections.abc import Iterator, Mapping

import polars as pl

from carina.datasets.folder_words import published_split
from carina.errors import DataError
from carina.wording import counted

TEST_SHARE = 0.20
CALIBRATION_SHARE = 0.10
_SPLITS = ("test", "calibration", "train")
# With fewer images of a finding than this, a published validation split can hardly calibrate it.
_FEW_TO_CALIBRATE = 50


def assign_splits(manifest: pl.DataFrame, *, seed: int, test_only: bool = False) -> pl.DataFrame:
    """Return the manifest with the columns ``split`` and ``baseline_split`` filled.

    ``split`` is train / calibration / test (70 / 10 / 20 %). ``baseline_split`` is the published baseline's
    train / validation (80 / 20 %), and its validation images are the test images: so the baseline and every other
    model are judged on the same images, and compared in pairs.

    Groups are put in an order by a hash of the seed and their images' pixels, so that neither file names nor file
    order matter, and fill up the test split, then the calibration split, by finding: each group by the finding that
    `_with_stratum` gives it.

    The manifest has the columns sha256, finding, patient and group. With ``test_only`` all images are in the test
    split: an external test set.

    Raises
    ------
    DataError
        If a finding is in too few independent groups, so that a split could go without it.
    """
    if test_only:
        return manifest.with_columns(split=pl.lit("test"), baseline_split=pl.lit("validation"))
    groups = _with_stratum(manifest, _groups_of(manifest, seed))
    split_of_group: dict[int, str] = {}
    holders = {finding: set(held) for finding, held in groups.explode("held").group_by("held").agg("group").iter_rows()}
    # The rarest first: where groups hold several findings, its groups decide where the others of theirs are.
    for finding in sorted(holders, key=lambda finding: (len(holders[finding]), finding)):
        reached = {split_of_group[group] for group in holders[finding] if group in split_of_group}
        stratum = groups.filter(pl.col("finding") == finding)
        split_of_group.update(_fill(stratum, reached if stratum.height < len(_SPLITS) else set()))
    _require_everywhere(manifest, groups, split_of_group)
    split = manifest["group"].replace_strict(split_of_group, return_dtype=pl.String)
    return _with_splits(manifest, split)


def keep_published_split(manifest: pl.DataFrame, *, seed: int) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the manifest with the split that was published with its images, and what is to be known of it.

    Published validation images become the calibration split. Where there are none, a part of the training images does,
    by finding and whole groups, as `assign_splits` chooses them. Where there are validation and no test images, the
    validation images are the test split.

    The manifest has the columns of `assign_splits`, and in ``split`` what was published: a word that
    `carina.datasets.folder_words.published_split` understands.

    Raises
    ------
    DataError
        If an image has no split, the split has no training or no other images, or lacks a finding in one part.
    """
    published = manifest["split"].map_elements(lambda word: published_split(word) or "", return_dtype=pl.String)
    if unknown := int((published.is_null() | (published == "")).sum()):
        have = "has" if unknown == 1 else "have"
        msg = f"{unknown} of {manifest.height} images {have} no published split. Import without --split-from."
        raise DataError(msg)
    there, notes = set(published), []
    if not there > {"train"}:
        msg = f"The published split has only {', '.join(sorted(there))} images. Import without --split-from."
        raise DataError(msg)
    if there == {"train", "validation"}:
        notes.append("The published split has no test images: its validation images are the test split.")
        published = published.replace("validation", "test")
    elif "validation" in there:
        notes.append("The published validation images are the calibration split.")
    split = published.replace("validation", "calibration")
    if "validation" not in there or "calibration" not in set(split):
        split, cut = _cut_calibration(manifest, split, seed)
        notes.append(f"The calibration split is cut from the published training images: {counted(cut, 'image')}.")
    kept = _with_splits(manifest, split)
    counts = {(finding, part): n for finding, part, n in kept.group_by("finding", "split").len().iter_rows()}
    for finding in sorted(set(manifest["finding"])):
        missing = [name for name in ("train", "calibration", "test") if not counts.get((finding, name))]
        if missing:
            msg = (
                f"The published split has no {missing[0]} image of {finding}. Import without --split-from, or leave "
                "the finding out with --findings."
            )
            raise DataError(msg)
    few = [
        f"{name} ({n})" for (name, part), n in sorted(counts.items()) if part == "calibration" and n < _FEW_TO_CALIBRATE
    ]
    if few:
        notes.append(
            f"The calibration split is small: {', '.join(few)}. Probabilities and thresholds that it chooses are "
            "uncertain; without --split-from, a tenth of the images calibrates."
        )
    return kept, (*notes, *_leaks(kept))


def _groups_of(manifest: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return one row per group, in the order in which they fill the splits."""

    def order_key(sha256: str) -> str:
        return hashlib.sha256(f"{seed} {sha256}".encode()).hexdigest()

    return (
        manifest.group_by("group")
        .agg(
            # A group with two findings (a mislabelled copy) is stratified by its more frequent one.
            finding=pl.col("finding").mode().sort().first(),
            key=pl.col("sha256").min(),
            images=pl.len(),
        )
        .with_columns(key=pl.col("key").map_elements(order_key, return_dtype=pl.String))
        .sort("finding", "key")
    )


def _with_stratum(manifest: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Return the groups with the finding by which each is stratified, and in ``held`` all that count in it.

    A group counts for its commonest finding: another one in it is a mislabelled copy. Not so where patients have
    several findings, and some finding is the commonest one of fewer than half of its groups, or of fewer than three:
    then each group of such a patient counts for all its findings, and is stratified by the rarest.
    """
    alone = groups.with_columns(held=pl.concat_list("finding"))
    patients = manifest.filter(pl.col("patient").is_not_null())
    several = patients.filter(pl.col("finding").n_unique().over("patient") > 1)["group"].unique()
    held = (
        manifest.filter(pl.col("group").is_in(several.implode())).group_by("group").agg(held=pl.col("finding").unique())
    )
    together = groups.join(held, on="group", how="left", maintain_order="left").with_columns(
        held=pl.coalesce("held", pl.concat_list("finding"))
    )
    own: dict[str, int] = dict(groups.group_by("finding").len().iter_rows())
    of_finding: dict[str, int] = dict(together.explode("held").group_by("held").len().iter_rows())
    if all(own.get(finding, 0) >= max(len(_SPLITS), count / 2) for finding, count in of_finding.items()):
        return alone
    rarest = [
        min(findings, key=lambda finding: (of_finding[finding], finding)) for findings in together["held"].to_list()
    ]
    return together.with_columns(finding=pl.Series(rarest, dtype=pl.String)).sort("finding", "key")


def _require_everywhere(manifest: pl.DataFrame, groups: pl.DataFrame, split_of_group: Mapping[int, str]) -> None:
    held = groups.explode("held")
    for finding, images in manifest.group_by("finding").len().sort("finding").iter_rows():
        holders = held.filter(pl.col("held") == finding)["group"].to_list()
        if len(holders) < len(_SPLITS) or len({split_of_group[group] for group in holders}) < len(_SPLITS):
            msg = (
                f"Finding {finding!r} has {counted(images, 'image')} in {counted(len(holders), 'independent group')}; "
                "at least 3 are needed to train, calibrate and test. Leave it out with --findings, add images, or "
                "import with --test-only."
            )
            raise DataError(msg)


def _fill(stratum: pl.DataFrame, reached: set[str]) -> dict[int, str]:
    """Return the split of each group of one finding; each split gets at least one, but those it has `reached`."""
    total = int(stratum["images"].sum())
    room = {"test": TEST_SHARE * total, "calibration": CALIBRATION_SHARE * total}
    filled = dict.fromkeys(_SPLITS, 0)
    split_of_group = {}
    rows = list(stratum.select("group", "images").iter_rows())
    for place, (group, images) in enumerate(rows):
        needy = [split for split in _SPLITS if filled[split] == 0 and split not in reached]
        if needy and len(rows) - place <= len(needy):
            split = needy[0]
        else:
            # A group goes where at least half of it fits, so that a large one does not overfill a split.
            split = next((s for s in room if filled[s] + images / 2 <= room[s]), "train")
        filled[split] += images
        split_of_group[group] = split
    return split_of_group


def _with_splits(manifest: pl.DataFrame, split: pl.Series) -> pl.DataFrame:
    baseline = pl.when(split == "test").then(pl.lit("validation")).otherwise(pl.lit("train"))
    return manifest.with_columns(split=split, baseline_split=baseline)


def _cut_calibration(manifest: pl.DataFrame, split: pl.Series, seed: int) -> tuple[pl.Series, int]:
    """Return the splits with an eighth of each finding's training images for calibration, and how many these are."""
    train = manifest.with_row_index("row").filter(split == "train")
    groups = _groups_of(train, seed)
    share = CALIBRATION_SHARE / (1 - TEST_SHARE)
    chosen: set[int] = set()
    for _, stratum in groups.group_by("finding", maintain_order=True):
        room, taken = share * int(stratum["images"].sum()), 0
        for group, images in stratum.select("group", "images").iter_rows():
            if taken == 0 or taken + images / 2 <= room:
                chosen.add(group)
                taken += images
    cut = train.filter(pl.col("group").is_in(list(chosen)))["row"]
    return split.scatter(cut, "calibration"), len(cut)


def _leaks(manifest: pl.DataFrame) -> Iterator[str]:
    """Yield a sentence for each way in which the parts of the split share images or patients."""
    for column, what, one, many in (
        ("duplicate_group", "near-duplicates of images", "group of near-duplicates", "groups of near-duplicates"),
        ("patient", "images of patients", "patient", "patients"),
    ):
        shared = manifest.filter(pl.col(column).is_not_null() & (pl.col("split").n_unique().over(column) > 1))
        if shared.is_empty():
            continue
        groups = shared[column].n_unique()
        yield (
            f"The published split leaks: {shared.height} images are {what} in another part of it ({groups} "
            f"{one if groups == 1 else many}; test images among them: {(shared['split'] == 'test').sum()}). "
            "Results on it are too good. Without --split-from, what belongs together stays together."
        )
