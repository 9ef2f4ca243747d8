"""Where the lungs are: mask, box and in-lung share, by a small segmenter that runs in the engine.

The segmenter sees the whole radiograph in a small square. Its two largest regions, with holes filled, are the lungs.
Regions joined by a thin bridge are parted. Where there are no two even then, that is the answer: nobody guesses a box.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import Backend, Tensors, load_engine

LUNG_NET_SIZE = 96
"""Pixels a side of the square that the segmenters of this version of Carina see."""
# A region under this share of the image is no lung: on the films this was tried on the smaller lung is over 3 %, of
# small children held at a distance too.
_SMALLEST_LUNG = 0.008
_THRESHOLD = 0.5
# What joined two lungs on calibration radiographs was thinner, as a share of the square's side.
_BRIDGE = 0.065
# The larger lung is seldom over three times the smaller one; beyond ten the smaller region is a fleck.
_LARGEST_RATIO = 10.0
LUNG_GRAPH = "lungs.onnx"
"""The segmenter's file, in a run, a bundle and what ``carina lungs train`` writes."""
_WHERE = f"Name the {LUNG_GRAPH} of a run or a bundle, or train one: carina lungs train."
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


class LungFinder:
    """The segmenter, loaded and ready; `size` is that of its square, in pixels a side.

    Parameters
    ----------
    graph
        ``lungs.onnx``: input float32 ``(n, size, size, 3)`` in [-1, 1], output ``lung`` ``(n, size, size, 1)`` in
        [0, 1]. Of 96 pixels a side; segmenters of earlier versions have 160.
    backend, threads, one_at_a_time, keep_compiled
        See `carina.runtime.engine.load_engine`.

    Raises
    ------
    BundleError
        If the file is missing, no valid graph, or that of something else.
    """

    def __init__(
        self,
        graph: Path,
        *,
        backend: Backend = "auto",
        threads: int | None = None,
        one_at_a_time: bool = False,
        keep_compiled: bool = False,
    ) -> None:
        if not os.path.isfile(graph):  # noqa: PTH113  # it never raises
            inside = graph / LUNG_GRAPH
            there = f"{graph} is a folder" if os.path.isdir(graph) else f"There is no file {graph}"  # noqa: PTH112
            name = f"Name the file: {inside}" if os.path.isfile(inside) else _WHERE  # noqa: PTH113
            msg = f"{there}. {name}"
            raise BundleError(msg)
        self.engine = load_engine(
            graph, backend=backend, threads=threads, one_at_a_time=one_at_a_time, keep_compiled=keep_compiled
        )
        rows, columns, *_ = (*self.engine.input_sizes, 0, 0)
        if rows < 1 or rows != columns or "lung" not in self.engine.outputs:
            wrong = "takes no square image" if rows < 1 or rows != columns else "has no output 'lung'"
            msg = f"{graph} is no lung segmenter: it {wrong}. {_WHERE}"
            raise BundleError(msg)
        self.size = rows

    def stream(self, batches: Iterable[Sequence[NDArray[np.uint8]]]) -> Iterator[list[Lungs | None]]:
        """Yield for each batch, in order, where the lungs are in each of its radiographs.

        Parameters
        ----------
        batches
            Whole radiographs: uint8 ``(height, width)`` each, of any size, range [0, 255].
        """
        for outputs in self.engine.stream(_tensor(batch, self.size) for batch in batches):
            yield _lungs_in(outputs)

    def stream_with_features(
        self, batches: Iterable[Sequence[NDArray[np.uint8]]]
    ) -> Iterator[tuple[list[Lungs | None], NDArray[np.float32]]]:
        """Yield for each batch, in order, where the lungs are, and what else the segmenter saw.

        The features are float32 ``(n, features)``; a batch without images has none, ``(0, 0)``.

        Parameters
        ----------
        batches
            As for `stream`.

        Raises
        ------
        BundleError
            If the segmenter gives no features: it was trained by an earlier version of Carina.
        """
        for outputs in self.engine.stream(_tensor(batch, self.size) for batch in batches):
            if outputs and "features" not in outputs:
                msg = "This lung segmenter gives no features to judge an image by. Train it again: carina lungs train."
                raise BundleError(msg)
            yield _lungs_in(outputs), outputs["features"] if outputs else np.zeros((0, 0), np.float32)


def _tensor(batch: Sequence[NDArray[np.uint8]], size: int) -> NDArray[np.float32]:
    greys = [cv2.resize(grey, (size, size), interpolation=_interpolation(grey, size)) for grey in batch]
    stacked = np.stack(greys) if greys else np.zeros((0, size, size), np.uint8)
    return to_tensor(stacked, "minus-one-one")


def _interpolation(grey: NDArray[np.uint8], size: int) -> int:
    return int(cv2.INTER_AREA if min(grey.shape) >= size else cv2.INTER_LINEAR)


def _lungs_in(outputs: Tensors) -> list[Lungs | None]:
    return [lungs_from_probability(probability) for probability in outputs["lung"][..., 0]] if outputs else []


def lungs_from_probability(probability: NDArray[np.floating]) -> Lungs | None:
    """Return the two lungs in one output of the segmenter, or none where there are no two.

    Parameters
    ----------
    probability
        float ``(size, size)``, range [0, 1]: of lung.
    """
    lung = (probability >= _THRESHOLD).astype(np.uint8)
    two = _two_largest(lung)
    if two is None:
        two = _two_largest(_without_bridges(lung))
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
