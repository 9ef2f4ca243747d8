"""Files and folders appear whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from carina.errors import ConfigurationError
from carina.storage.atomic import require_absent, whole_file, whole_folder, write_text
from make import names_in


class StopError(Exception):
    """Something goes wrong half way."""


def test_whole_file_replaces_and_keeps_the_ending(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model.keras"
    write_text(target, "old")
    with whole_file(target) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == target.parent
        temporary.write_text("neü", encoding="utf-8")
        assert target.read_text() == "old"
    assert target.read_text(encoding="utf-8") == "neü"
    assert names_in(target.parent) == ["model.keras"]


@pytest.mark.parametrize("error", [StopError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_whole_file_leaves_what_was_there(tmp_path: Path, error: KeyboardInterrupt | OSError | StopError) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), whole_file(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_whole_file_over_a_folder_cleans_up(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_text(tmp_path / "a", "text")
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [StopError(), KeyboardInterrupt()])
def test_whole_folder_leaves_nothing(tmp_path: Path, error: KeyboardInterrupt | StopError) -> None:
    out = tmp_path / "out"
    with pytest.raises(type(error)), whole_folder(out, what="data set") as folder:  # noqa: PT012
        (folder / "deep").mkdir()
        (folder / "deep" / "half").write_text("half")
        assert not out.exists()
        raise error
    assert names_in(tmp_path) == []


def test_whole_folder_appears_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "parent" / "out"
    with whole_folder(out, what="data set") as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert (out / "a").read_text() == "1"
    assert names_in(out.parent) == ["out"]


def test_whole_folder_takes_an_empty_folder_and_refuses_a_full_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with whole_folder(out, what="data set") as folder:
        (folder / "a").touch()
    with pytest.raises(ConfigurationError, match=r"out already exists. Choose another folder for the data set"):
        whole_folder(out, what="data set").__enter__()
    assert names_in(out) == ["a"]
    with pytest.raises(ConfigurationError, match="already exists"):
        require_absent(out / "a", what="report")
    require_absent(tmp_path / "none", what="report")
    assert names_in(tmp_path) == ["out"]


def test_whole_folder_that_someone_fills_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OSError, match="not empty"), whole_folder(out, what="data set") as folder:  # noqa: PT012
        (folder / "mine").touch()
        out.mkdir()
        (out / "theirs").touch()
    assert names_in(out) == ["theirs"]
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_the_users_umask_decides_who_may_read(tmp_path: Path, umask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "private")
        with whole_folder(tmp_path / "out", what="data set"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == file_mode
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == folder_mode
