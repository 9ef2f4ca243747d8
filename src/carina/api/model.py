"""A bundle that is loaded, and what it says of images wherever they come from."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from carina.bundles.addresses import bundle_at
from carina.bundles.bundle import released_bundle
from carina.bundles.run_folder import FinishedRun
from carina.decisions.bands import check_prevalence
from carina.errors import ConfigurationError, InputError
from carina.extras import needed_for
from carina.inference.left_out import LeftOutFiles
from carina.inference.prediction import AnyPrediction, FailedPrediction, Prediction
from carina.inference.prediction_list import Predictions
from carina.inference.predictor import Predictor
from carina.inference.results import Csv
from carina.inference.sources import OneImage, is_one_image, sources_of
from carina.progress import Progress, no_progress
from carina.runtime.engine import Backend, Precision

if TYPE_CHECKING:
    from carina.api.accepted_forms import DatasetLike
    from carina.bundles.verification import Verification
    from carina.evaluation.adaptation.adapt import Adapted
    from carina.evaluation.recalibrate import Recalibrated

# Up to so many, loading the graphs another time takes longer than it saves.
_FEW = 16


class PredictionStream(Iterator[AnyPrediction]):
    """Predictions that come one after the other; see `Model.stream`."""

    def __init__(self, judged: Iterator[AnyPrediction], left_out: LeftOutFiles) -> None:
        self._judged, self._left_out = judged, left_out

    def __next__(self) -> AnyPrediction:
        return next(self._judged)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Return how many files were left out so far because they are no images, by kind."""
        return MappingProxyType(self._left_out.counts)


class Model:
    """A model that is loaded and ready. `load_bundle` gives it.

    Parameters
    ----------
    folder
        A bundle or a finished run.
    backend, precision, threads
        See `carina.inference.predictor.Predictor`.

    Attributes
    ----------
    folder
        As given.
    description
        What the bundle or run says of itself.

    Raises
    ------
    BundleError
        If the folder holds neither, or anything in it is not as it was made.
    ConfigurationError
        If this machine does not have the backend, or the model does not have the precision.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backend: Backend = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> None:
        self.folder = folder
        self._computed = {"backend": backend, "precision": precision, "threads": threads}
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

    def for_many(self) -> Predictor:
        """Return what judges many images, with the backend, precision and threads that the model was loaded with."""
        self._for_many = self._for_many or self._load()
        return self._for_many

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
              colours give their grey value, others their luma (ITU-R BT.601) with a reservation, as in files. uint8 is
              shown from 0 to 255; of uint16 white is the largest value of the smallest of 8, 10, 12, 14 or 16 bits that
              holds all but outliers; floats are shown from 0 to 1 if they stay within.
            - A data set of pydicom's.
        explain
            Give each prediction its `carina.inference.explanation.explain.Explanation`.
        prevalence
            Prevalence (0 to 1) of the flagged finding among your patients; see `carina.decisions.triage.choose_triage`.

        Raises
        ------
        InputError
            If a single image cannot be judged, or a single folder, archive or pattern gives none. In a list or a folder
            an image becomes a `FailedPrediction`, and the rest goes on; one that is marked as passed over is an object
            that belongs to a study beside its radiographs, such as a report.
        ConfigurationError
            If it is nothing that an image can be given as, or the prevalence lies outside 0 to 1.
        BundleError
            If explanations are asked for, and the model's graph gives none.
        """
        judging = self.stream(image, explain=explain, prevalence=prevalence)
        first = list(islice(judging, 2))
        if is_one_image(image) or (len(first) == 1 and _is_what_was_named(first[0], image)):
            (predicted,) = first
            if isinstance(predicted, FailedPrediction):
                raise _with_path(predicted)
            return predicted
        rows = Csv(self._for_one, explained=explain, prevalence=prevalence)
        return Predictions(chain(first, judging), rows=rows, left_out=judging.left_out)

    def stream(self, images: object, *, explain: bool = False, prevalence: float | None = None) -> PredictionStream:
        """Return an iterator over what the model says of images, in the order given; memory does not grow.

        Parameters
        ----------
        images, explain, prevalence
            See `predict`. A folder or an iterator may have any number of images.

        Raises
        ------
        ConfigurationError
            If the prevalence lies outside 0 to 1, or an image is given as nothing that an image can be given as.
        BundleError
            If explanations are asked for, and the model's graph gives none.
        """
        check_prevalence(prevalence)
        left_out = LeftOutFiles()
        sources = iter(sources_of(images, left_out))

        def judged() -> Iterator[AnyPrediction]:
            first = list(islice(sources, _FEW + 1))
            predictor = self._for_one if len(first) <= _FEW else self.for_many()
            yield from predictor.predict(chain(first, sources), explain=explain, prevalence=prevalence)

        return PredictionStream(judged(), left_out)

    def explain(self, image: OneImage, *, prevalence: float | None = None) -> Prediction:
        """Return what the model says of one image, with its explanation; ``.plot()`` draws it.

        Parameters
        ----------
        image, prevalence
            See `predict`; one image, and no folder or list.

        Raises
        ------
        ConfigurationError
            If it is more than one image.
        InputError, BundleError
            See `predict`.
        """
        if not is_one_image(image):
            msg = "explain takes one image. Of several, use predict with explain=True."
            raise ConfigurationError(msg)
        predicted: Prediction = self.predict(image, explain=True, prevalence=prevalence)
        return predicted

    def verify(self) -> "Verification":
        """Return what the bundle was verified to be: every byte, and its golden examples recomputed here.

        The examples are recomputed with the backend, precision and threads that the model was loaded with; by default
        on every engine that is installed, in every precision that the processor and the bundle have.

        Raises
        ------
        BundleError
            If the bundle is not as it was sealed, or gives other values than it must. A run is no bundle: see `export`.
        """
        from carina.bundles.verification import verify_bundle  # noqa: PLC0415  # each for its method alone

        return verify_bundle(self.folder, **self._computed)  # type: ignore[arg-type]  # as Predictor took them

    def export(
        self,
        out: str | PathLike[str],
        *,
        name: str | None = None,
        version: str = "1.0.0",
        evaluation: "list[str | PathLike[str]] | tuple[str | PathLike[str], ...]" = (),
        audit: str | PathLike[str] | None = None,
        hub: str | None = None,
        int8: bool = False,
        progress: Progress = no_progress,
    ) -> "Verification":
        """Write a finished run as a sealed bundle, and return what it was verified to be.

        The arguments are those of `carina.api.bundles.export`.

        Raises
        ------
        BundleError, ConfigurationError, DataError
            See `carina.api.bundles.export`.
        """
        with needed_for("Model.export"):
            from carina.api.bundles import export  # noqa: PLC0415  # tables, for this method alone

        return export(
            self.folder,
            out,
            name=name,
            version=version,
            evaluation=evaluation,
            audit=audit,
            hub=hub,
            int8=int8,
            progress=progress,
        )

    def recalibrate(
        self,
        dataset: "DatasetLike",
        out: str | PathLike[str],
        *,
        version: str | None = None,
        specificity: float | None = None,
        sensitivity: float | None = None,
        hold_out: bool = False,
        progress: Progress = no_progress,
    ) -> "Recalibrated":
        """Write a bundle with the same weights and thresholds for another hospital, and return what changed.

        The arguments are those of `carina.api.bundles.recalibrate`.

        Raises
        ------
        BundleError, ConfigurationError, DataError, LeakError
            See `carina.api.bundles.recalibrate`.
        """
        with needed_for("Model.recalibrate"):
            from carina.api.bundles import recalibrate  # noqa: PLC0415  # tables, for this method alone

        return recalibrate(
            self.folder,
            dataset,
            out,
            version=version,
            specificity=specificity,
            sensitivity=sensitivity,
            hold_out=hold_out,
            progress=progress,
        )

    def adapt(
        self,
        site: "DatasetLike",
        out: str | PathLike[str],
        *,
        version: str | None = None,
        flag: str | None = None,
        add: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        progress: Progress = no_progress,
    ) -> "Adapted":
        """Write a bundle whose last layer is fitted to a site, if it is better there, and return what it brought.

        The arguments are those of `carina.api.bundles.adapt`.

        Raises
        ------
        BundleError, ConfigurationError, DataError, LeakError
            See `carina.api.bundles.adapt`.
        """
        with needed_for("Model.adapt"):
            from carina.api.bundles import adapt  # noqa: PLC0415  # tables, for this method alone

        return adapt(
            self.folder, site, out, version=version, flag=flag, add=add, leave_out=leave_out, progress=progress
        )


def _is_what_was_named(predicted: AnyPrediction, image: object) -> bool:
    """Return whether the only result is that a path which may hold several images holds none."""
    named = isinstance(image, str | PathLike) and predicted.path == Path(image)
    return named and isinstance(predicted, FailedPrediction)


def _with_path(failed: FailedPrediction) -> InputError:
    return failed.error if failed.path is None else InputError(f"{failed.path}: {failed.error}", failed.error.code)


def load_bundle(
    folder: str | PathLike[str] | None = None,
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> Model:
    """Return a model, ready to predict.

    Parameters
    ----------
    folder
        A bundle or a finished run; by default the bundle that comes with Carina. An address
        (``hf://owner/name@revision#sha256=…``, ``https://…``, ``s3://…``) is fetched once, and compared with its hash
        before it is opened; see `carina.bundles.fetching`.
    backend, precision, threads
        See `carina.inference.predictor.Predictor`.

    Raises
    ------
    BundleError
        If there is none, or anything in it is not as it was made.
    ConfigurationError
        If this machine does not have the backend, or the model does not have the precision.
    """
    path = released_bundle() if folder is None else bundle_at(folder)
    return Model(path, backend=backend, precision=precision, threads=threads)
