"""Which column of a table means what: names that people give to the path of an image, its finding, its patient."""

import os
import shlex
from collections.abc import Mapping
from typing import Literal, get_args

import polars as pl

from carina.datasets.table_reading import Table
from carina.errors import ConfigurationError, DataError
from carina.radiographs.file_kind import IMAGE_ENDINGS

Field = Literal["path", "finding", "patient", "source", "view", "age", "sex", "mask", "split"]
_SAMPLE = 20
FIELDS: tuple[Field, ...] = get_args(Field)

# As compared by `plain`.
OTHER_NAMES: dict[Field, tuple[str, ...]] = {
    "path": (
        *("file", "filename", "filepath", "image", "images", "imagepath", "imagefile", "imagename", "imagefilename"),
        *("imageid", "imageindex", "img", "imgpath", "imgname", "dicompath"),
    ),
    "finding": ("findings", "findinglabel", "findinglabels", "label", "labels", "class", "classname", "diagnosis"),
    "patient": ("patientid", "patientnumber", "subject", "subjectid"),
    "source": ("hospital", "institution"),
    "view": ("viewposition", "projection"),
    "age": ("patientage", "ageyears"),
    "sex": ("gender", "patientsex", "patientgender"),
    "mask": ("maskpath", "lungmask"),
    "split": ("subset", "partition"),
}


def choose_columns(table: Table, named: Mapping[str, str]) -> dict[Field, str]:
    """Return the column of a table for each field that it has.

    A column that the user named goes first, then one with the field's own name, then one with another that is
    known for it; upper and lower case, spaces, underscores, hyphens and dots make no difference.

    Raises
    ------
    ConfigurationError
        If the user named a field that does not exist, or a column that the table does not have.
    DataError
        If two columns fit one field.
    """
    chosen: dict[Field, str] = {}
    for field in named:
        if field not in FIELDS:
            msg = f"--column {field}={named[field]}: there is no field {field!r}. Choose one of: {', '.join(FIELDS)}."
            raise ConfigurationError(msg)
    free = [name for name in table.cells.columns if name not in named.values()]
    for field in FIELDS:
        column = _named(table, field, named[field]) if field in named else _found(table, field, free)
        if column is None:
            continue
        if column in table.repeated:
            msg = f"{table.path} has two columns {column!r} with different contents. Give one of them another name."
            raise DataError(msg)
        chosen[field] = column
    return chosen


def _named(table: Table, field: str, name: str) -> str:
    columns = table.cells.columns
    if name.strip() in columns:
        return name.strip()
    alike = [column for column in columns if plain(column) == plain(name)]
    if len(alike) != 1:
        msg = f"--column {field}={name}: {table.path} has no column {name!r}. {columns_of(table)}"
        raise ConfigurationError(msg)
    return alike[0]


def _found(table: Table, field: Field, free: list[str]) -> str | None:
    if field in free:
        return field
    own = [name for name in free if plain(name) == field]
    fitting = own or [name for name in free if plain(name) in OTHER_NAMES[field]]
    if len(fitting) > 1:
        names = " and ".join(repr(name) for name in fitting)
        msg = f"{table.path} has the columns {names}, which both fit {field!r}. Choose: --column {field}=NAME."
        raise DataError(msg)
    return fitting[0] if fitting else None


def plain(name: str) -> str:
    """Return a column's name as names are compared: without case, spaces, underscores, hyphens and dots."""
    return name.casefold().translate(str.maketrans("", "", " _-.\t"))


def columns_of(table: Table) -> str:
    """Return a sentence that says which columns a table has, and how it was read."""
    names = ", ".join(table.cells.columns)
    return f"It has: {names} ({table.how})."


def require_columns(table: Table, chosen: Mapping[Field, str], fields: tuple[Field, ...], advice: str = "") -> None:
    """Require that fields have a column.

    Raises
    ------
    DataError
        If some have none; the message says what there is, and how to name it.
    """
    missing = [field for field in fields if field not in chosen]
    if not missing:
        return
    columns = " or ".join(repr(field) for field in missing)
    msg = f"{table.path} has no column {columns}. {columns_of(table)} {advice or advice_for(table, missing)}"
    raise DataError(msg)


def advice_for(table: Table, missing: list[Field]) -> str:
    """Return what to do about fields without a column: one thing, and no other that contradicts it."""
    marked = _marked_columns(table)
    if "finding" in missing and len(marked) > 1:
        return (
            f"{', '.join(marked)} seem to be findings with 1 or 0. Carina needs one column with the name of the "
            "finding in each row: write it, and call it finding."
        )
    images = column_of_images(table) if "path" in missing else None
    hint = "" if images is None else f"{images!r} names images. "
    names = {"path": images} if images is not None else {}
    options = [
        f"--column {shlex.quote(f'{field}={names[field]}') if field in names else f'{field}=NAME'}" for field in missing
    ]
    return f"{hint}Say which columns they are: {' '.join(options)}"


def _marked_columns(table: Table) -> list[str]:
    """Return the columns that hold nothing but 1, 0 and -1."""
    values = {name: set(table.cells[name].drop_nulls().unique()) for name in table.cells.columns}
    return [name for name, held in values.items() if held and held <= {"0", "1", "-1", "0.0", "1.0", "-1.0"}]


def column_of_images(table: Table) -> str | None:
    """Return the first column whose cells end like the names of images."""
    for name in table.cells.columns:
        sample = table.cells[name].drop_nulls().head(_SAMPLE).to_list()
        # os.path, because a cell may be no path at all.
        if sample and all(os.path.splitext(cell)[1].lower() in IMAGE_ENDINGS for cell in sample):  # noqa: PTH122
            return name
    return None


def take_columns(
    table: Table, chosen: Mapping[Field, str], *, ignore_unknown: bool, advice: str = ""
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return a table's columns under the fields' names, with the column ``row``, and notes on what they were.

    Raises
    ------
    DataError
        If there are other columns, which may be misspelt ones, and they are not to be left out.
    """
    others = [name for name in table.cells.columns if name not in chosen.values()]
    notes = []
    if others:
        if not ignore_unknown:
            msg = f"{table.path} has unknown columns: {', '.join(others)}. Known: {', '.join(FIELDS)}. " + (
                advice or "Say what they are (--column patient=NAME), or go on without them: --ignore-unknown-columns"
            )
            raise DataError(msg)
        notes.append(f"Columns left out: {', '.join(others)}.")
    meant = [f"{field} is {column!r}" for field, column in chosen.items() if field != column]
    if meant:
        notes.append(f"Columns of {table.path.name}: {', '.join(meant)}.")
    columns = [pl.col(column).alias(field) for field, column in chosen.items()]
    return table.cells.select(table.rows, *columns), tuple(notes)
