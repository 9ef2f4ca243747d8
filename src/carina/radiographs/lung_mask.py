"""Two lungs in a radiograph: their mask and box, found in what the segmenter says of each pixel.

The two largest regions, with holes filled, are the lungs. Regions joined by a thin bridge are parted. Where there are
no two even then, that is the answer: nobody guesses a box.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# A region under this share of the image is no lung: on the films this was tried on the smaller lung is over 3 %, of
# small children held at a distance too.
_SMALLEST_LUNG = 0.008
_THRESHOLD = 0.5
# What joined two lungs on calibration radiographs was thinner, as a share of the square's side.
_BRIDGE = 0.065
# The larger lung is seldom over three times the smaller one; beyond ten the smaller region is a fleck.
_LARGEST_RATIO = 10.0
SEARCH_VERSION = 2
"""Of what is made of a segmenter's output: caches of masks that another one made are not used."""


@dataclass(frozen=True, slots=True)
class Lungs:
    """Two lungs.

    Attributes
    ----------
    mask
        bool ``(size, size)`` over the whole radiograph stretched to the segmenter's square: where there is lung, also
        behind the heart.
    """

    mask: NDArray[np.bool_]

    @property
    def share(self) -> float:
        """Return the share of the image that is lung, 0 to 1."""
        return float(self.mask.mean())

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Return top, left, bottom, right of the smallest box around both lungs, as shares of height and width."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        height, width = self.mask.shape
        return rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width

    def share_of_pixels(self, height: int, width: int) -> NDArray[np.float32]:
        """Return how much of each pixel of the radiograph is lung, float32 ``(height, width)``, 0 to 1; from 0.5 it is.

        The mask's squares are coarser than a radiograph's pixels: they are rounded off.
        """
        mask = cv2.GaussianBlur(self.mask.astype(np.float32), (0, 0), 1.0)
        return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def lungs_from_probability(probability: NDArray[np.floating]) -> Lungs | None:
    """Return the two lungs in a probability, float ``(size, size)``, range [0, 1]; none where there are no two."""
    lung = (probability >= _THRESHOLD).astype(np.uint8)
    two = _two_largest(lung)
    two = _two_largest(_without_bridges(lung)) if two is None else two
    return None if two is None else Lungs(_filled(two))


def _two_largest(lung: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(lung, connectivity=4)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if count < 3:
        return None
    largest = np.argsort(areas)[::-1][:2]
    larger, smaller = areas[largest]
    if smaller < _SMALLEST_LUNG * lung.size or larger > _LARGEST_RATIO * smaller:
        return None
    one, other = (int(region) + 1 for region in largest)
    return np.asarray((labels == one) | (labels == other), np.bool_)


def _without_bridges(lung: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what is nowhere thinner than a bridge: apices that touch, or a bar of writing below, join two lungs."""
    width = 2 * round(_BRIDGE * len(lung) / 2) + 1
    # Beyond the edge there is no lung, which OpenCV's own border would not say.
    padded = cv2.copyMakeBorder(lung, width, width, width, width, cv2.BORDER_CONSTANT, value=0)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)
    return np.ascontiguousarray(opened[width:-width, width:-width], np.uint8)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 1, thickness=cv2.FILLED)
    return filled.astype(np.bool_)
