"""What a source says of its images, before any is opened: path, finding, patient, source and the like.

Three kinds of source: the official distribution of the COVID-19 Radiography Database, any tree with a folder a
finding, and a CSV or Parquet manifest.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import openpyxl
import polars as pl

from carina.datasets.choice import (
    Choices,
    Half,
    canonical_renames,
    rename_findings,
    require_some,
    take_half,
    take_views,
)
from carina.datasets.dicom_headers import fill_in_headers, is_dicom
from carina.datasets.dicom_tree import DicomTree
from carina.datasets.labels import read_labels
from carina.datasets.manifest import ERRORS_SCHEMA
from carina.errors import ConfigurationError, DataError
from carina.findings import BASELINE_FINDINGS, KNOWN_FINDINGS, LUNG_OPACITY, canonical_finding, order_findings
from carina.radiographs.file_kind import IMAGE_ENDINGS

LISTING_SCHEMA = pl.Schema(
    {
        "path": pl.String,
        "finding": pl.String,
        "patient": pl.String,
        "source": pl.String,
        "view": pl.String,
        "age": pl.Float64,
        "sex": pl.String,
        "mask": pl.String,
    }
)
_KNOWN_NAMES = frozenset(finding.name for finding in KNOWN_FINDINGS)
_MANIFEST_NAMES = ("manifest.parquet", "manifest.csv", "metadata.csv")

# Where the images of the COVID-19 Radiography Database come from, by what their URL holds.
_SOURCE_OF_URL = (
    ("bimcv", "bimcv"),
    ("ml-workgroup/covid-19-image-repository", "hannover"),
    ("rsna-pneumonia-detection-challenge", "rsna"),
    ("chest-xray-pneumonia", "kermany"),
    ("sirm.org", "public"),
    ("eurorad", "public"),
    ("covid-chestxray-dataset", "public"),
    ("covid-cxnet", "public"),
)


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
    errors
        Files that are already known not to be readable, as in ``errors.csv``.
    left_out
        DICOM files that were left out, and why; none where no labels were given for such.
    """

    images: pl.DataFrame
    notes: tuple[str, ...]
    choices: Choices = field(default_factory=Choices)
    errors: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ERRORS_SCHEMA))
    left_out: pl.DataFrame | None = None


def list_source(
    source: Path,
    *,
    findings: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    views: Sequence[str] | None = None,
    half: Half | None = None,
    labels: Path | None = None,
    patient_key: bytes | None = None,
    ignore_unknown_columns: bool = False,
) -> Listing:
    """Return the images of a source with their labels.

    Parameters
    ----------
    source
        A folder with a folder a finding, a folder with a manifest (``manifest.parquet``, ``manifest.csv`` or
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
    labels
        A CSV with a finding for each StudyInstanceUID or PatientID; then the source is a folder of DICOM files, of
        whatever names and depth. See `carina.datasets.labels.read_labels`.
    patient_key
        A secret for what stands for a patient: see `carina.datasets.dicom_headers.patient_of`.
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
    try:
        listing = _list(
            source.resolve(),
            with_lung_opacity=wanted is not None or LUNG_OPACITY in renames,
            need_views=views is not None,
            labels=labels,
            patient_key=patient_key,
            ignore_unknown_columns=ignore_unknown_columns,
        )
    except OSError as error:
        # A folder that may not be entered is said, not skipped: its images would be missing without a word.
        msg = f"{error.filename or source} cannot be listed: {error.strerror}."
        raise DataError(msg) from None
    listed, notes = listing.images, listing.notes
    if not listed.is_empty():
        listed, more = rename_findings(listed, renames)
        notes += more
    listed = images = _only_wanted(listed, wanted, source)
    if views is not None:
        images, more = take_views(images, views, present=listing.images["view"])
        notes += more
    if half is not None:
        images, more = take_half(images, half)
        notes += more
    named_views = None if views is None else tuple(view.strip() for view in views if view.strip())
    choices = Choices(findings=wanted, rename=renames, views=named_views, half=half)
    notes += require_some(images, listed)
    return Listing(images, notes, choices, listing.errors, listing.left_out)


def _list(
    source: Path,
    *,
    with_lung_opacity: bool,
    need_views: bool,
    labels: Path | None,
    patient_key: bytes | None,
    ignore_unknown_columns: bool,
) -> Listing:
    manifest = source
    if labels is not None:
        if not source.is_dir():
            msg = f"{source} is no folder. Labels are for a folder of DICOM files: name it, or leave out --labels."
            raise DataError(msg)
        tree = DicomTree(read_labels(labels, ignore_unknown_columns=ignore_unknown_columns), patient_key)
        tree.add(_files_below(source))
        notes = tree.notes()
        images = pl.DataFrame(tree.images, schema=LISTING_SCHEMA)
        return Listing(images, notes, errors=tree.errors, left_out=tree.left_out)
    if source.is_dir():
        source = _descend(source)
        found = next((source / name for name in _MANIFEST_NAMES if (source / name).is_file()), None)
        if found is None:
            if need_views:
                msg = f"{source} says nothing of views: it has a folder a finding. Choose views of a manifest only."
                raise DataError(msg)
            return _list_folders(source, with_lung_opacity=with_lung_opacity, patient_key=patient_key)
        manifest = found
    if manifest.is_file():
        return _list_manifest(manifest, need_views=need_views, ignore_unknown_columns=ignore_unknown_columns)
    msg = f"There is no folder or file {source}. Check the path."
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
        msg = f"{source} holds no images. Expected: a folder a finding, or a manifest with the columns path, finding."
        raise DataError(msg)
    return images


def _list_folders(source: Path, *, with_lung_opacity: bool, patient_key: bytes | None) -> Listing:
    folders = sorted(folder for folder in source.iterdir() if folder.is_dir() and not _is_hidden(folder.name))
    names = {canonical_finding(folder.name) for folder in folders}
    notes = []
    # The official distribution: its fourth folder is taken only when it is named.
    if not with_lung_opacity and LUNG_OPACITY in names and set(BASELINE_FINDINGS) <= names:
        folders = [folder for folder in folders if canonical_finding(folder.name) != LUNG_OPACITY]
        notes.append(f"The folder of {LUNG_OPACITY} was left out; name it with --findings to take it.")
    rows: list[dict[str, object]] = []
    other_files = 0
    for folder in folders:
        source_of_stem = _sources_from_workbook(source / f"{folder.name}.metadata.xlsx")
        for path in _files_below(folder):
            if path.suffix.lower() not in IMAGE_ENDINGS and not is_dicom(path):
                other_files += 1
                continue
            mask = folder / "masks" / path.name
            rows.append(
                {
                    "path": str(path),
                    "finding": canonical_finding(folder.name),
                    "source": source_of_stem.get(path.stem.lower()),
                    "mask": str(mask) if mask.is_file() else None,
                }
            )
    unnamable = [row for row in rows if not _is_text(str(row["path"]))]
    if unnamable:
        rows = [row for row in rows if _is_text(str(row["path"]))]
        notes.append(f"{len(unnamable)} images whose names are not valid UTF-8 were left out; rename them.")
    if other_files:
        notes.append(f"{other_files} files whose names do not end like an image's were left out.")
    beside = sum(path.is_file() and path.suffix.lower() in IMAGE_ENDINGS for path in source.iterdir())
    if beside and not rows:
        msg = (
            f"{source} holds {beside} image{'s' * (beside > 1)}, but in no finding's folder. Put them into a folder a "
            "finding, or write a manifest with the columns path, finding."
        )
        raise DataError(msg)
    if beside:
        notes.append(f"Left out, since they lie in no finding's folder: {beside} image{'s' * (beside > 1)}.")
    rows, left_out = fill_in_headers(rows, patient_key)
    notes += left_out
    return Listing(pl.DataFrame(rows, schema=LISTING_SCHEMA), tuple(notes))


def _files_below(folder: Path) -> list[Path]:
    """Return all files below a finding's folder by name, without masks and hidden ones."""
    files = []
    for root, folders, names in os.walk(folder, onerror=_raise):
        here = Path(root)
        at_top = here == folder
        folders[:] = [name for name in folders if not _is_hidden(name) and not (at_top and name.lower() == "masks")]
        files += [here / name for name in names if not _is_hidden(name)]
    return sorted(files)


def _raise(error: OSError) -> None:
    raise error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _descend(source: Path) -> Path:
    """Return the folder that holds the findings' folders: archives often wrap it in one more."""
    inside = [path for path in source.iterdir() if not _is_hidden(path.name)]
    if len(inside) == 1 and canonical_finding(inside[0].name) in _KNOWN_NAMES:
        return source  # the only finding, whose own folders are patients or the like
    if len(inside) == 1 and inside[0].is_dir() and any(path.is_dir() for path in inside[0].iterdir()):
        wrapped = [path for path in inside[0].iterdir() if path.is_dir() and path.name not in ("images", "masks")]
        return _descend(inside[0]) if wrapped else source
    return source


def _sources_from_workbook(path: Path) -> dict[str, str]:
    """Return the source of each image by its stem, from the official ``<finding>.metadata.xlsx``."""
    if not path.is_file():
        return {}
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = workbook.worksheets[0].iter_rows(values_only=True)
        header = [str(cell or "").strip().upper() for cell in next(rows)]
        name_column, url_column = header.index("FILE NAME"), header.index("URL")
        named = [(row[name_column], row[url_column]) for row in rows if len(row) > max(name_column, url_column)]
        workbook.close()
    except Exception as error:  # noqa: BLE001  # openpyxl raises anything on a damaged workbook
        msg = (
            f"{path} cannot be read as the table FILE NAME, FORMAT, SIZE, URL ({type(error).__name__}). "
            "Restore it from the distribution, or remove it to import without sources."
        )
        raise DataError(msg) from None
    return {str(name).strip().lower(): _source_of_url(str(url)) for name, url in named if name and url}


def _source_of_url(url: str) -> str:
    lowered = url.strip().lower()
    known = next((source for part, source in _SOURCE_OF_URL if part in lowered), None)
    return known or urlsplit(lowered).hostname or lowered


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
        finding=pl.col("finding").map_elements(canonical_finding, return_dtype=pl.String),
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
