"""Weights and activations become integers: how fine the steps are, and which way each weight is rounded.

Rounding each weight to its nearest integer is the worst that one can do: what one weight loses another can give back,
where what they read goes together. Weights are rounded one after the other, and what is lost is given to those that
are still to come, as the second moments of what is read say.

Source: Frantar et al., "GPTQ", ICLR 2023, arXiv:2210.17323, after Hassibi and Stork 1992; the bias that keeps the mean:
Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, arXiv:1906.04721.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 127
# Processors without instructions for dot products of bytes multiply two neighbouring activations, up to 255, by their
# weights and add both in 16 bits with a sign, cut at 32,767: 255 x 128 fits. This is how both engines compute there.
LARGEST_PAIR = 128
_LEVELS = 255
_DAMPING = 0.01
# How much of the largest weight the steps reach: the largest may be cut so that all others are finer.
_REACHES = np.linspace(0.7, 1.0, 7)
_SHRINKS = np.linspace(0.3, 1.0, 36)


@dataclass(frozen=True, slots=True)
class Steps:
    """How a tensor's values become bytes: value = scale x (byte - zero).

    Attributes
    ----------
    scale
        Of a step.
    zero
        The byte that means exactly 0: 0 to 255.
    """

    scale: float
    zero: int

    @classmethod
    def between(cls, low: float, high: float) -> "Steps":
        """Return 255 steps that reach from one value to another, and to 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / _LEVELS or 1.0
        return cls(scale, int(np.clip(round(-low / scale), 0, _LEVELS)))

    def round(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what the values become."""
        return np.asarray(
            (np.clip(np.round(values / self.scale) + self.zero, 0, _LEVELS) - self.zero) * self.scale, np.float64
        )


@dataclass(frozen=True, slots=True)
class Rounded:
    """A convolution's weights as integers: weight = scale x integer.

    Attributes
    ----------
    integers
        int8, as the weights.
    scales
        float64, one for each output channel.
    bias
        float64, with what keeps the mean of each output channel.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float64]
    bias: NDArray[np.float64]


def choose_steps(values: NDArray[np.floating], low: float, high: float) -> Steps:
    """Return the steps that change values the least, squared: a few large ones may be cut so that the rest is finer.

    Parameters
    ----------
    values
        Some of what the tensor holds, in any shape.
    low, high
        The smallest and the largest of all that it was seen to hold.
    """
    tried = [Steps.between(low * shrink, high * shrink) for shrink in _SHRINKS]
    return min(tried, key=lambda steps: float(((steps.round(values) - values) ** 2).mean()))


class Moments:
    """What rounding needs to know of what a convolution reads: first and second moments, before and after its steps.

    Parameters
    ----------
    filters, taps
        How many filters read something of their own (the channels of a depthwise convolution, else 1), and how many
        values each reads at a place.
    """

    def __init__(self, filters: int, taps: int) -> None:
        self._count = 0
        self._read, self._stepped = np.zeros((filters, taps)), np.zeros((filters, taps))
        self._both, self._cross = np.zeros((filters, taps, taps)), np.zeros((filters, taps, taps))

    def add(self, read: NDArray[np.floating], steps: Steps) -> None:
        """Add what was read at some places: float ``(filters, places, taps)``."""
        read = read.astype(np.float64)
        stepped = steps.round(read)
        self._count += read.shape[1]
        self._read += read.sum(axis=1)
        self._stepped += stepped.sum(axis=1)
        self._both += stepped.transpose(0, 2, 1) @ stepped
        self._cross += read.transpose(0, 2, 1) @ stepped

    def round_weights(self, weights: NDArray[np.float64], bias: NDArray[np.float64], *, pairs: bool) -> Rounded:
        """Return weights as integers.

        Parameters
        ----------
        weights, bias
            float64 ``(out, …)`` and ``(out,)``. Of one filter that all read, ``out`` rows share its moments.
        pairs
            Whether neighbouring weights must stay within `LARGEST_PAIR` together.
        """
        rows = weights.reshape(len(weights), -1)
        read, stepped = self._read / self._count, self._stepped / self._count
        both = self._both / self._count - stepped[:, :, None] * stepped[:, None, :]
        cross = self._cross / self._count - read[:, :, None] * stepped[:, None, :]
        taps = np.arange(both.shape[1])
        damping = _DAMPING * np.einsum("fii->f", both) / len(taps) + 1e-12
        both[:, taps, taps] += damping[:, None]
        cross[:, taps, taps] += damping[:, None]
        # The weights that would do best with what is read after its steps.
        best = (rows[:, None] @ (cross @ np.linalg.inv(both)))[:, 0]
        integers, scales = _round_in_turn(best, both, pairs=pairs)
        lost = rows * read - integers * scales[:, None] * stepped
        return Rounded(integers.reshape(weights.shape), scales, bias + lost.sum(axis=1))


def _round_in_turn(
    weights: NDArray[np.float64], moments: NDArray[np.float64], *, pairs: bool
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return integers ``(out, taps)`` and scales ``(out,)``; moments are ``(1 or out, taps, taps)``."""
    scales = _choose_scales(weights, np.einsum("fii->fi", moments), pairs=pairs)
    # Rows of the upper Cholesky factor of the inverse say what the weights to come can give back.
    factors = np.swapaxes(np.linalg.cholesky(np.linalg.inv(moments)), 1, 2)
    left, integers = weights.copy(), np.zeros_like(weights)
    for tap in range(weights.shape[1]):
        room = LARGEST - np.zeros(len(weights))
        if pairs and tap % 2:
            room = np.minimum(room, LARGEST_PAIR - np.abs(integers[:, tap - 1]))
        integers[:, tap] = np.clip(np.round(left[:, tap] / scales), -room, room)
        lost = (left[:, tap] - integers[:, tap] * scales) / factors[:, tap, tap]
        left[:, tap + 1 :] -= lost[:, None] * factors[:, tap, tap + 1 :]
    return integers.astype(np.int8), scales


def _choose_scales(weights: NDArray[np.float64], squares: NDArray[np.float64], *, pairs: bool) -> NDArray[np.float64]:
    """Return the scale of each row that loses the least; squares are mean squares of what is read."""
    sizes = np.abs(weights)
    full = sizes.max(axis=1) / LARGEST
    if pairs:
        padded = np.pad(sizes, ((0, 0), (0, sizes.shape[1] % 2)))
        full = np.maximum(full, padded.reshape(len(sizes), -1, 2).sum(axis=2).max(axis=1) / LARGEST_PAIR)
    full = np.maximum(full, 1e-12)
    tried = full * _REACHES[:, None]
    lost = []
    for scales in tried:
        integers = np.clip(np.round(weights / scales[:, None]), -LARGEST, LARGEST)
        if pairs:
            odd = integers[:, 1::2]
            room = LARGEST_PAIR - np.abs(integers[:, : 2 * odd.shape[1] : 2])
            integers[:, 1::2] = np.clip(odd, -room, room)
        lost.append(((integers * scales[:, None] - weights) ** 2 * squares).sum(axis=1))
    best = np.argmin(lost, axis=0)
    return np.asarray(tried[best, np.arange(len(weights))], np.float64)
