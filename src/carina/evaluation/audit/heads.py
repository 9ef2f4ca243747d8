"""A new head: multinomial logistic regression with L2 on standardised features, exact and deterministic.

The loss is convex, so there is one answer, and no seed, learning rate or stopping rule can be blamed for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.decisions.probabilities import softmax
from carina.errors import DataError

Floats = NDArray[np.float64]

# Of a thousand features few need less; beyond 1 little more than the mean is left.
L2_GRID = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
_GRADIENT_TOLERANCE = 1e-7
# Enough to choose a penalty by: the loss is then right to five digits.
_ROUGH_TOLERANCE = 1e-4
# The bias is not penalised; without this its Hessian would have a direction of no curvature.
_BIAS_RIDGE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear map from features to the logits of some findings."""

    # float64 ``(features, k)`` and ``(k,)``, for the features as they are.
    kernel: Floats
    bias: Floats
    l2: float  # the penalty that was chosen

    def logits(self, features: NDArray[np.floating]) -> Floats:
        """Return float64 ``(n, k)``."""
        return np.asarray(features.astype(np.float64) @ self.kernel + self.bias)

    def probabilities(self, features: NDArray[np.floating]) -> Floats:
        """Return float64 ``(n, k)``, rows sum to 1."""
        return softmax(self.logits(features))


def fit_head(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    choosing_features: NDArray[np.floating],
    choosing_labels: NDArray[np.integer],
    *,
    balanced: bool = False,
    grid: Sequence[float] = L2_GRID,
) -> Head:
    """Return the head whose penalty gives the lowest log loss on the choosing images.

    What is minimised is the mean log loss plus ``l2 / 2`` times the squared standardised kernel.

    Parameters
    ----------
    features, labels
        float ``(n, d)`` and int ``(n,)``, range [0, k), every class shown: what it is trained on.
    choosing_features, choosing_labels
        The same of other images: what the penalty is chosen on.
    balanced
        Let every class weigh the same, in training and choosing.
    grid
        Penalties to try, falling. Trying ends where the loss has risen twice.

    Raises
    ------
    DataError
        If fewer than two classes are shown, one of 0 to k - 1 is not, or there is nothing to choose on.
    """
    shown = np.unique(labels)
    if len(shown) < 2 or shown[-1] != len(shown) - 1:
        msg = f"A head needs images of two classes or more, numbered from 0. Received: {shown.tolist()}."
        raise DataError(msg)
    if not len(choosing_labels):
        msg = "A head's penalty cannot be chosen on no image. Give a calibration split with the same findings."
        raise DataError(msg)
    problem = _Problem(features, labels, _weights(labels, balanced=balanced))
    choosing = problem.rotated(choosing_features)
    choosing_weights = _weights(choosing_labels, balanced=balanced)
    best, best_loss, rises = (problem.start(), grid[0]), np.inf, 0
    at = problem.start()
    for l2 in grid:
        at = problem.solve(l2, at, tolerance=_ROUGH_TOLERANCE)
        loss = _log_loss(choosing @ at, choosing_labels, choosing_weights)
        if loss < best_loss:
            best, best_loss, rises = (at, l2), loss, 0
        else:
            rises += 1
        if rises == 2:
            break
    at, l2 = best
    return problem.head(problem.solve(l2, at), l2)


def _weights(labels: NDArray[np.integer], *, balanced: bool) -> Floats:
    if not balanced:
        return np.ones(len(labels))
    counts = np.bincount(labels)
    return np.asarray(len(labels) / (np.count_nonzero(counts) * counts[labels]))


def _log_loss(logits: Floats, labels: NDArray[np.integer], weights: Floats) -> float:
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float(weights @ (total - logits[np.arange(len(labels)), labels]) / weights.sum())


def _principal_axes(standard: Floats) -> tuple[Floats, Floats]:
    """Return the axes along which the rows vary, float64 ``(d, r)``, and the variance along each, ``(r,)``."""
    from scipy.linalg import eigh  # noqa: PLC0415  # two tenths of a second to import, and needed by audits alone

    n, d = standard.shape
    # NumPy's eigh takes twice as long: 1.3 and 0.65 s on 1,856 features and one core.
    if n >= d:
        # Any rotation gives the same answer, so the axes need to be orthogonal and no more exact than single precision.
        single = standard.astype(np.float32)
        values, vectors = eigh(single.T @ single / n, driver="evd", overwrite_a=True, check_finite=False)
        return vectors.astype(np.float64), np.maximum(values, 0).astype(np.float64)
    # The smaller product has the same eigenvalues.
    values, vectors = eigh(standard @ standard.T / n, driver="evd", overwrite_a=True, check_finite=False)
    kept = values > 1e-10 * max(float(values[-1]), 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    return standard.T @ vectors / np.sqrt(n * values), values


class _Problem:
    """Standardised features, turned onto their principal axes.

    An L2 penalty does not see a rotation, and along the axes the Hessian is nearly diagonal: once each is scaled by its
    own curvature, a handful of steps are enough instead of hundreds.
    """

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.integer], weights: Floats) -> None:
        raw = features.astype(np.float64)
        self._mean = raw.mean(axis=0)
        spread = raw.std(axis=0)
        # A feature that hardly ever varies keeps its place instead of being blown up by its one outlier.
        varying = spread[spread > 0]
        floor = 0.01 * float(np.median(varying)) if len(varying) else 1.0
        self._scale = np.maximum(spread, floor)
        standard = (raw - self._mean) / self._scale
        self._axes, self._spread = _principal_axes(standard)
        self._x = self._with_one(standard @ self._axes)
        self._weights = weights / weights.sum()
        self._labels, self._k = labels, int(labels.max()) + 1
        self._observed = np.zeros((len(labels), self._k))
        self._observed[np.arange(len(labels)), labels] = 1

    @staticmethod
    def _with_one(x: Floats) -> Floats:
        return np.concatenate([x, np.ones((len(x), 1))], axis=1)

    def start(self) -> Floats:
        return np.zeros((self._x.shape[1], self._k))

    def rotated(self, features: NDArray[np.floating]) -> Floats:
        standard = (features.astype(np.float64) - self._mean) / self._scale
        return self._with_one(standard @ self._axes)

    def head(self, at: Floats, l2: float) -> Head:
        kernel = (self._axes @ at[:-1]) / self._scale[:, None]
        return Head(kernel, at[-1] - self._mean @ kernel, l2)

    def solve(self, l2: float, start: Floats, *, tolerance: float = _GRADIENT_TOLERANCE) -> Floats:
        """Return the minimum, where no part of the scaled gradient is larger than the tolerance."""
        from scipy.optimize import minimize  # noqa: PLC0415  # as above

        ridge = np.full((self._x.shape[1], 1), l2)
        ridge[-1] = _BIAS_RIDGE
        # One over the root of the curvature where nothing is known yet: then a handful of steps are enough.
        scale = 1 / np.sqrt(np.append(self._spread, 1.0)[:, None] * (self._k - 1) / self._k**2 + ridge)

        def loss(scaled: Floats) -> tuple[float, Floats]:
            at = scale * scaled.reshape(start.shape)
            logits = self._x @ at
            gradient = self._x.T @ (self._weights[:, None] * (softmax(logits) - self._observed)) + ridge * at
            value = _log_loss(logits, self._labels, self._weights) + 0.5 * float((ridge * at**2).sum())
            return value, (scale * gradient).ravel()

        options = {"gtol": tolerance, "ftol": 0.0, "maxiter": 1000}
        found = minimize(loss, (start / scale).ravel(), jac=True, method="L-BFGS-B", options=options)
        return np.asarray(scale * found.x.reshape(start.shape))
