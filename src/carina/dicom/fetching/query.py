"""Radiographs that an archive found are fetched, held against what it found, and judged where a judge is given."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from carina.dicom.fetching.wanted import Wanted
from carina.dicom.listener.judging import AnswerFiles, JudgeProcess, Refusal
from carina.dicom.listener.store import ObjectStore, digest_of
from carina.dicom.transport.file_meta import read_meta
from carina.errors import ArchiveUnusableError, PeerError
from carina.storage.atomic import write_text

Keep = Callable[[Sequence[bytes]], None]
# What ``carina predict --json`` says of an image, which a judge may leave among its answers.
PREDICTION_FILE = "prediction.json"
# After so many series in a row that failed for a reason that all have in common, no other one is asked for.
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Series:
    """A series in an archive, by its UIDs. They go back to where they came from, and nowhere else.

    `images` is how many it has, as the archive says; none where it does not say.
    """

    study: str
    series: str
    images: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """What was found and did not arrive, or may not have been found.

    Attributes
    ----------
    code, message
        Why, in a word and in a sentence without a UID.
    study, series
        The UIDs, as the archive wrote them; none where it is about more than that.
    expected, received
        Images; none for a number that nobody said.
    """

    code: Literal["search-incomplete", "not-a-uid", "incomplete", "fetch-failed", "not-fetched"]
    message: str
    study: str | None = None
    series: str | None = None
    expected: int | None = None
    received: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What an archive found: each series once, what cannot be asked for, and why there may be more.

    `unfit` is how many series it named that have another date or modality than was asked for.
    """

    series: tuple[Series, ...]
    missing: tuple[Missing, ...] = ()
    unfit: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an archive said while it sent a series."""

    # How many images it says that it sent or could not send; 0 where it does not say.
    told: int = 0
    # How many arrived that were too large or no DICOM objects.
    unusable: int = 0
    # Whether it says that this is not all.
    partial: bool = False


class Archive(Protocol):
    """Where radiographs lie."""

    def find(self, wanted: Wanted) -> Found:
        """Return the series that fit.

        Raises
        ------
        PeerError
            If the archive does not answer, or says no, before it named anything.
        """

    def fetch(self, series: Series, keep: Keep) -> Delivery:
        """Hand each object of a series to `keep`, as a file in parts.

        Raises
        ------
        PeerError
            If the archive does not answer, or says no. What was handed over before is whole.
        """


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of an object.

    Attributes
    ----------
    path
        Where it lies.
    state
        ``fetched`` where no judge was asked, else ``judged``, ``refused`` or ``failed``.
    answers
        Where the answers lie.
    code, reason
        Why there are none: a code and what it means. None where there are answers or no judge was asked.
    prediction
        What ``carina predict --json`` says of it; none where the judge did not keep it.
    repeated
        Whether another object of the series has the same SOP Instance UID.
    """

    path: Path
    state: Literal["fetched", "judged", "refused", "failed"]
    answers: tuple[Path, ...] = ()
    code: str | None = None
    reason: str | None = None
    prediction: Mapping[str, Any] | None = field(default=None, compare=False)
    repeated: bool = False


def images(count: int) -> str:
    """Return a number of images, for a sentence."""
    return f"{count} image" if count == 1 else f"{count} images"


def not_a_uid(where: str, name: str) -> str:
    """Return what is said of something that is not asked for, because its UID would harm an address or a request."""
    return (
        f"{where} was not asked for: what {name} gives as its UID is none (a UID has digits and dots, and 64 "
        "characters at most)."
    )


def query(
    archive: Archive,
    found: Found,
    store: ObjectStore,
    judge: JudgeProcess | None,
    *,
    judged_by: str = "",
    finished: Callable[[Series], object] = lambda _: None,
) -> Iterator[Fetched | Missing]:
    """Yield what became of each object that was found, one series after the other, and what did not arrive.

    Parameters
    ----------
    store
        Where they are kept, under hashes. What the same judge judged before is not judged again if its prediction was
        kept.
    judge
        None to fetch only. It was started.
    judged_by
        What makes other answers to the same object: the model, its version, the kinds.
    finished
        Called with each series that was asked for, once everything about it was yielded.

    Raises
    ------
    OSError
        If the disk is full, for example.
    """
    yield from found.missing
    in_vain = 0
    for number, series in enumerate(found.series, 1):
        where = f"Series {number} of {len(found.series)}"
        if in_vain >= _ENOUGH:
            message = f"{where} was not asked for: the {in_vain} before it failed for a reason that all have in common."
            yield Missing("not-fetched", message, series.study, series.series, series.images, 0)
            continue
        digests: dict[str, None] = {}

        def keep(parts: Sequence[bytes], digests: dict[str, None] = digests) -> None:
            digest = digest_of(*parts)
            if not store.object_path(digest).is_file():
                store.write_object(digest, parts)
            digests[digest] = None

        said: Delivery | PeerError
        try:
            said = archive.fetch(series, keep)
        except PeerError as error:
            said = error
        in_vain = in_vain + 1 if isinstance(said, ArchiveUnusableError) else 0
        names = set[str]()
        for digest in digests:
            # An archive may send one object twice, in two transfer syntaxes for example.
            name = _name_of(store.object_path(digest))
            yield replace(_judged(digest, store, judge, judged_by), repeated=name in names)
            names.add(name)
        received = len(names)
        if (missing := what_lacks(series, said, received, where)) is not None:
            yield missing
        finished(series)


def what_lacks(series: Series, said: Delivery | PeerError, received: int, where: str) -> Missing | None:
    """Return what lacks of a series; none if everything arrived that was found."""
    if isinstance(said, PeerError):
        return Missing("fetch-failed", f"{where}: {said}", series.study, series.series, series.images, received)
    # A series that is named has one image at least: a number of 0 is none.
    expected = max(series.images or 0, said.told) or None
    unsure = said.partial and series.images is None
    if received >= (expected or 1) and not unsure and not said.unusable:
        return None
    if expected is None:
        message = f"{where}: {images(received)} arrived; the archive does not say how many there should be."
    else:
        message = f"{where}: {received} of {images(expected)} arrived."
    if unsure:
        message += " The archive says that it sent only a part."
    if said.unusable:
        message += f" {said.unusable} of what arrived was too large or no DICOM object."
    return Missing("incomplete", message, series.study, series.series, expected, received)


def _name_of(path: Path) -> str:
    """Return what an image is known by: its SOP Instance UID, or its file's name where that cannot be read."""
    meta = read_meta(path, "MediaStorageSOPInstanceUID")
    return (meta[0] if meta is not None else "") or path.name


def _judged(digest: str, store: ObjectStore, judge: JudgeProcess | None, judged_by: str) -> Fetched:
    path = store.object_path(digest)
    if judge is None:
        return Fetched(path, "fetched")
    # Of the object and of who judged it: another model's answers are not taken for this one's.
    key = digest_of(digest.encode("ascii"), judged_by.encode("utf-8"))
    # Not among the answers, which are sent as they are.
    kept = store.folder / "predictions" / f"{key}.json"
    # An object whose prediction is gone is judged again: nothing could be shown of it.
    if (answers := store.answer_files(key)) and (prediction := _prediction_in(kept)) is not None:
        return Fetched(path, "judged", tuple(answers), prediction=prediction)
    work = store.new_work_folder()
    try:
        said = judge.judge(path, work)
        prediction = _prediction_in(work / PREDICTION_FILE)
        (work / PREDICTION_FILE).unlink(missing_ok=True)
        if isinstance(said, AnswerFiles):
            if prediction is not None:
                kept.parent.mkdir(mode=0o700, exist_ok=True)
                write_text(kept, json.dumps(prediction) + "\n")
            store.place_answers(key, work)
            return Fetched(path, "judged", tuple(store.answer_files(key)), prediction=prediction)
        if isinstance(said, Refusal):
            return Fetched(path, "refused", code=said.code, reason=said.message, prediction=prediction)
        return Fetched(path, "failed", code=said.reason, reason=said.meaning)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _prediction_in(file: Path) -> Mapping[str, Any] | None:
    """Return a prediction that was kept; none where none was, or where it is damaged."""
    try:
        content: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content
