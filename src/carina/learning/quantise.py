"""A classifier's graph becomes its twin in 8-bit integers: fewer bytes to move, and four times as many in a register.

Decisions are to stay as they are, which eight bits allow in some layers and not in others. So this is done:

1. Batch norm and padding are folded into the convolutions (`carina.learning.folding`).
2. Channels of one tensor are brought to one range, which the next convolution's weights undo exactly: one step for the
   tensor is then right for all of them (cross-layer equalisation, Nagel et al. 2019, arXiv:1906.04721).
3. Each convolution's weights are rounded so that what it gives changes least on training images
   (`carina.learning.rounding`), and what each does to the logits is measured, alone.
4. Convolutions are taken in, those first that save much and change little, as long as decisions on other training
   images hardly change. All others, the head, and what explains it stay in floating point.

Weights have a scale for each output channel, activations one for each tensor. Only 1 x 1 and depthwise convolutions are
taken in: that is all of MobileNetV2 but the first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray

from carina.decisions.policy import Policy
from carina.decisions.triage import decide
from carina.engine import load_engine
from carina.learning.folding import RELU6, Convolution, FoldedGraph
from carina.learning.rounding import Moments, Rounded, Steps, choose_steps
from carina.progress import Progress, no_progress

METHOD = (
    "static, weights 8 bits a channel, activations 8 bits a tensor; equalised channels, weights rounded in turn with what "
    "they lose given on, means kept; the most sensitive convolutions in float32"
)
_BATCH = 16
# Places of each image that rounding looks at, in each tensor.
_PLACES = 64
# Channels are made at most this much larger: what was hardly ever seen to be active says little of how large it gets.
_MOST_SCALED = 64.0
# What moving a value costs, in multiply-adds: measured for MobileNetV2 at 160 pixels, where depthwise convolutions take
# ten times as long as their arithmetic.
_MULTIPLY_ADDS_A_VALUE = 32
# Images that each convolution's own error is measured on.
_PROBED = 192
_DRAWS = 20

Frames = NDArray[np.uint8]
ToTensor = Callable[[Frames], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Quantised:
    """A graph in integers.

    Attributes
    ----------
    content
        The ONNX file; none where no convolution may be taken in.
    convolutions, in_integers
        How many the graph has, and how many of them compute in integers.
    errors
        Of each convolution that was tried, by the tensor that it gives: what it alone changes of the logits, as the
        root of the mean square.
    expected_change
        The share of decisions that is expected to change, from training images that nothing was rounded on.
    """

    content: bytes | None
    convolutions: int
    in_integers: int
    errors: Mapping[str, float]
    expected_change: float


def quantise(
    graph: Path,
    to_tensor: ToTensor,
    round_on: Frames,
    choose_on: Frames,
    policy: Policy,
    *,
    most_changed: float,
    progress: Progress = no_progress,
) -> Quantised:
    """Return the twin of a classifier's graph in 8-bit integers, with the same input and outputs.

    Parameters
    ----------
    graph
        As `carina.learning.export` wrote it.
    to_tensor
        From what the network is shown to its tensor.
    round_on, choose_on
        What the network is shown of training images, uint8 ``(n, size, size)``: some hundred to round on, and some
        hundred others to choose on.
    policy
        From logits to decisions.
    most_changed
        The share of decisions that may be expected to change.
    progress
        Told how many convolutions are done.

    Raises
    ------
    BundleError
        If the graph cannot be read as one of ours.
    """
    folded = FoldedGraph(onnx.load(graph))
    with TemporaryDirectory(prefix="carina-int8-") as folder:
        trial = _Trial(folded, Path(folder) / "trial.onnx", to_tensor)
        candidates = [each for each in folded.convolutions if _can_be_rounded(each, folded)]
        seen = _observe(trial, candidates, round_on)
        _equalise(folded, seen)
        steps = _choose_all_steps(trial, candidates, round_on)
        rounded = _round_all(trial, candidates, steps, round_on)
        errors, reference = {}, trial.logits(choose_on)
        for done, conv in enumerate(candidates, start=1):
            few = trial.logits(choose_on[:_PROBED], {conv.name: rounded[conv.name]}, steps)
            errors[conv.name] = float(np.sqrt(((few - reference[:_PROBED]) ** 2).mean()))
            progress(done, len(candidates))
        order = sorted(candidates, key=lambda conv: errors[conv.name] ** 2 / _work(conv, seen))
        chosen, change = [], 0.0
        # The longest beginning of the order that is allowed, found by halving.
        fits, too_long = 0, len(order) + 1
        while too_long - fits > 1:
            tried = len(order) if too_long > len(order) else (fits + too_long) // 2
            names = [conv.name for conv in order[:tried]]
            logits = trial.logits(choose_on, {name: rounded[name] for name in names}, steps)
            expected = expected_change(policy, reference, logits - reference)
            if expected <= most_changed:
                fits, chosen, change = tried, names, expected
            else:
                too_long = tried
        content = None
        if chosen:
            trial.write({name: rounded[name] for name in chosen}, steps)
            content = trial.path.read_bytes()
    return Quantised(content, len(folded.convolutions), len(chosen), errors, change)


def expected_change(
    policy: Policy, logits: NDArray[np.floating], errors: NDArray[np.floating], *, draws: int = _DRAWS, seed: int = 0
) -> float:
    """Return the share of decisions that errors of the logits change, whichever image each error falls on.

    Errors drawn for each image from those of all are a steadier estimate than each image's own, since few images lie
    at a threshold.

    Parameters
    ----------
    policy
        From logits to decisions.
    logits, errors
        float ``(n, findings)``.
    draws
        How often each image gets an error.
    seed
        Of the draws.
    """
    rng = np.random.default_rng(seed)
    before, changed = decide(policy.probabilities(logits), policy), 0
    for _ in range(draws):
        after = decide(policy.probabilities(logits + errors[rng.integers(len(errors), size=len(logits))]), policy)
        changed += sum(one != other for one, other in zip(before, after, strict=True))
    return changed / (draws * len(logits))


class _Trial:
    """A graph that is written with these or those convolutions in integers, and run."""

    def __init__(self, folded: FoldedGraph, path: Path, to_tensor: ToTensor) -> None:
        self.folded, self.path, self._to_tensor = folded, path, to_tensor

    def write(self, rounded: Mapping[str, Rounded], steps: Mapping[str, Steps]) -> None:
        self.folded.write(self.path, rounded=rounded, steps=steps)

    def logits(
        self,
        frames: Frames,
        rounded: Mapping[str, Rounded] | None = None,
        steps: Mapping[str, Steps] | None = None,
    ) -> NDArray[np.float32]:
        self.write(rounded or {}, steps or {})
        return np.concatenate([outputs["logits"] for outputs in self._run(frames)])

    def look_inside(self, names: Sequence[str], frames: Frames) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """Yield tensors inside the graph, a batch at a time: float32 ``(n, channels, height, width)``."""
        self.folded.write(self.path, taps=names)
        for outputs in self._run(frames):
            yield {name: outputs[name] for name in names}

    def _run(self, frames: Frames) -> Iterable[Mapping[str, NDArray[np.float32]]]:
        starts = range(0, len(frames), _BATCH)
        return load_engine(self.path).stream(self._to_tensor(frames[start : start + _BATCH]) for start in starts)


@dataclass(slots=True)
class _Seen:
    """The smallest and largest value of each channel of a tensor, and its height and width."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    shape: tuple[int, int]


def _can_be_rounded(conv: Convolution, folded: FoldedGraph) -> bool:
    inside = {name for _, names in folded.groups() for name in names} | {each.name for each in folded.convolutions}
    return (conv.pointwise or conv.depthwise) and conv.reads in inside


def _read_by(candidates: Iterable[Convolution]) -> list[str]:
    return list(dict.fromkeys(conv.reads for conv in candidates))


def _observe(trial: _Trial, candidates: Sequence[Convolution], frames: Frames) -> dict[str, _Seen]:
    seen: dict[str, _Seen] = {}
    for tensors in trial.look_inside(_read_by(candidates), frames):
        for name, values in tensors.items():
            low, high = (end(values, axis=(0, 2, 3)).astype(np.float64) for end in (np.min, np.max))
            if name in seen:
                low, high = np.minimum(low, seen[name].low), np.maximum(high, seen[name].high)
            seen[name] = _Seen(low, high, (values.shape[2], values.shape[3]))
    return seen


def _equalise(folded: FoldedGraph, seen: Mapping[str, _Seen]) -> None:
    """Bring the channels of each tensor that is read in steps to one range; what the graph gives stays the same.

    Except where a channel clipped at 6 grows beyond all that was seen of it: it is then clipped there.
    """
    for makers, names in folded.groups():
        ranges = [np.maximum(seen[name].high, -seen[name].low) for name in names if name in seen]
        if not ranges:
            continue
        largest = np.max(ranges, axis=0)
        whole = RELU6 if makers[0].clipped else float(largest.max())
        factors = np.where(largest > whole / _MOST_SCALED, whole / np.maximum(largest, 1e-12), 1.0)
        for maker in makers:
            maker.scale_output(factors)
        for reader in (each for name in names for each in folded.readers_of(name)):
            reader.undo_scaled_input(factors)


def _choose_all_steps(trial: _Trial, candidates: Sequence[Convolution], frames: Frames) -> dict[str, Steps]:
    """Return the steps of every tensor that a candidate reads."""
    rng = np.random.default_rng(0)
    clipped = {conv.name for conv in trial.folded.convolutions if conv.clipped}
    names = [name for name in _read_by(candidates) if name not in clipped]
    some: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    ends = {name: [0.0, 0.0] for name in names}
    for tensors in trial.look_inside(names, frames) if names else ():
        for name, values in tensors.items():
            ends[name] = [min(ends[name][0], float(values.min())), max(ends[name][1], float(values.max()))]
            some[name].append(rng.choice(values.ravel(), _BATCH * _PLACES))
    steps = {name: choose_steps(np.concatenate(some[name]), *ends[name]) for name in names}
    return steps | {name: Steps.between(0.0, RELU6) for name in _read_by(candidates) if name in clipped}


def _round_all(
    trial: _Trial, candidates: Sequence[Convolution], steps: Mapping[str, Steps], frames: Frames
) -> dict[str, Rounded]:
    rng = np.random.default_rng(1)
    moments = {
        conv.name: Moments(len(conv.weights) if conv.depthwise else 1, conv.weights[0].size) for conv in candidates
    }
    for tensors in trial.look_inside(_read_by(candidates), frames):
        for conv in candidates:
            moments[conv.name].add(_places(conv, tensors[conv.reads], rng), steps[conv.reads])
    return {
        conv.name: moments[conv.name].round_weights(conv.weights, conv.bias, pairs=conv.pointwise)
        for conv in candidates
    }


def _places(conv: Convolution, values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return what a convolution reads at some places: float32 ``(filters, places, taps)``."""
    top, left, bottom, right = conv.pads
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, conv.weights.shape[2:], axis=(2, 3))  # type: ignore[call-overload]
    windows = windows[:, :, :: conv.strides[0], :: conv.strides[1]]
    images, channels, rows, columns = windows.shape[:4]
    count = images * min(_PLACES, rows * columns)
    which = np.unravel_index(rng.choice(images * rows * columns, count, replace=False), (images, rows, columns))
    read = windows[which[0], :, which[1], which[2]].reshape(count, channels, -1)
    return read.transpose(1, 0, 2) if conv.depthwise else read.reshape(1, count, -1)


def _work(conv: Convolution, seen: Mapping[str, _Seen]) -> float:
    """Return about how long a convolution takes in floating point, in multiply-adds."""
    rows, columns = seen[conv.reads].shape
    cells = -(-rows // conv.strides[0]) * -(-columns // conv.strides[1])
    read = rows * columns * conv.weights.shape[1] * conv.groups
    return float(cells * conv.weights.size + _MULTIPLY_ADDS_A_VALUE * (read + cells * len(conv.weights)))
