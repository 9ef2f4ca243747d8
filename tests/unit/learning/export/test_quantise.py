"""A graph becomes its twin: folded it gives the same, in integers nearly, and what cannot be done is named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from carina.bundles.run_folder import ONNX_FILE
from carina.datasets.manifest import Dataset
from carina.errors import BundleError
from carina.learning.export.folding import FoldedGraph
from carina.learning.export.quantise import Quantised, quantise
from carina.radiographs.preprocess import resize_grey, to_tensor
from carina.radiographs.read import read_radiograph
from carina.runtime.engine import Backend, load_engine


@pytest.fixture(scope="module")
def greys(phantom_dataset: Dataset) -> NDArray[np.uint8]:
    paths = phantom_dataset.rows("train")["path"].head(48)
    return np.stack([resize_grey(read_radiograph(Path(path)), 64) for path in paths])


@pytest.fixture(scope="module")
def made(tiny_run: Path, greys: NDArray[np.uint8]) -> tuple[Quantised, list[tuple[int, int]]]:
    told: list[tuple[int, int]] = []
    graph = quantise(
        tiny_run / ONNX_FILE, "minus-one-one", greys, progress=lambda done, total: told.append((done, total))
    )
    return graph, told


@pytest.mark.long
def test_progress_comes_to_its_end(made: tuple[Quantised, list[tuple[int, int]]]) -> None:
    assert made[1] == [(done, 9) for done in range(1, 10)]


@pytest.mark.long
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_twin_gives_nearly_the_same_and_in_float_the_very_same(
    made: tuple[Quantised, object], tiny_run: Path, greys: NDArray[np.uint8], tmp_path: Path, backend: Backend
) -> None:
    quantised, _ = made
    expected = load_engine(tiny_run / ONNX_FILE, backend=backend).run(to_tensor(greys, "minus-one-one"))
    quantised.folded.write(tmp_path / "float.onnx")
    quantised.write(tmp_path / "int8.onnx")
    engine = load_engine(tmp_path / "int8.onnx", backend=backend, precision="int8")
    assert engine.takes_bytes
    same, twin = load_engine(tmp_path / "float.onnx", backend=backend).run(greys), engine.run(greys)
    assert list(twin) == list(expected)
    for name, values in expected.items():
        assert twin[name].shape == values.shape
        spread = np.abs(values).max()
        # Only the border differs: padding is the byte next to 0, which is half a grey value away.
        np.testing.assert_allclose(same[name], values, atol=0.02 * spread)
        assert 0 < np.abs(twin[name] - values).max() < spread
    # A network of random weights, whose features all but vanish: a trained one is nearer.
    apart = np.abs(twin["logits"] - expected["logits"])
    assert np.sqrt((apart**2).mean()) < 0.5 * expected["logits"].std()


@pytest.mark.long
def test_every_convolution_has_weights_in_bytes_that_cannot_overflow(
    made: tuple[Quantised, object], tmp_path: Path
) -> None:
    quantised, _ = made
    quantised.write(tmp_path / "int8.onnx")
    graph = onnx.load(tmp_path / "int8.onnx").graph
    bytes_of = {each.name for each in graph.initializer if each.data_type == TensorProto.INT8}
    made_of = {node.output[0]: node for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    in_bytes = [node for node in convolutions if node.input[1] in made_of]
    assert len(convolutions) == len(in_bytes) == len(quantised.rounded) == 52
    assert all(made_of[node.input[1]].input[0] in bytes_of for node in in_bytes)
    # One scale for each output channel.
    shapes = {each.name: list(each.dims) for each in graph.initializer}
    assert all(shapes[made_of[n.input[1]].input[1]] == shapes[made_of[n.input[1]].input[0]][:1] for n in in_bytes)
    # Two neighbouring products of bytes are added in 16 bits by processors without a dot product of bytes.
    for conv in quantised.folded.convolutions:
        if conv.groups == 1:
            rows = np.abs(quantised.rounded[conv.name].integers.reshape(len(conv.weights), -1).astype(int))
            pairs = rows[:, : rows.shape[1] // 2 * 2].reshape(len(rows), -1, 2).sum(axis=2)
            assert pairs.max() * 255 <= 2**15 - 1


def small_graph(path: Path, *, opset: int = 17, auto_pad: str = "NOTSET") -> Path:
    weights = numpy_helper.from_array(np.ones((2, 3, 3, 3), np.float32), "weights")
    node = helper.make_node("Conv", ["tensor", "weights"], ["logits"], kernel_shape=[3, 3], auto_pad=auto_pad)
    graph = helper.make_graph(
        [node],
        "small",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, None, None])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def test_graphs_that_cannot_be_made_into_integers_are_named(tmp_path: Path, greys: NDArray[np.uint8]) -> None:
    with pytest.raises(BundleError, match="of opset 11, and integers need 13"):
        FoldedGraph(onnx.load(small_graph(tmp_path / "old.onnx", opset=11)))
    with pytest.raises(BundleError, match="pads in a way that only older graphs do"):
        FoldedGraph(onnx.load(small_graph(tmp_path / "same.onnx", auto_pad="SAME_UPPER")))
    with pytest.raises(
        BundleError, match=r"does not begin with a convolution of three channels. Export without --int8"
    ):
        quantise(small_graph(tmp_path / "first.onnx"), "minus-one-one", greys)
