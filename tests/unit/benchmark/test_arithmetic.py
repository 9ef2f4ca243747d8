"""Operations of graphs against hand-computed counts; matrix products are what they say."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from carina.benchmark.arithmetic import matrix_products, multiply_adds
from unit.inference.small_model import write_small_graph


def write_graph(
    path: Path, node: onnx.NodeProto, given: tuple[int | str, ...], weights: tuple[int, ...], rank: int
) -> Path:
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(np.ones(weights, np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("operator", "settings", "given", "weights", "expected"),
    [
        # 5 × 4 outputs of 6 channels, each from 3 × 3 pixels of 2 channels.
        ("Conv", {"pads": [1, 1, 1, 1]}, ("n", 2, 5, 4), (6, 2, 3, 3), 5 * 4 * 6 * 2 * 9),
        # Every second place: 3 × 2 of them.
        ("Conv", {"pads": [1, 1, 1, 1], "strides": [2, 2]}, ("n", 2, 5, 4), (6, 2, 3, 3), 3 * 2 * 6 * 2 * 9),
        # Depthwise: each of 4 channels from its own pixels alone.
        ("Conv", {"group": 4, "pads": [1, 1, 1, 1]}, ("n", 4, 5, 5), (4, 1, 3, 3), 5 * 5 * 4 * 9),
        # Two groups, 4 channels to 6: each output from 2 channels.
        ("Conv", {"group": 2}, ("n", 4, 5, 5), (6, 2, 1, 1), 5 * 5 * 6 * 2),
        # Each of 3 × 3 inputs of 2 channels is spread over 2 × 2 pixels of 7 channels.
        ("ConvTranspose", {"strides": [2, 2]}, ("n", 2, 3, 3), (2, 7, 2, 2), 3 * 3 * 2 * 7 * 4),
        ("MatMul", {}, ("n", 8), (8, 3), 8 * 3),
        ("MatMul", {}, ("n", 5, 5, 8), (8, 3), 25 * 8 * 3),
        ("Gemm", {"transB": 1}, ("n", 8), (3, 8), 8 * 3),
        ("Add", {}, ("n", 8), (8,), 0),
    ],
)  # fmt: skip
def test_counts_by_hand(
    tmp_path: Path,
    operator: str,
    settings: dict[str, int],
    given: tuple[int | str, ...],
    weights: tuple[int, ...],
    expected: int,
) -> None:
    node = helper.make_node(operator, ["x", "w"], ["y"], **settings)
    assert multiply_adds(write_graph(tmp_path / "one.onnx", node, given, weights, len(given))) == expected


def test_a_whole_graph(tmp_path: Path) -> None:
    write_small_graph(tmp_path / "small.onnx")
    # 4 × 4 cells, two features each, three findings.
    assert multiply_adds(tmp_path / "small.onnx") == 4 * 4 * 2 * 3


def test_without_openvino_nothing_is_counted_and_numpy_is_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_graph(tmp_path / "small.onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert multiply_adds(tmp_path / "small.onnx") is None
    assert {product.library for product in matrix_products(1, (8,))} == {"NumPy"}


def test_products_are_computed_by_both_libraries() -> None:
    first, second, larger, _ = matrix_products(1, (16, 32))
    assert (first.library, second.library) == ("NumPy", "OpenVINO")
    assert (first.operations, larger.operations) == (2 * 16**3, 2 * 32**3)
    (product,) = second.compute().values()  # type: ignore[attr-defined]
    np.testing.assert_allclose(product, first.compute(), rtol=1e-5)
