"""Prediction tables: with truth drawn from the probabilities themselves, and with many ties."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st


def drawn_table(n, seed=0, sharpness=1.0, k=3):
    """Return truth drawn from probabilities, and those probabilities with their logits times a sharpness."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, k))
    truth = (logits + rng.gumbel(size=(n, k))).argmax(axis=1)
    exps = np.exp(sharpness * logits)
    return truth, exps / exps.sum(axis=1, keepdims=True)


@st.composite
def tables(draw, min_size=4, max_size=40):
    """Both sides present, few distinct scores so that ties are common."""
    n = draw(st.integers(min_size, max_size))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    score = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    assume(positive.any() and not positive.all())
    return positive, score
