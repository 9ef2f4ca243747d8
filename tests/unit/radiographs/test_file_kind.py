"""What a file is: its first bytes go before its name, and no kind tells what a file is called."""

from pathlib import Path

import pytest

from carina.radiographs.file_kind import counted, kind_by_name, kind_of
from carina.radiographs.read import kind_at
from make import encode, make_grey
from make_dicom import encode_dicom, encode_directory

GREY = make_grey(1, (40, 40))
DICOM = encode_dicom(GREY)


@pytest.mark.parametrize(
    ("name", "head", "kind", "is_image"),
    [
        ("film", encode(GREY, "PNG"), "PNG image", True),
        ("film.txt", encode(GREY, "JPEG"), "JPEG image", True),
        ("film.png", encode(GREY, "JPEG"), "JPEG image", True),
        ("IM0001", encode(GREY, "TIFF"), "TIFF image", True),
        ("IM0001", encode(GREY, "BMP"), "BMP image", True),
        ("1.2.840.1", DICOM, "DICOM image", True),
        ("IM0001", DICOM[132 + 12 + int.from_bytes(DICOM[140:144], "little") :], "DICOM image", True),
        ("film", b"\0\0\0 ftypavif", "AVIF image", True),
        ("film.avif", b"\0\0\0 ftypavif", "AVIF image", True),
        ("IMG_1", b"\0\0\0\x18ftypheic", "HEIC image", True),
        ("film", b"GIF89a", "GIF image", True),
        ("film", b"\xff\x4f\xff\x51", "JPEG 2000 image", True),
        ("scan.nii", bytes(344) + b"n+1\0", "NIfTI image", True),
        ("film.png", b"<html>", "file named like an image", True),
        ("film.jfif", b"", "file named like an image", True),
        ("DICOMDIR", encode_directory(["IM1"])[:512], "DICOMDIR file", False),
        ("._film.png", b"\x00\x05\x16\x07\x00\x02", "file of macOS' own", False),
        (".DS_Store", b"\x00\x00\x00\x01Bud1", "file of macOS' own", False),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0", "file of Windows' own", False),
        ("films.zip", b"PK\x03\x04", "ZIP archive", False),
        ("films", b"PK\x05\x06", "ZIP archive", False),
        ("labels.xlsx", b"PK\x03\x04", ".xlsx file", False),
        ("report", b"%PDF-1.7", "PDF document", False),
        ("scan.dcm.gz", b"\x1f\x8b\x08", "gzip archive", False),
        ("BMI.csv", b"BMI,age\n31,60\n", ".csv file", False),
        ("notes.TXT", b"text", ".txt file", False),
        ("empty.txt", b"", "empty file", False),
        ("README", b"text", "file without an ending", False),
        ("1.2.840.99", b"text", "file without an ending", False),
        ("scan of Mr. Smith 1970", b"text", "file without an ending", False),
    ],
)
def test_kinds(name: str, head: bytes, kind: str, is_image: bool) -> None:
    found = kind_of(name, head)
    assert (found.name, found.is_image) == (kind, is_image)


@pytest.mark.parametrize(
    ("name", "is_image"), [("IM1", True), ("1.2.3", True), ("a.jpe", True), ("notes.txt", False), ("a.csv", False)]
)
def test_what_may_not_be_read_is_tried_if_it_is_named_like_an_image(name: str, is_image: bool) -> None:
    assert kind_of(name, None).is_image == is_image


def test_a_file_that_is_named_like_an_image_is_not_opened(tmp_path: Path) -> None:
    assert kind_at(tmp_path, "gone.jpe").is_image
    assert kind_by_name("a.jfif") == kind_by_name("b.PNG") is not None
    assert kind_by_name("._b.png") is None
    (tmp_path / "film").write_bytes(encode(GREY, "PNG"))
    assert kind_at(tmp_path, "film").name == "PNG image"


def test_counts_are_said_in_the_right_number() -> None:
    counts = {"PDF document": 1, ".txt file": 3, "file without an ending": 2, "ZIP archive": 1}
    assert counted(counts) == "3 .txt files, 2 files without an ending, 1 PDF document, 1 ZIP archive"
