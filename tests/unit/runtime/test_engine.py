"""An engine runs a graph, in order, whichever library it is; what cannot run is named."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import carina.runtime.engine
from carina.errors import BundleError, ConfigurationError
from carina.runtime.engine import available_precisions, load_engine
from carina.runtime.streams import side_by_side


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that gives twice its input, and its input plus one."""
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["tensor", "two"], ["twice"]), helper.make_node("Add", ["tensor", "one"], ["more"])],
        "doubling",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("twice", "more")],
        [two, one],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = tmp_path_factory.mktemp("graph") / "doubling.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_outputs_come_by_name_and_in_order(doubling: Path, backend: str) -> None:
    engine = load_engine(doubling, backend=backend, threads=2)
    assert engine.threads == 2
    # Batches of many sizes, so that a request that was used is used again.
    batches = [np.full((1 + i % 4, 3), i, dtype=np.float32) for i in range(50)]
    for i, outputs in enumerate(engine.stream(iter(batches))):
        np.testing.assert_array_equal(outputs["twice"], 2 * batches[i])
        np.testing.assert_array_equal(outputs["more"], batches[i] + 1)
    np.testing.assert_array_equal(engine.run(batches[7])["twice"], 2 * batches[7])
    assert list(engine.stream(iter([]))) == []
    assert engine.run(np.zeros((0, 3), np.float32)) == {}


def test_without_openvino_onnx_runtime_runs(doubling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert load_engine(doubling).name.startswith("ONNX Runtime")
    with pytest.raises(ConfigurationError, match=r"openvino backend is not installed.*carina-cxr\[openvino\]"):
        load_engine(doubling, backend="openvino")


def test_an_engine_that_does_not_exist_is_refused_and_no_other_is_taken(doubling: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no engine 'nonsense'. Choose one of: auto, openvino, onnxruntime"):
        load_engine(doubling, backend="nonsense")  # type: ignore[arg-type]  # what a program may pass


def test_onnx_runtime_computes_one_batch_on_all_cores_or_as_many_batches_as_there_are_cores(doubling: Path) -> None:
    for one_at_a_time, inside, at_once in ((True, 3, 1), (False, 1, 3)):
        engine: Any = load_engine(doubling, backend="onnxruntime", threads=3, one_at_a_time=one_at_a_time)
        assert engine._session.get_session_options().intra_op_num_threads == inside
        assert (engine.at_once, engine.threads) == (at_once, 3)


def test_threads_that_run_an_engine_at_once_do_not_take_each_others_answers(doubling: Path) -> None:
    for backend in ("openvino", "onnxruntime"):
        engine = load_engine(doubling, backend=backend, threads=2)
        batches = [np.full((1 + i % 3, 3), i, np.float32) for i in range(60)]
        for outputs, batch in zip(side_by_side(engine.run, batches, threads=6), batches, strict=True):
            np.testing.assert_array_equal(outputs["twice"], 2 * batch)


def test_waiting_threads_of_onnx_runtime_leave_the_cores_to_others(doubling: Path) -> None:
    engine: Any = load_engine(doubling, backend="onnxruntime")
    options = engine._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_what_is_no_graph_is_named(tmp_path: Path, backend: str) -> None:
    with pytest.raises(BundleError, match=r"gone.onnx is missing"):
        load_engine(tmp_path / "gone.onnx", backend=backend)
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(BundleError, match=r"text.onnx is not a graph that can be run"):
        load_engine(tmp_path / "text.onnx", backend=backend)


def test_precision_and_threads_are_told_and_bf16_is_not_pretended(
    doubling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_engine(doubling).precision == "f32"
    assert load_engine(doubling, precision="int8", threads=1).precision == "int8"
    with pytest.raises(ConfigurationError, match=r"computes in f32 and int8 here.*install openvino"):
        load_engine(doubling, backend="onnxruntime", precision="bf16")
    monkeypatch.setattr(carina.runtime.engine, "_has_bf16", lambda core: False)
    assert available_precisions("openvino") == available_precisions("auto") == ("f32",)
    with pytest.raises(ConfigurationError, match=r"does not compute in bf16. Choose f32 or int8"):
        load_engine(doubling, precision="bf16")
    monkeypatch.setattr(carina.runtime.engine, "_has_bf16", lambda core: True)
    assert available_precisions("openvino") == ("f32", "bf16")
    assert available_precisions("onnxruntime") == ("f32",)
    # The processor here may have none; OpenVINO then computes in f32.
    assert load_engine(doubling, precision="bf16").precision == "bf16"


def test_a_stream_that_is_given_up_spoils_none_that_follows(doubling: Path) -> None:
    engine = load_engine(doubling, backend="openvino", threads=2)
    batches = [np.full((4, 3), i, np.float32) for i in range(6)]
    for _ in range(3):
        stream = engine.stream(iter(batches))
        next(stream)
        stream.close()  # with batches under way
        # Two at once: neither takes the other's.
        backwards = engine.stream(iter(batches[::-1]))
        for one, other, batch in zip(engine.stream(iter(batches)), backwards, batches, strict=True):
            np.testing.assert_array_equal(one["twice"], 2 * batch)
            np.testing.assert_array_equal(other["twice"], 2 * (5 - batch))


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_input_is_described(doubling: Path, backend: str) -> None:
    assert load_engine(doubling, backend=backend).input_sizes == (3,)
