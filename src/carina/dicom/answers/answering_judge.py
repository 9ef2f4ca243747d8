"""What judges DICOM files in another process and writes answers to them; see `carina.dicom.listener.judging`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from carina.extras import require_libraries

if TYPE_CHECKING:
    from carina.dicom.answers.objects import Kind
    from carina.dicom.listener.judging import Judge, Refusal


def judge_factory(
    bundle: Path | None, kinds: Sequence[str], prevalence: float | None = None, *, keeps_predictions: bool = False
) -> "Callable[[], Judge]":
    """Return what makes, in another process, a judge that answers with Carina's own objects.

    With `keeps_predictions` it writes what ``carina predict --json`` says of the image beside its answers.

    Raises
    ------
    BundleError
        If there is no bundle.
    ConfigurationError
        If a kind is none, or highdicom, which writes answers, is not installed.
    """
    from carina.bundles.bundle import released_bundle  # noqa: PLC0415  # what only the judging process needs is imported there
    from carina.dicom.answers.objects import kinds_named  # noqa: PLC0415

    require_libraries("Writing DICOM answers", "highdicom")
    return partial(_make_judge, bundle or released_bundle(), kinds_named(kinds), prevalence, keeps_predictions)


def _make_judge(bundle: Path, kinds: "tuple[Kind, ...]", prevalence: float | None, keeps_predictions: bool) -> "Judge":
    from carina.dicom.answers.answers import write_answers  # noqa: PLC0415
    from carina.dicom.fetching.query import PREDICTION_FILE  # noqa: PLC0415
    from carina.dicom.listener.judging import Refusal  # noqa: PLC0415
    from carina.inference.predictor import Predictor  # noqa: PLC0415
    from carina.inference.results import JsonLines  # noqa: PLC0415

    predictor = Predictor(bundle)
    rows = JsonLines(predictor, prevalence=prevalence)

    def judge(stored: Path, folder: Path) -> "Sequence[Path] | Refusal":
        answers = write_answers(stored, predictor, folder, kinds, prevalence=prevalence)
        if keeps_predictions:
            (folder / PREDICTION_FILE).write_text(rows.row(answers.prediction, None), encoding="utf-8")
        if not answers.written:
            assessable = answers.prediction.triage.priority != "not-assessable"
            code = "no-kind-fits" if assessable else "not-assessable"
            return Refusal(code, answers.reason or "There is nothing to answer.")
        return [answer.path for answer in answers.written]

    return judge
