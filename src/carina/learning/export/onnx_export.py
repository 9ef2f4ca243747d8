"""Keras models become ONNX graphs: ``tensor`` in; ``embedding``, ``logits`` and ``contributions`` out."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from carina.errors import BundleError
from carina.runtime.engine import load_engine

# Fused and reordered float32 arithmetic differs in the last digits; a wrong graph differs in the first.
MAX_LOGIT_DIFFERENCE = 1e-3
_AVERAGED = "averaged_map_"
# Of the graphs that `export_backbone` writes: one of an earlier form, out of a cache, is no use to `attach_head`.
GRAPH_FORM = 2


def export_backbone(backbone: keras.Model, path: Path) -> None:
    """Write the network from tensor to embedding as ONNX: input ``tensor``, output ``embedding``.

    The feature maps whose averages make up the embedding keep a name inside the graph, for `attach_head` to find.
    """
    means = [layer for layer in backbone.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    if not means:
        export_network(backbone, path, output="embedding")
        return
    maps = [mean.input for mean in means]
    names = [f"{_AVERAGED}{i}" for i in range(len(maps))]
    _export(keras.Model(backbone.input, [backbone.output, *maps]), path, ["embedding", *names])
    graph = onnx.load(path)
    for value in [value for value in graph.graph.output if value.name in names]:
        graph.graph.output.remove(value)
        graph.graph.value_info.append(value)
    onnx.save(graph, path)


def export_network(model: keras.Model, path: Path, *, output: str) -> None:
    """Write a network of one input and one output as ONNX: the input is called ``tensor``, the output as is said."""
    _export(model, path, [output])


def _export(model: keras.Model, path: Path, outputs: Sequence[str]) -> None:
    # The exporter wants a model that has seen its input once.
    model(np.zeros((1, *model.input.shape[1:]), dtype=np.float32))
    with warnings.catch_warnings():
        # Keras' exporter asks NumPy for a name that NumPy is about to redefine.
        warnings.filterwarnings("ignore", message=".*np.object.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model.export(str(path), format="onnx", verbose=False)
    graph = onnx.load(path)
    _rename(graph, graph.graph.input[0].name, "tensor")
    for value, name in zip(list(graph.graph.output), outputs, strict=True):
        _rename(graph, value.name, name)
    onnx.save(graph, path)


def attach_features(path: Path, *, kept: str, averaged: Sequence[str]) -> None:
    """Give a network's graph a second output, ``features``: what some of its layers make of the image, in short.

    Parameters
    ----------
    path
        As `export_network` wrote it; it is written again.
    kept
        A layer whose map is kept whole: channels, rows, columns.
    averaged
        Layers whose maps are averaged over the whole image; their channels follow.

    Raises
    ------
    BundleError
        If the graph has no such layer.
    """
    model = onnx.load(path)
    graph = model.graph
    nodes, parts = [helper.make_node("Flatten", [_map_of(graph, kept)], ["places"])], ["places"]
    for i, layer in enumerate(averaged):
        nodes.append(helper.make_node("GlobalAveragePool", [_map_of(graph, layer)], [f"average_{i}"]))
        nodes.append(helper.make_node("Flatten", [f"average_{i}"], [f"channels_{i}"]))
        parts.append(f"channels_{i}")
    graph.node.extend([*nodes, helper.make_node("Concat", parts, ["features"], axis=1, name="features")])
    graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", None]))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _map_of(graph: onnx.GraphProto, layer: str) -> str:
    """Return the name of what a Keras layer gives, channels first."""
    # Keras' exporter calls the n-th use of a layer by its name and n.
    outputs: list[str] = [node.output[0] for node in graph.node if re.search(rf"(^|/){layer}(_\d+)?/", node.name)]
    if not outputs:
        msg = (
            f"The exported graph has no layer {layer}. Check the versions of keras and tf2onnx: requirements/train.txt."
        )
        raise BundleError(msg)
    return outputs[-1]


def attach_head(backbone: Path, kernel: NDArray[np.float32], bias: NDArray[np.float32], path: Path) -> None:
    """Write a backbone's graph with a linear head: outputs ``logits``, ``embedding`` and ``contributions``.

    Parameters
    ----------
    backbone
        As `export_backbone` wrote it.
    kernel, bias
        float32 ``(embedding, findings)`` and ``(findings,)``.

    ``contributions`` is float32 ``(n, rows, columns, findings)``: what each cell of the feature map adds to each
    logit, so that their sum and the bias are the logit. With global averages and a linear head this is exact (the
    class activation map of Zhou et al., "Learning deep features for discriminative localization", CVPR 2016,
    doi:10.1109/CVPR.2016.319). Of several feature maps the coarser ones are spread evenly over the finest one's cells.
    """
    model = onnx.load(backbone)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(kernel, np.float32), "head_kernel"))
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(bias, np.float32), "head_bias"))
    graph.node.append(helper.make_node("Gemm", ["embedding", "head_kernel", "head_bias"], ["logits"], name="head"))
    graph.output.insert(0, helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", kernel.shape[1]]))
    shape = _attach_contributions(graph, np.ascontiguousarray(kernel, np.float32))
    graph.output.append(helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["n", *shape]))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _attach_contributions(graph: onnx.GraphProto, kernel: NDArray[np.float32]) -> tuple[int, int, int]:
    """Add the nodes that give ``contributions``, and return their rows, columns and findings."""
    maps = [value for value in graph.value_info if value.name.startswith(_AVERAGED)]
    sizes = [tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)[1:] for value in maps]
    rows, columns = max(size[0] for size in sizes), max(size[1] for size in sizes)
    ends = np.cumsum([size[2] for size in sizes])
    parts = []
    for i, (value, (height, width, channels)) in enumerate(zip(maps, sizes, strict=True)):
        # An average over h x w cells, each spread over the same number of the finest map's cells.
        weights = kernel[ends[i] - channels : ends[i]] / np.float32(rows * columns)
        graph.initializer.append(numpy_helper.from_array(weights, f"cell_kernel_{i}"))
        graph.node.append(helper.make_node("MatMul", [value.name, f"cell_kernel_{i}"], [f"cells_{i}"]))
        part = f"cells_{i}"
        if (height, width) != (rows, columns):
            scales = np.array([1, rows / height, columns / width, 1], np.float32)
            graph.initializer.append(numpy_helper.from_array(scales, f"cell_scales_{i}"))
            spread = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            graph.node.append(helper.make_node("Resize", [part, "", f"cell_scales_{i}"], [f"spread_{i}"], **spread))
            part = f"spread_{i}"
        parts.append(part)
    graph.node.append(helper.make_node("Sum", parts, ["contributions"], name="contributions"))
    return rows, columns, kernel.shape[1]


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
