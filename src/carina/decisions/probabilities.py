"""Logits become probabilities, and probabilities words."""

import math

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities of the same shape, each row summing to 1, in double precision.

    In single precision a confident logit saturates at exactly 1, and ties where there were none.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def decimals_shown(probability: float) -> int:
    """Return how many decimals a probability is shown with: two, or as many more as it takes not to be 0 or 1."""
    distance = min(probability, 1 - probability)
    return 2 if distance <= 0 else min(9, max(2, math.ceil(-math.log10(distance))))


def probability_in_words(probability: float) -> str:
    """Return a probability as it is shown to people, such as 0.93 or 0.9998."""
    return f"{probability:.{decimals_shown(probability)}f}"
