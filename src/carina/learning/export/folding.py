"""An exported graph becomes convolutions that have all that is theirs: batch norm's factors, padding and clipping.

Exporters leave a batch norm beside a convolution as a product and a sum, and padding as a step of its own. Integers
need them inside: one set of weights and one bias a convolution, and one tensor between two of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from carina.errors import BundleError
from carina.learning.export.rounding import Rounded, Steps

RELU6 = 6.0
# QuantizeLinear and DequantizeLinear with a scale for each channel.
_LEAST_OPSET = 13
_WEIGHTS, _BIAS = "weights", "bias"
_BYTES, _CHANNELS = "bytes", 3
# What gives a map of maps.
_OF_MAPS = ("Add", "Concat", "Resize")


@dataclass(slots=True)
class Convolution:
    """A convolution with what directly follows it.

    Attributes
    ----------
    name
        Of the tensor that it gives, after its clipping.
    reads
        The tensor that it reads.
    weights, bias
        float64 ``(out, in of a group, height, width)`` and ``(out,)``.
    groups, strides, pads
        As in ONNX; pads are top, left, bottom, right.
    clipped
        Whether ReLU6 follows.
    """

    name: str
    reads: str
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    groups: int
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    clipped: bool

    @property
    def depthwise(self) -> bool:
        """Return whether each channel has a filter of its own."""
        return self.groups == len(self.weights) and self.weights.shape[1] == 1 and self.groups > 1

    @property
    def pointwise(self) -> bool:
        """Return whether it sees one cell at a time, all channels together."""
        return self.groups == 1 and self.weights.shape[2:] == (1, 1)

    def scale_output(self, factors: NDArray[np.float64]) -> None:
        """Multiply what it gives, channel by channel; ``factors`` are float64 ``(out,)``."""
        self.weights = self.weights * factors[:, None, None, None]
        self.bias = self.bias * factors

    def undo_scaled_input(self, factors: NDArray[np.float64]) -> None:
        """Give the same although each channel that is read was multiplied: float64 ``(in,)``."""
        self.weights = self.weights / (factors[:, None, None, None] if self.depthwise else factors[None, :, None, None])


class FoldedGraph:
    """A graph whose convolutions can be changed and written again.

    Parameters
    ----------
    model
        As `carina.learning.export.onnx_export` wrote it; it is changed.

    Attributes
    ----------
    convolutions
        In the order in which they are computed.

    Raises
    ------
    BundleError
        If the graph is of a form too old to hold integers.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
        if opset < _LEAST_OPSET:
            msg = f"The graph is of opset {opset}, and integers need {_LEAST_OPSET} or more. Train again."
            raise BundleError(msg)
        self._model = model
        # The same objects throughout: they are told apart by what they are.
        self._nodes = list(model.graph.node)
        self._constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self._outputs = {value.name for value in model.graph.output}
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self._nodes:
            for name in node.input:
                self._readers[name].append(node)
        self._makers = {name: node for node in self._nodes for name in node.output}
        # A convolution's node, and whether it is one that was folded into another.
        self._of_node: dict[int, Convolution] = {}
        self._gone: set[int] = set()
        for node in self._nodes:
            if node.op_type == "Conv" and node.input[1] in self._constants:
                self._of_node[id(node)] = self._fold(node)
        self.convolutions = tuple(self._of_node.values())
        self.bytes_read: tuple[str, Steps] | None = None

    def read_bytes(self, scale: float, offset: float) -> None:
        """Let the graph take grey bytes, uint8 ``(n, height, width)``, in place of the tensor made of them.

        A tensor is a grey value three times, as ``scale * byte + offset``. The first convolution reads it once, its
        weights for the three channels summed. Bytes are exact, and the same on every processor.

        Raises
        ------
        BundleError
            If the graph begins in another way.
        """
        (taken,) = self._model.graph.input
        first = self._readers[taken.name][0]
        reader = next((each for each in self.convolutions if each.reads == first.output[0]), None)
        sizes = [each.dim_value for each in taken.type.tensor_type.shape.dim][1:]
        if first.op_type != "Transpose" or reader is None or reader.groups != 1 or sizes[2:] != [_CHANNELS]:
            msg = "The graph does not begin with a convolution of three channels. Export without --int8."
            raise BundleError(msg)
        self._gone.add(id(first))
        # The byte nearest to what is 0 in the tensor is what padding gives.
        steps = Steps(scale, int(np.ceil(-offset / scale)))
        reader.weights = reader.weights.sum(axis=1, keepdims=True)
        reader.bias = reader.bias + reader.weights.sum(axis=(1, 2, 3)) * (offset + scale * steps.zero)
        self.bytes_read = reader.reads, steps
        self._sizes = sizes[:2]

    def tensors(self) -> list[str]:
        """Return the names of all maps between the convolutions, in the order in which they are computed."""
        found = []
        for node in self._nodes:
            conv = self._of_node.get(id(node))
            if conv is not None:
                found.append(conv.name)
            elif id(node) not in self._gone and node.op_type in _OF_MAPS and set(node.input) & set(found):
                found.append(node.output[0])
        return found

    def groups(self) -> list[tuple[list[Convolution], list[str]]]:
        """Return tensors whose channels may be scaled together: who makes them, and their names.

        Those that are added to each other belong together. What anything but convolutions reads may not be scaled.
        """
        made = {each.name: each for each in self.convolutions}
        together: dict[str, str] = {}

        def root(name: str) -> str:
            while together.setdefault(name, name) != name:
                name = together[name]
            return name

        for node in self._nodes:
            if node.op_type == "Add" and id(node) not in self._gone and not set(node.input) & self._constants.keys():
                for name in node.input:
                    together[root(name)] = root(node.output[0])
        tensors: dict[str, list[str]] = defaultdict(list)
        for name in [*made, *together]:
            if name not in tensors[root(name)]:
                tensors[root(name)].append(name)
        found = []
        for names in tensors.values():
            makers = [made[name] for name in names if name in made]
            sums = [self._makers[name] for name in names if name not in made and name in self._makers]
            readers = [node for name in names for node in self._readers[name] if id(node) not in self._gone]
            scalable = (
                all(node.op_type == "Add" for node in sums)
                and all(node.op_type == "Add" or id(node) in self._of_node for node in readers)
                and not self._outputs & set(names)
                # Clipping at 6 and adding are two things; a clipped tensor is scaled alone.
                and (len(names) == 1 or not any(maker.clipped for maker in makers))
                and len(makers) + len(sums) == len(names)
            )
            if scalable:
                found.append((makers, names))
        return found

    def readers_of(self, name: str) -> list[Convolution]:
        """Return the convolutions that read a tensor."""
        return [each for each in self.convolutions if each.reads == name]

    def write(
        self,
        path: Path,
        *,
        rounded: Mapping[str, Rounded] | None = None,
        steps: Mapping[str, Steps] | None = None,
        taps: Sequence[str] = (),
    ) -> None:
        """Write the graph.

        Parameters
        ----------
        path
            The file.
        rounded, steps
            The convolutions that compute in integers, and the steps of what they read.
        taps
            Tensors inside, four axes each, that become outputs.
        """
        rounded, steps = rounded or {}, dict(steps or {})
        taken = list(self._model.graph.input)
        writer = _Writer(self._constants, steps)
        if self.bytes_read is not None:
            name, grey = self.bytes_read
            writer.take_bytes(name, grey)
            taken = [helper.make_tensor_value_info(_BYTES, TensorProto.UINT8, ["n", *self._sizes])]
        for node in self._nodes:
            if id(node) in self._gone:
                continue
            conv = self._of_node.get(id(node))
            if conv is None:
                writer.copy(node)
            else:
                writer.convolution(conv, rounded.get(conv.name))
        outputs = [
            *self._model.graph.output,
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None, None, None]) for name in taps),
        ]
        graph = helper.make_graph(writer.nodes, "twin", taken, outputs, list(writer.initialisers.values()))
        model = helper.make_model(
            graph, opset_imports=list(self._model.opset_import), ir_version=self._model.ir_version
        )
        onnx.checker.check_model(model)
        onnx.save(model, path)

    def _fold(self, node: onnx.NodeProto) -> Convolution:
        weights = self._constants[node.input[1]].astype(np.float64)
        bias = np.zeros(len(weights))
        if len(node.input) > 2:
            bias = self._constants[node.input[2]].astype(np.float64)
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            msg = f"The graph's convolution {node.name} pads in a way that only older graphs do. Train again."
            raise BundleError(msg)
        reads, pads = self._with_padding(node.input[0], tuple(attributes.get("pads", (0, 0, 0, 0))))
        name, clipped = node.output[0], False
        while not clipped and (follower := self._only_reader(name)) is not None:
            constant = self._a_value_a_channel(follower, name, len(weights))
            if follower.op_type == "Mul" and constant is not None:
                weights, bias = weights * constant[:, None, None, None], bias * constant
            elif follower.op_type == "Add" and constant is not None:
                bias = bias + constant
            elif self._is_relu6(follower):
                clipped = True
            else:
                break
            self._gone.add(id(follower))
            name = follower.output[0]
        strides = tuple(attributes.get("strides", (1, 1)))
        groups = int(attributes.get("group", 1))
        return Convolution(name, reads, weights, bias, groups, strides, pads, clipped)

    def _with_padding(self, name: str, pads: tuple[int, ...]) -> tuple[str, Any]:
        """Return what is read before a step of zero padding, and how it is padded."""
        before = self._makers.get(name)
        if before is None or before.op_type != "Pad" or any(pads) or self._only_reader(name) is None:
            return name, pads
        around = self._constants.get(before.input[1])
        filled = self._constants.get(before.input[2], np.ones(1)) if len(before.input) > 2 else np.zeros(1)
        zeros = all(helper.get_attribute_value(each) == b"constant" for each in before.attribute)
        if around is None or len(around) != 8 or around[[0, 1, 4, 5]].any() or np.any(filled) or not zeros:
            return name, pads
        self._gone.add(id(before))
        return before.input[0], tuple(int(value) for value in around[[2, 3, 6, 7]])

    def _only_reader(self, name: str) -> onnx.NodeProto | None:
        readers = self._readers[name]
        return readers[0] if len(readers) == 1 and name not in self._outputs else None

    def _a_value_a_channel(self, node: onnx.NodeProto, name: str, channels: int) -> NDArray[np.float64] | None:
        others = [each for each in node.input if each != name]
        if len(others) != 1 or others[0] not in self._constants:
            return None
        value = self._constants[others[0]].astype(np.float64)
        # Along the channels of (n, channels, height, width), or one for all.
        shape = (1,) * (4 - value.ndim) + value.shape if value.ndim <= 4 else ()
        if shape not in ((1, channels, 1, 1), (1, 1, 1, 1)):
            return None
        return np.broadcast_to(value.reshape(-1), (channels,)).astype(np.float64)

    def _is_relu6(self, node: onnx.NodeProto) -> bool:
        ends = [self._constants.get(name) for name in node.input[1:]]
        return node.op_type == "Clip" and [float(end) for end in ends if end is not None] == [0.0, RELU6]


class _Writer:
    """Writes nodes; whoever reads a tensor that has steps reads it in integers and back."""

    def __init__(self, constants: Mapping[str, NDArray[Any]], steps: Mapping[str, Steps]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: dict[str, onnx.TensorProto] = {}
        self._constants, self._steps = constants, steps
        self._stepped: dict[str, str] = {}

    def take_bytes(self, name: str, steps: Steps) -> None:
        """Write that a tensor is what the graph is given, grey bytes."""
        self._constant("bytes/axis", np.array([1], np.int64))
        self.nodes.append(helper.make_node("Unsqueeze", [_BYTES, "bytes/axis"], [f"{name}/integers"], name="bytes"))
        self._back(name, steps, gives=name)

    def copy(self, node: onnx.NodeProto) -> None:
        """Write a node as it is."""
        for name in node.input:
            if name in self._constants:
                self._constant(name, self._constants[name])
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        del copied.input[:]
        copied.input.extend(self._in_steps(name) for name in node.input)
        self.nodes.append(copied)

    def convolution(self, conv: Convolution, rounded: Rounded | None) -> None:
        """Write a convolution and its clipping."""
        reads, weights, bias = self._in_steps(conv.reads), f"{conv.name}/{_WEIGHTS}", conv.bias
        if rounded is None:
            self._constant(weights, conv.weights.astype(np.float32))
        else:
            bias = rounded.bias
            self._constant(f"{weights}/integers", rounded.integers)
            self._constant(f"{weights}/scales", rounded.scales.astype(np.float32))
            self._constant(f"{weights}/zeros", np.zeros(len(rounded.scales), np.int8))
            parts = [f"{weights}/{part}" for part in ("integers", "scales", "zeros")]
            self.nodes.append(helper.make_node("DequantizeLinear", parts, [weights], axis=0, name=weights))
        self._constant(f"{conv.name}/{_BIAS}", bias.astype(np.float32))
        gives = f"{conv.name}/unclipped" if conv.clipped else conv.name
        self.nodes.append(
            helper.make_node(
                "Conv",
                [reads, weights, f"{conv.name}/{_BIAS}"],
                [gives],
                name=f"{conv.name}/convolution",
                group=conv.groups,
                strides=conv.strides,
                pads=conv.pads,
                kernel_shape=conv.weights.shape[2:],
            )
        )
        if conv.clipped:
            self._constant("relu6/low", np.float32(0))
            self._constant("relu6/high", np.float32(RELU6))
            self.nodes.append(
                helper.make_node("Clip", [gives, "relu6/low", "relu6/high"], [conv.name], name=f"{conv.name}/relu6")
            )

    def _in_steps(self, name: str) -> str:
        """Return the name of a tensor in integers and back, made once for all who read it."""
        steps = self._steps.get(name)
        if name not in self._stepped and steps is not None:
            how = self._back(name, steps, gives=f"{name}/stepped")
            quantise = helper.make_node("QuantizeLinear", [name, *how], [f"{name}/integers"], name=f"{name}/quantise")
            self.nodes.insert(len(self.nodes) - 1, quantise)
        return self._stepped.get(name, name)

    def _back(self, name: str, steps: Steps, *, gives: str) -> list[str]:
        """Write how a tensor in integers is read, and return the names of its steps."""
        how = [f"{name}/scale", f"{name}/zero"]
        self._stepped[name] = gives
        self._constant(how[0], np.float32(steps.scale))
        self._constant(how[1], np.uint8(steps.zero))
        reads = [f"{name}/integers", *how]
        self.nodes.append(helper.make_node("DequantizeLinear", reads, [gives], name=f"{name}/dequantise"))
        return how

    def _constant(self, name: str, value: Any) -> None:
        self.initialisers[name] = numpy_helper.from_array(np.asarray(value), name)
