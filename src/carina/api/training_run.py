"""A data set and a recipe become a run."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from carina.api.accepted_forms import DatasetLike, dataset_of
from carina.api.model import Model, load_bundle
from carina.bundles.run_folder import FinishedRun
from carina.extras import needed_for
from carina.learning.recipe import Recipe, load_recipe
from carina.notebook import boxed, lines_html
from carina.progress import Progress
from carina.runtime.quiet_loading import quiet_loading
from carina.storage.atomic import require_absent

if TYPE_CHECKING:
    from PIL.Image import Image

    from carina.tracking.record import Tracker

ProgressOf = Callable[[str], Progress]


@dataclass(frozen=True, repr=False)
class Run:
    """A finished training.

    Attributes
    ----------
    folder
        Where it lies.
    description
        What it says of itself: findings, recipe, operating point, epochs, versions.
    """

    folder: Path
    description: FinishedRun

    def __repr__(self) -> str:
        return f"<carina.Run {self.folder}: {self.description.name}>"

    def load(self) -> Model:
        """Return the trained model, ready to predict; see `carina.load_bundle`."""
        return load_bundle(self.folder)

    def summary(self) -> str:
        """Return what the training reached on the data that stopped it."""
        run, point = self.description, self.description.operating_point
        return (
            f"{self.folder}: recipe {run.name}, {run.images['train']} training images, weights: {run.weights}, "
            f"best epoch {run.best_epoch} of {run.epochs}, {run.seconds['total']:.0f} s, {run.peak_memory_mb:.0f} MB.\n"
            f"Flagged finding: {point.finding}.\n"
            f"Operating point, chosen on {point.chosen_on}: P({point.finding}) >= {point.threshold:.3f}, there "
            f"sensitivity {point.sensitivity:.3f} at specificity {point.specificity:.3f}."
        )

    def plot(self, quantity: Literal["accuracy", "loss"] = "loss") -> "Image":
        """Return a picture: accuracy or loss over the epochs.

        Parameters
        ----------
        quantity
            Which of the two.

        Raises
        ------
        BundleError
            If the record of the training is missing or damaged.
        """
        import polars as pl  # noqa: PLC0415  # with the drawing, for pictures alone

        from carina.reports.drawing.learning_curves import draw_learning_curve  # noqa: PLC0415
        from carina.reports.drawing.png import to_picture  # noqa: PLC0415
        from carina.reports.evaluation_folder import read_history  # noqa: PLC0415

        history = pl.read_csv(read_history(self.folder).encode())
        return to_picture(draw_learning_curve(history, self.description.model_dump(mode="json"), quantity))

    def _repr_html_(self) -> str:
        return boxed(lines_html(self.summary()))


def train(
    dataset: DatasetLike,
    out: str | PathLike[str],
    *,
    recipe: Recipe | str | PathLike[str] = "head",
    weights: str | None = None,
    added: Sequence[DatasetLike] = (),
    without_sources: Sequence[str] = (),
    lungs: str | PathLike[str] | None = None,
    cache: str | PathLike[str] | None = None,
    track: Sequence[str] = (),
    command: str = "Python: carina.train",
    progress_of: ProgressOf | None = None,
    tell: Callable[[str], None] = print,
) -> Run:
    """Train a model from a data set and a recipe, and return the finished run.

    If a training was stopped, `resume_training` goes on with it.

    Parameters
    ----------
    dataset
        What to learn from.
    out
        The run folder to write; it must not exist.
    recipe
        A recipe, the name of one that comes with Carina, or a TOML file; see `carina.load_recipe`.
    weights
        Weights to start from: ``imagenet``, ``carina`` (those of the released model, without network), ``none``, or a
        Keras ``.h5`` file. By default as in the recipe.
    added
        More data sets to learn from. What an earlier one holds, as it is or nearly, is left out of a later one.
    without_sources
        Sources of images (hospital, scanner) to leave out.
    lungs
        The lung segmenter (ONNX) to use; by default that of the released bundle.
    cache
        Folder for intermediate results that are used again; by default the user's cache.
    track
        Experiment trackers that are told of the finished run: ``mlflow:URI`` or ``tensorboard:FOLDER`` each.
    command
        What is written down in the run as the command.
    progress_of
        Gives, for the name of a stage, what is told how many of how many items are done.
    tell
        Told in sentences which finding is flagged and what is not used; by default they are printed.

    Raises
    ------
    ConfigurationError
        If `out` exists, the recipe does not fit the data, nothing says which finding is flagged, a tracker cannot be
        used, or TensorFlow is not installed.
    DataError
        If a data set is missing or its images changed.
    BundleError
        If there is no lung segmenter.
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if weights is not None:
        chosen = chosen.model_copy(update={"backbone": chosen.backbone.model_copy(update={"weights": weights})})
    # What can be refused is refused before TensorFlow is loaded, which takes seconds.
    folders = [dataset_of(each).folder for each in (dataset, *added)]
    require_absent(Path(out), what="run")
    trackers = _trackers(track)
    finished: FinishedRun = import_training().train(
        folders[0],
        chosen,
        Path(out),
        added=folders[1:],
        without_sources=without_sources,
        lung_graph=None if lungs is None else Path(lungs),
        cache=None if cache is None else Path(cache),
        command=command,
        progress_of=progress_of,
        tell=tell,
    )
    return _tracked(Run(Path(out), finished), trackers, tell)


def resume_training(
    run: str | PathLike[str],
    *,
    cache: str | PathLike[str] | None = None,
    track: Sequence[str] = (),
    command: str = "Python: carina.resume_training",
    progress_of: ProgressOf | None = None,
    tell: Callable[[str], None] = print,
) -> Run:
    """Go on with a training that was stopped, and return the finished run. At most one epoch is lost.

    Parameters
    ----------
    run
        The run folder. Its data set and recipe are used again.
    cache, track, command, progress_of, tell
        See `train`.

    Raises
    ------
    BundleError
        If the folder is no run, or a finished one.
    DataError
        If a data set is not the one that the run was started on.
    ConfigurationError
        If a tracker cannot be used, or TensorFlow is not installed.
    """
    trackers = _trackers(track)
    finished: FinishedRun = import_training().resume(
        Path(run),
        cache=None if cache is None else Path(cache),
        command=command,
        progress_of=progress_of,
        tell=tell,
    )
    return _tracked(Run(Path(run), finished), trackers, tell)


def _trackers(places: Sequence[str]) -> "list[Tracker]":
    if not places:
        return []
    from carina.tracking.trackers import open_trackers  # noqa: PLC0415  # Matplotlib and more, for who tracks alone

    return open_trackers(places)


def _tracked(run: Run, trackers: "list[Tracker]", tell: Callable[[str], None]) -> Run:
    """Return the run, of which the trackers were told."""
    if trackers:
        from carina.tracking.record import run_record  # noqa: PLC0415  # as above
        from carina.tracking.trackers import send  # noqa: PLC0415

        send(trackers, run_record(run.folder), tell)
    return run


def import_training() -> ModuleType:
    """Return `carina.learning.train`; TensorFlow takes seconds to import and need not be installed to predict.

    It is loaded without the lines that it writes about itself.

    Raises
    ------
    ConfigurationError
        If the extra is not installed.
    """
    # TensorFlow's C++ side writes to stderr whatever Python's logging says.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with needed_for("Training", "train"), nullcontext() if "tensorflow" in sys.modules else quiet_loading():
        return import_module("carina.learning.train")
