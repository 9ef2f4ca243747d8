"""What is wrong with a data set, before a model learns it.

Damage, copies, tiny findings, and findings that give themselves away by where they come from or how they are stored.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.manifest import Dataset
from carina.notebook import boxed, table_html
from carina.wording import counted

# Under this many test images a sensitivity's 95 % interval is wider than ±14 points: nothing can be concluded.
MIN_TEST_IMAGES = 50
_BOOTSTRAP_REPLICATES = 1000
# So many drawn patients are held in memory at once: 16 MB.
_AT_ONCE = 2_000_000
# What a file alone may tell, without what it shows.
STORED_AS = ("file format", "pixel size", "aspect ratio", "bit depth", "colour")
# A size or a shape that fewer images have is not looked at by itself.
_SHARE_TO_COUNT, _FEWEST_TO_COUNT = 0.02, 10
# From here on an association is called strong where there are two findings. Source: Cohen, Statistical Power Analysis
# for the Behavioral Sciences, 1988, ch. 7: w of 0.5 is large.
_STRONG = 0.5
_COLUMN = "measured column"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong."""

    # In few words: ``unreadable``, ``missing``, ``copies across findings``, ``copies across splits``, ``patient
    # across splits``, ``tiny finding``, ``source known for some findings only``, ``source gives the finding
    # away`` and the same of each of `STORED_AS`.
    kind: str
    message: str  # what, where and what to do


@dataclass(frozen=True, slots=True)
class Association:
    """How far the finding can be told from something else alone: the source, or the file format."""

    cramers_v: float  # Cramér's V, 0 (not at all) to 1 (fully)
    # low, high: its 95 % bootstrap interval, whole patients and groups of copies at a time
    low: float
    high: float
    accuracy: float  # the share of images whose finding is the commonest one of their source, or whatever it is
    chance: float  # the share of the commonest finding: what guessing without it reaches
    disjoint: tuple[tuple[str, str], ...]  # pairs of findings that share no source, or whatever it is
    images: int  # of how many images it is known


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """The result of `check_dataset`.

    Attributes
    ----------
    counts
        One row per finding and source, one column per split.
    association
        How the finding follows the source; none where the source is known for fewer than two findings.
    stored_as
        How it follows each of `STORED_AS`; none where that is known for fewer than two findings.
    troubles
        What is wrong, most serious first; empty when nothing is.
    """

    counts: pl.DataFrame
    association: Association | None
    stored_as: dict[str, Association | None]
    troubles: tuple[Trouble, ...]

    def _repr_html_(self) -> str:
        """Return the counts and what is wrong for a notebook."""
        wrong = [(trouble.kind, trouble.message) for trouble in self.troubles]
        found = table_html(("trouble", "what and where"), wrong) if wrong else "Nothing wrong was found."
        return boxed(table_html(self.counts.columns, self.counts.rows()), found)


def check_dataset(dataset: Dataset) -> DatasetCheck:
    """Return the counts of a data set and everything that is wrong with it.

    Parameters
    ----------
    dataset
        As `carina.open_dataset` gives it.
    """
    manifest = dataset.manifest
    association = measure_association(manifest, "source")
    stored_as = measure_stored_as(manifest)
    troubles = [
        *_unreadable(dataset),
        *_missing(manifest),
        *_copies(manifest, "finding", "copies across findings", "one of the labels is wrong"),
        *_copies(manifest, "split", "copies across splits", "the test result would be too good"),
        *_patients_across_splits(dataset),
        *_tiny(manifest),
        *_source_of_some(manifest),
        *_given_away("source", association),
        *(trouble for name, measured in stored_as.items() for trouble in _given_away(name, measured)),
    ]
    counts = (
        manifest.with_columns(
            source=pl.col("source").fill_null("unknown"),
            copy=~pl.col("duplicate_group").is_first_distinct(),
        )
        .group_by("finding", "source")
        .agg(
            images=pl.len(),
            patients=pl.col("patient").drop_nulls().n_unique() if manifest["patient"].count() else pl.lit(None),
            copies=pl.col("copy").sum(),
            **{split: (pl.col("split") == split).sum() for split in ("train", "calibration", "test")},
        )
        .sort("finding", "source")
    )
    return DatasetCheck(counts, association, stored_as, tuple(troubles))


def measure_stored_as(manifest: pl.DataFrame) -> dict[str, Association | None]:
    """Return how far the finding can be told from each of `STORED_AS` alone, by its name."""
    long_side = pl.max_horizontal("width", "height")
    size = pl.format("{} × {}", "width", "height")
    described = manifest.with_columns(
        pl.when(pl.len().over(size) >= _SHARE_TO_COUNT * pl.len())
        .then(size)
        .otherwise(pl.format("about {}", (2 ** (2 * long_side.log(2)).round().truediv(2)).round().cast(pl.Int64)))
        .alias("pixel size"),
        pl.format("{}", (pl.col("width") / pl.col("height")).mul(10).round().truediv(10)).alias("aspect ratio"),
    ).rename({"file_format": "file format", "bit_depth": "bit depth"})
    return {name: measure_association(_with_rare_ones_joined(described, name), name) for name in STORED_AS}


def _with_rare_ones_joined(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the table with all rare values of a column as one: that each is of one finding is chance."""
    text = pl.col(column).cast(pl.String)
    rare = pl.len().over(text) < pl.max_horizontal(_SHARE_TO_COUNT * pl.len(), pl.lit(_FEWEST_TO_COUNT))
    return table.with_columns(pl.when(text.is_not_null() & rare).then(pl.lit("rare")).otherwise(text).alias(column))


def measure_association(manifest: pl.DataFrame, column: str) -> Association | None:
    """Return how far the finding can be told from a column alone, or none where that has no meaning.

    Source: Cramér, Mathematical Methods of Statistics, 1946, ch. 21.
    """
    known = manifest.filter(pl.col(column).is_not_null()).rename({column: _COLUMN})
    findings, values = known["finding"].unique().sort().to_list(), known[_COLUMN].unique().sort().to_list()
    if len(findings) < 2:
        return None
    table = np.zeros((len(findings), len(values)), dtype=np.int64)
    for finding, value, images in known.group_by("finding", _COLUMN).len().iter_rows():
        table[findings.index(finding), values.index(value)] = images
    total = int(table.sum())
    draws = np.concatenate([_cramers_v(tables) for tables in _resampled_tables(known, findings, values)])
    low, high = np.quantile(draws, [0.025, 0.975])
    shared = table > 0
    return Association(
        cramers_v=float(_cramers_v(table[None].astype(float))[0]),
        low=float(low),
        high=float(high),
        accuracy=float(table.max(axis=0).sum() / total),
        chance=float(table.sum(axis=1).max() / total),
        disjoint=tuple(
            (findings[i], findings[j])
            for i, j in combinations(range(len(findings)), 2)
            if not (shared[i] & shared[j]).any()
        ),
        images=total,
    )


def _resampled_tables(known: pl.DataFrame, findings: list[str], values: list[str]) -> Iterator[NDArray[np.float64]]:
    """Yield counts for drawn whole patients and groups of copies (cluster bootstrap), some at a time for the memory.

    They are float64 ``(replicates, findings, values)``.
    """
    cells = np.array([findings.index(f) for f in known["finding"]]) * len(values)
    cells += np.array([values.index(value) for value in known[_COLUMN]])
    _, group = np.unique(known["group"].to_numpy(), return_inverse=True)
    groups, of_cells = int(group.max()) + 1, len(findings) * len(values)
    # How many images of each cell a group has.
    holds = np.bincount(group * of_cells + cells, minlength=groups * of_cells).reshape(groups, of_cells).astype(float)
    rng = np.random.default_rng(0)
    at_once = max(1, min(_BOOTSTRAP_REPLICATES, _AT_ONCE // groups))
    for start in range(0, _BOOTSTRAP_REPLICATES, at_once):
        replicates = min(at_once, _BOOTSTRAP_REPLICATES - start)
        drawn = rng.integers(groups, size=(replicates, groups)) + groups * np.arange(replicates)[:, None]
        times = np.bincount(drawn.ravel(), minlength=replicates * groups).reshape(replicates, groups)
        yield (times @ holds).reshape(replicates, len(findings), len(values))


def _cramers_v(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Cramér's V, float64 ``(n,)``, of tables of counts, ``(n, rows, columns)``."""
    of_rows, of_columns = tables.sum(axis=2), tables.sum(axis=1)
    total = of_rows.sum(axis=1)
    expected = of_rows[:, :, None] * of_columns[:, None, :] / total[:, None, None]
    # What has no image at all is no row or column of the table.
    parts = np.divide((tables - expected) ** 2, expected, out=np.zeros_like(expected), where=expected > 0)
    smaller = np.minimum((of_rows > 0).sum(axis=1), (of_columns > 0).sum(axis=1))
    # One source for everything tells nothing of the finding.
    return np.where(smaller < 2, 0.0, np.sqrt(parts.sum(axis=(1, 2)) / (total * np.maximum(smaller - 1, 1))))


def _unreadable(dataset: Dataset) -> Iterator[Trouble]:
    errors = dataset.unreadable()
    if not errors.is_empty():
        first = f"{Path(errors['path'][0]).name}: {errors['message'][0]}"
        yield Trouble("unreadable", f"{counted(errors.height, 'file')} could not be read at import. The first: {first}")


def _missing(manifest: pl.DataFrame) -> Iterator[Trouble]:
    # os.path, because Path.is_file raises where a folder may not be entered.
    missing = [path for path in manifest["path"] if not os.path.isfile(path)]  # noqa: PTH113
    if missing:
        gone = counted(len(missing), "image is", "images are")
        yield Trouble("missing", f"{gone} gone since the import. The first: {missing[0]}")


def _copies(manifest: pl.DataFrame, column: str, kind: str, consequence: str) -> Iterator[Trouble]:
    straddling = manifest.filter(pl.col(column).n_unique().over("duplicate_group") > 1).sort("duplicate_group")
    if straddling.is_empty():
        return
    groups = straddling["duplicate_group"]
    # One image for each of the values that differ.
    first = straddling.filter(groups == groups[0]).group_by(column).agg(pl.col("path").min()).sort(column)
    names = [Path(path).name for path in first["path"]]
    shown = names if len(set(names)) == len(names) else first["path"]
    told = " and ".join(f"{name} ({value})" for name, value in zip(shown, first[column], strict=True))
    what = f"{straddling.height} images in {counted(groups.n_unique(), 'group')} of near-duplicates"
    yield Trouble(kind, f"{what} have more than one {column}; {consequence}. The first: {told}.")


def _patients_across_splits(dataset: Dataset) -> Iterator[Trouble]:
    known = dataset.manifest.filter(pl.col("patient").is_not_null())
    straddling = known.group_by("patient").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1).height
    if straddling:
        choices = dataset.description.choices
        published = choices is not None and choices.split_from is not None
        what = counted(straddling, "patient is", "patients are")
        advice = "Import again without --split-from." if published else "Import again."
        yield Trouble("patient across splits", f"{what} in more than one split. {advice}")


def _tiny(manifest: pl.DataFrame) -> Iterator[Trouble]:
    tests = manifest.group_by("finding").agg((pl.col("split") == "test").sum()).sort("finding")
    for finding, images in tests.iter_rows():
        if images < MIN_TEST_IMAGES:
            yield Trouble(
                "tiny finding",
                f"{finding} has {counted(images, 'test image')}; under {MIN_TEST_IMAGES} its sensitivity is known to "
                "no better than ±14 points.",
            )


def _source_of_some(manifest: pl.DataFrame) -> Iterator[Trouble]:
    """Return a trouble where the source is known for some findings and for no image of the others.

    The measured association leaves out images without a source, so it cannot show this.
    """
    sources = manifest.group_by("finding").agg(known=pl.col("source").is_not_null().any()).sort("finding")
    with_source, without = (sources.filter(pl.col("known") == known)["finding"] for known in (True, False))
    if with_source.is_empty() or without.is_empty():
        return
    only = "one finding only" if len(with_source) == 1 else "some findings only"
    yield Trouble(
        "source known for some findings only",
        f"the source is known for {only}: {', '.join(with_source)}. It is not known for any image of "
        f"{', '.join(without)}. If these images come from elsewhere, a model may tell scanners apart instead of lungs, "
        "and a high figure on this data set proves nothing by itself. Give each image its source.",
    )


def _given_away(name: str, association: Association | None) -> Iterator[Trouble]:
    if association is None:
        return
    if association.disjoint:
        pairs = "; ".join(f"{one} and {other}" for one, other in association.disjoint)
        what = f"these findings share no {name}: {pairs}"
    elif name in STORED_AS and association.low >= _STRONG:
        what = (
            f"the {name} alone tells the finding of {association.accuracy:.0%} of the images (the commonest finding is "
            f"{association.chance:.0%}; Cramér's V {association.cramers_v:.2f})"
        )
    else:
        return
    learned = "scanners" if name == "source" else f"images by their {name}"
    yield Trouble(
        f"{name} gives the finding away",
        f"{what}. A model may tell {learned} apart instead of lungs, and a high figure on this data set proves nothing "
        "by itself.",
    )
