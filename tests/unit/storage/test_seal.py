"""A sealed folder says of every byte whether it is as it was."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from carina.errors import BundleError
from carina.storage.seal import SEAL_FILE, Seal, check_seal, write_seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "b.txt").write_text("b")
    write_seal(tmp_path)
    return tmp_path


def check(folder: Path, required: tuple[str, str] = ("a.bin",), allowed: tuple[()] = ("b.txt",)) -> Seal:
    return check_seal(folder, required=required, allowed=allowed)


def test_a_sealed_folder_is_found_whole_and_its_hash_stands_for_all(folder: Path) -> None:
    seal = check(folder)
    assert seal.sha256 == hashlib.sha256((folder / SEAL_FILE).read_bytes()).hexdigest() == write_seal(folder)
    assert set(seal.sums) == {"a.bin", "b.txt"}
    assert seal.read("b.txt") == b"b"
    done = subprocess.run(["sha256sum", "--strict", "-c", SEAL_FILE], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_byte_of_the_seal_itself_can_change_unseen(folder: Path) -> None:
    sealed = (folder / SEAL_FILE).read_bytes()
    for place in range(len(sealed)):
        for flip in (1, 0x20):
            changed = bytearray(sealed)
            changed[place] ^= flip
            (folder / SEAL_FILE).write_bytes(changed)
            with pytest.raises(BundleError):
                check(folder)
    for changed in (
        sealed[:-1],
        sealed + b"\n",
        sealed + b"x",
        sealed.replace(b"\n", b"\r\n"),
        b"",
        b"\n".join(sealed.split(b"\n")[1:]),
    ):
        (folder / SEAL_FILE).write_bytes(changed)
        with pytest.raises(BundleError):
            check(folder)


def test_what_is_wrong_is_named(folder: Path) -> None:
    (folder / "c").write_text("c")
    with pytest.raises(BundleError, match=r"/c does not belong to it"):
        check(folder)
    (folder / "c").unlink()
    (folder / "b.txt").write_text("B")
    with pytest.raises(BundleError, match=r"b\.txt was changed after it was sealed\. Fetch or export"):
        check(folder)
    (folder / "b.txt").unlink()
    with pytest.raises(BundleError, match=r"b\.txt is missing"):
        check(folder)
    (folder / SEAL_FILE).unlink()
    with pytest.raises(BundleError, match=r"has no SHA256SUMS"):
        check(folder)


def test_links_and_folders_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "b.txt"
    outside.write_text("b")
    (folder / "b.txt").unlink()
    (folder / "b.txt").symlink_to(outside)
    with pytest.raises(BundleError, match=r"b\.txt is a link"):
        check(folder)
    (folder / "b.txt").unlink()
    (folder / "b.txt").mkdir()
    with pytest.raises(BundleError, match=r"b\.txt is a link or no plain file"):
        check(folder)


def test_names_that_must_be_there_and_names_that_nobody_knows(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx is not sealed"):
        check(folder, required=("a.bin", "model.onnx"))
    with pytest.raises(BundleError, match=r"b\.txt is no file of a bundle that this version"):
        check(folder, allowed=())


def test_what_changes_after_the_check_is_not_read(folder: Path) -> None:
    seal = check(folder)
    (folder / "b.txt").write_text("B")
    with pytest.raises(BundleError, match=r"b\.txt was changed while it was read"):
        seal.read("b.txt")
    (folder / "b.txt").unlink()
    with pytest.raises(BundleError, match=r"b\.txt was changed while it was read"):
        seal.read("b.txt")
