"""A classifier's graph becomes its twin in 8-bit integers: fewer bytes to move, and four times as many in a register.

Static quantisation after training: weights have a scale for each output channel, activations one for each tensor. Every
convolution and every sum computes in integers, and the graph takes grey bytes, so that its answers do not depend on the
processor. The head, and what explains it, stay in floating point.

1. Batch norm and padding are folded into the convolutions (`carina.learning.export.folding`).
2. Channels of one tensor are brought to one range, which the next convolution's weights undo exactly: one step for the
   tensor is then right for all of them (cross-layer equalisation, Nagel et al. 2019, arXiv:1906.04721).
3. Each convolution's weights are rounded so that what it gives changes least on training images
   (`carina.learning.export.rounding`).

ONNX Runtime's own quantiser was measured beside it (`benchmarks/precisions.py`). Its 8-bit weights overflow on
processors with AVX2 and without a dot product of bytes, which then answer otherwise; 7 bits cost what thresholds of
their own do not give back. Rounding in turn is what makes weights good that cannot overflow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.learning.export.folding import RELU6, Convolution, FoldedGraph
from carina.learning.export.rounding import Moments, Rounded, Steps, choose_steps
from carina.progress import Progress, no_progress
from carina.radiographs.preprocess import scale_and_offset
from carina.runtime.engine import load_engine

METHOD = (
    "static, after training: weights 8 bits with a scale a channel, activations 8 bits with a scale a tensor; channels "
    "equalised, weights rounded in turn with what they lose given on, means kept; head in float32"
)
_BATCH = 16
# Places of each image that rounding looks at, in each tensor.
_PLACES = 64
# Channels are made at most this much larger: what was hardly ever seen to be active says little of how large it gets.
_MOST_SCALED = 64.0
# How often every image is looked at: for ranges, for steps, for weights.
_LOOKS = 3

Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Quantised:
    """A classifier's graph, and the integers that its convolutions can compute in.

    Attributes
    ----------
    folded
        The graph.
    rounded
        Integers by the name of the convolution, in the order in which they are computed.
    steps
        Those of every map between the convolutions, and of the bytes that the graph takes.
    """

    folded: FoldedGraph
    rounded: Mapping[str, Rounded]
    steps: Mapping[str, Steps]

    def write(self, path: Path) -> None:
        """Write the twin: it takes bytes, uint8 ``(n, size, size)``, and has the classifier's outputs."""
        self.folded.write(path, rounded=self.rounded, steps=self.steps)


def quantise(graph: Path, pixel_range: str, frames: Frames, *, progress: Progress = no_progress) -> Quantised:
    """Return the integers that a classifier is to compute in.

    Parameters
    ----------
    graph
        As `carina.learning.export.onnx_export` wrote it.
    pixel_range
        Of its tensor; see `carina.radiographs.preprocess.Preprocessing`.
    frames
        What the network is shown of training images, uint8 ``(n, size, size)``; some hundred are enough.
    progress
        Told how many batches of images were looked at.

    Raises
    ------
    BundleError
        If the graph cannot be read as one of ours.
    """
    folded = FoldedGraph(onnx.load(graph))
    folded.read_bytes(*scale_and_offset(pixel_range))
    candidates = [each for each in folded.convolutions if each.groups == 1 or each.depthwise]
    if not candidates:
        msg = f"{graph} has no convolution that can compute in integers. Export without --int8."
        raise BundleError(msg)
    with TemporaryDirectory(prefix="carina-int8-") as folder:
        inside = _Inside(folded, Path(folder) / "folded.onnx", frames, progress)
        _equalise(folded, _observe(inside, candidates))
        steps = _choose_all_steps(inside)
        return Quantised(folded, _round_all(inside, candidates, steps), steps)


class _Inside:
    """What a graph computes on its way, on training images."""

    def __init__(self, folded: FoldedGraph, path: Path, frames: Frames, progress: Progress) -> None:
        self.folded, self._path, self._frames = folded, path, frames
        self._done, self._progress = 0, progress

    def look(self, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """Yield tensors, a batch at a time: float32 ``(n, channels, height, width)``."""
        self.folded.write(self._path, taps=names)
        starts = range(0, len(self._frames), _BATCH)
        batches = (self._frames[start : start + _BATCH] for start in starts)
        for outputs in load_engine(self._path).stream(batches):
            self._done += 1
            self._progress(self._done, _LOOKS * len(starts))
            yield {name: outputs[name] for name in names}


def _read_by(candidates: Iterable[Convolution]) -> list[str]:
    return list(dict.fromkeys(conv.reads for conv in candidates))


def _observe(inside: _Inside, candidates: Sequence[Convolution]) -> dict[str, NDArray[np.float64]]:
    """Return the largest size of each channel of what the candidates read."""
    largest: dict[str, NDArray[np.float64]] = {}
    for tensors in inside.look(_read_by(candidates)):
        for name, values in tensors.items():
            sizes = np.abs(values).max(axis=(0, 2, 3)).astype(np.float64)
            largest[name] = np.maximum(sizes, largest[name]) if name in largest else sizes
    return largest


def _equalise(folded: FoldedGraph, seen: Mapping[str, NDArray[np.float64]]) -> None:
    """Bring the channels of each tensor that is read in steps to one range; what the graph gives stays the same.

    Except where a channel clipped at 6 grows beyond all that was seen of it: it is then clipped there.
    """
    for makers, names in folded.groups():
        ranges = [seen[name] for name in names if name in seen]
        if not ranges:
            continue
        largest = np.max(ranges, axis=0)
        whole = RELU6 if makers[0].clipped else float(largest.max())
        factors = np.where(largest > whole / _MOST_SCALED, whole / np.maximum(largest, 1e-12), 1.0)
        for maker in makers:
            maker.scale_output(factors)
        for reader in (each for name in names for each in folded.readers_of(name)):
            reader.undo_scaled_input(factors)


def _choose_all_steps(inside: _Inside) -> dict[str, Steps]:
    """Return the steps of every map between the convolutions, and of the bytes that the graph takes."""
    rng = np.random.default_rng(0)
    names = inside.folded.tensors()
    some: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    ends = {name: [0.0, 0.0] for name in names}
    for tensors in inside.look(names):
        for name, values in tensors.items():
            ends[name] = [min(ends[name][0], float(values.min())), max(ends[name][1], float(values.max()))]
            some[name].append(rng.choice(values.ravel(), _BATCH * _PLACES))
    found = {name: choose_steps(np.concatenate(some[name]), *ends[name]) for name in names}
    return found | dict([inside.folded.bytes_read] if inside.folded.bytes_read else [])


def _round_all(inside: _Inside, candidates: Sequence[Convolution], steps: Mapping[str, Steps]) -> dict[str, Rounded]:
    rng = np.random.default_rng(1)
    moments = {
        conv.name: Moments(len(conv.weights) if conv.depthwise else 1, conv.weights[0].size) for conv in candidates
    }
    for tensors in inside.look(_read_by(candidates)):
        for conv in candidates:
            moments[conv.name].add(_places(conv, tensors[conv.reads], rng), steps[conv.reads])
    return {
        conv.name: moments[conv.name].round_weights(conv.weights, conv.bias, pairs=conv.groups == 1)
        for conv in candidates
    }


def _places(conv: Convolution, values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return what a convolution reads at some places: float32 ``(filters, places, taps)``."""
    top, left, bottom, right = conv.pads
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, conv.weights.shape[2:], axis=(2, 3))
    windows = windows[:, :, :: conv.strides[0], :: conv.strides[1]]
    images, channels, rows, columns = windows.shape[:4]
    count = images * min(_PLACES, rows * columns)
    which = np.unravel_index(rng.choice(images * rows * columns, count, replace=False), (images, rows, columns))
    read = windows[which[0], :, which[1], which[2]].reshape(count, channels, -1)
    return read.transpose(1, 0, 2) if conv.depthwise else read.reshape(1, count, -1)
