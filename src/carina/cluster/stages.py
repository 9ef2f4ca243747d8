"""What the machines of a cluster do with a unit, in three steps: read its images, judge them, write its part.

A step never raises: what it could not do travels on as words, so that Ray tries again what died and nothing else.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from carina.cluster.entries import Entry, is_remote
from carina.cluster.node import Files, Model
from carina.cluster.output_store import Store
from carina.cluster.pending import Listing
from carina.cluster.table_parts import part_of, row_of, schema
from carina.dicom.answers.answers import answer_files, need_explanation
from carina.dicom.answers.objects import Kind
from carina.errors import CarinaError, InputError
from carina.inference.image_input import Input
from carina.inference.prediction import AnyPrediction, FailedPrediction, Prediction
from carina.inference.prediction_list import said_of
from carina.inference.predictor import ReadFilm, read_film
from carina.runtime.streams import read_ahead

OVERLAYS, ANSWERS = "overlays", "answers"
# Threads that read for one core: a disk answers at once, an object store after some hundredths of a second.
_LOCAL, _REMOTE = 2, 16

Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """What all machines need to know of a batch.

    Attributes
    ----------
    store, listing
        The output, and what is to be judged.
    read_size
        Of the model's preprocessing.
    deflated, embeddings, overlays
        Whether deflated DICOM is read, and what is written beside the rows.
    answers
        Which answers are written beside the rows for DICOM images.
    single
        For units that ended a process: pairs of unit and place in it. Each is then read, judged and written alone.
    """

    store: Store
    listing: Listing
    read_size: int
    deflated: bool = False
    embeddings: bool = False
    overlays: bool = False
    answers: tuple[Kind, ...] = ()
    single: tuple[tuple[int, int], ...] | None = None

    @property
    def explained(self) -> bool:
        """Return whether each image is judged with an explanation."""
        return self.overlays or need_explanation(self.answers)

    @property
    def count(self) -> int:
        """Return how many units there are."""
        return self.listing.units if self.single is None else len(self.single)

    def schema(self, findings: Sequence[str]) -> pa.Schema:
        """Return the columns of the table, for a model's findings."""
        return schema(findings, embeddings=self.embeddings, answers=bool(self.answers))

    def entries(self, number: int) -> list[Entry]:
        """Return what is in a unit."""
        if self.single is None:
            return self.listing.unit(number)
        unit, place = self.single[number]
        return [self.listing.unit(unit)[place]]


@dataclass(frozen=True, slots=True)
class FetchedInput(Input):
    """An input whose bytes are here."""

    content: bytes = b""

    def read(self) -> bytes:
        """Return its bytes."""
        return self.content


@dataclass(slots=True)
class _ReadInput:
    entry: Entry
    sha256: str | None
    film: ReadFilm
    # Where answers are to be written.
    content: bytes | None = None


@lru_cache(maxsize=1)
def _one_thread() -> None:
    # Ray's processes are the parallelism here.
    cv2.setNumThreads(1)


def read_unit(batch: Batch, *, job: Job) -> Batch:
    """Return a unit's images, read and made small."""
    _one_thread()
    number = int(batch["id"][0])
    try:
        entries = job.entries(number)
        threads = _REMOTE if any(is_remote(entry.source) for entry in entries) else _LOCAL
        films: Any = list(read_ahead(partial(_read_input, job=job), entries, ahead=2 * threads, threads=threads))
    except Exception as error:  # noqa: BLE001  # see above
        films = _words(error)
    return _row(unit=number, films=films)


def _read_input(entry: Entry, job: Job) -> _ReadInput:
    source = Input(Path(entry.address), entry.named)
    sha256 = None
    try:
        content = entry.content()
    except InputError as error:
        source = replace(source, error=error)
    else:
        sha256 = hashlib.sha256(content).hexdigest()
        source = FetchedInput(source.path, source.named, content=content)
    film = read_film(source, read_size=job.read_size, deflated=job.deflated, explain=job.explained)
    kept = source.content if job.answers and isinstance(source, FetchedInput) else None
    return _ReadInput(entry, sha256, film, kept)


class JudgeUnit:
    """A model that is loaded, and judges unit after unit.

    Parameters
    ----------
    job
        What is to be done.
    model
        What must judge.
    fetch
        Gives the bundle's files.
    """

    def __init__(self, job: Job, model: Model, fetch: Callable[[], Files]) -> None:
        _one_thread()
        self._job, self._model = job, model
        self._predictor = model.load(fetch())
        self._rows = model.rows(self._predictor)
        self._schema = job.schema(self._predictor.run.findings)

    def __call__(self, batch: Batch) -> Batch:
        """Return a unit's part, and the pictures that lie beside it."""
        number, read = int(batch["unit"][0]), batch["films"][0]
        if isinstance(read, str):
            return _row(unit=number, files=read, said=[])
        try:
            films = (each.film for each in read)
            judged = list(self._predictor.judge(films, prevalence=self._model.prevalence, embed=self._job.embeddings))
            files: dict[str, bytes] = {}
            rows = []
            for each, prediction in zip(read, judged, strict=True):
                row = row_of(each.entry, each.sha256, prediction, self._rows, version=self._model.version)
                if self._job.overlays and (picture := _overlay(each.entry, prediction)) is not None:
                    row["overlay"], files[f"{OVERLAYS}/{picture[0]}"] = picture
                if each.content is not None and isinstance(prediction, Prediction):
                    row |= self._answers_to(prediction, each.content, files)
                rows.append(row)
            name, content = part_of(rows, self._schema)
            # Last: when the part is there, all that it names is there.
            files[name] = content
        except Exception as error:  # noqa: BLE001  # see above
            return _row(unit=number, files=_words(error), said=[])
        return _row(unit=number, files=files, said=[said_of(prediction) for prediction in judged])

    def _answers_to(self, prediction: Prediction, image: bytes, files: dict[str, bytes]) -> dict[str, Any]:
        """Add the answers to an image to the files, and return what its row says of them."""
        kinds, prevalence = self._job.answers, self._model.prevalence
        try:
            made = answer_files(prediction, image, self._predictor, kinds, prevalence=prevalence)
        except InputError as error:
            return {"not_answered": str(error)}
        files.update({f"{ANSWERS}/{name}": content for name, content in made.files.items()})
        return {"answers_to": made.answers_to, "answers": list(made.files), "not_answered": made.reason}


def _overlay(entry: Entry, prediction: AnyPrediction) -> tuple[str, bytes] | None:
    if isinstance(prediction, FailedPrediction) or prediction.explanation is None:
        return None
    from carina.inference.explanation.overlay import draw_overlay, encode_png  # noqa: PLC0415  # fonts and drawing
    from carina.inference.explanation.overlay_files import overlay_name  # noqa: PLC0415

    finding, probabilities = prediction.judged()
    picture = draw_overlay(prediction.explanation, finding, probabilities[finding])
    return overlay_name(Path(entry.address)), encode_png(picture)


def write_unit(batch: Batch, *, job: Job) -> Batch:
    """Write a unit's part, and return what was said of its images."""
    number, files = int(batch["unit"][0]), batch["files"][0]
    if isinstance(files, str):
        return _row(unit=number, said=[], raised=files, failed="")
    try:
        for name, content in files.items():
            job.store.put(name, content)
    except OSError as error:
        return _row(unit=number, said=[], raised="", failed=f"{job.store.address}: {error.strerror or error}")
    return _row(unit=number, said=batch["said"][0], raised="", failed="")


def _row(**values: Any) -> Batch:
    """Return a block of one row, which Ray never cuts."""
    row = {}
    for name, value in values.items():
        row[name] = np.empty(1, object)
        row[name][0] = value
    return row


def _words(error: Exception) -> str:
    # The text of a library's error may quote a header.
    return str(error) if isinstance(error, CarinaError) else type(error).__name__
