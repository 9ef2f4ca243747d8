"""Prediction tables: with truth drawn from the probabilities themselves, and with many ties."""

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray


def drawn_table(
    n: int, seed: int = 0, sharpness: float = 1.0, k: int = 3
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return truth drawn from probabilities, and those probabilities with their logits times a sharpness."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, k))
    truth = (logits + rng.gumbel(size=(n, k))).argmax(axis=1)
    exps = np.exp(sharpness * logits)
    return truth, exps / exps.sum(axis=1, keepdims=True)


@st.composite
def tables(draw: Any, min_size: int = 4, max_size: int = 40) -> Any:
    """Both sides present, few distinct scores so that ties are common."""
    n = draw(st.integers(min_size, max_size))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    score = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    assume(positive.any() and not positive.all())
    return positive, score
