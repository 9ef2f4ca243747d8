"""The last layer of a model's ONNX graph: read, and replaced by another one, without the package ``onnx``.

That package belongs to training. A hospital that fits the last layer again has only what predicting needs, so the few
fields that change are written here, in the protocol buffers that an ONNX file is made of. Everything else in the file
is copied byte for byte.

Source: onnx.proto of ONNX 1.x (field numbers), https://protobuf.dev/programming-guides/encoding (how they are written).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError

Floats = NDArray[np.float32]

# ModelProto.graph; GraphProto.initializer and .output; TensorProto.dims, .data_type, .name and .raw_data;
# ValueInfoProto.name.
_GRAPH, _INITIALIZER, _OUTPUT = 7, 5, 12
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA, _VALUE_NAME = 1, 2, 8, 9, 1
# From ValueInfoProto to the dimensions: .type, .tensor_type, .shape, .dim; then Dimension.dim_value.
_TO_DIMENSIONS, _DIM_VALUE = (2, 1, 2), 1
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_FLOAT = 1
_KERNEL, _BIAS, _CELLS = "head_kernel", "head_bias", "cell_kernel_"

_Field = tuple[int, int, int | bytes]


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
    tensors = {name: _array(tensor) for name, tensor in _tensors(graph)}
    return GraphHead(tensors[_KERNEL], tensors[_BIAS])


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
    old = read_head(graph)
    width, findings = head.kernel.shape
    if width != len(old.kernel) or head.bias.shape != (findings,):
        msg = (
            f"The new last layer has the shapes {head.kernel.shape} and {head.bias.shape}; the graph's has "
            f"{old.kernel.shape} and {old.bias.shape}. Fit it to the embedding of this model."
        )
        raise BundleError(msg)
    _, height, breadth, _ = _output_shape(graph, "contributions")
    new = {_KERNEL: head.kernel, _BIAS: head.bias}
    start = 0
    # The feature maps are in the order of their channels in the embedding.
    for name in sorted(name for name, _ in _tensors(graph) if name.startswith(_CELLS)):
        channels = next(_array(tensor).shape[0] for each, tensor in _tensors(graph) if each == name)
        new[name] = head.kernel[start : start + channels] / np.float32(height * breadth)
        start += channels

    def changed(field: _Field) -> _Field:
        number, wire, value = field
        if number == _INITIALIZER and isinstance(value, bytes) and (name := _text(value, _TENSOR_NAME)) in new:
            return number, wire, _tensor(value, new[name])
        if number == _OUTPUT and isinstance(value, bytes) and _text(value, _VALUE_NAME) in ("logits", "contributions"):
            return number, wire, _with_last_dimension(value, findings)
        return field

    return _altered(graph, _GRAPH, lambda inner: _written([changed(field) for field in _fields(inner)]))


def _tensors(graph: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the weights of the last layer, each with its name."""
    found = set()
    for inner in _values(graph, _GRAPH):
        for tensor in _values(inner, _INITIALIZER):
            name = _text(tensor, _TENSOR_NAME)
            if name in (_KERNEL, _BIAS) or name.startswith(_CELLS):
                found.add(name)
                yield name, tensor
    if not {_KERNEL, _BIAS} <= found:
        msg = "The model's graph has no last layer that can be fitted again. Export its run again with this Carina."
        raise BundleError(msg)


def _array(tensor: bytes) -> Floats:
    shape = [value for number, _, value in _fields(tensor) if number == _DIMS and isinstance(value, int)]
    (raw,) = _values(tensor, _RAW_DATA)
    if [value for number, _, value in _fields(tensor) if number == _DATA_TYPE] != [_FLOAT]:
        msg = "The model's last layer is not in 32-bit floating point. Adapt the bundle whose model.onnx is."
        raise BundleError(msg)
    return np.frombuffer(raw, "<f4").reshape(shape)


def _tensor(old: bytes, values: Floats) -> bytes:
    """Return a tensor with the name and type of another one, and other values."""
    kept = [field for field in _fields(old) if field[0] not in (_DIMS, _RAW_DATA)]
    dims: list[_Field] = [(_DIMS, _VARINT, size) for size in values.shape]
    return _written([*dims, *kept, (_RAW_DATA, _BYTES, np.ascontiguousarray(values, "<f4").tobytes())])


def _output_shape(graph: bytes, name: str) -> list[int]:
    """Return the sizes of an output; 0 where one is free."""
    for inner in _values(graph, _GRAPH):
        for value in _values(inner, _OUTPUT):
            if _text(value, _VALUE_NAME) == name:
                for step in _TO_DIMENSIONS:
                    (value,) = _values(value, step)  # noqa: PLW2901  # one step further in
                return [next((v for n, _, v in _fields(dim) if n == _DIM_VALUE), 0) for dim in _values(value, 1)]  # type: ignore[misc]
    msg = f"The model's graph has no output {name}. Export its run again with this Carina."
    raise BundleError(msg)


def _with_last_dimension(value: bytes, size: int, path: Sequence[int] = _TO_DIMENSIONS) -> bytes:
    """Return the description of an output whose last dimension has another size."""
    if path:
        return _altered(value, path[0], lambda inner: _with_last_dimension(inner, size, path[1:]))
    *others, _ = _fields(value)
    return _written([*others, (1, _BYTES, _written([(_DIM_VALUE, _VARINT, size)]))])


def _altered(message: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a message with each message in one of its fields changed."""
    return _written(
        [(n, wire, change(v) if n == number and isinstance(v, bytes) else v) for n, wire, v in _fields(message)]
    )


def _values(message: bytes, number: int) -> list[bytes]:
    return [value for n, _, value in _fields(message) if n == number and isinstance(value, bytes)]


def _text(message: bytes, number: int) -> str:
    return b"".join(_values(message, number)).decode("utf-8", "replace")


def _fields(message: bytes) -> Iterator[_Field]:
    """Yield the fields of a message in order: number, wire type, and an integer or bytes."""
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _read_varint(message, place)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, place = _read_varint(message, place)
        elif wire in (_FIXED_64, _FIXED_32):
            size = 8 if wire == _FIXED_64 else 4
        else:
            size = len(message)
        if place + size > len(message):
            raise BundleError(_DAMAGED)
        yield number, wire, message[place : place + size]
        place += size


_DAMAGED = "The model's graph is damaged: it is no ONNX file. Fetch or export the bundle again."


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise BundleError(_DAMAGED)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _written(fields: Sequence[_Field]) -> bytes:
    parts = []
    for number, wire, value in fields:
        parts.append(_varint(number << 3 | wire))
        if isinstance(value, int):
            parts.append(_varint(value))
        else:
            parts.append(value if wire != _BYTES else _varint(len(value)) + value)
    return b"".join(parts)
