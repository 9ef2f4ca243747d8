"""Small images for the report's gallery: what was judged, and what each part of it adds to the call.

They are written by ``carina evaluate``, which knows where the images are, to ``gallery.parquet``: small WebP pictures
without name or metadata. ``--no-images`` leaves them out, for data that may not leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.images import DatasetImage
from carina.errors import BundleError
from carina.inference.explanation.explain import display_grey
from carina.inference.prediction import AnyPrediction, FailedPrediction
from carina.inference.predictor import Predictor
from carina.storage.tables import write_parquet

LONGEST_SIDE = 256
_QUALITY = 62
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.Int64,  # of the prediction table
    "image": pl.Binary,  # WebP
    "width": pl.Int32,
    "height": pl.Int32,
    "cells": pl.Binary,  # int8, row by row: evidence of each cell for the called finding, the strongest 127; or empty
    "box": pl.List(pl.Float64),  # what the network was shown: top, left, bottom, right as shares of the image
}
_WHOLE = (0.0, 0.0, 1.0, 1.0)

Picture = tuple[int, NDArray[np.uint8], bytes, Sequence[float]]
"""Row of the prediction table; uint8 (height, width), as displayed; then cells and box as in `_SCHEMA`."""


def write_gallery(path: Path, model: Path, rows: Sequence[tuple[int, DatasetImage]]) -> None:
    """Write small images of rows of a prediction table.

    Parameters
    ----------
    rows
        Row of the prediction table, and its image. All were read before, when they were judged.

    Raises
    ------
    DataError
        If a file cannot be read any more, or is not the image that was judged.
    """
    predictor = Predictor(model)
    try:
        judged = list(predictor.predict((image for _, image in rows), explain=True))
        pictures = [_explained(row, prediction) for (row, _), prediction in zip(rows, judged, strict=True)]
    except BundleError:
        # A graph made by an earlier version does not say what its cells add.
        pictures = [(row, display_grey(image.read()), b"", _WHOLE) for row, image in rows]
    write_parquet(path, gallery_table(pictures))


def gallery_table(pictures: Sequence[Picture]) -> pl.DataFrame:
    """Return the table of a gallery."""
    return pl.DataFrame([_small(*picture) for picture in pictures], schema=_SCHEMA, orient="row")


def _explained(row: int, prediction: AnyPrediction) -> Picture:
    if isinstance(prediction, FailedPrediction):
        raise prediction.error
    explanation = prediction.explanation
    if explanation is None:
        msg = "the model gave no explanation"
        raise BundleError(msg)
    evidence = explanation.evidence(prediction.judged()[0])
    strongest = float(np.abs(evidence).max()) or 1.0
    return row, explanation.grey, np.rint(127 * evidence / strongest).astype(np.int8).tobytes(), explanation.seen


def _small(
    row: int, grey: NDArray[np.uint8], cells: bytes, box: Sequence[float]
) -> tuple[int, bytes, int, int, bytes, list[float]]:
    longest = max(grey.shape)
    height, width = (max(1, round(LONGEST_SIDE * side / longest)) for side in grey.shape)
    small = cv2.resize(
        grey, (width, height), interpolation=cv2.INTER_AREA if longest > LONGEST_SIDE else cv2.INTER_LINEAR
    )
    _, encoded = cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return row, encoded.tobytes(), width, height, cells, list(box)
