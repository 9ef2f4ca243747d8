"""The last layer of a model's ONNX graph: read, and replaced by another one, without the package ``onnx``.

That package belongs to training. A hospital that fits the last layer again has only what predicting needs, so the few
fields that change are described here, for the library of protocol buffers that ONNX Runtime brings along. It keeps
every other field as it is.

Source: onnx.proto of ONNX 1.x (field numbers).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError

Floats = NDArray[np.float32]

_SCHEMA = """
name: "carina_graph_head.proto" package: "carina" syntax: "proto2"
message_type { name: "Model" field { name: "graph" number: 7 label: LABEL_OPTIONAL type_name: "Graph" } }
message_type { name: "Graph"
  field { name: "initializer" number: 5 label: LABEL_REPEATED type_name: "Tensor" }
  field { name: "output" number: 12 label: LABEL_REPEATED type_name: "Value" } }
message_type { name: "Tensor"
  field { name: "dims" number: 1 label: LABEL_REPEATED type: TYPE_INT64 }
  field { name: "data_type" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "name" number: 8 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "raw_data" number: 9 label: LABEL_OPTIONAL type: TYPE_BYTES } }
message_type { name: "Value"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "type" number: 2 label: LABEL_OPTIONAL type_name: "Type" } }
message_type { name: "Type" field { name: "tensor_type" number: 1 label: LABEL_OPTIONAL type_name: "TensorType" } }
message_type { name: "TensorType" field { name: "shape" number: 2 label: LABEL_OPTIONAL type_name: "Shape" } }
message_type { name: "Shape" field { name: "dim" number: 1 label: LABEL_REPEATED type_name: "Dimension" } }
message_type { name: "Dimension" field { name: "dim_value" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 } }
"""
_FLOAT = 1
_KERNEL, _BIAS, _CELLS = "head_kernel", "head_bias", "cell_kernel_"
_DAMAGED = "The model's graph is damaged. Fetch or export the bundle again."


@dataclass(frozen=True, slots=True, eq=False)
class GraphHead:
    """The linear map from embedding to logits.

    Attributes
    ----------
    kernel, bias
        float32 ``(embedding, findings)`` and ``(findings,)``.
    """

    kernel: Floats
    bias: Floats


def read_head(graph: bytes) -> GraphHead:
    """Return the last layer of a classifier's graph, as ``carina export`` writes it.

    Raises
    ------
    BundleError
        If the graph has no such layer.
    """
    tensors = _last_layer(_parsed(graph))
    return GraphHead(_array(tensors[_KERNEL]), _array(tensors[_BIAS]))


def replace_head(graph: bytes, head: GraphHead) -> bytes:
    """Return a classifier's graph with another last layer, which may have other findings.

    The output ``contributions`` follows: what each cell of the feature map adds to each logit; see
    `carina.learning.export.onnx_export.attach_head`.

    Parameters
    ----------
    graph
        As ``carina export`` writes it.
    head
        For the embedding of this graph.

    Raises
    ------
    BundleError
        If the graph has no such layer, or one for another embedding.
    """
    model = _parsed(graph)
    tensors = _last_layer(model)
    old_kernel, old_bias = _array(tensors[_KERNEL]), _array(tensors[_BIAS])
    width, findings = head.kernel.shape
    if width != len(old_kernel) or head.bias.shape != (findings,):
        msg = (
            f"The new last layer has the shapes {head.kernel.shape} and {head.bias.shape}; the graph's has "
            f"{old_kernel.shape} and {old_bias.shape}. Fit it to the embedding of this model."
        )
        raise BundleError(msg)
    shapes = {output.name: output.type.tensor_type.shape.dim for output in model.graph.output}
    if "contributions" not in shapes:
        msg = "The model's graph has no output contributions. Export its run again with this Carina."
        raise BundleError(msg)
    _, height, breadth, _ = (size.dim_value for size in shapes["contributions"])
    new = {_KERNEL: head.kernel, _BIAS: head.bias}
    start = 0
    # The feature maps are in the order of their channels in the embedding.
    for name in sorted(name for name in tensors if name.startswith(_CELLS)):
        channels = tensors[name].dims[0]
        new[name] = head.kernel[start : start + channels] / np.float32(height * breadth)
        start += channels
    for name, values in new.items():
        tensors[name].dims[:] = values.shape
        tensors[name].raw_data = np.ascontiguousarray(values, "<f4").tobytes()
    for name in shapes.keys() & {"logits", "contributions"}:
        last = shapes[name][-1]
        last.Clear()
        last.dim_value = findings
    changed: bytes = model.SerializeToString()
    return changed


@cache
def _model_type() -> Any:
    from google.protobuf import descriptor_pb2, message_factory, text_format  # noqa: PLC0415
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415

    pool = DescriptorPool()
    pool.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("carina.Model"))


def _parsed(graph: bytes) -> Any:
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        return _model_type().FromString(graph)
    except DecodeError:
        raise BundleError(_DAMAGED) from None


def _last_layer(model: Any) -> dict[str, Any]:
    """Return the tensors of the last layer by their names."""
    # A name that is not UTF-8 comes as bytes, and is none of these.
    every = {tensor.name: tensor for tensor in model.graph.initializer if isinstance(tensor.name, str)}
    found = {name: each for name, each in every.items() if name in (_KERNEL, _BIAS) or name.startswith(_CELLS)}
    if not {_KERNEL, _BIAS} <= found.keys():
        msg = "The model's graph has no last layer that can be fitted again. Export its run again with this Carina."
        raise BundleError(msg)
    return found


def _array(tensor: Any) -> Floats:
    if tensor.data_type != _FLOAT:
        msg = "The model's last layer is not in 32-bit floating point. Adapt the bundle whose model.onnx is."
        raise BundleError(msg)
    try:
        return np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)
    except ValueError:
        raise BundleError(_DAMAGED) from None
