"""What the user names becomes files, in the order named, without collecting them."""

import io
import itertools
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from carina.errors import ConfigurationError
from carina.inference.inputs import image_inputs, names_one_image, names_several
from carina.inference.left_out import LeftOutFiles
from make import as_ordinary_user, encode, make_grey
from make_dicom import encode_dicom


def image_files(named: Iterable[str | Path], **options: Any) -> Iterator[Path]:
    return (each.path for each in image_inputs(named, **options))


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder: Path, *named: str | Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in image_files(named)]


def test_files_as_named_folders_by_name(tmp_path: Path) -> None:
    tree(tmp_path / "folder", "b.png", "a.JPG", "notes.txt", "deep/c.tif", "deep/d.dcm")
    named = [tmp_path / "gone.png", tmp_path / "folder", tmp_path / "folder" / "notes.txt"]
    assert found(tmp_path, *named) == [
        "gone.png",
        *("folder/a.JPG", "folder/b.png", "folder/deep/c.tif", "folder/deep/d.dcm"),
        "folder/notes.txt",
    ]


def test_images_are_told_by_their_first_bytes_and_all_else_is_told_of(tmp_path: Path) -> None:
    png = encode(make_grey(1, (40, 40)), "PNG")
    contents = {
        "a.jfif": png,
        "b.jpe": png,
        "no ending": png,
        "deep/wrong.txt": png,
        "c.avif": b"\0\0\0 ftypavif",
        "avif": b"\0\0\0 ftypavif",
        "__MACOSX/._a.png": b"\x00\x05\x16\x07",
        ".hidden.png": png,
        "notes.txt": b"text",
        "deep/labels.csv": b"BMI,age",
        "day.zip": b"PK\x03\x04",
    }
    for name, content in contents.items():
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).write_bytes(content)
    others = LeftOutFiles(tmp_path / "others.csv")
    with others:
        files = list(image_files([tmp_path / "films"], left_out=others))
    assert [path.name for path in files] == ["a.jfif", "avif", "b.jpe", "c.avif", "no ending", "wrong.txt"]
    assert others.sentence() == ("Left out: 1 .csv file, 1 .txt file, 1 ZIP archive, 1 hidden folder, 1 hidden image.")
    films = tmp_path / "films"
    assert (tmp_path / "others.csv").read_text().splitlines() == [
        "path,kind",
        f"{films / '.hidden.png'},hidden image",
        f"{films / 'day.zip'},ZIP archive",
        f"{films / 'notes.txt'},.txt file",
        f"{films / '__MACOSX'},hidden folder",
        f"{films / 'deep' / 'labels.csv'},.csv file",
    ]
    with zipfile.ZipFile(tmp_path / "day.zip", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    inside = LeftOutFiles()
    assert len([each for each in image_inputs([tmp_path / "day.zip"], left_out=inside) if each.error is None]) == 6
    # The inner archive is an error.
    assert inside.counts == {".csv file": 1, ".txt file": 1, "hidden image": 1, "file of macOS' own": 1}
    assert [path.name for path in image_files([films / ".hidden.png"])] == [".hidden.png"]  # it was named
    assert LeftOutFiles().sentence() is None
    with pytest.raises(ConfigurationError, match="cannot be written: No such file or directory"):
        LeftOutFiles(tmp_path / "gone" / "others.csv")


@pytest.mark.parametrize(
    ("named", "expected", "again"),
    [
        (["films", "films"], ["a.png", "deep/b.png"], {"repeated folder": 1}),
        (["films", "films/deep"], ["a.png", "deep/b.png"], {"repeated folder": 1}),
        (["films/deep/b.png", "films"], ["deep/b.png", "a.png"], {"repeated image": 1}),
        (["films", "films/a.png", "link"], ["a.png", "deep/b.png"], {"repeated folder": 1, "repeated image": 1}),
        (["films/*.png", "films/a.png", "link/a.png"], ["a.png"], {"repeated image": 2}),
        (["films/deep/b.png", "films/deep"], ["deep/b.png"], {"repeated image": 1}),
        (["films/none.png", "films/none.png"], ["none.png"], {"repeated image": 1}),
    ],
)
def test_what_is_named_twice_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[str], expected: list[str], again: dict[str, int]
) -> None:
    tree(tmp_path / "films", "a.png", "deep/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "films")
    monkeypatch.chdir(tmp_path)
    others = LeftOutFiles()
    files = [path.as_posix() for path in image_files(named, left_out=others)]
    assert files == [f"films/{name}" for name in expected]
    assert others.counts == again


def test_an_empty_folder_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    assert list(image_files([tmp_path / "empty"])) == [tmp_path / "empty"]


def test_a_folder_that_may_not_be_entered_is_not_passed_over() -> None:
    # Not tmp_path, whose parents an ordinary user may not enter either.
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "open.png").touch()
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed").chmod(0o000)
        with as_ordinary_user():
            files = list(image_files([folder, folder / "closed" / "inside.png"]))
        (folder / "closed").chmod(0o700)
    assert files == [folder / "open.png", folder / "closed", folder / "closed" / "inside.png"]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path, "here/a.png", "elsewhere/b.png")
    (tmp_path / "here" / "round").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "itself").symlink_to(tmp_path / "here" / "itself")
    (tmp_path / "here" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert found(tmp_path, tmp_path / "here") == ["here/a.png", "here/gone.png", "here/there/b.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("?.p*", ["a.png", "b.png"]),
        ("[!a].png", ["b.png"]),
        ("day*/*.png", ["day1/c.png", "day2/d.png"]),
        ("day[12]", ["day1/c.png", "day1/deep/e.png", "day2/d.png"]),
        ("**/*.png", ["a.png", "b.png", "day1/c.png", "day1/deep/e.png", "day2/d.png"]),
        ("**/e.*", ["day1/deep/e.png"]),
        ("day1/**", ["day1/c.png", "day1/deep/e.png"]),
        (".h*/*.png", [".hidden/f.png"]),
        ("day2/../d*1/c*", ["day2/../day1/c.png"]),
        ("*.txt", ["notes.txt"]),
        # Nothing matches: it gets its error under its own name.
        ("*.jpg", ["*.jpg"]),
        ("gone/*.png", ["gone/*.png"]),
    ],
)
def test_patterns_match_as_in_a_shell(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    names = ("b.png", "a.png", "notes.txt", "day1/c.png", "day1/deep/e.png", "day2/d.png", ".hidden/f.png")
    folder = tree(tmp_path / "films", *names)
    assert found(folder, f"{folder}/{pattern}") == expected


def test_patterns_are_relative_to_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "films/a.png", "films/b.png")
    monkeypatch.chdir(tmp_path)
    assert list(image_files(["fi*/*.png"])) == [Path("films/a.png"), Path("films/b.png")]
    assert list(image_files(["**"])) == [Path("films/a.png"), Path("films/b.png")]


def test_what_exists_is_no_pattern(tmp_path: Path) -> None:
    tree(tmp_path, "film[1].png", "film1.png", "day[1]/a.png")
    assert found(tmp_path, tmp_path / "film[1].png") == ["film[1].png"]
    assert found(tmp_path, tmp_path / "day[1]") == ["day[1]/a.png"]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (b"b.png\na.png\n", ["b.png", "a.png"]),
        (b"b.png\r\na.png\r\n\r\n", ["b.png", "a.png"]),
        (b"no end.png", ["no end.png"]),
        (b"day\n", ["day/c.png"]),
        (b"two\nlines.png\0a.png\0", ["two\nlines.png", "a.png"]),
        (b"a.png\0", ["a.png"]),
        (b"a.png\0b.png", ["a.png", "b.png"]),
        (b"caf\xe9.png\n", [os.fsdecode(b"caf\xe9.png")]),
        # A list holds paths, not patterns, and no list in it.
        (b"*.png\n-\n", ["*.png", "-"]),
        (b"", []),
        (b"a.png\n   \n\t\r\n", ["a.png"]),
    ],
)
def test_a_list_on_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bytes, expected: list[str]
) -> None:
    tree(tmp_path, "a.png", "b.png", "day/c.png")
    monkeypatch.chdir(tmp_path)
    files = list(image_files(["first.png", "-", "last.png"], standard_input=io.BytesIO(listed)))
    assert [path.as_posix() for path in files] == ["first.png", *expected, "last.png"]


class Endless(io.RawIOBase):
    """A list without end, a few bytes at a time."""

    def __init__(self, separator: bytes) -> None:
        self._bytes = itertools.chain.from_iterable(b"film-%d.png" % i + separator for i in itertools.count())

    def read1(self, size: int) -> bytes:
        return bytes(itertools.islice(self._bytes, 7))


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_a_list_is_read_as_it_comes_in(separator: bytes) -> None:
    files = image_files(["-"], standard_input=Endless(separator))  # type: ignore[arg-type]
    assert [path.name for path in itertools.islice(files, 2000)] == [f"film-{i}.png" for i in range(2000)]


def test_folders_are_read_one_at_a_time(tmp_path: Path) -> None:
    tree(tmp_path, "1/a.png", "2/b.png")

    def named() -> Iterator[Path]:
        yield tmp_path
        msg = "more was asked for than is needed"
        raise AssertionError(msg)

    files = image_files(named())
    assert next(files).name == "a.png"
    # The second folder was not yet looked into.
    tree(tmp_path, "2/added.png")
    assert [next(files).name for _ in range(2)] == ["added.png", "b.png"]


@pytest.mark.parametrize("image_format", ["PNG", "DICOM"])
def test_an_image_on_standard_input_is_refused_and_nothing_of_it_is_told(image_format: str) -> None:
    content = encode(make_grey(), "PNG") if image_format == "PNG" else encode_dicom(make_grey(), PatientName="Doe^Jane")
    with pytest.raises(ConfigurationError, match="holds an image or an archive, and not a list of paths") as caught:
        list(image_files(["-"], standard_input=io.BytesIO(content)))
    assert "Doe" not in str(caught.value)
    told: list[Path] = []
    with pytest.raises(ConfigurationError, match="holds an image or an archive"):
        told.extend(image_files(["-"], standard_input=InDrops(content)))
    assert told == []


class InDrops(io.BytesIO):
    """A slow pipe."""

    def read1(self, _: int | None = -1, /) -> bytes:
        return self.read(7)


def test_a_name_that_is_too_long_or_in_a_closed_folder_is_no_crash() -> None:
    assert not names_one_image(Path("x" * 300 + ".png"))
    assert not names_several(Path("x" * 300 + ".png"))


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(ConfigurationError, match="An empty path was given"):
        list(image_files([""]))
