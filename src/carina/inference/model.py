"""The Python way: a bundle that is loaded, and what it says of images wherever they come from."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carina.bundle import released_bundle
from carina.engine import Backend, Precision
from carina.errors import ConfigurationError, InputError
from carina.inference.predictor import FailedPrediction, Prediction, Predictor, Source
from carina.radiographs.radiograph import Radiograph, build_radiograph, check_dimensions
from carina.radiographs.raster import convert_image
from carina.run_folder import FinishedRun

# Up to so many, loading the graphs another time takes longer than it saves.
_FEW = 16

OneImage = str | Path | Image.Image | NDArray[Any]


class Predictions(tuple[Prediction | FailedPrediction, ...]):
    """What a model says of several images, in the order in which they were given; a table in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Return the predictions for a notebook."""
        from carina.inference.notebook import predictions_html  # noqa: PLC0415  # only a notebook needs it

        return predictions_html(self)


class Model:
    """A model that is loaded and ready.

    Parameters
    ----------
    folder
        A bundle or a finished run.
    backend, precision, threads
        See `carina.inference.predictor.Predictor`.

    Attributes
    ----------
    description
        What the bundle or run says of itself.

    Raises
    ------
    BundleError
        If the folder holds neither, or anything in it is not as it was made.
    ConfigurationError
        If the backend or the precision is not to be had.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backend: Backend = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> None:
        self._load = partial(Predictor, folder, backend=backend, precision=precision, threads=threads)
        # Whoever asks for one image waits for it; whoever gives a list wants all of it soon.
        self._for_one = self._load(one_at_a_time=True)
        self._for_many: Predictor | None = None
        self.description: FinishedRun = self._for_one.run

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the findings that the model tells apart, in the order of its logits."""
        return self.description.findings

    @property
    def flag_finding(self) -> str:
        """Return the finding that the model flags: its radiographs are read first."""
        return self.description.policy.flag_finding

    def __repr__(self) -> str:
        return f"<carina.Model {self.description.name}: {', '.join(self.findings)}>"

    @overload
    def predict(self, image: OneImage, *, explain: bool = False, prevalence: float | None = None) -> Prediction: ...
    @overload
    def predict(
        self, image: list[Any] | tuple[Any, ...], *, explain: bool = False, prevalence: float | None = None
    ) -> Predictions: ...
    def predict(
        self,
        image: OneImage | list[Any] | tuple[Any, ...],
        *,
        explain: bool = False,
        prevalence: float | None = None,
    ) -> Prediction | Predictions:
        """Return what the model says of an image, or of each image of a list.

        For files without end there is `carina.inference.predictor.Predictor`, which yields as it goes.

        Parameters
        ----------
        image
            One of these, or a list or tuple of them:

            - A path, as `str` or `Path`, of an image file.
            - A Pillow image, in any mode that a file may have.
            - A grey NumPy array ``(height, width)`` in display polarity (air dark). uint8 is shown from 0 to 255; of
              uint16 white is the largest value of the smallest of 8, 10, 12, 14 or 16 bits that holds them all; floats
              are shown from 0 to 1 if they stay within.
        explain
            Give each prediction its `carina.inference.explain.Explanation`.
        prevalence
            See `carina.decisions.triage.choose_triage`.

        Raises
        ------
        InputError
            If a single image cannot be judged. In a list it becomes a `FailedPrediction`, and the rest goes on.
        ConfigurationError
            If it is nothing that an image can come as, or the prevalence lies outside 0 to 1.
        BundleError
            If explanations are asked for, and the model's graph gives none.
        """
        if isinstance(image, list | tuple):
            sources = [_source(each) for each in image]
            return Predictions(self._predict(sources, explain=explain, prevalence=prevalence))
        (predicted,) = self._predict([_source(image)], explain=explain, prevalence=prevalence)
        if isinstance(predicted, FailedPrediction):
            raise predicted.error
        return predicted

    def _predict(
        self, sources: list[Source], *, explain: bool, prevalence: float | None
    ) -> Iterator[Prediction | FailedPrediction]:
        predictor = self._for_one
        if len(sources) > _FEW:
            predictor = self._for_many = self._for_many or self._load()
        return predictor.predict(sources, explain=explain, prevalence=prevalence)


def load_bundle(
    folder: str | Path | None = None,
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> Model:
    """Return a model, ready to predict.

    Parameters
    ----------
    folder
        A bundle or a finished run; by default the bundle that comes with Carina.
    backend, precision, threads
        See `carina.inference.predictor.Predictor`.

    Raises
    ------
    BundleError
        If there is none, or anything in it is not as it was made.
    ConfigurationError
        If the backend or the precision is not to be had.
    """
    path = released_bundle() if folder is None else Path(folder)
    return Model(path, backend=backend, precision=precision, threads=threads)


def _source(image: object) -> Source:
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, Image.Image):
        return partial(convert_image, image)
    if isinstance(image, np.ndarray):
        return partial(_radiograph_of_array, image)
    msg = (
        f"An image can come as a path, a Pillow image or a NumPy array, not as {type(image).__name__}. Give one of "
        "these, or a list of them."
    )
    raise ConfigurationError(msg)


def _radiograph_of_array(pixels: NDArray[Any]) -> Radiograph:
    if pixels.ndim != 2 or pixels.dtype.kind not in "buif":
        msg = (
            f"the array has shape {pixels.shape} and type {pixels.dtype}; grey values (height, width) of an integer or "
            "floating-point type are needed. For several images give a list of arrays."
        )
        raise InputError(msg, "unsupported-format")
    height, width = pixels.shape
    check_dimensions(width, height)
    return build_radiograph(pixels)
