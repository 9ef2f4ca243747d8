"""Objects and answers lie under hashes, whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from carina.dicom.listener import store as store_module
from carina.dicom.listener.store import ObjectStore, digest_of
from carina.errors import ConfigurationError
from make import as_ordinary_user, names_in, small_disk

DIGEST = digest_of(b"an object")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "store")


def test_digests_tell_where_parts_end() -> None:
    assert digest_of(b"ab", b"c") != digest_of(b"a", b"bc")
    assert digest_of(b"ab", b"c") == digest_of(b"ab", b"c")
    assert len(DIGEST) == 64


def test_an_object_is_on_the_disk_when_it_was_written(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.write_object(DIGEST, [b"head", b"content"])
    assert store.object_path(DIGEST).read_bytes() == b"headcontent"
    # The bytes first, under a name of their own; then the folder that holds the name.
    assert flushed[0].parent == store.incoming
    assert flushed[1:] == [store.objects]
    assert names_in(store.incoming) == []
    assert store.object_path(DIGEST).stat().st_mode & 0o077 == 0
    assert list(store.stored_digests()) == [DIGEST]


def test_nothing_is_left_of_what_did_not_fit(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        store = ObjectStore(disk / "store")
        with pytest.raises(OSError, match="No space left"):
            store.write_object(DIGEST, [bytes(1_000_000)])
        assert names_in(store.incoming) == names_in(store.objects) == []
        store.write_object(DIGEST, [b"small"])


def test_nothing_is_left_where_the_name_cannot_be_flushed(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store_module, "sync_folder", broken)
    with pytest.raises(OSError, match="Input/output"):
        store.write_object(DIGEST, [b"content"])
    assert names_in(store.incoming) == names_in(store.objects) == []


def test_answers_take_the_place_of_earlier_ones(store: ObjectStore) -> None:
    for content in (b"first", b"second"):
        work = store.new_work_folder()
        (work / "answer.dcm").write_bytes(content)
        store.place_answers(DIGEST, work)
    assert [path.read_bytes() for path in store.answer_files(DIGEST)] == [b"second"]
    assert names_in(store.incoming) == []
    assert list(store.answered_digests()) == [DIGEST]


def test_what_is_done_with_is_deleted_or_kept(store: ObjectStore) -> None:
    store.write_object(DIGEST, [b"content"])
    work = store.new_work_folder()
    (work / "answer.dcm").write_bytes(b"answer")
    store.place_answers(DIGEST, work)
    store.discard(DIGEST, keep=True)
    assert store.object_path(DIGEST).is_file()
    store.discard(DIGEST)
    store.discard(DIGEST)
    assert names_in(store.objects) == names_in(store.answers) == []


def test_the_dead_lie_together_with_the_reason(store: ObjectStore) -> None:
    store.write_object(DIGEST, [b"content"])
    work = store.new_work_folder()
    (work / "answer.dcm").write_bytes(b"answer")
    store.place_answers(DIGEST, work)
    for _ in range(2):
        store.bury(DIGEST, "status-0xC000", 7)
        grave = store.dead / DIGEST
        assert names_in(grave) == ["answers", "object.dcm", "reason.json"]
        assert (grave / "object.dcm").read_bytes() == b"content"
        assert (grave / "answers" / "answer.dcm").read_bytes() == b"answer"
        said = json.loads((grave / "reason.json").read_text())
        assert (said["reason"], said["attempts"]) == ("status-0xC000", 7)
    assert names_in(store.objects) == names_in(store.answers) == []
    store.unbury(DIGEST)
    assert list(store.dead_digests()) == []


def test_what_a_killed_process_left_is_deleted(store: ObjectStore) -> None:
    (store.incoming / "half").write_bytes(b"half")
    (store.new_work_folder() / "answer.dcm").write_bytes(b"half")
    store.empty_incoming()
    assert names_in(store.incoming) == []


def test_strange_files_are_passed_over(store: ObjectStore) -> None:
    (store.objects / "README.dcm").write_bytes(b"")
    (store.objects / f"{DIGEST}.txt").write_bytes(b"")
    (store.answers / "notes").mkdir()
    assert list(store.stored_digests()) == list(store.answered_digests()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    # Of pytest's folders only root may enter the upper ones.
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(ConfigurationError, match=r"The folder .*file/store cannot be used: Not a directory"):
        ObjectStore(tmp_path / "file" / "store")
    with as_ordinary_user(), pytest.raises(ConfigurationError, match=r"cannot be used: Permission denied"):
        ObjectStore(Path("/carina-test-store"))
