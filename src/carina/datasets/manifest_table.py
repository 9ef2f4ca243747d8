"""A table that names images and their findings: read, its columns understood, its images found."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from carina.datasets.image_paths import find_images
from carina.datasets.label_cells import SEVERAL, parts_of, read_label
from carina.datasets.manifest import LISTING_SCHEMA
from carina.datasets.patient_columns import read_ages, read_sexes
from carina.datasets.published_labels import advice_on
from carina.datasets.table_columns import Field, choose_columns, require_columns, take_columns
from carina.datasets.table_reading import read_table
from carina.errors import DataError
from carina.findings import order_findings
from carina.wording import counted

_STEMS = ("manifest", "metadata")
_ENDINGS = (".parquet", ".csv", ".csv.gz", ".tsv", ".xlsx")
_NEEDED: tuple[Field, ...] = ("path", "finding")


def list_manifest(
    path: Path,
    *,
    folder: Path | None = None,
    columns: Mapping[str, str] | None = None,
    need_views: bool,
    ignore_unknown_columns: bool,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images that a table names, columns as in `LISTING_SCHEMA`, and what was left out, a sentence each.

    A finding comes back as `carina.datasets.label_cells.read_label` gives it.

    Parameters
    ----------
    path, folder
        The table, and where the images are looked for; by default where the table lies.
    columns, ignore_unknown_columns
        See `carina.datasets.listing.list_source`.
    need_views
        Whether the table must have a column for the view.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, a row is wrong, or no image exists; the message names the row.
    ConfigurationError
        If a column was named that it does not have.
    """
    table = read_table(path)
    chosen = choose_columns(table, columns or {})
    needed: tuple[Field, ...] = (*_NEEDED, "view") if need_views else _NEEDED
    advice = advice_on(table.cells.columns)
    require_columns(table, chosen, needed, advice)
    # Who says what columns mean has looked at them: the others are not misspelt.
    rows, notes = take_columns(table, chosen, ignore_unknown=ignore_unknown_columns or bool(columns), advice=advice)
    images, more = images_of(rows, path, folder or path.parent)
    return images, (*table.notes, *notes, *more)


def find_manifest(folder: Path, columns: Mapping[str, str]) -> tuple[Path | None, tuple[str, ...], DataError | None]:
    """Return the table in a folder that names its images, what to say of it, and what is wrong with one that does not.

    It is called ``manifest`` or ``metadata`` and ends in ``.parquet``, ``.csv``, ``.csv.gz``, ``.tsv`` or ``.xlsx``. It
    is only used if it has columns for the path and the finding.
    """
    notes: list[str] = []
    wrong: DataError | None = None
    found: Path | None = None
    for path in (folder / f"{stem}{ending}" for stem in _STEMS for ending in _ENDINGS):
        if not path.is_file():
            continue
        if found is not None:
            notes.append(f"{path.name} was not used, since {found.name} lies beside it.")
            continue
        try:
            table = read_table(path)
            require_columns(table, choose_columns(table, columns), _NEEDED, advice_on(table.cells.columns))
        except DataError as error:
            notes.append(f"{path.name} was not used to find images: {error}")
            wrong = wrong or error
        else:
            found = path
            notes.append(f"The images are those that {path.name} names, with its findings; folders were not searched.")
    return found, tuple(notes), wrong


def images_of(rows: pl.DataFrame, table: Path, folder: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images that a table's rows name, columns as in `LISTING_SCHEMA`, and what was left out or guessed.

    Parameters
    ----------
    rows
        With the columns row (the line), path, finding and any others of the listing, all text.
    table, folder
        Where they were read, for messages, and where the images are looked for.

    Raises
    ------
    DataError
        If a row has no path, no image exists, or rows contradict each other.
    """
    lines = rows["row"]
    missing = [name for name in LISTING_SCHEMA if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in missing)
    if rows["path"].null_count():
        row = lines.filter(rows["path"].is_null())[0]
        msg = f"{table}, row {row}: it has no path. Correct or remove the row."
        raise DataError(msg)
    ages, on_ages = read_ages(rows["age"], lines)
    sexes, on_sexes = read_sexes(rows["sex"], lines)
    paths, on_paths = _found(rows, table, folder)
    masks, on_masks = _masks(rows, table, folder)
    cells = {text: read_label(text) for text in rows["finding"].fill_null("").unique()}
    images = rows.with_columns(
        ages.alias("age"),
        sexes.alias("sex"),
        masks.alias("mask"),
        written=rows["path"],
        path=paths,
        finding=pl.col("finding").fill_null("").replace_strict(cells, return_dtype=pl.String),
    )
    images, on_repeated = _joined(images, table)
    return images.select(list(LISTING_SCHEMA)), (*on_ages, *on_sexes, *on_paths, *on_masks, *on_repeated)


def _found(rows: pl.DataFrame, table: Path, folder: Path) -> tuple[pl.Series, tuple[str, ...]]:
    names = rows["path"].to_list()
    found = find_images(names, rows["row"].to_list(), folder, table)
    missing = [place for place, image in enumerate(found) if not image.exists]
    searched = [place for place, image in enumerate(found) if image.searched]
    notes = []
    if missing:
        tried = (
            f"The first that was tried is {found[missing[0]].path}; no file below {folder} fits "
            f"'{names[missing[0]]}' either."
        )
        if len(missing) == len(names):
            msg = (
                f"{_no_image(len(names), table)} {tried} If the images lie elsewhere, name their "
                f"folder, and the table with --labels: carina data import FOLDER --labels {table}"
            )
            raise DataError(msg)
        notes.append(f"{len(missing)} of {len(names)} images that {table.name} names do not exist. {tried}")
    if searched:
        notes.append(
            f"{len(searched)} of {len(names)} images do not lie at the path that {table.name} gives and were found by "
            f"their name below {folder}. The first: '{names[searched[0]]}' is {found[searched[0]].path}."
        )
    return pl.Series("path", [image.path for image in found], dtype=pl.String), tuple(notes)


def _no_image(images: int, table: Path) -> str:
    if images == 1:
        return f"The one image that {table} names does not exist."
    return f"None of the {images} images that {table} names exists."


def _masks(rows: pl.DataFrame, table: Path, folder: Path) -> tuple[pl.Series, tuple[str, ...]]:
    named = rows.filter(pl.col("mask").is_not_null())
    names = named["mask"].to_list()
    found = find_images(names, named["row"].to_list(), folder, table)
    path_of = {name: image.path for name, image in zip(names, found, strict=True)}
    masks = rows["mask"].replace_strict(path_of, default=None, return_dtype=pl.String)
    missing = [image.path for image in found if not image.exists]
    if not missing:
        return masks, ()
    return masks, (f"Masks that {table.name} names and that do not exist: {len(missing)}. The first: {missing[0]}",)


def _joined(images: pl.DataFrame, table: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return one row for each image: rows that differ only in the finding name several findings of one image."""
    repeated = images.filter(pl.col("path").is_duplicated())
    if repeated.is_empty():
        return images, ()
    findings = {}
    for (path,), rows in repeated.group_by("path", maintain_order=True):
        for what in ("written", *(name for name in LISTING_SCHEMA if name not in ("path", "finding"))):
            values = [_without_dot(text) for text in rows[what]] if what == "written" else rows[what].to_list()
            if len(set(values)) > 1:
                _refuse_contradiction(rows["row"].to_list(), what, str(path), table)
        findings[path] = SEVERAL.join(order_findings(part for finding in rows["finding"] for part in parts_of(finding)))
    images = images.unique("path", keep="first", maintain_order=True)
    images = images.with_columns(finding=pl.col("path").replace_strict(findings, default=pl.col("finding")))
    named = counted(len(findings), "image")
    return images, (f"{table.name} names {named} in several rows, {repeated.height} in all; each was taken once.",)


def _without_dot(name: str) -> str:
    return str(Path(name))


def _refuse_contradiction(rows: Sequence[int], what: str, path: str, table: Path) -> None:
    lines = " and ".join(map(str, rows[:2]))
    if what == "written":
        msg = f"{table}, rows {lines}: two different paths, and the only file that fits both is {path}. Correct one."
    else:
        msg = f"{table}, rows {lines}: the same image twice, with another {what}. Keep one of them."
    raise DataError(msg)
