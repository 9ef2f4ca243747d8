"""The last layer, fitted again after fine-tuning so that each source of a finding counts alike.

Fine-tuning shows images about as often as there are of them, so the largest source of a finding decides what the
finding looks like. The last layer can put other weights on the same features: it is fitted to all training images as
they are, weighed by finding and source, and drawn towards the layer that fine-tuning left.

Source: Kirichenko, Izmailov and Wilson 2023, "Last Layer Re-Training is Sufficient for Robustness to Spurious
Correlations", arXiv:2204.02937 (with weights in place of a balanced subset, and a ridge towards the first solution).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from carina.decisions.probabilities import softmax

_STEPS = 100


def refit_last_layer(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.integer],
    shares: NDArray[np.float64],
    layer: tuple[NDArray[np.float32], NDArray[np.float32]],
    ridge: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return kernel float32 ``(embedding, findings)`` and bias ``(findings,)`` of the last layer, fitted again.

    Parameters
    ----------
    embeddings
        float32 ``(n, embedding)``: of the training images.
    labels
        int ``(n,)``: indices of findings.
    shares
        float64 ``(n,)``, sum 1: how much each image counts. Together they count as n images.
    layer
        Kernel and bias as fine-tuning left them.
    ridge
        How strongly the weights, on embeddings of mean 0 and spread 1, are drawn towards these: in units of one image's
        log-likelihood.
    """
    kernel, bias = (part.astype(np.float64) for part in layer)
    mean, spread = embeddings.mean(axis=0, dtype=np.float64), embeddings.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0)
    standard = (embeddings - mean) / scale
    logits = embeddings @ kernel + bias
    truth = np.eye(len(bias))[labels]
    weights = len(labels) * shares[:, np.newaxis]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        change = flat.reshape(-1, len(bias))
        now = logits + change[0] + standard @ change[1:]
        probabilities = softmax(now)
        of_truth = np.maximum(probabilities[np.arange(len(labels)), labels], np.finfo(np.float64).tiny)
        error = weights * (probabilities - truth)
        gradient = np.concatenate([error.sum(axis=0)[np.newaxis], standard.T @ error + ridge * change[1:]])
        value = -float(weights[:, 0] @ np.log(of_truth)) + ridge / 2 * float((change[1:] ** 2).sum())
        return value, gradient.ravel()

    start = np.zeros((embeddings.shape[1] + 1) * len(bias))
    change = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x.reshape(-1, len(bias))
    moved = change[1:] / scale[:, np.newaxis]
    return (kernel + moved).astype(np.float32), (bias + change[0] - mean @ moved).astype(np.float32)
