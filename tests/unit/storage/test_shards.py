"""Cached arrays come back under their keys; a damaged shard is only lost work."""

from pathlib import Path

import numpy as np

from carina.storage.shards import load_shards, write_shard


def test_entries_come_back_under_their_keys(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    write_shard(tmp_path, ["a", "b"], values[:2])
    write_shard(tmp_path, ["c"], values[2:])
    known = load_shards(tmp_path, {"a", "c", "unknown"})
    assert {key: value.tolist() for key, value in known.items()} == {"a": [0, 1], "c": [4, 5]}
    assert known["a"].base is None  # a copy, that holds no shard in memory


def test_the_same_entries_twice_are_one_shard(tmp_path: Path) -> None:
    for _ in range(2):
        write_shard(tmp_path, ["a", "b"], np.eye(2))
    write_shard(tmp_path, ["b", "a"], np.eye(2))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_shard_is_deleted_and_the_rest_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path, ["a"], np.ones((1, 2)))
    (tmp_path / "shard-broken.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "shard-other.npz", names=np.array(["b"]))
    np.savez(tmp_path / "shard-short.npz", keys=np.array(["c", "d"]), values=np.ones((1, 2)))
    assert "a" in load_shards(tmp_path, {"a", "b", "d"})
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert load_shards(tmp_path / "none", {"a"}) == {}
