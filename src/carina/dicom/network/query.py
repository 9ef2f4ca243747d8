"""Radiographs of a day are found in an archive, fetched, and judged where a judge is given."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, Protocol

from carina.dicom.network.judging import Answers, JudgeProcess, Refusal
from carina.dicom.network.store import ObjectStore, digest_of
from carina.errors import ConfigurationError

Keep = Callable[[Sequence[bytes]], None]
_UID = re.compile(r"[0-9][0-9.]{0,63}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for.

    Attributes
    ----------
    dates
        StudyDate, or a range, as DICOM has them: ``20260102``, ``20260101-20260131``, ``20260101-``.
    modalities
        Modality of the series, one of these.
    """

    dates: str
    modalities: tuple[str, ...] = ("CR", "DX")


@dataclass(frozen=True, slots=True)
class Series:
    """A series in an archive, by its UIDs. They go back to where they came from, and nowhere else."""

    study: str
    series: str


class Archive(Protocol):
    """Where radiographs lie."""

    def find(self, wanted: Wanted) -> list[Series]:
        """Return the series that fit.

        Raises
        ------
        PeerError
            If the archive does not answer, or says no.
        """

    def fetch(self, series: Series, keep: Keep) -> int:
        """Hand each object of a series to `keep`, as a file in parts; return how many could not be had.

        Raises
        ------
        PeerError
            If the archive does not answer, or says no.
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
        Why there are none, in a word and, where there is one, a sentence.
    known
        Whether an earlier query had judged it.
    """

    path: Path
    state: Literal["fetched", "judged", "refused", "failed"]
    answers: tuple[Path, ...] = ()
    code: str | None = None
    reason: str | None = None
    known: bool = False


def dates_of(text: str, *, today: date | None = None) -> str:
    """Return a date or a range of dates as DICOM has them.

    Parameters
    ----------
    text
        ``20260102``, ``20260101-20260131``, open at one end, ``today`` or ``yesterday``.
    today
        By default today.

    Raises
    ------
    ConfigurationError
        If it is none.
    """
    today = today or date.today()
    known = {"today": today, "yesterday": today - timedelta(days=1)}
    if text in known:
        return known[text].strftime("%Y%m%d")
    found = re.fullmatch(r"(\d{8})?(-)?(\d{8})?", text)
    try:
        given = [] if found is None else [date.fromisoformat(part) for part in (found[1], found[3]) if part]
    except ValueError:
        given = []
    if found is None or not given or (len(given) == 2 and not found[2]) or given != sorted(given):
        msg = f"{text!r} is no date. Write 20260102, 20260101-20260131, today or yesterday."
        raise ConfigurationError(msg)
    return text


def modalities_of(text: str) -> tuple[str, ...]:
    """Return modalities from a comma-separated list.

    Raises
    ------
    ConfigurationError
        If one is none.
    """
    modalities = tuple(part.strip().upper() for part in text.split(","))
    if not all(re.fullmatch(r"[A-Z0-9_]{2,16}", modality) for modality in modalities):
        msg = f"{text!r} are no modalities. Write them as in CR,DX."
        raise ConfigurationError(msg)
    return modalities


def is_uid(text: object) -> bool:
    """Tell whether something may stand as a UID in an address or a request."""
    return isinstance(text, str) and _UID.fullmatch(text) is not None


def query(
    archive: Archive,
    wanted: Wanted,
    store: ObjectStore,
    judge: JudgeProcess | None,
    *,
    judged_by: str = "",
    missing: Callable[[int], None],
) -> Iterator[Fetched]:
    """Yield what became of each object that was found, a series after the other.

    Parameters
    ----------
    archive
        Where they are looked for.
    wanted
        Which.
    store
        Where they are kept, under hashes; what was judged there by the same before is not judged again.
    judge
        None to fetch only. It was started.
    judged_by
        What makes other answers to the same object: the model, its version, the kinds.
    missing
        Is told how many objects of a series could not be had.

    Raises
    ------
    PeerError
        If the archive does not answer, or says no.
    OSError
        If the disk is full, for one.
    """
    for series in archive.find(wanted):
        digests: list[str] = []

        def keep(parts: Sequence[bytes], digests: list[str] = digests) -> None:
            digest = digest_of(*parts)
            if not store.object_path(digest).is_file():
                store.write_object(digest, parts)
            digests.append(digest)

        if lost := archive.fetch(series, keep):
            missing(lost)
        for digest in dict.fromkeys(digests):
            yield _judged(digest, store, judge, judged_by)


def _judged(digest: str, store: ObjectStore, judge: JudgeProcess | None, judged_by: str) -> Fetched:
    path = store.object_path(digest)
    if judge is None:
        return Fetched(path, "fetched")
    # Of the object and of who judged it: another model's answers are not taken for this one's.
    key = digest_of(digest.encode("ascii"), judged_by.encode("utf-8"))
    if answers := store.answer_files(key):
        return Fetched(path, "judged", tuple(answers), known=True)
    work = store.new_work_folder()
    try:
        said = judge.judge(path, work)
        if isinstance(said, Answers):
            store.place_answers(key, work)
            return Fetched(path, "judged", tuple(store.answer_files(key)))
        if isinstance(said, Refusal):
            return Fetched(path, "refused", code=said.code, reason=said.message)
        return Fetched(path, "failed", code=said.reason)
    finally:
        shutil.rmtree(work, ignore_errors=True)
