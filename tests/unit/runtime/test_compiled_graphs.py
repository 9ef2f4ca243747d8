"""Compiled graphs are kept, and nothing in the cache is believed that is not as it was kept."""

import os
from pathlib import Path

import numpy as np
import pytest

from carina.runtime.compiled_graphs import graph_key, keep_graph, recall_graph
from carina.runtime.engine import Backend, load_engine
from make import small_disk
from planted import planted_graph

KEY = graph_key("a", "b")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def test_what_was_kept_comes_back_and_only_under_its_name(folder: Path) -> None:
    assert recall_graph(KEY) is None
    keep_graph(KEY, b"compiled")
    assert recall_graph(KEY) == b"compiled"
    assert recall_graph(graph_key("ab", "")) is None
    assert graph_key("a", "b") != graph_key("ab", "") != graph_key("a\0b")
    assert (folder.stat().st_mode & 0o777, (folder / KEY).stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_changed_byte_or_a_short_file_is_passed_over(folder: Path) -> None:
    keep_graph(KEY, b"compiled")
    content = (folder / KEY).read_bytes()
    for damaged in (content[:-1] + b"D", content[:-1], content[:20], b"", b"\0" + content[1:]):
        (folder / KEY).write_bytes(damaged)
        assert recall_graph(KEY) is None
    keep_graph(KEY, b"compiled")
    assert recall_graph(KEY) == b"compiled"


def test_what_others_could_have_written_is_passed_over(folder: Path, tmp_path: Path) -> None:
    keep_graph(KEY, b"compiled")
    (folder / KEY).chmod(0o622)
    assert recall_graph(KEY) is None
    (folder / KEY).chmod(0o600)
    folder.chmod(0o777)
    assert recall_graph(KEY) is None
    keep_graph(graph_key("other"), b"compiled")
    folder.chmod(0o700)
    assert recall_graph(graph_key("other")) is None
    assert recall_graph(KEY) == b"compiled"
    (tmp_path / "elsewhere").write_bytes((folder / KEY).read_bytes())
    (folder / KEY).unlink()
    (folder / KEY).symlink_to(tmp_path / "elsewhere")
    assert recall_graph(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_somebody_else_is_passed_over(folder: Path) -> None:
    keep_graph(KEY, b"compiled")
    os.chown(folder / KEY, 12345, 12345)
    assert recall_graph(KEY) is None


def test_the_oldest_go(folder: Path) -> None:
    for number in range(15):
        keep_graph(graph_key(str(number)), b"compiled")
        os.utime(folder / graph_key(str(number)), (number, number))
    assert len(list(folder.iterdir())) == 12
    assert recall_graph(graph_key("2")) is None
    assert recall_graph(graph_key("14")) == b"compiled"


def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        monkeypatch.setenv("CARINA_CACHE", str(disk / "cache"))
        keep_graph(KEY, bytes(1_000_000))
        assert recall_graph(KEY) is None
        assert [path.name for path in disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_kept_graph_gives_the_very_same_numbers_and_a_damaged_one_is_compiled_anew(
    backend: Backend, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip(backend)
    graph = planted_graph(tmp_path / "lungs.onnx")
    tensors = np.random.default_rng(0).uniform(-1, 1, (2, 160, 160, 3)).astype(np.float32)
    wanted = load_engine(graph, backend=backend).run(tensors)
    assert not folder.exists()
    for _ in range(2):
        found = load_engine(graph, backend=backend, keep_compiled=True).run(tensors)
        assert {name: value.tolist() for name, value in found.items()} == {
            name: value.tolist() for name, value in wanted.items()
        }
    (kept,) = folder.iterdir()
    before = kept.read_bytes()
    kept.write_bytes(before[:-1])
    again = load_engine(graph, backend=backend, keep_compiled=True)
    np.testing.assert_array_equal(again.run(tensors)["lung"], wanted["lung"])
    assert len(kept.read_bytes()) > len(before) - 1
    # Another graph is another file.
    load_engine(planted_graph(tmp_path / "other.onnx", two_lungs=True), backend=backend, keep_compiled=True)
    assert len(list(folder.iterdir())) == 2


def test_a_graph_that_cannot_be_kept_is_run_and_a_kept_one_that_is_none_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = planted_graph(tmp_path / "lungs.onnx")
    tensors = np.zeros((1, 160, 160, 3), np.float32)
    wanted = load_engine(graph, backend="onnxruntime").run(tensors)["lung"]
    monkeypatch.setattr("carina.runtime.engine.recall_graph", lambda key: b"no graph")
    monkeypatch.setattr("carina.runtime.engine.TemporaryDirectory", lambda prefix: (_ for _ in ()).throw(OSError))
    engine = load_engine(graph, backend="onnxruntime", keep_compiled=True)
    np.testing.assert_array_equal(engine.run(tensors)["lung"], wanted)


def test_a_processor_with_other_instructions_has_a_kept_graph_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = planted_graph(tmp_path / "lungs.onnx")
    for flags in ("avx2", "avx2 avx512f", "avx2"):
        monkeypatch.setattr("carina.runtime.engine.processor_flags", flags.split)
        load_engine(graph, backend="onnxruntime", keep_compiled=True)
    assert len(list(folder.iterdir())) == 2
