"""The films of a site that nobody has labelled yet, judged by the adapted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carina.errors import DataError
from carina.evaluation.adaptation.unlabelled import choose_next
from carina.inference.inputs import image_inputs
from carina.inference.left_out import LeftOutFiles
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFolder:
    """What a model says of a folder of films.

    Attributes
    ----------
    folder
        As it was named.
    paths, probabilities
        Of the films that it judges: n paths and float64 ``(n, k)``.
    refused, unreadable
        How many more it does not judge, and could not read.
    left_out
        How many files are no images, by kind.
    """

    folder: Path
    paths: tuple[Path, ...]
    probabilities: NDArray[np.float64]
    refused: int
    unreadable: int
    left_out: Mapping[str, int]

    def choose_next(self, count: int) -> list[tuple[str, str]]:
        """Return path and reason (``informative`` or ``random``) of the films to label next."""
        return [(str(self.paths[film.place]), film.chosen) for film in choose_next(self.probabilities, count)]


def judge_folder(bundle: Path, folder: Path) -> JudgedFolder:
    """Return what a bundle says of the images in a folder.

    Raises
    ------
    DataError
        If it judges none of them.
    BundleError
        If the bundle is not as it was sealed.
    """
    left_out = LeftOutFiles()
    said = list(Predictor(bundle).predict(image_inputs([folder], left_out=left_out)))
    read = [each for each in said if isinstance(each, Prediction)]
    judged = [each for each in read if each.probabilities is not None]
    if not judged:
        msg = f"{folder} holds no image that the model judges ({len(said)} were tried). Name another folder."
        raise DataError(msg)
    return JudgedFolder(
        folder,
        tuple(each.path for each in judged if each.path is not None),
        np.array([list(each.network_probabilities.values()) for each in judged], np.float64),
        len(read) - len(judged),
        len(said) - len(read),
        left_out.counts,
    )
