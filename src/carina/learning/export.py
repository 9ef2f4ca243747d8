"""Keras models become ONNX graphs: ``tensor`` in, ``embedding`` and ``logits`` out."""

import warnings
from pathlib import Path

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from carina.engine import load_engine
from carina.errors import BundleError

# Fused and reordered float32 arithmetic differs in the last digits; a wrong graph differs in the first.
MAX_LOGIT_DIFFERENCE = 1e-3


def export_backbone(backbone: keras.Model, path: Path) -> None:
    """Write the network from tensor to embedding as ONNX: input ``tensor``, output ``embedding``."""
    export_network(backbone, path, output="embedding")


def export_network(model: keras.Model, path: Path, *, output: str) -> None:
    """Write a network of one input and one output as ONNX: the input is called ``tensor``, the output as is said."""
    # The exporter wants a model that has seen its input once.
    model(np.zeros((1, *model.input.shape[1:]), dtype=np.float32))
    with warnings.catch_warnings():
        # Keras' exporter asks NumPy for a name that NumPy is about to redefine.
        warnings.filterwarnings("ignore", message=".*np.object.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model.export(str(path), format="onnx", verbose=False)
    graph = onnx.load(path)
    _rename(graph, graph.graph.input[0].name, "tensor")
    _rename(graph, graph.graph.output[0].name, output)
    onnx.save(graph, path)


def attach_head(backbone: Path, kernel: NDArray[np.float32], bias: NDArray[np.float32], path: Path) -> None:
    """Write a backbone's graph with a linear head: outputs ``logits`` and ``embedding``.

    Parameters
    ----------
    backbone
        As `export_backbone` wrote it.
    kernel, bias
        float32 ``(embedding, findings)`` and ``(findings,)``.
    path
        The file to write.
    """
    model = onnx.load(backbone)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(kernel, np.float32), "head_kernel"))
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(bias, np.float32), "head_bias"))
    graph.node.append(helper.make_node("Gemm", ["embedding", "head_kernel", "head_bias"], ["logits"], name="head"))
    graph.output.insert(0, helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", kernel.shape[1]]))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def largest_logit_difference(classifier: keras.Model, path: Path, tensors: NDArray[np.float32]) -> float:
    """Return the largest difference between the logits of a Keras model and of its graph.

    Raises
    ------
    BundleError
        If it is over 0.001: the graph is not the model.
    """
    return largest_output_difference(classifier, path, tensors, output="logits")


def largest_output_difference(model: keras.Model, path: Path, tensors: NDArray[np.float32], *, output: str) -> float:
    """Return the largest difference between what a Keras model and its graph give as the named output.

    Raises
    ------
    BundleError
        If it is over 0.001: the graph is not the model.
    """
    from_keras = np.asarray(model(tensors, training=False))
    from_graph = load_engine(path).run(tensors)[output]
    difference = float(np.abs(from_keras - from_graph).max())
    if not difference <= MAX_LOGIT_DIFFERENCE:
        msg = (
            f"{path.name} gives other {output} than the Keras model it was made from (by {difference:.2g}). The export "
            "cannot be used: check the versions of keras, tf2onnx and onnx against requirements/train.txt."
        )
        raise BundleError(msg)
    return difference


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
