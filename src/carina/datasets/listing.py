"""What a source says of its images, before any is opened: path, finding, patient, source and the like.

Three kinds of source: a tree with one folder per finding (the official distribution of the COVID-19 Radiography
Database is one), a CSV or Parquet manifest, and a tree of DICOM files with a table of labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from carina.datasets.dicom_tree import DicomTree
from carina.datasets.folder_layout import UNDERSTOOD, Role, parse_layout
from carina.datasets.folder_source import NOT_NAMED, list_folders
from carina.datasets.folder_tree import LEFT_OUT_SCHEMA, read_tree
from carina.datasets.folder_words import names_a_finding
from carina.datasets.labels import read_labels
from carina.datasets.manifest import ERRORS_SCHEMA, LISTING_SCHEMA
from carina.datasets.naming import name_normal, resolve_finding, tell_alike, unify_spellings
from carina.datasets.patient_names import PatientPattern
from carina.errors import ConfigurationError, DataError
from carina.findings import LUNG_OPACITY, NORMAL, canonical_finding, finding_key, order_findings
from carina.places import meant_by

_MANIFEST_NAMES = ("manifest.parquet", "manifest.csv", "metadata.csv")
_MAX_WRAPPERS = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """The images that a source names.

    Attributes
    ----------
    images
        One row an image, columns as in `LISTING_SCHEMA`, paths absolute.
    notes
        What was left out or assumed, a sentence each, to be shown to the user.
    choices
        What was asked for.
    has_normal
        Whether the source has normal images, taken or not.
    errors
        Files that are already known not to be readable, as in ``errors.csv``.
    left_out
        Files that were left out: path and reason, as in ``left_out.csv``.
    published
        Where the column split comes from; none where no image has one.
    """

    images: pl.DataFrame
    notes: tuple[str, ...]
    choices: Choices = field(default_factory=Choices)
    has_normal: bool = False
    errors: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ERRORS_SCHEMA))
    left_out: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEFT_OUT_SCHEMA))
    published: SplitFrom | None = None


def list_source(
    source: Path,
    *,
    findings: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    views: Sequence[str] | None = None,
    half: Half | None = None,
    normal: Sequence[str] | None = None,
    labels: Path | None = None,
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
        Take only the images whose view the manifest gives as one of these, in whatever case; ``unknown`` stands for
        those without. By default all.
    half
        Take only the patients of one half, ``development`` or ``final``: see `carina.datasets.choice.take_half`. Where
        an image has no patient, its file name stands in.
    normal
        Findings that are normal, or ``none``: see `carina.datasets.naming.name_normal`.
    labels
        A CSV with a finding for each StudyInstanceUID or PatientID; then the source is a folder of DICOM files, of
        whatever names and depth. See `carina.datasets.labels.read_labels`.
    patient_key
        A secret for what stands for a patient: see `carina.datasets.dicom_headers.patient_of`.
    patient_from
        A regular expression that finds the patient in an image's path, from the source folder on: see
        `carina.datasets.patient_names.PatientPattern`.
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
    pattern = None if patient_from is None else PatientPattern(patient_from, patient_key)
    try:
        listing = _list(
            source.resolve(),
            with_lung_opacity=wanted is not None or LUNG_OPACITY in renames,
            need_views=views is not None,
            labels=labels,
            patient_key=patient_key,
            layout=roles,
            ignore_unknown_columns=ignore_unknown_columns,
        )
    except OSError as error:
        # A folder that may not be entered is said, not skipped: its images would be missing without a word.
        msg = f"{error.filename or source} cannot be listed: {error.strerror}."
        raise DataError(msg) from None
    listed, notes = listing.images, listing.notes
    spellings: tuple[str, ...] = ()
    if not listed.is_empty():
        listed, spellings = unify_spellings(listed)
        for name in (partial(name_normal, normal=normal), partial(rename_findings, renames=renames)):
            listed, more = name(listed)
            notes += more
        if pattern is not None:
            listed, more = pattern.fill_in(listed, source.resolve())
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
        normal=None if normal is None else tuple(normal),
        layout=layout,
        patient_from=patient_from,
    )
    notes += require_some(images, listed) + spellings + tell_alike(dict(images.group_by("finding").len().iter_rows()))
    left_out = pl.concat([listing.left_out, _left_out_by(NOT_NAMED, renamed, listed)])
    left_out = pl.concat(
        [left_out, _left_out_by("it is not of the views and the half that were asked for", listed, images)]
    )
    published: SplitFrom | None = listing.published or "column" if images["split"].is_not_null().any() else None
    return Listing(images, notes, choices, has_normal, listing.errors, left_out, published)


def _list(
    source: Path,
    *,
    with_lung_opacity: bool,
    need_views: bool,
    labels: Path | None,
    patient_key: bytes | None,
    layout: Sequence[Role] | None,
    ignore_unknown_columns: bool,
) -> Listing:
    if layout is not None and (labels is not None or not source.is_dir()):
        msg = f"--layout is for one folder per finding. Leave it out for {source if labels is None else '--labels'}."
        raise ConfigurationError(msg)
    manifest = source
    if labels is not None:
        if not source.is_dir():
            msg = f"{source} is no folder. Labels are for a folder of DICOM files: name it, or leave out --labels."
            raise DataError(msg)
        tree = DicomTree(read_labels(labels, ignore_unknown_columns=ignore_unknown_columns), patient_key)
        tree.add(read_tree(source))
        notes = tree.notes()
        images = pl.DataFrame(tree.images, schema=LISTING_SCHEMA)
        return Listing(images, notes, errors=tree.errors, left_out=tree.left_out)
    if source.is_dir():
        found = None if layout is not None else _find_manifest(source)
        if found is None:
            if need_views:
                msg = f"{source} says nothing of views: it has one folder per finding. Choose views of a manifest only."
                raise DataError(msg)
            listed = list_folders(source, with_lung_opacity=with_lung_opacity, patient_key=patient_key, layout=layout)
            return Listing(listed.images, listed.notes, left_out=listed.left_out, published="folders")
        manifest = found
    if manifest.is_file():
        return _list_manifest(manifest, need_views=need_views, ignore_unknown_columns=ignore_unknown_columns)
    msg = f"There is no folder or file {source}. {meant_by(source)}"
    raise DataError(msg)


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


def _find_manifest(source: Path) -> Path | None:
    """Return the manifest in a folder, or in the only folder in it, as archives wrap it; none where there is none."""
    for _ in range(_MAX_WRAPPERS):
        found = next((source / name for name in _MANIFEST_NAMES if (source / name).is_file()), None)
        inside = [path for path in source.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX"))]
        if found is not None or len(inside) != 1 or names_a_finding(inside[0].name):
            return found
        source = inside[0]
    return None


def _list_manifest(path: Path, *, need_views: bool, ignore_unknown_columns: bool) -> Listing:
    table = _read_table(path)
    table = table.rename({"file": "path"}) if "file" in table.columns and "path" not in table.columns else table
    for column in ("path", "finding", "view") if need_views else ("path", "finding"):
        if column not in table.columns:
            msg = f"{path} has no column {column!r}. It has: {', '.join(table.columns)}."
            raise DataError(msg)
    unknown = [column for column in table.columns if column not in LISTING_SCHEMA]
    notes = []
    if unknown:
        if not ignore_unknown_columns:
            msg = (
                f"{path} has unknown columns: {', '.join(unknown)}. Known: {', '.join(LISTING_SCHEMA)}. Rename them, "
                "or pass --ignore-unknown-columns."
            )
            raise DataError(msg)
        notes.append(f"Columns left out: {', '.join(unknown)}.")
    table = _typed(table.select(column for column in table.columns if column in LISTING_SCHEMA), path)
    folder = path.parent
    images = table.with_columns(
        path=pl.col("path").map_elements(lambda name: str(folder / name), return_dtype=pl.String),
        mask=pl.col("mask").map_elements(lambda name: str(folder / name), return_dtype=pl.String),
    )
    _refuse_duplicate_paths(images, path)
    return Listing(images, tuple(notes))


def _read_table(path: Path) -> pl.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        if path.suffix.lower() == ".csv":
            return pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        msg = f"{path} cannot be read as a table ({type(error).__name__}). Check that it is a CSV or Parquet file."
        raise DataError(msg) from None
    msg = f"{path} is neither a folder nor a .csv or .parquet manifest."
    raise DataError(msg)


def _typed(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return the table with every column of the listing, in its type; empty text becomes null."""
    columns = []
    for name, dtype in LISTING_SCHEMA.items():
        if name not in table.columns:
            columns.append(pl.lit(None, dtype=dtype).alias(name))
            continue
        try:
            text = table[name].cast(pl.String).str.strip_chars()
        except pl.exceptions.PolarsError:
            msg = f"{path}: its column {name!r} holds {table.schema[name]}, not text or numbers. Write it as text."
            raise DataError(msg) from None
        column = text.set(text == "", None)
        if dtype != pl.String:
            number = column.cast(dtype, strict=False)
            not_a_number = column.is_not_null() & ~number.is_finite().fill_null(value=False)
            _refuse_rows(not_a_number, path, f"its {name} is not a number")
            column = number
        columns.append(pl.lit(column).alias(name))
    typed = table.select(columns)
    for name in ("path", "finding"):
        _refuse_rows(typed[name].is_null(), path, f"it has no {name}; an unknown finding is not a normal one")
    return typed


def _refuse_rows(wrong: pl.Series, path: Path, what: str) -> None:
    if wrong.any():
        row = wrong.arg_true()[0] + 2  # as an editor counts the lines, the header being line 1
        msg = f"{path}, row {row}: {what}. Correct or remove the row."
        raise DataError(msg)


def _refuse_duplicate_paths(images: pl.DataFrame, path: Path) -> None:
    repeated = images["path"].is_duplicated().arg_true()
    if len(repeated):
        first = images["path"][repeated[0]]
        rows = [str(row + 2) for row in (images["path"] == first).arg_true()]
        msg = f"{path}, rows {' and '.join(rows)}: the same image twice. Keep one of them."
        raise DataError(msg)
