"""Measure how much of what a cell of the map says comes from its own square of the image.

python benchmarks/cell_reach.py MODEL IMAGES…      IMAGES as carina predict takes them; 60 of them, evenly, are used

One square of what the network is shown is greyed out at a time, and the changes of all cells' contributions are
summed. If cells read their own squares, all of the change would be in the cell of that square.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carina.inference.image_input import Input
from carina.inference.inputs import image_inputs
from carina.inference.predictor import Predictor
from carina.radiographs.preprocess import frame, resize_grey, to_tensor
from carina.radiographs.read import radiograph_of

_IMAGES, _BATCH = 60, 16


def main(folder: Path, named: list[str]) -> None:
    """Print the share of the change that stays in the cell whose square was greyed out."""
    predictor = Predictor(folder)
    images = list(image_inputs(named))
    shares, cells = [], 0
    for image in images[:: max(1, len(images) // _IMAGES)][:_IMAGES]:
        shown = _shown(predictor, image)
        if shown is not None:
            change = _change(predictor, shown)
            cells = len(change)
            shares.append(float((np.diag(change) / change.sum(axis=1)).mean()))
    print(
        f"{len(shares)} images, {cells} cells: when the square of a cell is greyed out, {100 * np.mean(shares):.0f} % "
        f"of what changes is in that cell, the rest in others. Spread evenly over all it would be {100 / cells:.0f} %."
    )


def _shown(predictor: Predictor, image: Input) -> NDArray[np.uint8] | None:
    """Return what the network is shown of a file; nothing where it must not be judged."""
    preprocessing, lungs = predictor.run.preprocessing, None
    whole = resize_grey(radiograph_of(image.read()), preprocessing.read_size)
    if predictor.lung_finder is not None:
        lungs = predictor.lung_finder.find([whole]).lungs[0]
        if lungs is None:
            return None
    return frame(whole, lungs, preprocessing)


def _change(predictor: Predictor, shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how much each cell (column) changes when the square of each cell (row) is greyed out."""
    (before,) = _contributions(predictor, shown[np.newaxis])
    rows, columns, _ = before.shape
    height, width = shown.shape
    greyed = []
    for row, column in np.ndindex(rows, columns):
        copy = shown.copy()
        down = slice(row * height // rows, (row + 1) * height // rows)
        copy[down, column * width // columns : (column + 1) * width // columns] = round(float(shown.mean()))
        greyed.append(copy)
    batches = [np.stack(greyed[i : i + _BATCH]) for i in range(0, len(greyed), _BATCH)]
    after = np.concatenate([_contributions(predictor, batch) for batch in batches])
    return np.asarray(np.abs(after - before).sum(axis=-1, dtype=np.float64).reshape(rows * columns, -1))


def _contributions(predictor: Predictor, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    return predictor.engine.run(to_tensor(frames, predictor.run.preprocessing.pixel_range))["contributions"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
