"""Tables as people have them: separators, encodings, kinds of files, and what is said of those that are none."""

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest

from carina.datasets.table_reading import Table, read_table
from carina.errors import DataError
from make import make_grey, write_image
from make_dicom import encode_dicom

ROWS = [["röntgen 1.png", "COVID"], ["b.png", "Normal"]]


def text(separator: str = ",", end: str = "\n") -> str:
    return end.join(separator.join(row) for row in [["path", "finding"], *ROWS]) + end


def read(tmp_path: Path, content: bytes | str, name: str = "t.csv") -> Table:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


def workbook(*sheets: Any) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet{number}")
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "how"),
    [
        (text().encode(), "t.csv", "with commas between the cells, as UTF-8"),
        (text(";").encode(), "t.csv", "with semicolons between the cells, as UTF-8"),
        (text("\t").encode(), "t.tsv", "with tabs between the cells, as UTF-8"),
        (text("|").encode(), "t.txt", "with vertical bars between the cells, as UTF-8"),
        (text(";", "\r\n").encode("utf-8-sig"), "t.csv", "with semicolons between the cells, as UTF-8"),
        (text(",", "\r").encode(), "t.csv", "with commas between the cells, as UTF-8"),
        (text("\t").encode("utf-16"), "t.csv", "with tabs between the cells, as UTF-16"),
        (text("\t").encode("utf-16-le"), "t.csv", "with tabs between the cells, as UTF-16"),
        (text("\t").encode("utf-16-be"), "t.csv", "with tabs between the cells, as UTF-16"),
        (text().encode("utf-32"), "t.csv", "with commas between the cells, as UTF-32"),
        (("sep=;\r\n" + text(";")).encode(), "t.csv", "with semicolons between the cells, as UTF-8"),
        (gzip.compress(text().encode(), mtime=0), "t.csv.gz", "with commas between the cells, as UTF-8"),
        (workbook([], [["path", "finding"], *ROWS]), "t.xlsx", "as Excel, sheet Sheet2"),
        # The ending does not decide.
        (workbook([["path", "finding"], *ROWS]), "t.csv", "as Excel, sheet Sheet1"),
        (text().encode(), "t.xlsx", "with commas between the cells, as UTF-8"),
        # Empty rows and columns at the end, as spreadsheets leave them.
        (b"path;finding;;\nr\xc3\xb6ntgen 1.png; COVID ;;\n;;;\nb.png;Normal;;\n;;;\n\n", "t.csv", None),
        ("\n\npath,finding\n" + "\n".join(",".join(row) for row in ROWS), "t.csv", None),
    ],
)
def test_the_same_table_in_many_forms(tmp_path: Path, content: bytes | str, name: str, how: str | None) -> None:
    table = read(tmp_path, content, name)
    assert table.cells.columns == ["path", "finding"]
    assert [list(row) for row in table.cells.rows()] == ROWS
    assert how is None or table.how == how
    assert table.notes == ()


def test_rows_are_counted_as_an_editor_counts_lines(tmp_path: Path) -> None:
    table = read(tmp_path, 'sep=,\npath,finding\n"a\nb.png",x\n\n\nc.png,"y, z"\n')
    assert table.rows.to_list() == [3, 7]
    assert table.cells.rows() == [("a\nb.png", "x"), ("c.png", "y, z")]
    assert read(tmp_path, 'path, finding\nc.png, "y, z"\n').cells.rows() == [("c.png", "y, z")]
    assert read(tmp_path, workbook([["path"], ["a"], [], ["b"]]), "t.xlsx").rows.to_list() == [2, 4]


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    table = read(tmp_path, text().encode("cp1252"))
    assert table.cells["path"][0] == "röntgen 1.png"
    assert table.notes == ("t.csv is not UTF-8 and was read as Windows-1252: check the letters on line 2.",)
    with pytest.raises(DataError, match="neither UTF-8, UTF-16 nor Windows-1252"):
        read(tmp_path, b"path,finding\n\xff\x81\x8d,COVID\n")


def test_numbers_of_excel_and_several_sheets(tmp_path: Path) -> None:
    table = read(tmp_path, workbook([["patient", "age"], [7.0, 58.5], [None, True]], [["other"]]), "t.xlsx")
    assert table.cells.rows() == [("7", "58.5"), (None, "True")]
    assert table.notes == ("Of the 2 sheets in t.xlsx the first was read: Sheet1.",)


@pytest.mark.parametrize("header", ["", "Unnamed: 0"])
def test_an_index_of_pandas_is_left_out_and_said(tmp_path: Path, header: str) -> None:
    table = read(tmp_path, f"{header},path,finding\n7,a.png,x\n0,b.png,y\n")
    assert table.cells.columns == ["path", "finding"]
    assert table.notes == ("The column of t.csv without a name holds row numbers and is not used.",)
    # What is no row number may be the path.
    assert read(tmp_path, ",finding\na.png,x\n").cells.columns == ["Unnamed: 0", "finding"]


def test_columns_of_one_name(tmp_path: Path) -> None:
    assert read(tmp_path, "path,finding,finding\na,x,x\nb,y,y\n").repeated == frozenset()
    table = read(tmp_path, "path,finding,finding\na,x,x\nb,y,z\n")
    assert table.repeated == {"finding"}
    assert table.cells.columns == ["path", "finding", "finding (2)"]


def test_parquet(tmp_path: Path) -> None:
    table = pl.DataFrame({"path": ["a", " "], "labels": [["x", "y"], ["z"]], "box": [[1], [2]]})
    table.write_parquet(tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")
    assert read.cells.rows() == [("a", "x|y"), (None, "z")]
    assert read.rows.to_list() == [2, 3]
    (note,) = read.notes
    assert note.startswith("Columns of t.parquet that hold neither text nor numbers are not used: box (List(Int64))")


def archive(*names: Any) -> Any:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name in names:
            packed.writestr(name, "x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as a table: it is empty"),
        (b" \n\n", "cannot be read as a table: it is empty"),
        (b"path,finding\nSECRET.png,COVID,1,2\n", r"row 2: it has 4 cells, and the header has 2 \(with commas"),
        (b'path,finding\n"SECRET.png,COVID\nb.png,x\n', "from line 2 on its quotation marks or its text are damaged"),
        (b"path,finding\nSECRET\0.png,COVID\n", "it is not text"),
        (b"Title\n\npath;finding\nSECRET.png;x\n", r"row 1: it has one cell, and row 3 has 2 \(with semi.*above them"),
        (b"SECRET.png,COVID\nb.png,Normal\n", "no names over its columns: its first line names an image. Write a line"),
        (b"PAR1 nonsense PAR1", r"cannot be read as a table \(\w+\). It begins like Parquet and is damaged"),
        (b"PK\3\4nonsense", "begins like an Excel workbook or a ZIP archive and is damaged"),
        (archive("a.png", "b/c.png"), "is a ZIP archive. .* unpack the archive, and import the folder"),
        (archive("mimetype", "content.xml"), "is an OpenDocument table. Save it as .xlsx or as CSV"),
        (archive("xl/workbook.xml"), "the Excel workbook is damaged"),
        (workbook([]), "no sheet of the workbook has anything in it"),
        (gzip.compress(text().encode(), mtime=0)[:-9], "its gzip compression is damaged"),
        (gzip.compress(b"\0" * 257 + b"ustar" + b"\0" * 250, mtime=0), "is a tar archive"),
        (gzip.compress(b" \n", mtime=0), "it is empty"),
        (b"\0" * 257 + b"ustar" + b"\0" * 250, "is a tar archive"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), r"of an Excel before 2007 \(.xls\). Save it as .xlsx or as CSV"),
        (b"\xff\xd8\xff\xe0" + bytes(99), r"is an image \(JPEG\), neither a folder nor a table"),
        (encode_dicom(make_grey()), r"is an image \(DICOM\)"),
        (b"<!doctype html><p>Log in", "it begins like a web page or XML"),
        (b'{"path": "a.png"}', "it begins like JSON"),
        (b"%PDF-1.4", "it begins like a PDF"),
        (bytes(range(256)) * 9, "it is not text"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as wrong:
        read(tmp_path, content)
    assert str(wrong.value).startswith(str(tmp_path / "t.csv"))
    assert "SECRET" not in str(wrong.value)


def test_folders_and_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder, not a table\. Name the table in it"):
        read_table(tmp_path)
    with pytest.raises(DataError, match=r"none\.csv cannot be read as a table: No such file or directory. Check"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"is an image \(PNG\)"):
        read_table(write_image(tmp_path / "a.csv", make_grey()))
