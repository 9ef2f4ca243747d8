"""Prediction tables whose truth is drawn from the probabilities themselves."""

import numpy as np


def drawn_table(n, seed=0, sharpness=1.0, k=3):
    """Return truth drawn from probabilities, and those probabilities with their logits times a sharpness."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, k))
    truth = (logits + rng.gumbel(size=(n, k))).argmax(axis=1)
    exps = np.exp(sharpness * logits)
    return truth, exps / exps.sum(axis=1, keepdims=True)
