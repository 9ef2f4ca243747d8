"""The films of a site that nobody has labelled yet, judged by the adapted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carina.bundles.run_folder import TRAINING_IMAGES_FILE
from carina.bundles.training_images import read_training_images
from carina.errors import DataError
from carina.evaluation.adaptation.unlabelled import choose_next
from carina.inference.inputs import image_inputs
from carina.inference.left_out import LeftOutFiles
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor

# Reports, presentation states and the like.
_BESIDE = "DICOM file beside the images"


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFolder:
    """What a model says of a folder of films.

    Attributes
    ----------
    folder
        As it was named.
    paths, probabilities
        Of the films that it judges: n paths and float64 ``(n, k)``.
    learned
        How many more the model learned from, to the pixel: it is surer of them than of others.
    refused, unreadable
        How many more it does not judge, and could not read.
    left_out
        How many files are no radiographs, by kind.
    """

    folder: Path
    paths: tuple[Path, ...]
    probabilities: NDArray[np.float64]
    learned: int
    refused: int
    unreadable: int
    left_out: Mapping[str, int]

    def choose_next(self, count: int) -> list[tuple[Path, str]]:
        """Return path and reason (``informative`` or ``random``) of the films to label next."""
        return [(self.paths[film.place], film.chosen) for film in choose_next(self.probabilities, count)]


def judge_folder(bundle: Path, folder: Path, *, tell: Callable[[int], None] = lambda _: None) -> JudgedFolder:
    """Return what a bundle says of the images in a folder, without those that it learned from.

    Parameters
    ----------
    bundle, folder
        A bundle, and images without labels.
    tell
        Told how many images were read.

    Raises
    ------
    DataError
        If it judges none of them.
    BundleError
        If the bundle is not as it was sealed.
    """
    left_out = LeftOutFiles()
    known = read_training_images(bundle / TRAINING_IMAGES_FILE).learned
    judged: list[Prediction] = []
    learned = refused = unreadable = 0
    for done, each in enumerate(Predictor(bundle).predict(image_inputs([folder], left_out=left_out)), 1):
        tell(done)
        if not isinstance(each, Prediction):
            if each.passed_over:
                left_out.counts[_BESIDE] += 1
            else:
                unreadable += 1
        elif each.sha256 in known:
            learned += 1
        elif each.probabilities is None:
            refused += 1
        else:
            judged.append(each)
    if not judged:
        msg = (
            f"{folder} holds no image to judge: the model learned from {learned} of them and does not judge {refused}; "
            f"{unreadable} could not be read. Name another folder."
        )
        raise DataError(msg)
    return JudgedFolder(
        folder,
        tuple(each.path for each in judged if each.path is not None),
        np.array([list(each.network_probabilities.values()) for each in judged], np.float64),
        learned,
        refused,
        unreadable,
        left_out.counts,
    )
