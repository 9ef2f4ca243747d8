"""An image becomes answers: it is judged, and what the model says is written as DICOM objects of the same study.

The one function that the command line and the listener call is `write_answers`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset

from carina.dicom.answers.answer_attributes import maker_of
from carina.dicom.answers.measurement_report import measurement_report
from carina.dicom.answers.objects import KINDS, Kind, kinds_named, whole_object
from carina.dicom.answers.secondary_capture import draw_answer, secondary_capture
from carina.dicom.answers.segmentation import LEVEL, find_regions, segmentation
from carina.dicom.answers.source import Source, read_source, require_foreign_dicom
from carina.dicom.quiet import quiet
from carina.errors import BundleError, InputError
from carina.extras import require_libraries
from carina.inference.explanation.explain import Explanation
from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.predictor import Predictor
from carina.inference.results import path_in_words
from carina.radiographs.read import read_bytes
from carina.storage.atomic import whole_file

DEFAULT_KINDS: tuple[Kind, ...] = KINDS
# What is drawn over the radiograph, for which the model has to explain.
_OF_EVIDENCE = frozenset({"sc", "seg"})
_NO_REGIONS = f"the model looks for no lungs, and no cell adds {LEVEL:g} log odds or more, so that no region is there"
_BROKEN = (
    "its attributes hold values that no answer can be written with. Check the object, or fetch it again from where it "
    "came from."
)


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """A DICOM object that was written, as ``carina-<kind>-<SOP Instance UID>.dcm``.

    Its kind is ``sr`` for the structured report, ``sc`` for the picture, or ``seg`` for the regions. None of its UIDs
    tells who the patient is.
    """

    kind: Kind
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of one image.

    Attributes
    ----------
    prediction
        What the model says, with the image's path, without patient data.
    written
        The objects, in the order of `carina.dicom.answers.objects.KINDS`; none where the image may not be judged.
    reason
        A sentence that says why nothing was written, or none if something was.
    left_out
        Kinds that were asked for and do not fit the image, each with why.
    copy_of
        The image that was answered before and that this one is a copy of, if it is one.
    """

    prediction: Prediction
    written: tuple[WrittenAnswer, ...]
    reason: str | None
    left_out: dict[Kind, str]
    copy_of: Path | None = None


@dataclass(frozen=True, slots=True)
class AnswerFiles:
    """The answers to one image as files that are not yet written.

    Attributes
    ----------
    answers_to
        The SOP Instance UID of the image.
    files
        The bytes of each object by its file name; none where the image may not be judged.
    reason
        A sentence that says why there is no object, or none if there is one.
    """

    answers_to: str
    files: dict[str, bytes]
    reason: str | None


class AnsweredImages:
    """Which images were answered, so that two of them never pass for one.

    An archive knows an image by its SOP Instance UID alone: of two images with one UID, answers to both would be taken
    for answers to one. For one thread.
    """

    def __init__(self) -> None:
        self._first: dict[str, Path] = {}

    def first_of(self, uid: str, path: Path) -> Path | None:
        """Return which image of the same UID and the same bytes was answered before; none where there was none.

        Raises
        ------
        InputError
            If another image has this UID.
        """
        first = self._first.get(uid)
        if first is None or first == path:
            return None
        if read_bytes(first) == read_bytes(path):
            return first
        msg = (
            f"it has the SOP Instance UID of {path_in_words(first)} and other contents, so that only that file was "
            "answered. Find out which of the two has the right UID, and leave the other one out."
        )
        raise InputError(msg, "written-before")

    def note(self, uid: str, path: Path) -> None:
        """Note that an image was answered; of one that was not, another image of its UID may still be."""
        self._first.setdefault(uid, path)


def write_answers(
    path: Path,
    predictor: Predictor,
    out: Path,
    kinds: Collection[Kind] = DEFAULT_KINDS,
    *,
    prevalence: float | None = None,
    answered: AnsweredImages | None = None,
) -> Answers:
    """Judge a DICOM image, write the answers as DICOM objects of its study, and return what was written.

    The same image, model, version of Carina and prevalence give the same UIDs, file names and bytes, so that writing
    again after a crash replaces a file by its like and sending again doubles nothing. An image that comes again under
    its UID with other pixels or another header gets answers of other UIDs wherever they say anything else. All objects
    are made before the first is written, and each file appears whole or not at all. May be called from several threads
    if each has its own `answered`.

    Parameters
    ----------
    out
        The folder to write into; it is made where it does not exist.
    kinds
        Which objects: ``sr``, ``sc``, ``seg``.
    prevalence
        See `carina.decisions.triage.choose_triage`.
    answered
        The images that were answered before. This image is added if an answer to it is written.

    Raises
    ------
    InputError
        If the image cannot be read or referred to, or another image of its UID was answered. The code is ``own-answer``
        if Carina wrote the file: nothing is wrong then, and nothing has to be done. No message holds a value of the
        file.
    ConfigurationError
        If highdicom is not installed, a kind is none, or the prevalence lies outside 0 to 1.
    BundleError
        If picture or regions are asked for, and the model gives no explanations.
    OSError
        If `out` cannot be written or the disk is full. What lies there already is whole.
    """
    require_libraries("Writing DICOM answers", "highdicom")
    kinds = kinds_named(kinds)
    require_foreign_dicom(path)
    (prediction,) = predictor.predict([path], prevalence=prevalence, explain=need_explanation(kinds))
    if isinstance(prediction, FailedPrediction):
        raise prediction.error
    source = read_source(path)
    copy_of = None if answered is None else answered.first_of(source.sop_instance_uid, path)
    if prediction.triage.priority == "not-assessable":
        return Answers(prediction, (), prediction.triage.reason, {})
    objects, left_out = _objects(prediction, source, predictor, kinds, prevalence)
    written = tuple(_write(out, answer, content) for answer, content in objects)
    if written and answered is not None:
        answered.note(source.sop_instance_uid, path)
    return Answers(prediction, written, _why_none(objects, left_out), left_out, copy_of)


def need_explanation(kinds: Collection[Kind]) -> bool:
    """Return whether the image must be judged with an explanation for these kinds of answers."""
    return not _OF_EVIDENCE.isdisjoint(kinds)


def answer_files(
    prediction: Prediction,
    image: bytes,
    predictor: Predictor,
    kinds: Collection[Kind],
    *,
    prevalence: float | None = None,
) -> AnswerFiles:
    """Return the answers to an image that was judged before; they are those of `write_answers`.

    Parameters
    ----------
    prediction
        What the model says of it, with an explanation where `need_explanation` says so.
    image
        The bytes of the DICOM file.

    Raises
    ------
    InputError, BundleError
        As `write_answers`.
    """
    require_foreign_dicom(image)
    source = read_source(image)
    if prediction.triage.priority == "not-assessable":
        return AnswerFiles(source.sop_instance_uid, {}, prediction.triage.reason)
    objects, left_out = _objects(prediction, source, predictor, kinds, prevalence)
    files = {str(answer.path): content for answer, content in objects}
    return AnswerFiles(source.sop_instance_uid, files, _why_none(objects, left_out))


def _why_none(objects: Sequence[object], left_out: dict[Kind, str]) -> str | None:
    return None if objects else "; ".join(left_out.values()) or None


def _objects(
    prediction: Prediction, source: Source, predictor: Predictor, kinds: Collection[Kind], prevalence: float | None
) -> tuple[list[tuple[WrittenAnswer, bytes]], dict[Kind, str]]:
    """Return each answer with its bytes, its path the file's name alone as yet; and why kinds are left out."""
    maker = maker_of(predictor, prevalence)
    makers: dict[Kind, Callable[[], Dataset]] = {
        "sr": lambda: measurement_report(prediction, source, maker),
    }
    left_out: dict[Kind, str] = {}
    if "sc" in kinds:
        picture = draw_answer(prediction, _explanation_of(prediction), maker)
        makers["sc"] = lambda: secondary_capture(picture, prediction, source, maker)
    if "seg" in kinds:
        regions = find_regions(prediction, _explanation_of(prediction), source, maker)
        makers["seg"] = lambda: segmentation(regions, prediction, source, maker)
        if not regions:
            left_out["seg"] = _NO_REGIONS
    made = []
    with quiet(_BROKEN):
        for kind in (kind for kind in kinds if kind not in left_out):
            dataset = makers[kind]()
            content = whole_object(dataset, source, maker, kind, prediction)
            uid = str(dataset.SOPInstanceUID)
            name = Path(f"carina-{kind}-{uid}.dcm")
            answer = WrittenAnswer(kind, name, str(dataset.SOPClassUID), uid, str(dataset.SeriesInstanceUID))
            made.append((answer, content))
    return made, left_out


def _explanation_of(prediction: Prediction) -> Explanation:
    if prediction.explanation is None:
        msg = "The model gives no explanation of an image that it judges. Export it again with this version of Carina."
        raise BundleError(msg)
    return prediction.explanation


def _write(out: Path, answer: WrittenAnswer, content: bytes) -> WrittenAnswer:
    path = out / answer.path
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return replace(answer, path=path)
