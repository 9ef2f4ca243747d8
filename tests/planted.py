"""A lung segmenter with known answers, written as a graph."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def planted_graph(path: Path, *, features: bool = True, two_lungs: bool = False, size: int = 160) -> Path:
    """Write a segmenter that takes dark for lung, or two fixed boxes; its features are the greys of 10 × 10 tiles."""
    tensor = helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", size, size, 3])
    outputs = [helper.make_tensor_value_info("lung", TensorProto.FLOAT, ["n", size, size, 1])]
    weights = [
        numpy_helper.from_array(np.full((3, 1), -1 / 6, np.float32), "weights"),
        numpy_helper.from_array(np.array(0.5, np.float32), "half"),
        numpy_helper.from_array(np.array([0, 0, 0, 0], np.int64), "starts"),
        numpy_helper.from_array(np.array([2**31, 2**31, 2**31, 1], np.int64), "ends"),
        numpy_helper.from_array(np.array([0, 3, 1, 2], np.int64), "axes"),
        numpy_helper.from_array(np.array([0, 1, size, size], np.int64), "shape"),
    ]
    nodes = [helper.make_node("MatMul", ["tensor", "weights"], ["mean"])]
    tile = [size // 10] * 2
    if two_lungs:
        mask = np.zeros((1, size, size, 1), np.float32)
        rows, left, right = (slice(size * a // 16, size * b // 16) for a, b in ((4, 12), (3, 7), (9, 13)))
        mask[:, rows, left] = mask[:, rows, right] = 1
        weights += [numpy_helper.from_array(mask, "mask"), numpy_helper.from_array(np.array(0, np.float32), "nothing")]
        nodes += [
            helper.make_node("Mul", ["mean", "nothing"], ["dark"]),
            helper.make_node("Add", ["dark", "mask"], ["lung"]),
        ]
    else:
        nodes.append(helper.make_node("Add", ["mean", "half"], ["lung"]))
    if features:
        outputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 100]))
        nodes += [
            helper.make_node("Reshape", ["mean", "shape"], ["planes"]),
            helper.make_node("AveragePool", ["planes"], ["tiles"], kernel_shape=tile, strides=tile),
            helper.make_node("Flatten", ["tiles"], ["features"]),
        ]
    graph = helper.make_graph(nodes, "planted", [tensor], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path
