"""From features of radiographs and of other images to the gate: whitening, a softmax head, and where the lines are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.optimize import minimize
from scipy.sparse.linalg import eigsh

from carina.errors import DataError
from carina.radiographs.gate import RADIOGRAPH, Gate, Measures, standardised

Floats = NDArray[np.float64]
_Single = NDArray[np.float32]
_Parts = tuple[_Single, _Single, _Single, _Single, _Single, _Single]

VARIED = "varied"
"""What a harmlessly varied copy of a radiograph is called among the kinds; the gate takes it for a radiograph."""

_DIMENSIONS = 192
# With fewer radiographs a dimension than this, their covariance is mostly chance.
_RADIOGRAPHS_A_DIMENSION = 5
# Under one in so many directions are found by Lanczos' method, more by a full decomposition.
_FEW_OF = 20
# What varied copies count in the covariance beside radiographs as they are. They are varied further than radiographs
# of other hospitals are from these: counted in full, they would let tilted films and photographs of films through.
_VARIED_WEIGHT = 0.2
# Towards a sphere, so that a direction in which few radiographs happen to differ does not become a wall.
_SHRINKAGE = 0.02
# In spreads of the log odds: twice as much, since the head knows only kinds that it was shown.
_DISTANCE_COUNTS = 2.0
_RIDGE = 1e-3
_STEPS = 500
# A feature that hardly varies over radiographs would otherwise shout when anything else is shown.
_SMALLEST_SCALE = 0.1
# What in a training set is itself on its side, or inverted, must not be learned as a radiograph. Of the COVID-19
# Radiography Database's films about 2 in 1,000 are.
_LARGEST_DROPPED = 0.02
_DROPPED_UNDER = -1.0


def fit_gate(
    features: NDArray[np.float32],
    kinds: Sequence[str],
    origins: NDArray[np.int64],
    calibration: NDArray[np.float32],
    *,
    acceptance: float,
    lungs_sha256: str,
) -> tuple[Gate, int]:
    """Return the gate, and how many training radiographs were left out since they looked like another kind.

    Parameters
    ----------
    features
        float32 ``(n, features)``: of training images of all kinds.
    kinds
        What each is: "radiograph", "varied", or a key of `carina.radiographs.gate.REASONS`.
    origins
        int64 ``(n,)``: a number for the radiograph that each was made from; negative for those made from none.
    calibration
        float32 ``(m, features)``: of calibration radiographs, which nothing else was fitted to.
    acceptance
        The share of radiographs that is to be let through, 0 to 1.
    lungs_sha256
        Of the segmenter that the features come from.

    Raises
    ------
    DataError
        If there are fewer than ten training radiographs, fewer than two calibration radiographs, or no other kind.
    """
    names = (RADIOGRAPH, *sorted(set(kinds) - {RADIOGRAPH, VARIED}))
    labels = np.array([0 if kind == VARIED else names.index(kind) for kind in kinds])
    weights = np.array([{RADIOGRAPH: 1.0, VARIED: _VARIED_WEIGHT}.get(kind, 0.0) for kind in kinds])
    if (labels == 0).sum() < 10 or len(calibration) < 2 or len(names) < 2:
        msg = (
            f"The gate needs at least 10 training radiographs, 2 calibration radiographs and one kind of other image. "
            f"Received: {(labels == 0).sum()}, {len(calibration)} and {len(names) - 1}. "
            "Add radiographs, or remove the table [gate] from the recipe: nothing then asks what an image is."
        )
        raise DataError(msg)
    dropped = _misplaced(features, labels, weights, origins, len(names))
    kept = ~np.isin(origins, dropped)
    parts = _fit_parts(features[kept], labels[kept], weights[kept], len(names))
    learned = _measure(parts, features[kept & (weights == 1)])
    distance_weight = _DISTANCE_COUNTS * _spread(learned.log_odds) / max(_spread(learned.distances), 1e-9)
    measured = _measure(parts, calibration)
    strangeness = distance_weight * measured.distances - measured.log_odds
    line = choose_line(strangeness, acceptance)
    gate = Gate(
        *parts,
        kinds=names,
        distance_weight=distance_weight,
        largest_strangeness=line,
        ordinary_log_odds=float(np.quantile(measured.log_odds, 0.01)),
        acceptance=acceptance,
        reached=float(np.mean(strangeness <= line)),
        calibration_images=len(calibration),
        lungs_sha256=lungs_sha256,
    )
    return gate, int(dropped.size)


def choose_line(strangeness: Floats, acceptance: float) -> float:
    """Return the largest strangeness with which a share of new radiographs is let through.

    Of m radiographs floor((1 - acceptance) (m + 1)) - 1 are left outside, so that a new one of the same kind is let
    through with at least the stated probability. Where m is too small for any such promise, the line is drawn beyond
    the strangest one, by half of its distance to the median.

    Source: split conformal prediction, Lei et al. 2018, doi:10.1080/01621459.2017.1307116.

    Parameters
    ----------
    strangeness
        float64 ``(m,)``: of calibration radiographs.
    acceptance
        The share, 0 to 1.
    """
    strangest = np.sort(strangeness)[::-1]
    outside = int(np.floor((1 - acceptance) * (len(strangest) + 1) + 1e-9)) - 1
    if outside < 0:
        return float(strangest[0] + 0.5 * (strangest[0] - np.median(strangest)))
    if outside == 0:
        return float(strangest[0])
    # Midway, so that the last digit of another processor does not decide.
    return float((strangest[outside - 1] + strangest[outside]) / 2)


def _spread(values: Floats) -> float:
    low, high = np.percentile(values, (25, 75))
    return float(high - low)


def _measure(parts: _Parts, features: _Single) -> Measures:
    names = tuple(str(number) for number in range(parts[-1].size))
    return Gate(*parts, names, 0.0, np.inf, 0.0, 1.0, 1.0, 0, "").measure(features)


def _fit_parts(features: _Single, labels: NDArray[np.int64], weights: Floats, kinds: int) -> _Parts:
    """Return centre, scale, matrix, offset, weights and biases of a gate; see there."""
    radiographs, weights = features[weights > 0], weights[weights > 0] / weights.sum()
    mean = weights @ radiographs
    deviation = np.sqrt(weights @ np.square(radiographs - mean))
    usual = float(np.median(deviation[deviation > 0])) if (deviation > 0).any() else 1.0
    centre = np.asarray(mean, np.float32)
    scale = np.asarray(np.maximum(deviation, _SMALLEST_SCALE * usual), np.float32)
    standard = standardised(features, centre, scale)
    matrix, offset = _whitening(standard, standardised(radiographs, centre, scale), weights)
    # Two megabytes of a bundle at full width; what follows is fitted to what is left at half of it.
    matrix = matrix.astype(np.float16).astype(np.float64)
    of_kind, biases = _fit_head(standard @ matrix + offset, labels, kinds)
    return (
        centre,
        scale,
        np.ascontiguousarray(matrix, np.float32),
        np.ascontiguousarray(offset, np.float32),
        np.ascontiguousarray(of_kind, np.float32),
        np.ascontiguousarray(biases, np.float32),
    )


def _whitening(standard: _Single, radiographs: _Single, weights: Floats) -> tuple[Floats, Floats]:
    """Return what turns standardised features into dimensions in which radiographs have mean 0 and covariance 1.

    The dimensions are the main directions of all images together: those of radiographs alone would not hold the ways in
    which other images differ from them.
    """
    mean = standard.mean(axis=0, dtype=np.float64)
    size = standard.shape[1]
    dimensions = min(_DIMENSIONS, size, max(2, len(radiographs) // _RADIOGRAPHS_A_DIMENSION))
    covariance = (standard.T @ standard / len(standard)).astype(np.float64) - np.outer(mean, mean)
    if dimensions < size // _FEW_OF:
        # Tried once for 20 of 3,000 directions: 1.0 instead of 11.6 s, and the same to the fourteenth digit.
        _, directions = eigsh(covariance, k=dimensions, which="LA", v0=np.ones(size))
    else:
        _, directions = eigh(covariance, subset_by_index=[size - dimensions, size - 1])
    seen = radiographs @ directions
    middle = weights @ seen
    spread = (seen * weights[:, np.newaxis]).T @ seen - np.outer(middle, middle)
    spread = (1 - _SHRINKAGE) * spread + (_SHRINKAGE * np.trace(spread) / dimensions + 1e-9) * np.eye(dimensions)
    # With spread = L L^T, solving L y = x gives y the covariance 1.
    root = cholesky(spread, lower=True)
    return solve_triangular(root, directions.T, lower=True).T, -solve_triangular(root, middle, lower=True)


def _fit_head(whitened: Floats, labels: NDArray[np.int64], kinds: int) -> tuple[Floats, Floats]:
    """Return weights and biases of a softmax regression with a ridge; radiographs count as much as all other kinds.

    It is fitted in units of each dimension's deviation over all images, in which the ridge treats all of them alike.
    """
    # Over radiographs it is 1, but in a dimension that never varies, whose rounding errors must not become weights.
    deviation = np.maximum(whitened.std(axis=0), 0.05)
    scaled = whitened / deviation
    count, dimensions = scaled.shape
    wanted = np.array([0.5] + [0.5 / (kinds - 1)] * (kinds - 1))
    share = (wanted / np.maximum(1, np.bincount(labels, minlength=kinds)))[labels]
    rows = np.arange(count)

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights, biases = flat[: dimensions * kinds].reshape(dimensions, kinds), flat[dimensions * kinds :]
        logits = scaled @ weights + biases
        logits -= logits.max(axis=1, keepdims=True)
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        wrong = np.exp(log_probabilities)
        wrong[rows, labels] -= 1
        wrong *= share[:, np.newaxis]
        value = -float(share @ log_probabilities[rows, labels]) + _RIDGE / 2 * float((weights**2).sum())
        return value, np.concatenate([(scaled.T @ wrong + _RIDGE * weights).ravel(), wrong.sum(axis=0)])

    start = np.zeros((dimensions + 1) * kinds)
    options = {"maxiter": _STEPS, "gtol": 1e-7, "ftol": 1e-10}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    weights = found[: dimensions * kinds].reshape(dimensions, kinds) / deviation[:, np.newaxis]
    return weights, found[dimensions * kinds :]


def _misplaced(
    features: _Single, labels: NDArray[np.int64], weights: Floats, origins: NDArray[np.int64], kinds: int
) -> NDArray[np.int64]:
    """Return which origins, shown as they are, look like another kind to a gate that was fitted to other origins."""
    log_odds = np.zeros(len(labels))
    for half in (0, 1):
        others, these = origins % 2 != half, (origins % 2 == half) & (labels == 0)
        # Images made from no radiograph speak to both.
        others |= origins < 0
        if len(np.unique(labels[others])) < kinds:
            return np.zeros(0, np.int64)
        log_odds[these] = _measure(
            _fit_parts(features[others], labels[others], weights[others], kinds), features[these]
        ).log_odds
    # A radiograph's varied copies speak for it too: one that was varied too far is no reason to drop it.
    numbers = np.unique(origins[labels == 0])
    odds = np.array([np.median(log_odds[(labels == 0) & (origins == number)]) for number in numbers])
    worst = np.argsort(odds)[: int(_LARGEST_DROPPED * len(numbers))]
    return np.asarray(numbers[worst[odds[worst] < _DROPPED_UNDER]], np.int64)
