"""The picture of each explained prediction is written to a folder, while the next images are judged."""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from carina.inference.explanation.overlay import draw_overlay, encode_png
from carina.inference.prediction import AnyPrediction, FailedPrediction
from carina.storage.atomic import whole_file

# Of the input's name, so that the picture's stays under the 255 bytes that file systems allow.
_LONGEST_NAME = 48
# Pictures that are drawn while others are judged.
_AHEAD, _PAINTERS = 4, 2


def write_overlays(predictions: Iterable[AnyPrediction], folder: Path) -> Iterator[tuple[AnyPrediction, Path | None]]:
    """Yield each prediction, in order, with the picture that was written for it, drawn while others are judged.

    Parameters
    ----------
    predictions
        With explanations. One without (an error, or a radiograph that may not be judged) gets no picture.
    folder
        Where the pictures go; see `overlay_name`.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiting: deque[tuple[AnyPrediction, Future[Path | None]]] = deque()
    with ThreadPoolExecutor(_PAINTERS) as pool:
        for prediction in predictions:
            waiting.append((prediction, pool.submit(_write_overlay, prediction, folder)))
            if len(waiting) > _AHEAD:
                done, picture = waiting.popleft()
                yield done, picture.result()
        while waiting:
            done, picture = waiting.popleft()
            yield done, picture.result()


def _write_overlay(prediction: AnyPrediction, folder: Path) -> Path | None:
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
