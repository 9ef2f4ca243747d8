"""The Python way: a bundle that is loaded, and what it says of images wherever they come from."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

from carina.bundles.bundle import released_bundle
from carina.bundles.run_folder import FinishedRun
from carina.inference.left_out import LeftOutFiles
from carina.inference.predictor import FailedPrediction, Prediction, Predictor, Source
from carina.inference.sources import OneImage, is_one_image, sources_of
from carina.runtime.engine import Backend, Precision

# Up to so many, loading the graphs another time takes longer than it saves.
_FEW = 16


class Predictions(tuple[Prediction | FailedPrediction, ...]):
    """What a model says of several images, in the order in which they were given; a table in a notebook.

    Attributes
    ----------
    left_out
        How many files in the named folders and archives are not images and were left out, by kind.
    """

    left_out: Mapping[str, int] = MappingProxyType({})

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
        If the backend or the precision is not available.
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
        """Return the finding that the model flags, whose radiographs are read first."""
        return self.description.policy.flag_finding

    def __repr__(self) -> str:
        return f"<carina.Model {self.description.name}: {', '.join(self.findings)}>"

    # A path's answer is a `Prediction` or `Predictions`, by what lies there, which no checker of types knows.
    @overload
    def predict(
        self, image: str | PathLike[str], *, explain: bool = False, prevalence: float | None = None
    ) -> Prediction | Any: ...
    @overload
    def predict(
        self,
        image: list[Any] | tuple[Any, ...] | Iterator[Any],
        *,
        explain: bool = False,
        prevalence: float | None = None,
    ) -> Predictions: ...
    @overload
    def predict(self, image: OneImage, *, explain: bool = False, prevalence: float | None = None) -> Prediction: ...
    def predict(
        self,
        image: OneImage | list[Any] | tuple[Any, ...] | Iterator[Any],
        *,
        explain: bool = False,
        prevalence: float | None = None,
    ) -> Prediction | Predictions | Any:
        """Return what the model says of an image, or of each image of a list or a folder.

        For files without end there is `carina.inference.predictor.Predictor`, which yields as it goes.

        Parameters
        ----------
        image
            One of these, or a list, tuple or iterator of them, mixed as you like:

            - The path of an image file. That of a folder, a ZIP archive or a DICOMDIR gives `Predictions` of all images
              in it, and a pattern such as ``films/*.png`` of all that match, by the rules of ``carina predict``; see
              `carina.inference.inputs.image_inputs`.
            - The bytes of an image file, or a file that is open for reading bytes (`io.BytesIO`, too), DICOM or any
              other format that is read from a path.
            - A Pillow image, in any mode that a file may have.
            - A NumPy array in display polarity (air dark): grey ``(height, width)`` or ``(height, width, 1)``, or
              colours last, ``(height, width, 3)`` as red, green and blue, a fourth channel for what is opaque. Equal
              colours give their grey value, others their luma (ITU-R BT.601), as in files. uint8 is shown from 0 to
              255; of uint16 white is the largest value of the smallest of 8, 10, 12, 14 or 16 bits that holds all but
              outliers; floats are shown from 0 to 1 if they stay within.
            - A data set of pydicom's.
        explain
            Give each prediction its `carina.inference.explanation.explain.Explanation`.
        prevalence
            See `carina.decisions.triage.choose_triage`.

        Raises
        ------
        InputError
            If a single image cannot be judged. In a list or a folder it becomes a `FailedPrediction`, and the rest goes
            on; one that is marked as passed over is an object that belongs beside radiographs, such as a report.
        ConfigurationError
            If it is nothing that an image can come as, or the prevalence lies outside 0 to 1.
        BundleError
            If explanations are asked for, and the model's graph gives none.
        """
        left_out = LeftOutFiles()
        sources = sources_of(image, left_out)
        predictions = Predictions(self._predict(sources, explain=explain, prevalence=prevalence))
        predictions.left_out = MappingProxyType(left_out.counts)
        if not is_one_image(image):
            return predictions
        (predicted,) = predictions
        if isinstance(predicted, FailedPrediction):
            raise predicted.error
        return predicted

    def _predict(
        self, sources: Iterator[Source], *, explain: bool, prevalence: float | None
    ) -> Iterator[Prediction | FailedPrediction]:
        predictor = self._for_one
        first = list(islice(sources, _FEW + 1))
        if len(first) > _FEW:
            predictor = self._for_many = self._for_many or self._load()
        return predictor.predict(chain(first, sources), explain=explain, prevalence=prevalence)


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
        If the backend or the precision is not available.
    """
    path = released_bundle() if folder is None else Path(folder)
    return Model(path, backend=backend, precision=precision, threads=threads)
