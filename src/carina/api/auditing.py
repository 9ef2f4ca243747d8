"""How much a model relies on the lungs: in memory, as a picture, as a page, and as a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carina.api.accepted_forms import DatasetLike, ModelLike, dataset_of, folder_of
from carina.evaluation.audit.alterations import AlterationSettings
from carina.evaluation.audit.audit import AuditSettings, Spread, nobody_listens, run_audit
from carina.evaluation.audit.audit_results import Audit
from carina.evaluation.audit.audited_model import open_audited
from carina.places import require_model_first
from carina.progress import Progress
from carina.radiographs.preprocess import Preprocessing
from carina.reports.audit_folder import audit_content, audit_text, write_audit
from carina.reports.drawing.audit_examples import draw_audit
from carina.reports.drawing.png import to_picture
from carina.reports.html.open_reports import build_audit_report
from carina.reports.html.page import Report
from carina.storage.atomic import require_absent

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class AuditResult:
    """What an audit found; `audit` gives it, and a notebook shows it.

    Attributes
    ----------
    found
        All figures, the sentence and the verdicts.
    preprocessing
        How the audited model is shown an image.
    alterations
        How much was taken away.
    command
        What is written down as the command.
    """

    found: Audit
    preprocessing: Preprocessing
    alterations: AlterationSettings
    command: str

    def __repr__(self) -> str:
        return f"<carina.AuditResult {self.found.model} on {self.found.dataset}: {self.sentence}>"

    @property
    def sentence(self) -> str:
        """Return the audit in one sentence."""
        return self.found.sentence

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Return what it means, in plain sentences."""
        return self.found.verdicts

    def summary(self) -> str:
        """Return every figure with its interval, as text of 100 columns."""
        return audit_text(self.found)

    def plot(self) -> "Image":
        """Return the audit as a picture."""
        return to_picture(draw_audit(self._content(), self.preprocessing, self.alterations))

    def report(self) -> Report:
        """Return the audit as a page; a notebook shows it."""
        return build_audit_report(self._content())

    def _content(self) -> dict[str, Any]:
        return audit_content(self.found, self.command)

    def save(self, out: str | PathLike[str]) -> None:
        """Write the folder of ``carina audit``.

        Parameters
        ----------
        out
            The folder to write; it must not exist.

        Raises
        ------
        ConfigurationError
            If `out` exists.
        """
        write_audit(
            self.found,
            Path(out),
            preprocessing=self.preprocessing,
            alterations=self.alterations,
            command=self.command,
        )

    def _repr_html_(self) -> str:
        return self.found._repr_html_()


def audit(
    model: ModelLike,
    dataset: DatasetLike,
    *,
    out: str | PathLike[str] | None = None,
    external: Sequence[DatasetLike] = (),
    lungs: str | PathLike[str] | None = None,
    drop_leaks: bool = False,
    train_images: int = 3000,
    test_images: int = 1500,
    cache: str | PathLike[str] | None = None,
    command: str = "Python: carina.audit",
    spread: Spread = map,
    progress_of: Callable[[str], Progress] = nobody_listens,
) -> AuditResult:
    """Measure how much a model relies on the lungs.

    Parameters
    ----------
    model
        A model, a run, or the folder of a bundle or a finished run. It is computed in 32-bit floating point.
    dataset
        A data set with train, calibration and test splits.
    out
        Also write the folder of ``carina audit``; it must not exist.
    external
        Data sets from other hospitals or collections, to judge the model on.
    lungs
        The lung segmenter (ONNX) to use where neither the model nor the data set shows the lungs.
    drop_leaks
        Leave out test images that the model was trained on.
    train_images
        Largest number of images to train on.
    test_images
        Largest number of images to judge, and to tune on.
    cache
        Folder for embeddings that are used again; by default the user's cache.
    command
        What is written down as the command.
    spread
        What maps a function over a list in order, such as `carina.cluster.spread.Spread`: heads are trained and sources
        asked for there. The result is the same.
    progress_of
        Gives, for the name of a stage, what is told how many of how many items are done.

    Raises
    ------
    BundleError, ConfigurationError, LeakError, DataError
        See `carina.evaluation.audit.audit.run_audit`.
    """
    folder = folder_of(model)
    if isinstance(dataset, str | PathLike):
        require_model_first(folder, Path(dataset), ["carina", "audit", str(folder), str(dataset)])
    opened, outside = dataset_of(dataset), [dataset_of(each) for each in external]
    if out is not None:
        require_absent(Path(out), what="audit")
    audited = open_audited(folder)
    settings = AuditSettings(train_images=train_images, test_images=test_images)
    found = run_audit(
        audited,
        opened,
        external=outside,
        segmenter=None if lungs is None else Path(lungs),
        drop_leaks=drop_leaks,
        settings=settings,
        cache=None if cache is None else Path(cache),
        spread=spread,
        progress_of=progress_of,
    )
    result = AuditResult(found, audited.preprocessing, settings.alterations, command)
    if out is not None:
        result.save(out)
    return result
