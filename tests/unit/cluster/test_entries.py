"""What is named for a batch becomes one entry per input, wherever it lies, and each can be read on another machine."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import polars as pl
import pytest

from carina.cluster import retries
from carina.cluster.entries import Entry, list_entries
from carina.errors import ConfigurationError, InputError
from carina.inference.left_out import LeftOutFiles
from make import encode, make_grey

PICTURE = encode(make_grey(), "PNG")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    monkeypatch.setattr(retries, "PAUSES_S", ())
    system = fsspec.filesystem("memory")
    for name in (
        "b/films/one.png",
        "b/films/two.png",
        "b/films/deeper/three",
        "b/films/notes.txt",
        "b/films/.hidden.png",
    ):
        system.pipe_file(f"/{name}", b"Some words." if name.endswith("txt") else PICTURE)
    yield system
    system.store.clear()


def addresses(*sources: object, column: str | None = None) -> list[str]:
    return [each.address for each in list_entries(map(str, sources), column=column, left_out=LeftOutFiles())]


def test_a_folder_of_a_bucket_is_listed_like_one_of_a_disk(bucket: fsspec.AbstractFileSystem) -> None:
    left_out = LeftOutFiles()
    found = list(list_entries(["memory://b/films"], column=None, left_out=left_out))
    assert [each.address for each in found] == [
        f"memory:///b/films/{name}" for name in ("one.png", "two.png", "deeper/three")
    ]
    assert {each.content() for each in found} == {PICTURE}
    assert not any(each.named for each in found)
    assert left_out.counts == {".txt file": 1, "hidden image": 1}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("films/*.png", ["films/one.png", "films/two.png"]),
        ("*/t*", ["films/two.png"]),
        ("films/two.png", ["films/two.png"]),
        ("films/missing.png", ["films/missing.png"]),
    ],
)
def test_a_pattern_and_a_name_in_a_bucket(bucket: fsspec.AbstractFileSystem, pattern: str, names: list[str]) -> None:
    found = [each.rsplit("b/", 1)[1] for each in addresses(f"memory://b/{pattern}")]
    assert found == names


def test_files_of_an_archive_are_read_where_they_lie(bucket: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr("a/one.png", PICTURE)
        archive.writestr("readme.txt", "Some words.")
    bucket.pipe_file("/b/films.zip", (tmp_path / "films.zip").read_bytes())
    for place in (tmp_path / "films.zip", "memory://b/films.zip"):
        (entry,) = list_entries([str(place)], column=None, left_out=LeftOutFiles())
        assert entry.address == f"{place}!a/one.png"
        assert Entry.from_json(entry.to_json()).content() == PICTURE


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_index_names_files_beside_it_and_addresses(
    bucket: fsspec.AbstractFileSystem, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "one.png").write_bytes(PICTURE)
    table = pl.DataFrame({"where": ["one.png", "memory://b/films/one.png", "one.png"], "other": [1, 2, 3]})
    getattr(table, f"write_{ending}")(tmp_path / f"index.{ending}")
    with pytest.raises(ConfigurationError, match=r"columns where, other\. Name the one .* --column NAME"):
        addresses(tmp_path / f"index.{ending}")
    assert addresses(tmp_path / f"index.{ending}", column="where") == [
        str(tmp_path / "one.png"),
        "memory://b/films/one.png",
    ]


def test_an_index_with_a_gap_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"path": ["one.png", None]}).write_parquet(tmp_path / "gap.parquet")
    (tmp_path / "words.parquet").write_text("Some words.")
    for name, said in (("gap", "a row without an address"), ("words", "cannot be read as a table")):
        with pytest.raises(ConfigurationError, match=said):
            addresses(tmp_path / f"{name}.parquet")


def test_each_address_comes_once(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(PICTURE)
    assert addresses(tmp_path, tmp_path, tmp_path / "one.png") == [str(tmp_path / "one.png")]


@pytest.mark.skipif(os.name == "nt", reason="names of Windows are Unicode")
def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xe9.png")).write_bytes(PICTURE)
    (entry,) = list_entries([str(tmp_path)], column=None, left_out=LeftOutFiles())
    assert entry.address == f"{tmp_path}/\\xe9.png"
    assert Entry.from_json(entry.to_json()).content() == PICTURE


def test_what_cannot_be_read_is_known_on_the_other_machine_too(tmp_path: Path) -> None:
    (entry,) = list_entries([str(tmp_path / "missing.png")], column=None, left_out=LeftOutFiles())
    with pytest.raises(InputError, match="no such file"):
        Entry.from_json(entry.to_json()).content()
    with pytest.raises(InputError, match="Unpack"):
        Entry("a", "a", error=("unsupported-format", "Unpack it.")).content()


def test_an_address_that_nothing_understands_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        addresses("nonsense://bucket/films")
