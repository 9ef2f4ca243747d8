"""The gate: may this image be judged at all, and if not, why.

It refuses what is blank or noise, what looks like a radiograph turned, inverted, cropped, blurred or put among others,
what looks like something else, and what is unlike the radiographs that it was fitted to. Everything but two plain
checks is read from ``features``, which the search for lungs leaves behind, so it costs next to nothing.

A radiograph mirrored left to right is let through: such films exist, and without a marker nobody can tell them from a
heart on the other side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.radiographs.lung_mask import Lungs
from carina.runtime.blas_threads import on_one_thread
from carina.storage.arrays import read_arrays, write_arrays

RADIOGRAPH = "radiograph"
BLANK = "blank"
NOISE = "noise"
OTHER = "other"

# What is said of each kind of image that is refused.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "clockwise": "it looks rotated by 90° clockwise",
        "counterclockwise": "it looks rotated by 90° counter-clockwise",
        "upside-down": "it looks upside down",
        "inverted": "it looks inverted, black for white",
        "cropped": "it looks cropped to a part of the chest",
        BLANK: "it is blank or nearly so",
        NOISE: "it looks like noise",
        "blurred": "it is blurred",
        "several": "it looks like several radiographs in one image",
        "embedded": "it does not look like a frontal chest radiograph that fills the image",
        "sideways": "it looks like a side view",
        OTHER: "it does not look like a frontal chest radiograph",
    }
)
UNFAMILIAR = "it is unlike the radiographs that the gate was fitted to"
NO_LUNGS = "no two lungs were found in it"
NO_GATE = (
    "No gate looked at this image, because the model has none. It may be something else than an upright frontal chest "
    "radiograph."
)

# Grey levels between the 2nd and the 98th percentile: at least 50 in 14,541 radiographs of four collections.
_SMALLEST_SPREAD = 20
# Correlation of neighbouring pixels at 224 × 224: at least 0.89 there, about 0 in noise.
_SMALLEST_CORRELATION = 0.5
# Standard deviations at which a feature is cut off, so that one that runs wild does not decide alone.
_CUT = 3.0
# Where no kind is more probable than all others together, naming one would be a guess.
_NAMED_FROM = 0.5
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one image.

    Attributes
    ----------
    reasons, kind
        Why it must not be judged (clauses that can follow "because"; none if it may be judged), and what it most looks
        like: "radiograph" or a key of `REASONS`.
    strangeness
        What is compared with the gate's line: grows with the distance, and falls with the log odds.
    log_odds
        Natural logarithm of the odds that it is a radiograph to be judged and none of the other kinds, were these
        together as frequent. No probability: kinds that nobody thought of are not in it.
    distance
        From the radiographs that the gate was fitted to, in standard deviations; 1 is usual.
    """

    reasons: tuple[str, ...]
    kind: str
    strangeness: float
    log_odds: float
    distance: float

    @property
    def accepted(self) -> bool:
        """Return whether the image may be judged."""
        return not self.reasons

    @property
    def refused(self) -> str | None:
        """Return all reasons in one clause, or none where the image may be judged."""
        return ", and ".join(self.reasons) or None


class Measures(NamedTuple):
    """What the features of images say.

    Attributes
    ----------
    strangeness, log_odds, distances
        float64 ``(n,)``; see `Verdict`.
    shares
        float64 ``(n, kinds - 1)``: how probable each other kind is if it is no radiograph; they sum to 1.
    """

    strangeness: NDArray[np.float64]
    log_odds: NDArray[np.float64]
    distances: NDArray[np.float64]
    shares: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """Statistics of the radiographs that may be judged, and where they end.

    Attributes
    ----------
    centre, scale
        float32 ``(features,)``: features less `centre`, in units of `scale`, and cut off at ±3, are what is measured.
    matrix, offset
        float32 ``(features, k)`` and ``(k,)``: these times `matrix` plus `offset` have mean 0 and covariance 1 over
        radiographs.
    weights, biases
        float32 ``(k, kinds)`` and ``(kinds,)``: from there to a logit a kind.
    kinds
        Their names, "radiograph" first; the others are keys of `REASONS`.
    distance_weight
        How many natural units of log odds a unit of distance is worth.
    largest_strangeness
        At or below it an image is let through.
    ordinary_log_odds
        At or above it an image that is refused is called unlike radiographs rather than any other kind.
    acceptance, reached, calibration_images
        The share of radiographs that was to be let through when the line was drawn, that of the calibration radiographs
        that it lets through, and how many these were.
    lungs_sha256
        Of the segmenter whose features these are.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    kinds: tuple[str, ...]
    distance_weight: float
    largest_strangeness: float
    ordinary_log_odds: float
    acceptance: float
    reached: float
    calibration_images: int
    lungs_sha256: str

    def judge(
        self, features: NDArray[np.float32], wholes: Sequence[NDArray[np.uint8]], lungs: Sequence[Lungs | None]
    ) -> list[Verdict]:
        """Return a verdict on each image, in order.

        Parameters
        ----------
        features
            float32 ``(n, features)``, as the segmenter gives them for the images.
        wholes
            The images: uint8 ``(height, width)`` each, range [0, 255].
        lungs
            Where their lungs are; an image without two is refused.
        """
        if not wholes:
            return []
        with on_one_thread():
            measured = self.measure(features)
        return [
            self._verdict(measured, place, plain_problem(whole), found)
            for place, (whole, found) in enumerate(zip(wholes, lungs, strict=True))
        ]

    def measure(self, features: NDArray[np.float32]) -> Measures:
        """Return what the features of images say, without the line that is drawn by it.

        The distance is Mahalanobis', divided by the square root of the number of dimensions.

        Source: Lee et al. 2018, arXiv:1807.03888; here one Gaussian for all radiographs.
        """
        standard = standardised(features, self.centre, self.scale)
        whitened = standard @ self.matrix + self.offset
        distances = np.sqrt(np.mean(np.square(whitened, dtype=np.float64), axis=1))
        logits = (whitened @ self.weights + self.biases).astype(np.float64)
        largest = logits[:, 1:].max(axis=1, keepdims=True)
        exponentials = np.exp(logits[:, 1:] - largest)
        total = exponentials.sum(axis=1, keepdims=True)
        log_odds = logits[:, 0] - (largest + np.log(total))[:, 0]
        strangeness = self.distance_weight * distances - log_odds
        # Cut off, an infinite feature would be a large one.
        strangeness[~np.isfinite(features).all(axis=1)] = np.nan
        return Measures(strangeness, log_odds, distances, exponentials / total)

    def _verdict(self, measured: Measures, place: int, plain: str | None, lungs: Lungs | None) -> Verdict:
        strangeness, log_odds, distance = (float(part[place]) for part in measured[:3])
        most = int(measured.shares[place].argmax())
        kind = RADIOGRAPH if log_odds >= 0 else self.kinds[1 + most]
        reasons: list[str] = []
        if plain is not None:
            kind, reasons = plain, [REASONS[plain]]
        # False for what is no number: such an image is refused.
        elif not strangeness <= self.largest_strangeness:
            named = self.kinds[1 + most] if measured.shares[place, most] >= _NAMED_FROM else OTHER
            # What still looks more like a radiograph than not is not said to be something else.
            far_enough = log_odds < (0 if named == OTHER else self.ordinary_log_odds)
            reasons = [REASONS[named] if far_enough else UNFAMILIAR]
        if lungs is None and plain is None:
            reasons.append(NO_LUNGS)
        return Verdict(tuple(reasons), kind, strangeness, log_odds, distance)


def standardised(
    features: NDArray[np.float32], centre: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return features less their centre, in units of their scale, cut off at ±3: float32 ``(n, features)``."""
    return np.asarray(np.clip((features - centre) / scale, -_CUT, _CUT), np.float32)


def plain_problem(whole: NDArray[np.uint8]) -> str | None:
    """Return "blank" or "noise" where uint8 ``(height, width)`` is so by plain measures, whatever the features say."""
    counts = np.cumsum(cv2.calcHist([whole], [0], None, [256], [0, 256]))
    low, high = np.searchsorted(counts, counts[-1] * np.array([0.02, 0.98]))
    if high - low < _SMALLEST_SPREAD:
        return BLANK
    variance = float(cv2.meanStdDev(whole)[1][0, 0]) ** 2
    across, down = (
        cv2.norm(one, other, cv2.NORM_L2SQR) / one.size
        for one, other in ((whole[:, 1:], whole[:, :-1]), (whole[1:], whole[:-1]))
    )
    # Half the mean squared difference of neighbours is the variance times 1 - correlation.
    return NOISE if max(across, down) / 2 > (1 - _SMALLEST_CORRELATION) * variance else None


def write_gate(path: Path, gate: Gate) -> None:
    """Write a gate as named arrays; a matrix that fits into 16-bit floats without loss takes half of the room."""
    content: dict[str, Any] = {name: getattr(gate, name) for name in _NAMES}
    with np.errstate(over="ignore"):
        narrow = gate.matrix.astype(np.float16)
    if np.array_equal(narrow.astype(np.float32), gate.matrix):
        content["matrix"] = narrow
    write_arrays(path, content | {"kinds": np.array(gate.kinds), "version": _VERSION})


def read_gate(path: Path) -> Gate:
    """Return the gate in a file.

    Raises
    ------
    BundleError
        If it is missing or damaged, or made by another version of Carina.
    """
    if not path.is_file():
        msg = f"{path} is missing. Train or export the model again."
        raise BundleError(msg)
    arrays = read_arrays(path)
    if set(arrays) != {*_NAMES, "version"} or arrays["version"].tolist() != _VERSION:
        msg = f"{path} is no gate that this version of Carina knows. Train or export the model again."
        raise BundleError(msg)
    try:
        content: dict[str, Any] = {
            name: np.asarray(arrays[name], np.float32) if name in _ARRAYS else arrays[name].tolist() for name in _NAMES
        }
        gate = Gate(**content | {"kinds": tuple(content["kinds"])})
        sound = _is_sound(gate)
    except (ValueError, TypeError, IndexError):
        sound = False
    if not sound:
        msg = f"{path} is damaged: its arrays do not fit together. Train or export the model again."
        raise BundleError(msg)
    return gate


_NAMES = tuple(field.name for field in fields(Gate))
_ARRAYS = ("centre", "scale", "matrix", "offset", "weights", "biases")


def _is_sound(gate: Gate) -> bool:
    """Return whether shapes fit, numbers are numbers and kinds are known."""
    features, k, kinds = gate.centre.size, gate.offset.size, len(gate.kinds)
    shapes = [(features,), (features,), (features, k), (k,), (k, kinds), (kinds,)]
    arrays = [getattr(gate, name) for name in _ARRAYS]
    numbers = [getattr(gate, name) for name in _NAMES if name not in (*_ARRAYS, "kinds", "lungs_sha256")]
    return (
        [array.shape for array in arrays] == shapes
        and kinds > 1
        and gate.kinds[0] == RADIOGRAPH
        and set(gate.kinds[1:]) <= set(REASONS)
        and bool(np.isfinite([*numbers, *(np.abs(array).sum() for array in arrays)]).all())
        and bool((gate.scale > 0).all())
        and isinstance(gate.lungs_sha256, str)
    )
