"""Every kind of path that is no readable radiograph has its one clear line; nothing else is raised."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from carina.errors import InputError
from carina.radiographs import read
from carina.radiographs.read import kind_at, read_bytes, read_radiograph, sniff_format
from make import as_ordinary_user, encode, encode_frames, let_others_enter, make_grey, write_image


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_radiograph(path)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a", "a.dcm", "radio gráfico.png"])
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_the_content_decides_whatever_the_name_says(tmp_path: Path, name: str, image_format: str) -> None:
    grey = make_grey()
    radiograph = read_radiograph(write_image(tmp_path / name, grey, image_format))
    np.testing.assert_array_equal(radiograph.pixels, grey)


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path / "none" / "a.png", tmp_path / "nul\0byte.png"):
        error = refusal(path)
        assert (error.code, str(error)) == ("not-found", "there is no such file. Check the path.")


def test_a_link_to_nothing_is_called_so(tmp_path: Path) -> None:
    """A listing of its folder shows it: that there is no such file would be a riddle."""
    for name in ("a.png", "no ending"):
        (tmp_path / name).symlink_to(tmp_path / "gone.png")
        error = refusal(tmp_path / name)
        assert (error.code, "the file that it leads to does not exist" in str(error)) == ("not-found", True)
    # One that is named like an image gets its error in a batch, the other is counted.
    assert [kind_at(tmp_path, name).is_image for name in ("a.png", "no ending")] == [True, False]
    assert kind_at(tmp_path, "no ending").name == "link whose target is gone"


def test_a_folder_or_pipe_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # reading one would wait for ever
    for name, words in (("a.png", "no image lies in this folder"), ("pipe.png", "not a file")):
        error = refusal(tmp_path / name)
        assert error.code == "not-a-file"
        assert words in str(error)


def test_a_folder_that_may_not_be_entered() -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        closed = Path(name, "closed")
        closed.mkdir(mode=0o000)
        with as_ordinary_user():
            error = refusal(closed)
        assert error.code == "permission-denied"
        assert "may not look into the folder" in str(error)


def test_a_file_taken_for_a_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", make_grey())
    assert refusal(tmp_path / "a.png" / "b.png").code == "unreadable-file"
    assert refusal(tmp_path / ("x" * 300)).code == "unreadable-file"


def test_no_permission(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", make_grey())
    inside = write_image(tmp_path / "closed" / "b.png", make_grey())
    let_others_enter(tmp_path)
    path.chmod(0)
    inside.parent.chmod(0)
    try:
        with as_ordinary_user():
            errors = [refusal(path), refusal(inside)]
    finally:
        inside.parent.chmod(0o755)
    assert [error.code for error in errors] == ["permission-denied"] * 2
    assert "may not read the file" in str(errors[0])


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    error = refusal(tmp_path / "a.png")
    assert error.code == "empty-file"
    assert "is empty" in str(error)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a.png").open("wb") as stream:
        stream.truncate(read.MAX_FILE_BYTES + 1)  # a hole: takes no room on the disk
    error = refusal(tmp_path / "a.png")
    assert error.code == "too-large"
    assert "536,870,913 bytes" in str(error)
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 4)
    (tmp_path / "b").write_bytes(b"1234")
    assert read_bytes(tmp_path / "b") == b"1234"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"patient 7 has COVID\n",
            "not an image that Carina reads (DICOM, PNG, JPEG, TIFF, BMP, WebP), whatever the name",
        ),
        (b"\x00", "not an image"),
        (b"\x89PNG", "not an image"),
        (encode_frames("GIF"), "this is a GIF file"),
        (b"%PDF-1.7", "this is a PDF file"),
        (b"PK\x03\x04....", "this is a ZIP file"),
        (b"\x1f\x8b\x08", "this is a gzip file"),
        (b"\x00\x00\x00\x0cjP  \r\n", "this is a JPEG 2000 file"),
        (b"\x00\x00\x00 ftypavif", "this is an AVIF file"),
        (b"\x00\x00\x00 ftypheic", "this is a HEIC file"),
    ],
)
def test_foreign_content_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    error = refusal(tmp_path / "a.png")
    assert error.code == "unsupported-format"
    assert says in str(error)
    assert "patient" not in str(error)


def test_sniff_knows_every_format() -> None:
    grey = make_grey()
    names = {"PNG": "PNG", "JPEG": "JPEG", "TIFF": "TIFF", "BMP": "BMP", "WEBP": "WebP"}
    for written, known in names.items():
        assert sniff_format(encode(grey, written)) == known
    assert sniff_format(encode(grey, "TIFF", big_tiff=True)) == "TIFF"
