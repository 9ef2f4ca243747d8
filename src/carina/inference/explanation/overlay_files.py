"""The picture of each explained prediction is written to a folder, while the next images are judged."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from carina.inference.explanation.overlay import draw_overlay, encode_png
from carina.inference.prediction import AnyPrediction, FailedPrediction
from carina.runtime.streams import carry, read_ahead
from carina.storage.atomic import whole_file

# Of the input's name, so that the picture's stays under the 255 bytes that file systems allow.
_LONGEST_NAME = 48
# Pictures that are drawn while others are judged.
_AHEAD, _PAINTERS = 4, 2


def write_overlays(predictions: Iterable[AnyPrediction], folder: Path) -> Iterator[tuple[AnyPrediction, Path | None]]:
    """Yield each prediction, in order, with the picture that was written for it, drawn while others are judged.

    One without an explanation (an error, or a radiograph that may not be judged) gets no picture.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = ((prediction, prediction) for prediction in predictions)
    return carry(partial(read_ahead, partial(_write_overlay, folder), ahead=_AHEAD, threads=_PAINTERS), pairs)


def _write_overlay(folder: Path, prediction: AnyPrediction) -> Path | None:
    if isinstance(prediction, FailedPrediction) or prediction.explanation is None or prediction.path is None:
        return None
    finding, probabilities = prediction.judged()
    picture = draw_overlay(prediction.explanation, finding, probabilities[finding])
    path = folder / overlay_name(prediction.path)
    with whole_file(path) as temporary:
        temporary.write_bytes(encode_png(picture))
    return path


def overlay_name(path: Path) -> str:
    """Return the file name of an input's picture: the input's own name, and twelve digits of the hash of its path.

    The digits part inputs of one name in several folders without naming the folders. They are the same every time, so
    that a batch which is run or resumed again writes the same files.
    """
    digits = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return f"{path.stem[:_LONGEST_NAME]}-{digits}.png"
