"""A table as people have it becomes text in columns: CSV with any separator, Excel, Parquet, gzip or not.

What a file is, is told by its first bytes and not by its name's ending.
"""

import csv
import gzip
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import openpyxl
import polars as pl

from carina.errors import DataError
from carina.radiographs.file_kind import HEAD_BYTES, IMAGE_ENDINGS, is_archive, kind_of

# The largest public table of radiographs has 380,000 rows and 60 MB.
MAX_TABLE_BYTES = 1024**3
_PARQUET, _GZIP, _OLD_EXCEL = b"PAR1", b"\x1f\x8b", b"\xd0\xcf\x11\xe0"
_TAR_AT, _TAR = 257, b"ustar"
_LINES_LOOKED_AT = 20
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# The first three bytes of UTF-8 files from Windows, and what UTF-16 and UTF-32 begin with; longer ones first.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_ENCODINGS = {"utf-32": "UTF-32", "utf-8-sig": "UTF-8", "utf-8": "UTF-8", "cp1252": "Windows-1252"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was read."""

    path: Path
    cells: pl.DataFrame  # text in every column, without white space around it; null where a cell is empty
    rows: pl.Series  # Int64, the line on which each row begins, as an editor counts them
    repeated: frozenset[str]  # names of several columns with different contents; the second has " (2)" after its name
    how: str  # as what it was read, for messages: "with commas between the cells, as UTF-8"
    notes: tuple[str, ...]  # what was guessed or not used, a sentence each


def read_table(path: Path) -> Table:
    """Return the table in a file.

    Raises
    ------
    DataError
        If it cannot be read, holds no table or no rows, or a row has more cells than the header. No message holds a
        cell of a row, which may name a patient.
    """
    content = _content(path)
    if content.startswith(_GZIP):
        content = _unpacked(path, content)
    if content.startswith(_PARQUET):
        table = _read_parquet(path, content)
    elif is_archive(content[:HEAD_BYTES]):
        table = _read_workbook(path, content)
    else:
        _refuse_other_kinds(path, content)
        table = _read_text(path, content)
    if table.cells.is_empty():
        msg = f"{path} has no rows below its header ({', '.join(table.cells.columns)}): it names no image."
        raise DataError(msg)
    return table


def _content(path: Path) -> bytes:
    if path.is_dir():
        msg = f"{path} is a folder, not a table. Name the table in it."
        raise DataError(msg)
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            msg = f"{path} has over {MAX_TABLE_BYTES // 1024**3} GiB, which no table of radiographs needs."
            raise DataError(msg)
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read as a table: {error.strerror}. Check the path."
        raise DataError(msg) from None
    if not content.strip():
        msg = f"{path} cannot be read as a table: it is empty."
        raise DataError(msg)
    return content


def _unpacked(path: Path, content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            unpacked = stream.read(MAX_TABLE_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        msg = f"{path} cannot be read as a table: its gzip compression is damaged. Copy it again."
        raise DataError(msg) from None
    if unpacked[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise DataError(_archive(path, "tar"))
    if len(unpacked) > MAX_TABLE_BYTES or not unpacked.strip():
        what = "is empty" if not unpacked.strip() else f"has over {MAX_TABLE_BYTES // 1024**3} GiB unpacked"
        msg = f"{path} cannot be read as a table: it {what}."
        raise DataError(msg)
    return unpacked


def _archive(path: Path, kind: str) -> str:
    return (
        f"{path} is a {kind} archive. A data set refers to its images where they are: unpack the archive, and import "
        "the folder."
    )


def _refuse_other_kinds(path: Path, content: bytes) -> None:
    """Refuse what is not a table but is often named where one is expected."""
    # Without the name: what ends like an image may be a table.
    kind = kind_of("", content[:HEAD_BYTES])
    if kind.is_image:
        image = kind.name.removesuffix(" image")
        msg = f"{path} is an image ({image}), neither a folder nor a table. Name the folder of the images, or a table."
        raise DataError(msg)
    if content.startswith(_OLD_EXCEL):
        msg = f"{path} is a workbook of an Excel before 2007 (.xls). Save it as .xlsx or as CSV."
        raise DataError(msg)
    if content[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise DataError(_archive(path, "tar"))
    beginning = content[:HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    foreign = {b"<": "a web page or XML", b"{": "JSON", b"[": "JSON", b"%PDF": "a PDF"}
    other = next((name for mark, name in foreign.items() if beginning.startswith(mark)), None)
    if other is not None:
        msg = f"{path} cannot be read as a table: it begins like {other}. Save the table as CSV."
        raise DataError(msg)


def _read_parquet(path: Path, content: bytes) -> Table:
    try:
        table = pl.read_parquet(content)
    except (OSError, pl.exceptions.PolarsError) as error:
        msg = f"{path} cannot be read as a table ({type(error).__name__}). It begins like Parquet and is damaged."
        raise DataError(msg) from None
    texts, unreadable = [], []
    for name, dtype in table.schema.items():
        try:
            texts.append(table[name].list.join("|") if dtype == pl.List(pl.String) else table[name].cast(pl.String))
        except pl.exceptions.PolarsError:
            unreadable.append(f"{name} ({dtype})")
    rows = pl.Series("row", range(2, table.height + 2), dtype=pl.Int64)
    cells, notes = _tidied(pl.DataFrame(texts), path)
    if unreadable:
        notes += (f"Columns of {path.name} that hold neither text nor numbers are not used: {', '.join(unreadable)}.",)
    return Table(path, cells, rows, frozenset(), "as Parquet", notes)


def _read_workbook(path: Path, content: bytes) -> Table:
    """Return the first sheet of an Excel workbook that has anything in it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile:
        msg = f"{path} cannot be read as a table: it begins like an Excel workbook or a ZIP archive and is damaged."
        raise DataError(msg) from None
    if "xl/workbook.xml" not in names:
        if {"mimetype", "content.xml"} <= names:
            msg = f"{path} is an OpenDocument table. Save it as .xlsx or as CSV."
            raise DataError(msg)
        raise DataError(_archive(path, "ZIP"))
    try:
        workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = {sheet.title: _sheet(sheet) for sheet in workbook.worksheets}
        workbook.close()
    except Exception as error:  # noqa: BLE001  # openpyxl raises anything on a damaged workbook
        msg = f"{path} cannot be read as a table: the Excel workbook is damaged ({type(error).__name__})."
        raise DataError(msg) from None
    filled = {title: sheet for title, sheet in sheets.items() if sheet}
    if not filled:
        msg = f"{path} cannot be read as a table: no sheet of the workbook has anything in it."
        raise DataError(msg)
    title, records = next(iter(filled.items()))
    notes = () if len(filled) == 1 else (f"Of the {len(filled)} sheets in {path.name} the first was read: {title}.",)
    return _table(path, records, f"as Excel, sheet {title}", notes)


def _sheet(sheet: object) -> list[tuple[int, list[str]]]:
    """Return the rows of a sheet with anything in them, with their numbers."""
    # The size that a workbook states may be a million rows, or one.
    sheet.reset_dimensions()  # type: ignore[attr-defined]
    rows = enumerate(sheet.iter_rows(values_only=True), start=1)  # type: ignore[attr-defined]
    texts = ((number, [_cell(value) for value in row]) for number, row in rows)
    return [(number, row) for number, row in texts if any(row)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # Excel has no whole numbers
    return str(value).strip()


def _read_text(path: Path, content: bytes) -> Table:
    text, encoding, notes = _decoded(path, content)
    first, _, rest = text.partition("\n")
    declared = first.strip().lower()
    if declared.startswith("sep=") and len(declared) == 5:
        # Excel's own word for the separator.
        separator, skipped, text = declared[4], 1, rest
    else:
        separator, skipped = _separator(text), 0
    records = _records(path, text, separator, skipped)
    between = _SEPARATORS.get(separator, repr(separator))
    return _table(path, records, f"with {between} between the cells, as {encoding}", notes)


def _decoded(path: Path, content: bytes) -> tuple[str, str, tuple[str, ...]]:
    """Return the text of a table, its encoding's name, and what was guessed."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    sample = content[:4096]
    if encoding is None and b"\0" in sample:
        # Latin letters in UTF-16 have a NUL byte each, on one side of the letter.
        odd = sample[1::2].count(0) > sample[::2].count(0)
        encoding = "utf-16-le" if odd else "utf-16-be"
        if sample.count(0) * 3 < len(sample):
            msg = f"{path} cannot be read as a table: it is not text. Save the table as CSV in UTF-8."
            raise DataError(msg)
    for candidate in (encoding,) if encoding else ("utf-8", "cp1252"):
        try:
            text = content.decode(candidate)
        except UnicodeDecodeError:
            continue
        name = _ENCODINGS.get(candidate, "UTF-16")
        if candidate != "cp1252":
            return text, name, ()
        line = text[: next(place for place, letter in enumerate(text) if ord(letter) > 127)].count("\n") + 1
        note = f"{path.name} is not UTF-8 and was read as Windows-1252: check the letters on line {line}."
        return text, name, (note,)
    msg = f"{path} cannot be read as a table: its text is neither UTF-8, UTF-16 nor Windows-1252. Save it as UTF-8."
    raise DataError(msg)


def _separator(text: str) -> str:
    """Return what is between the cells: what makes the most columns of the header, a comma where nothing does."""
    lines = (line for line in io.StringIO(text, newline=None) if line.strip())
    # Where the first line has one cell in any case, it may be a title, and the lines below it tell.
    for line in islice(lines, _LINES_LOOKED_AT):
        cells = {separator: len(next(csv.reader([line], delimiter=separator), [])) for separator in _SEPARATORS}
        if max(cells.values()) > 1:
            return max(cells, key=lambda separator: cells[separator])
    return ","


def _records(path: Path, text: str, separator: str, skipped: int) -> list[tuple[int, list[str]]]:
    """Return the rows with anything in them, with the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    records, begins = [], 1
    try:
        for row in reader:
            if any(cell and not cell.isspace() for cell in row):
                records.append((begins + skipped, row))
            begins = reader.line_num + 1
    except csv.Error as error:
        msg = (
            f"{path} cannot be read as a table: from line {begins + skipped} on its quotation marks or its text are "
            f"damaged ({error}). It was read with {_SEPARATORS.get(separator, separator)} between the cells."
        )
        raise DataError(msg) from None
    return records


def _table(path: Path, records: Sequence[tuple[int, list[str]]], how: str, notes: tuple[str, ...]) -> Table:
    header = [cell.strip() for cell in records[0][1]]
    while header and not header[-1] and all(len(row) < len(header) or not row[-1].strip() for _, row in records):
        header.pop()
    _refuse_no_header(path, header)
    width, rows = len(header), []
    for line, row in records[1:]:
        if len(row) > width and any(cell.strip() for cell in row[width:]):
            if width == 1:
                msg = (
                    f"{path}, row {records[0][0]}: it has one cell, and row {line} has {len(row)} ({how}). The names "
                    "of the columns must be the first row: remove what is above them."
                )
                raise DataError(msg)
            msg = (
                f"{path}, row {line}: it has {len(row)} cells, and the header has {width} ({how}). Put a text that "
                'holds the separator into quotation marks: "A, B".'
            )
            raise DataError(msg)
        rows.append([*row[:width], *[""] * (width - len(row))])
    names, repeated = _names(header, rows)
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    table = pl.DataFrame(
        [pl.Series(name, column, dtype=pl.String) for name, column in zip(names, columns, strict=True)]
    )
    cells, more = _tidied(table, path)
    lines = pl.Series("row", [line for line, _ in records[1:]], dtype=pl.Int64)
    return Table(path, cells, lines, repeated, how, notes + more)


def _refuse_no_header(path: Path, header: Iterable[str]) -> None:
    image = next((cell for cell in header if Path(cell.replace("\\", "/")).suffix.lower() in IMAGE_ENDINGS), None)
    if image is not None:
        msg = (
            f"{path} has no names over its columns: its first line names an image. Write a line before it, as in: "
            "path,finding."
        )
        raise DataError(msg)


def _names(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], frozenset[str]]:
    """Return a name for each column, no two alike, and the names that several different columns have."""
    seen: Counter[str] = Counter()
    first: dict[str, int] = {}
    names, repeated = [], set()
    for place, name in enumerate(header):
        written = name or f"Unnamed: {place}"  # as pandas calls it
        seen[written] += 1
        if seen[written] == 1:
            first[written] = place
        elif any(row[place].strip() != row[first[written]].strip() for row in rows):
            repeated.add(written)
        names.append(written if seen[written] == 1 else f"{written} ({seen[written]})")
    return names, frozenset(repeated)


def _tidied(table: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the cells without white space around them, and without columns that hold nothing or only row numbers."""
    text = pl.all().str.strip_chars()
    cells = table.select(pl.when(text != "").then(text).otherwise(None).name.keep())
    unnamed = [name for name in cells.columns if name.startswith(("Unnamed: ", "__index_level_"))]
    empty = [name for name in unnamed if cells[name].is_null().all()]
    numbers = [name for name in unnamed if name not in empty and _counts(cells[name])]
    notes = (f"The column of {path.name} without a name holds row numbers and is not used.",) if numbers else ()
    return cells.drop(empty + numbers), notes


def _counts(column: pl.Series) -> bool:
    """Return whether a column holds a whole number of its own in each row, as an index of pandas or R does."""
    numbers = column.cast(pl.Int64, strict=False)
    return not numbers.is_null().any() and bool(numbers.is_unique().all())
