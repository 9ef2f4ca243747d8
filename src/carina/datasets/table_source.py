"""A source that is or has a table of images: which table it is, and what the user said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from carina.datasets.dicom_headers import fill_in_headers, patient_of_name
from carina.datasets.manifest import LISTING_SCHEMA
from carina.datasets.manifest_table import find_manifest, images_of, list_manifest
from carina.datasets.published_labels import PublishedLabels, Uncertain, read_published
from carina.errors import ConfigurationError, DataError

_LeftOut = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the user said of a table; see `carina.datasets.listing.list_source`.

    Raises
    ------
    ConfigurationError
        If two options contradict each other.
    """

    labels: Path | None
    columns: Mapping[str, str]
    labels_as: PublishedLabels | None
    uncertain: Uncertain
    ignore_unknown_columns: bool

    def __post_init__(self) -> None:
        if self.labels_as is not None and self.columns:
            msg = f"--labels-as {self.labels_as} knows its columns: leave out --column, or --labels-as."
            raise ConfigurationError(msg)
        if self.uncertain != "leave-out" and self.labels_as not in ("chexpert", "mimic"):
            msg = "--uncertain is for the tables of --labels-as chexpert and mimic, where -1 means uncertain."
            raise ConfigurationError(msg)


def list_table(
    source: Path, table: TableOptions, *, need_views: bool, patient_key: bytes | None
) -> tuple[pl.DataFrame | None, _LeftOut, tuple[str, ...]]:
    """Return the images that a source's table names, those that their headers rule out, and notes.

    Images have the columns of `LISTING_SCHEMA`, and are none without a table; what is ruled out is path and reason.
    The source is a table, or a folder: of images that the table of ``--labels`` names, or that may have a table in it.
    With a key, patients are hashed with it, as those of DICOM files are.

    Raises
    ------
    DataError
        If the table is wrong, or the only thing in the folder and of no use.
    ConfigurationError
        If columns are named and there is no table.
    """
    if table.labels_as is not None:
        return _list_published(source, table.labels_as, table, side_views=need_views, patient_key=patient_key)
    path = table.labels or source
    notes: tuple[str, ...] = ()
    if path.is_dir():
        found, notes, wrong = find_manifest(path, table.columns)
        if found is None:
            _refuse_without_table(path, table, wrong)
            return None, [], notes
        path = found
    images, more = list_manifest(
        path,
        folder=source if source.is_dir() else None,
        columns=table.columns,
        need_views=need_views,
        ignore_unknown_columns=table.ignore_unknown_columns,
    )
    return _with_key(images, patient_key), [], notes + more


def _refuse_without_table(folder: Path, table: TableOptions, wrong: DataError | None) -> None:
    if wrong is not None and not any(path.is_dir() for path in folder.iterdir()):
        raise wrong
    if table.columns:
        msg = f"--column needs a table, and {folder} holds none that names images. Name it as SOURCE or with --labels."
        raise ConfigurationError(msg)


def _list_published(
    source: Path, kind: PublishedLabels, table: TableOptions, *, side_views: bool, patient_key: bytes | None
) -> tuple[pl.DataFrame, _LeftOut, tuple[str, ...]]:
    images: list[pl.DataFrame] = []
    left_out: _LeftOut = []
    notes: tuple[str, ...] = ()
    published = read_published(table.labels or source, kind, uncertain=table.uncertain, side_views=side_views)
    for rows, path, said in published:
        found, more = images_of(rows, path, source if source.is_dir() else source.parent)
        notes += said + more
        found = _with_key(found, patient_key)
        if kind == "rsna":
            # Its tables say nothing of views, ages and sexes; its DICOM files do.
            filled, ruled_out, more = fill_in_headers(found.to_dicts(), patient_key)
            found, notes = pl.DataFrame(filled, schema=LISTING_SCHEMA), notes + more
            left_out += ruled_out
        images.append(found)
    return pl.concat(images), left_out, notes


def _with_key(images: pl.DataFrame, key: bytes | None) -> pl.DataFrame:
    if key is None:
        return images
    patients = {value: patient_of_name(value, key) for value in images["patient"].drop_nulls().unique()}
    return images.with_columns(pl.col("patient").replace_strict(patients, default=None, return_dtype=pl.String))
