"""What a graph asks of a processor, and what the processor gives: the limit that an engine's speed is held against.

The limit is an idealisation: every multiply-add at the rate of the fastest large matrix product measured here, and
nothing else costing anything. Depthwise convolutions, for one, cannot reach it. Algorithms that multiply less than the
definition says (Winograd's, for one) and integer arithmetic can pass it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carina.runtime.openvino_library import import_openvino

MATRIX_SIZES = (512, 1024, 2048)


@dataclass(frozen=True, slots=True)
class MatrixProduct:
    """A product of two square float32 matrices, ready to be timed."""

    # library, size: what computes it, and rows and columns of both
    library: str
    size: int
    compute: Callable[[], object]  # computes it once, on all of its threads

    @property
    def operations(self) -> int:
        """Return its multiplications and additions."""
        return 2 * self.size**3


def matrix_products(threads: int, sizes: tuple[int, ...] = MATRIX_SIZES) -> list[MatrixProduct]:
    """Return products to measure the processor by: each size by NumPy, and by OpenVINO where it is installed.

    OpenVINO takes so many threads; NumPy's library takes the cores that this process may use.
    """
    try:
        openvino = import_openvino()
    except ImportError:
        openvino = None
    products = []
    for size in sizes:
        rng = np.random.default_rng(size)
        left, right = rng.random((2, size, size), np.float32)
        products.append(_numpy_product(left, right))
        if openvino is not None:
            products.append(_openvino_product(openvino, left, right, threads))
    return products


def multiply_adds(graph: Path) -> int | None:
    """Return the multiply-adds of convolutions and matrix products in a graph for one input, or none without OpenVINO.

    Each counts as its definition does. Pooling, activations, resizing and additions are not counted: they are a
    hundredth of the work of these networks, and no matrix product would do them. The graph is an ``.onnx`` file with
    one input, whose first axis is the batch's and whose other axes are fixed.
    """
    try:
        openvino = import_openvino()
    except ImportError:
        return None
    model = openvino.Core().read_model(str(graph))
    shape = model.inputs[0].get_partial_shape()
    shape[0] = 1
    model.reshape(shape)
    return sum(_multiply_adds_of(node) for node in model.get_ordered_ops())


def _multiply_adds_of(node: Any) -> int:
    kind = node.get_type_name()
    if kind == "MatMul":
        left = _shape(node.input(0))
        summed = left[-2] if node.get_attributes()["transpose_a"] and len(left) > 1 else left[-1]
        return math.prod(_shape(node.output(0))) * summed
    # Weights: output and input channels, then the kernel; a group's own number comes before them.
    leading = {"Convolution": 1, "GroupConvolution": 2, "ConvolutionBackpropData": 1, "GroupConvolutionBackpropData": 2}
    if kind not in leading:
        return 0
    weights = _shape(node.input(1))[leading[kind] :]
    # Each output gathers from a kernel's worth of inputs; in a transposed convolution each input is spread over one.
    places = _shape(node.input(0) if kind.endswith("BackpropData") else node.output(0))
    return math.prod(places) * math.prod(weights)


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(int(length) for length in port.get_shape())


def _numpy_product(left: Any, right: Any) -> MatrixProduct:
    out = np.empty_like(left)
    return MatrixProduct("NumPy", len(left), lambda: np.matmul(left, right, out=out))


def _openvino_product(openvino: Any, left: Any, right: Any, threads: int) -> MatrixProduct:
    operators = openvino.opset13
    parameter = operators.parameter(list(left.shape), np.float32)
    product = operators.matmul(parameter, operators.constant(right), False, False)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(openvino.Model([product], [parameter], "product"), "CPU", settings)
    request = request.create_infer_request()
    return MatrixProduct("OpenVINO", len(left), lambda: request.infer({0: left}, share_inputs=True))
