"""Small images for the report's gallery: what was judged, and what each part of it adds to the call.

They are written by ``carina evaluate``, which knows where the images are, to ``gallery.parquet``: small WebP pictures
without name or metadata. ``--no-images`` leaves them out, for data that may not leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.engine import Tensors
from carina.inference.predictor import Predictor
from carina.radiographs.lungs import Lungs
from carina.radiographs.preprocess import crop_matrix, frame, resize_grey, to_tensor
from carina.radiographs.radiograph import Radiograph
from carina.radiographs.read import read_radiograph
from carina.tables import write_parquet

LONGEST_SIDE = 256
_QUALITY = 62
_BATCH = 16
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.Int64,  # of the prediction table
    "image": pl.Binary,  # WebP
    "width": pl.Int32,
    "height": pl.Int32,
    "cells": pl.Binary,  # int8, row by row: what each cell adds to the called finding's logit; empty where unknown
    "box": pl.List(pl.Float64),  # what the network was shown: top, left, bottom, right as shares of the image
}


def write_gallery(path: Path, model: Path, rows: Iterable[tuple[int, Path]]) -> None:
    """Write small images of rows of a prediction table.

    Parameters
    ----------
    path
        Of the Parquet file.
    model
        The run or bundle that judged them.
    rows
        Row of the prediction table, and its file. All were read before, when they were judged.
    """
    predictor = Predictor(model)
    pictures, tensors, boxes = [], [], []
    for row, file in rows:
        radiograph = read_radiograph(file)
        small = _small(radiograph)
        _, encoded = cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
        pictures.append((row, encoded.tobytes(), small.shape[1], small.shape[0]))
        tensor, box = _shown(predictor, radiograph)
        tensors.append(tensor)
        boxes.append(box)
    batches = (np.stack(tensors[start : start + _BATCH]) for start in range(0, len(tensors), _BATCH))
    cells = [part for outputs in predictor.engine.stream(batches) for part in _contributions(predictor, outputs)]
    table = [(*picture, part, list(box)) for picture, part, box in zip(pictures, cells, boxes, strict=True)]
    write_parquet(path, pl.DataFrame(table, schema=_SCHEMA, orient="row"))


def _small(radiograph: Radiograph) -> NDArray[np.uint8]:
    """Return the radiograph with its longest side at `LONGEST_SIDE`, uint8, its shape kept."""
    longest = max(radiograph.height, radiograph.width)
    square = resize_grey(radiograph, LONGEST_SIDE)
    height = max(1, round(LONGEST_SIDE * radiograph.height / longest))
    width = max(1, round(LONGEST_SIDE * radiograph.width / longest))
    return np.asarray(cv2.resize(square, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _shown(predictor: Predictor, radiograph: Radiograph) -> tuple[NDArray[np.float32], Sequence[float]]:
    """Return what the network is shown of a radiograph, and where on it that lies."""
    preprocessing = predictor.run.preprocessing
    whole = resize_grey(radiograph, preprocessing.read_size)
    lungs: Lungs | None = None
    if predictor.lung_finder is not None:
        lungs = next(iter(predictor.lung_finder.stream([[whole]])))[0]
    return to_tensor(frame(whole, lungs, preprocessing), preprocessing.pixel_range), _box(lungs, predictor)


def _contributions(predictor: Predictor, outputs: Tensors) -> Iterator[bytes]:
    """Yield for each image what each cell adds to the called finding's logit beyond the other findings', int8."""
    called = predictor.run.policy.probabilities(outputs["logits"]).argmax(axis=1)
    for image, finding in enumerate(called.tolist()):
        if "contributions" not in outputs:
            yield b""
            continue
        cells = np.asarray(outputs["contributions"][image], dtype=np.float64)
        # A softmax sees differences alone: what is added to all findings alike says nothing.
        more = cells[..., finding] - np.delete(cells, finding, axis=-1).mean(axis=-1)
        largest = float(np.abs(more).max()) or 1.0
        yield np.rint(127 * more / largest).astype(np.int8).tobytes()


def _box(lungs: Lungs | None, predictor: Predictor) -> Sequence[float]:
    preprocessing = predictor.run.preprocessing
    if preprocessing.crop != "lungs":
        return (0.0, 0.0, 1.0, 1.0)
    matrix, whole, size = crop_matrix(lungs, preprocessing), preprocessing.whole_size, preprocessing.size
    # Corners of the crop, carried back to the whole image; pixel centres lie at halves.
    left, top = ((-0.5 - matrix[axis, 2]) / matrix[axis, axis] + 0.5 for axis in (0, 1))
    right, bottom = ((size - 0.5 - matrix[axis, 2]) / matrix[axis, axis] + 0.5 for axis in (0, 1))
    return tuple(float(end / whole) for end in (top, left, bottom, right))
