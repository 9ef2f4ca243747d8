"""What a source says of its images, before any is opened: path, finding, patient, source and the like.

Three kinds of source: a tree with one folder per finding (the official distribution of the COVID-19 Radiography
Database is one), a CSV or Parquet manifest, and a tree of DICOM files with a table of labels.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from carina.datasets.choice import (
    Choices,
    Half,
    SplitFrom,
    canonical_renames,
    rename_findings,
    require_some,
    take_half,
    take_views,
)
from carina.datasets.dicom_tree import list_dicom
from carina.datasets.folder_layout import UNDERSTOOD, Role, parse_layout
from carina.datasets.folder_source import NOT_NAMED, list_folders
from carina.datasets.folder_tree import LEFT_OUT_SCHEMA, read_tree
from carina.datasets.folder_words import names_a_finding
from carina.datasets.label_cells import SEVERAL, is_unknown, leave_out_unclear, parts_of, rename_label
from carina.datasets.labels import names_images, read_labels
from carina.datasets.manifest import ERRORS_SCHEMA
from carina.datasets.naming import name_normal, resolve_finding, tell_alike, unify_spellings
from carina.datasets.patient_names import fill_in_patients, patient_pattern
from carina.datasets.published_labels import PublishedLabels, Uncertain
from carina.datasets.table_source import TableOptions, list_table
from carina.errors import ConfigurationError, DataError
from carina.findings import LUNG_OPACITY, NORMAL, canonical_finding, finding_key, order_findings
from carina.places import meant_by
from carina.radiographs.file_kind import is_hidden

# Of an image with a label, in left_out.csv.
_UNCLEAR = "its label names no single finding"
_MAX_WRAPPERS = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """The images that a source names."""

    images: pl.DataFrame  # one row an image, columns as in `LISTING_SCHEMA`, paths absolute
    notes: tuple[str, ...]  # what was left out or assumed, a sentence each, to be shown to the user
    choices: Choices = field(default_factory=Choices)  # what was asked for
    has_normal: bool = False  # whether the source has normal images, taken or not
    # Files that are already known not to be readable, as in ``errors.csv``.
    errors: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ERRORS_SCHEMA))
    # Files that were left out: path and reason, as in ``left_out.csv``.
    left_out: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEFT_OUT_SCHEMA))
    published: SplitFrom | None = None  # where the column split comes from; none where no image has one


def list_source(
    source: Path,
    *,
    findings: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    views: Sequence[str] | None = None,
    half: Half | None = None,
    normal: Sequence[str] | None = None,
    labels: Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels_as: PublishedLabels | None = None,
    uncertain: Uncertain = "leave-out",
    patient_key: bytes | None = None,
    patient_from: str | None = None,
    layout: str | None = None,
    ignore_unknown_columns: bool = False,
) -> Listing:
    """Return the images of a source with their labels.

    Parameters
    ----------
    source
        A folder with one folder per finding, a folder with a manifest (``manifest.parquet``, ``manifest.csv`` or
        ``metadata.csv``), or such a file itself.
    findings
        Which to take, by their new names. By default all; of the COVID-19 Radiography Database the baseline's three,
        and Lung Opacity where it is renamed.
    rename
        Findings that get another name, old to new, before anything else is done with them.
    views
        Take only the images whose view the manifest gives as one of these, in whatever case; ``unknown`` takes
        those without. By default all.
    half
        Take only the patients of one half, ``development`` or ``final``: see `carina.datasets.choice.take_half`. Where
        an image has no patient, its file name is used instead.
    normal
        Findings that are normal, or ``none``: see `carina.datasets.naming.name_normal`.
    labels
        A table; then the source is the folder of its images. With a column for their paths, it names images. Without,
        it has a finding for each StudyInstanceUID or PatientID, and the images are DICOM files of whatever names and
        depth: see `carina.datasets.labels.read_labels`.
    columns
        The table's names for fields, by field, as in ``{"finding": "Diagnosis"}``; other names are known or refused.
    labels_as
        The table is one of these published ones: see `carina.datasets.published_labels.read_published`.
    uncertain
        What -1 means in the published tables that have it.
    patient_key
        A secret for the hashes of patients: see `carina.datasets.dicom_headers.patient_of`.
    patient_from
        A regular expression that finds the patient in an image's path, from the source folder on: see
        `carina.datasets.patient_names.patient_pattern`.
    layout
        What each level of folders means, from the outermost in: see `carina.datasets.folder_layout.parse_layout`. By
        default the folders' names tell.
    ignore_unknown_columns
        Go on when a manifest or a table of labels has columns that Carina does not know.

    Raises
    ------
    DataError
        If the source holds no images, or its manifest is wrong, or says nothing of views that are to be chosen; the
        message names the row. If the choice of views and half leaves nothing.
    ConfigurationError
        If a finding was asked for or is to be renamed, or a view was asked for, that the source does not have.
    """
    wanted = None if findings is None else order_findings(canonical_finding(name) for name in findings)
    renames = canonical_renames(rename)
    roles = None if layout is None else parse_layout(layout)
    pattern = None if patient_from is None else patient_pattern(patient_from)
    try:
        listing = _list(
            source.resolve(),
            with_lung_opacity=wanted is not None or LUNG_OPACITY in renames,
            need_views=views is not None,
            table=TableOptions(labels, dict(columns or {}), labels_as, uncertain, ignore_unknown_columns),
            patient_key=patient_key,
            layout=roles,
        )
    except OSError as error:
        # A folder that may not be entered is said, not skipped: its images would be missing without a word.
        msg = f"{error.filename or source} cannot be listed: {error.strerror}."
        raise DataError(msg) from None
    listed, notes, left_out = listing.images, listing.notes, listing.left_out
    spellings: tuple[str, ...] = ()
    if not listed.is_empty():
        listed, spellings = _unified(listed)
        before = listed["finding"]
        listed, called = name_normal(listed, normal)
        listed, more = rename_findings(listed, renames)
        listed, unclear, why = leave_out_unclear(listed, before)
        notes += called + more + why
        left_out = pl.concat([left_out, unclear.select("path", reason=pl.lit(_UNCLEAR))])
        if pattern is not None:
            listed, more = fill_in_patients(listed, source.resolve(), pattern, patient_key)
            notes += more
    has_normal = NORMAL in listed["finding"]
    if wanted is not None:
        called_normal = {finding_key(name) for name in normal or ()}
        present = order_findings(listed["finding"].to_list())
        wanted = order_findings(
            NORMAL if finding_key(name) in called_normal else resolve_finding(name, present) for name in wanted
        )
    renamed = listed
    listed = images = _only_wanted(listed, wanted, source)
    if listed.height < renamed.height:
        notes += (_not_wanted(renamed, listed),)
    if views is not None:
        images, more = take_views(images, views, present=listing.images["view"])
        notes += more
    if half is not None:
        images, more = take_half(images, half)
        notes += more
    named_views = None if views is None else tuple(view.strip() for view in views if view.strip())
    choices = Choices(
        findings=wanted,
        rename=renames,
        views=named_views,
        half=half,
        columns=dict(columns or {}),
        labels_as=labels_as,
        uncertain=uncertain,
        normal=None if normal is None else tuple(normal),
        layout=layout,
        patient_from=patient_from,
    )
    notes += require_some(images, listed) + spellings + tell_alike(dict(images.group_by("finding").len().iter_rows()))
    not_asked_for = _left_out_by("it is not in the views or the half that were asked for", listed, images)
    left_out = pl.concat([left_out, _left_out_by(NOT_NAMED, renamed, listed), not_asked_for])
    published: SplitFrom | None = listing.published or "column" if images["split"].is_not_null().any() else None
    return Listing(images, notes, choices, has_normal, listing.errors, left_out, published)


def _list(
    source: Path,
    *,
    with_lung_opacity: bool,
    need_views: bool,
    table: TableOptions,
    patient_key: bytes | None,
    layout: Sequence[Role] | None,
) -> Listing:
    by_table = table.labels is not None or table.labels_as is not None
    if layout is not None and (by_table or source.is_file()):
        msg = f"--layout is for one folder per finding. Leave it out for {'--labels' if by_table else source}."
        raise ConfigurationError(msg)
    if not source.exists():
        msg = f"There is no folder or file {source}. {meant_by(source)}"
        raise DataError(msg)
    if table.labels is not None and table.labels.is_dir() and source.is_file():
        right = shlex.join(["carina", "data", "import", str(table.labels), "--labels", str(source)])
        msg = f"{table.labels} is a folder and {source} is a file. The folder of the images comes first: {right}"
        raise DataError(msg)
    if table.labels is not None and not source.is_dir():
        msg = f"{source} is not a folder. With --labels, name the folder of the images that {table.labels} is about."
        raise DataError(msg)
    if table.labels is not None and table.labels_as is None and not names_images(table.labels, table.columns):
        return _list_dicom(source, table.labels, table, patient_key)
    notes: tuple[str, ...] = ()
    if layout is None:
        inner = _unwrapped(source) if source.is_dir() and table.labels is None else source
        found, left_out, notes = list_table(inner, table, need_views=need_views, patient_key=patient_key)
        if found is not None:
            # A published table was read only in part: what it names is not known here.
            asked = inner.is_dir() and table.labels_as is None
            others, more = _not_in_table(inner, found) if asked else ([], ())
            gone = pl.DataFrame(left_out + others, schema=LEFT_OUT_SCHEMA, orient="row")
            return Listing(found, notes + more, left_out=gone)
    if need_views:
        msg = f"{source} says nothing of views: it has one folder per finding. Only a table can have views."
        raise DataError(msg)
    images, gone, more = list_folders(source, with_lung_opacity, patient_key, layout)
    return Listing(images, notes + more, left_out=gone, published="folders")


def _not_in_table(folder: Path, named: pl.DataFrame) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Return the images below a folder that its table does not name, neither as images nor as masks, and a note."""
    paths = {os.path.normpath(path) for name in ("path", "mask") for path in named[name].drop_nulls()}
    images = [image for image in read_tree(folder).images if not any("mask" in name.lower() for name in image.folders)]
    others = [str(image.path) for image in images if str(image.path) not in paths]
    if not others:
        return [], ()
    note = f"Left out, since no row of the table names them: {len(others)} of {len(images)} images below {folder}."
    return [(path, "no row of the table names it") for path in others], (note,)


def _list_dicom(source: Path, labels: Path, table: TableOptions, patient_key: bytes | None) -> Listing:
    said = read_labels(labels, columns=table.columns, ignore_unknown_columns=table.ignore_unknown_columns)
    images, errors, left_out, notes = list_dicom(read_tree(source), said, patient_key)
    return Listing(images, notes, errors=errors, left_out=left_out)


def _unified(images: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images with one name for each finding, alone or among several, and a note for each with several."""
    findings = images["finding"]
    parts = {part for finding in findings.unique() for part in parts_of(finding) if not is_unknown(part)}
    each = findings.str.split(SEVERAL).explode()
    each = each.filter(each.is_in(list(parts)))
    unified, notes = unify_spellings(pl.DataFrame({"finding": each}))
    names = dict(zip(each, unified["finding"], strict=True))
    renamed = {finding: rename_label(finding, names) for finding in findings.unique()}
    return images.with_columns(findings.replace_strict(renamed, return_dtype=pl.String)), notes


def _only_wanted(images: pl.DataFrame, wanted: tuple[str, ...] | None, source: Path) -> pl.DataFrame:
    if wanted is not None:
        present = order_findings(images["finding"].to_list())
        missing = [finding for finding in wanted if finding not in present]
        if missing:
            msg = f"{source} has no finding {missing[0]!r}. It has: {', '.join(present)}."
            raise ConfigurationError(msg)
        images = images.filter(pl.col("finding").is_in(wanted))
    if images.is_empty():
        msg = f"{source} holds no images. {UNDERSTOOD}"
        raise DataError(msg)
    return images


def _not_wanted(before: pl.DataFrame, after: pl.DataFrame) -> str:
    gone = before.join(after.select("path"), on="path", how="anti")["finding"]
    told = ", ".join(f"{name} ({(gone == name).sum()})" for name in order_findings(gone.to_list()))
    return f"--findings leaves out {len(gone)} of {before.height} images: {told}."


def _left_out_by(reason: str, before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    gone = before.join(after.select("path"), on="path", how="anti", maintain_order="left")
    return gone.select("path", reason=pl.lit(reason, dtype=pl.String))


def _unwrapped(source: Path) -> Path:
    """Return the folder in which a table may lie: the source, or the only folder in it, as archives wrap it."""
    inner = source
    for _ in range(_MAX_WRAPPERS):
        visible = [path for path in inner.iterdir() if not is_hidden(path.name)]
        if len(visible) != 1 or not visible[0].is_dir() or names_a_finding(visible[0].name):
            return inner
        inner = visible[0]
    return inner
