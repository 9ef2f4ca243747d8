"""Where the lungs are: a small segmenter that runs in the engine sees the whole radiograph in a small square."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.radiographs.lung_mask import Lungs, lungs_from_probability
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import EngineSettings, Tensors, load_engine

LUNG_NET_SIZE = 96
"""Pixels a side of the square that the segmenters of this version of Carina see."""
LUNG_GRAPH = "lungs.onnx"
"""The segmenter's file, in a run, a bundle and what ``carina lungs train`` writes."""
_WHERE = f"Name the {LUNG_GRAPH} of a run or a bundle, or train one: carina lungs train."


class Found:
    """What the segmenter saw in n radiographs: `lungs` are where those of each are; none where there are no two."""

    def __init__(self, outputs: Tensors) -> None:
        self._outputs = outputs
        self.lungs: tuple[Lungs | None, ...] = ()
        if outputs:
            self.lungs = tuple(lungs_from_probability(probability) for probability in outputs["lung"][..., 0])

    @property
    def features(self) -> NDArray[np.float32]:
        """Return what else the segmenter saw, for the gate: float32 ``(n, features)``; ``(0, 0)`` where n is 0.

        Raises
        ------
        BundleError
            If the segmenter gives no features: it was trained by an earlier version of Carina.
        """
        if not self._outputs:
            return np.zeros((0, 0), np.float32)
        if "features" not in self._outputs:
            msg = "This lung segmenter gives no features to judge an image by. Train it again: carina lungs train."
            raise BundleError(msg)
        return np.asarray(self._outputs["features"], np.float32)


class LungFinder:
    """The segmenter, loaded and ready; `size` is that of its square, in pixels a side.

    Parameters
    ----------
    graph
        ``lungs.onnx``: input float32 ``(n, size, size, 3)`` in [-1, 1], output ``lung`` ``(n, size, size, 1)`` in
        [0, 1]. Of 96 pixels a side; segmenters of earlier versions have 160.
    settings
        See `carina.runtime.engine.load_engine`.

    Raises
    ------
    BundleError
        If the file is missing, no valid graph, or that of something else.
    """

    def __init__(self, graph: Path, **settings: Unpack[EngineSettings]) -> None:
        if not os.path.isfile(graph):  # noqa: PTH113  # it never raises
            inside = graph / LUNG_GRAPH
            there = f"{graph} is a folder" if os.path.isdir(graph) else f"There is no file {graph}"  # noqa: PTH112
            name = f"Name the file: {inside}" if os.path.isfile(inside) else _WHERE  # noqa: PTH113
            msg = f"{there}. {name}"
            raise BundleError(msg)
        self.engine = load_engine(graph, **settings)
        rows, columns, *_ = (*self.engine.input_sizes, 0, 0)
        if rows < 1 or rows != columns or "lung" not in self.engine.outputs:
            wrong = "takes no square image" if rows < 1 or rows != columns else "has no output 'lung'"
            msg = f"{graph} is no lung segmenter: it {wrong}. {_WHERE}"
            raise BundleError(msg)
        self.size = rows

    def find(self, wholes: Sequence[NDArray[np.uint8]]) -> Found:
        """Return where the lungs are in radiographs: uint8 ``(height, width)`` each, of any size, range [0, 255]."""
        return Found(self.engine.run(_tensor(wholes, self.size)))

    def stream(self, batches: Iterable[Sequence[NDArray[np.uint8]]]) -> Iterator[Found]:
        """Yield what `find` gives for each batch, in order; the segmenter computes several at a time."""
        return (Found(outputs) for outputs in self.engine.stream(_tensor(batch, self.size) for batch in batches))


def _tensor(batch: Sequence[NDArray[np.uint8]], size: int) -> NDArray[np.float32]:
    greys = [
        cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA if min(grey.shape) >= size else cv2.INTER_LINEAR)
        for grey in batch
    ]
    stacked = np.stack(greys) if greys else np.zeros((0, size, size), np.uint8)
    return to_tensor(stacked, "minus-one-one")
