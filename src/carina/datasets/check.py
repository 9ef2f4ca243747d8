"""What is wrong with a data set, before a model learns it.

Damage, copies, tiny findings, and findings that give themselves away by where they come from.
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

# Under this many test images a sensitivity's 95 % interval is wider than ±14 points: nothing can be concluded.
MIN_TEST_IMAGES = 50
_BOOTSTRAP_REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong.

    Attributes
    ----------
    kind
        In a word: ``unreadable``, ``missing``, ``copies across findings``, ``copies across splits``,
        ``patient across splits``, ``tiny finding``, ``source gives the finding away``.
    message
        What, where and what to do.
    """

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class SourceAssociation:
    """How far the finding can be told from the source alone.

    Attributes
    ----------
    cramers_v
        Cramér's V, 0 (not at all) to 1 (fully).
    low, high
        Its 95 % bootstrap interval, whole patients and groups of copies at a time.
    accuracy_from_source
        The share of images whose finding is the commonest one of their source.
    chance
        The share of the commonest finding: what guessing without the source reaches.
    disjoint
        Pairs of findings that share no source.
    images
        How many images have a known source.
    """

    cramers_v: float
    low: float
    high: float
    accuracy_from_source: float
    chance: float
    disjoint: tuple[tuple[str, str], ...]
    images: int


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """The result of `check_dataset`.

    Attributes
    ----------
    counts
        A row a finding and source, a column a split.
    association
        How the finding follows the source; none where no source is known or there is one finding.
    troubles
        What is wrong, most serious first; empty when nothing is.
    """

    counts: pl.DataFrame
    association: SourceAssociation | None
    troubles: tuple[Trouble, ...]


def check_dataset(dataset: Dataset) -> DatasetCheck:
    """Return the counts of a data set and everything that is wrong with it."""
    manifest = dataset.manifest
    association = measure_source_association(manifest)
    troubles = [
        *_unreadable(dataset),
        *_missing(manifest),
        *_copies(manifest, "finding", "copies across findings", "one of the labels is wrong"),
        *_copies(manifest, "split", "copies across splits", "the test result would be too good"),
        *_patients_across_splits(manifest),
        *_tiny(manifest),
        *_given_away(association),
    ]
    counts = (
        manifest.with_columns(
            source=pl.col("source").fill_null("unknown"),
            copy=~pl.col("duplicate_group").is_first_distinct(),
        )
        .group_by("finding", "source")
        .agg(
            images=pl.len(),
            patients=pl.col("patient").drop_nulls().n_unique()
            if manifest["patient"].is_not_null().any()
            else pl.lit(None),
            copies=pl.col("copy").sum(),
            **{split: (pl.col("split") == split).sum() for split in ("train", "calibration", "test")},
        )
        .sort("finding", "source")
    )
    return DatasetCheck(counts, association, tuple(troubles))


def measure_source_association(manifest: pl.DataFrame) -> SourceAssociation | None:
    """Return how far the finding can be told from the source alone, or none where that has no meaning.

    Source: Cramér, Mathematical Methods of Statistics, 1946, ch. 21.
    """
    known = manifest.filter(pl.col("source").is_not_null())
    findings, sources = known["finding"].unique().sort().to_list(), known["source"].unique().sort().to_list()
    if len(findings) < 2:
        return None
    table = np.zeros((len(findings), len(sources)), dtype=np.int64)
    for finding, source, images in known.group_by("finding", "source").len().iter_rows():
        table[findings.index(finding), sources.index(source)] = images
    total = int(table.sum())
    draws = _resampled_tables(known, findings, sources)
    low, high = np.quantile([_cramers_v(draw) for draw in draws], [0.025, 0.975])
    shared = table > 0
    return SourceAssociation(
        cramers_v=_cramers_v(table),
        low=float(low),
        high=float(high),
        accuracy_from_source=float(table.max(axis=0).sum() / total),
        chance=float(table.sum(axis=1).max() / total),
        disjoint=tuple(
            (findings[i], findings[j])
            for i, j in combinations(range(len(findings)), 2)
            if not (shared[i] & shared[j]).any()
        ),
        images=total,
    )


def _resampled_tables(known: pl.DataFrame, findings: list[str], sources: list[str]) -> Iterator[NDArray[np.int64]]:
    """Yield tables of findings and sources with whole patients and groups of copies drawn anew (cluster bootstrap)."""
    cells = np.array([findings.index(f) for f in known["finding"]]) * len(sources)
    cells += np.array([sources.index(s) for s in known["source"]])
    _, group = np.unique(known["group"].to_numpy(), return_inverse=True)
    groups = int(group.max()) + 1
    rng = np.random.default_rng(0)
    for _ in range(_BOOTSTRAP_REPLICATES):
        drawn = np.bincount(rng.integers(groups, size=groups), minlength=groups)
        table = np.bincount(cells, weights=drawn[group], minlength=len(findings) * len(sources))
        yield table.astype(np.int64).reshape(len(findings), len(sources))


def _cramers_v(table: NDArray[np.int64]) -> float:
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    smaller = min(table.shape)
    if smaller < 2:
        # One source for everything tells nothing of the finding.
        return 0.0
    total = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    chi_squared = ((table - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi_squared / (total * (smaller - 1))))


def _unreadable(dataset: Dataset) -> list[Trouble]:
    errors = dataset.unreadable()
    if errors.is_empty():
        return []
    first = f"{Path(errors['path'][0]).name}: {errors['message'][0]}"
    return [Trouble("unreadable", f"{errors.height} files could not be read at import. The first: {first}")]


def _missing(manifest: pl.DataFrame) -> list[Trouble]:
    # os.path, because Path.is_file raises where a folder may not be entered.
    missing = [path for path in manifest["path"] if not os.path.isfile(path)]  # noqa: PTH113
    if not missing:
        return []
    return [Trouble("missing", f"{len(missing)} images are gone since the import, the first: {missing[0]}")]


def _copies(manifest: pl.DataFrame, column: str, kind: str, consequence: str) -> list[Trouble]:
    straddling = manifest.group_by("duplicate_group").agg(
        pl.col(column).unique().sort(), pl.col("path").sort(), images=pl.len()
    )
    straddling = straddling.filter(pl.col(column).list.len() > 1).sort("duplicate_group")
    if straddling.is_empty():
        return []
    values, paths, _ = straddling.row(0)[1:]
    names = " and ".join(Path(path).name for path in paths[:2])
    what = f"{straddling['images'].sum()} images in {straddling.height} groups of near-duplicates"
    return [
        Trouble(
            kind,
            f"{what} carry more than one {column}; {consequence}. The first: {names} ({', '.join(values)}).",
        )
    ]


def _patients_across_splits(manifest: pl.DataFrame) -> list[Trouble]:
    splits = manifest.filter(pl.col("patient").is_not_null()).group_by("patient").agg(pl.col("split").n_unique())
    straddling = splits.filter(pl.col("split") > 1).height
    if not straddling:
        return []
    return [Trouble("patient across splits", f"{straddling} patients are in more than one split. Import again.")]


def _tiny(manifest: pl.DataFrame) -> list[Trouble]:
    tests = manifest.filter(pl.col("split") == "test").group_by("finding").len()
    of_finding = dict(tests.iter_rows())
    return [
        Trouble(
            "tiny finding",
            f"{finding} has {of_finding.get(finding, 0)} test images; under {MIN_TEST_IMAGES} its sensitivity is known "
            "to no better than ±14 points.",
        )
        for finding in manifest["finding"].unique().sort()
        if of_finding.get(finding, 0) < MIN_TEST_IMAGES
    ]


def _given_away(association: SourceAssociation | None) -> list[Trouble]:
    if association is None or not association.disjoint:
        return []
    pairs = "; ".join(f"{one} and {other}" for one, other in association.disjoint)
    return [
        Trouble(
            "source gives the finding away",
            f"these findings share no source: {pairs}. A model may tell scanners apart instead of lungs, and a high "
            "figure on this data set proves nothing by itself.",
        )
    ]
