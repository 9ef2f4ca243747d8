"""A model and a split become figures with intervals: in memory, as pictures, as a report, and as a folder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl
from PIL import Image

from carina.api.accepted_forms import DatasetLike, ModelLike, dataset_of, folder_of
from carina.api.model import Model
from carina.datasets.manifest import Split
from carina.errors import ConfigurationError
from carina.evaluation.evaluate import SplitResult
from carina.evaluation.evaluate import evaluate as judge_split
from carina.evaluation.figures import figures_of
from carina.inference.prediction_list import as_pandas
from carina.places import require_model_first
from carina.progress import Progress, no_progress
from carina.reports.drawing.png import to_picture
from carina.reports.evaluated import Evaluated
from carina.reports.evaluation_comparison import SideBySide, compare_evaluations
from carina.reports.evaluation_folder import read_history, write_evaluation, write_record
from carina.reports.html.open_reports import build_report
from carina.reports.html.page import Report
from carina.storage.atomic import require_absent
from carina.tracking.record import evaluation_record
from carina.tracking.trackers import open_trackers, send

if TYPE_CHECKING:
    import pandas as pd  # no dependency


class Evaluation(SplitResult):
    """What one model reached on one split; `evaluate` gives it, and a notebook shows it.

    Its attributes are those of `carina.evaluation.evaluate.SplitResult`.
    """

    def to_polars(self) -> pl.DataFrame:
        """Return the figures as a table: one row for each measure and finding, with its 95 % interval.

        The columns are ``measure``, ``finding`` (null where it is of all), ``value``, ``low``, ``high`` and ``note``.
        The judged images are `table`.
        """
        found = figures_of(self.metrics.to_json(), self.at_operating_point.to_json(), self.flag_finding)
        kinds = dict.fromkeys(("value", "low", "high"), pl.Float64)
        text = dict.fromkeys(("measure", "finding", "note"), pl.String)
        return pl.DataFrame([asdict(figure) for figure in found], schema_overrides={**text, **kinds})

    def to_pandas(self) -> "pd.DataFrame":
        """Return the table of `to_polars` as one of pandas.

        Raises
        ------
        ConfigurationError
            If pandas is not installed.
        """
        return as_pandas(self.to_polars())

    def plot(self, figure: str = "roc") -> Image.Image:
        """Return a figure of the report as a picture.

        Parameters
        ----------
        figure
            Its name, as in the folder ``figures`` of a saved evaluation, such as ``roc`` or ``reliability``.

        Raises
        ------
        ConfigurationError
            If the report has no such figure; the message names all.
        """
        drawings = self.report(images=False).drawings()
        if figure not in drawings:
            msg = f"The report has no figure {figure!r}. Name one of: {', '.join(drawings)}."
            raise ConfigurationError(msg)
        return to_picture(drawings[figure])

    def report(self, *, images: bool = True) -> Report:
        """Return the report; a notebook shows it.

        Parameters
        ----------
        images
            Whether it has small images of chosen radiographs, which are read again for that.

        Raises
        ------
        DataError
            If an image cannot be read.
        """
        with TemporaryDirectory() as folder:
            return build_report(self._record(Path(folder), images=images))

    def save(self, out: str | PathLike[str], *, images: bool = True, command: str = "Python: carina.evaluate") -> None:
        """Write the evaluation folder of ``carina evaluate``: figures, tables, pictures and ``report.html``.

        Parameters
        ----------
        out
            The folder to write; it must not exist.
        images
            Whether the report has small images of chosen radiographs.
        command
            What is written down as the command.

        Raises
        ------
        ConfigurationError
            If `out` exists.
        """
        write_evaluation(self, Path(out), command=command, images=images)

    def _record(self, folder: Path, *, images: bool) -> Evaluated:
        return write_record(self, folder, command="Python: carina.evaluate", images=images)


def evaluate(
    model: ModelLike,
    dataset: DatasetLike,
    *,
    out: str | PathLike[str] | None = None,
    split: Split = "test",
    prevalence: float | None = None,
    drop_leaks: bool = False,
    allow_leak: bool = False,
    images: bool = True,
    track: Sequence[str] = (),
    command: str = "Python: carina.evaluate",
    progress: Progress = no_progress,
    tell: Callable[[str], None] = print,
) -> Evaluation:
    """Judge one split of a data set, and return what the model reaches, with 95 % intervals.

    Images that the model learned from are refused, unless an argument says what to do with them.

    Parameters
    ----------
    model
        A model, a run, or the folder of a bundle or a finished run. A `carina.Model` judges with the backend, precision
        and threads that it was loaded with.
    dataset
        A data set or its folder.
    out
        Also write the folder of ``carina evaluate``; it must not exist. See `Evaluation.save`.
    split
        ``test``, ``calibration``, ``validation`` or ``train``.
    prevalence
        Prevalence (0 to 1) of the flagged finding among your patients, to give PPV and NPV at.
    drop_leaks
        Leave out images that the model was trained on.
    allow_leak
        Judge images that the model was trained on, too. Every output then says so.
    images, command
        For the folder; see `Evaluation.save`.
    track
        Experiment trackers that are told of the figures, with their intervals: ``mlflow:URI`` or
        ``tensorboard:FOLDER`` each. Needs `out`.
    progress
        Told how many of how many images are judged.
    tell
        Told in a sentence if a tracker takes nothing; by default it is printed.

    Raises
    ------
    LeakError
        If the split holds images that the model learned from, and no argument says what to do with them.
    DataError
        If the split is empty, or holds what the model cannot judge.
    BundleError
        If the model is none, or anything in it is not as it was made.
    ConfigurationError
        If `out` exists, an argument is impossible, or model and data set were given in the wrong order.
    """
    folder = folder_of(model)
    if isinstance(dataset, str | PathLike):
        require_model_first(folder, Path(dataset), ["carina", "evaluate", str(folder), str(dataset)])
    if drop_leaks and allow_leak:
        msg = "Choose one of drop_leaks and allow_leak (--drop-leaks and --allow-leak)."
        raise ConfigurationError(msg)
    if track and out is None:
        msg = "track needs out: what is tracked is the folder that is written."
        raise ConfigurationError(msg)
    # Everything that can be refused is refused before the images are judged.
    trackers = open_trackers(track)
    opened = dataset_of(dataset)
    if out is not None:
        require_absent(Path(out), what="evaluation")
        read_history(folder)
    result = judge_split(
        folder,
        opened,
        split,
        predictor=model.for_many() if isinstance(model, Model) else None,
        on_leak="drop" if drop_leaks else "allow" if allow_leak else "refuse",
        prevalence=prevalence,
        progress=progress,
    )
    evaluation = Evaluation(**{field.name: getattr(result, field.name) for field in fields(result)})
    if out is not None:
        evaluation.save(out, images=images, command=command)
        if trackers:
            send(trackers, evaluation_record(Path(out)), tell)
    return evaluation


def compare(*evaluations: Evaluation | str | PathLike[str]) -> SideBySide:
    """Return evaluations side by side, each but the first tested against the first on the images that they share.

    McNemar's and DeLong's tests are paired, and corrected together.

    Parameters
    ----------
    evaluations
        At least two: what `evaluate` gave, or folders that it wrote.

    Raises
    ------
    ConfigurationError
        If fewer than two are named, or one is named twice.
    DataError
        If a folder is no evaluation, or two share no images, findings or truth.
    """
    if len({id(each) for each in evaluations if isinstance(each, Evaluation)}) < sum(
        isinstance(each, Evaluation) for each in evaluations
    ):
        msg = "An evaluation is named twice. Name each once."
        raise ConfigurationError(msg)
    with TemporaryDirectory() as folder:
        paths: list[Path] = []
        for each in evaluations:
            if isinstance(each, Evaluation):
                name = f"{each.model.name} on {each.dataset.folder.name} {each.split}"
                same = sum(path.name.startswith(name) for path in paths)
                path = Path(folder, f"{name} ({same + 1})" if same else name)
                path.mkdir(parents=True)
                each._record(path, images=False)
                paths.append(path)
            else:
                paths.append(Path(each))
        return compare_evaluations(paths)
