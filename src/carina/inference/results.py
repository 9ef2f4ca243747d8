"""A prediction becomes a row for a program, JSON or CSV; and rows are read again when a batch goes on."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from carina import __version__
from carina.bundle import BundleDescription
from carina.inference.predictor import FailedPrediction, Prediction, Predictor

AnyPrediction = Prediction | FailedPrediction
# Of an explanation, in CSV.
_WHY = ("overlay", "inside_lungs", "lungs_fill")


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as it stands in a file.

    Attributes
    ----------
    start, end
        Where it begins and ends, in bytes.
    path
        Of the input, as `path_in_words` gives it.
    failed
        Whether the input could not be judged.
    model_sha256
        Of the model that judged it; none where it failed and its row does not say.
    """

    start: int
    end: int
    path: str
    failed: bool
    model_sha256: str | None


class RowError(ValueError):
    """A stored row is none of this format, or was written with other options."""


class RowFormat(Protocol):
    """How predictions stand in a file.

    Attributes
    ----------
    name
        For messages.
    header
        The first line with its end, or nothing.
    """

    name: str
    header: str

    def row(self, prediction: AnyPrediction, picture: Path | None) -> str:
        """Return a prediction and the name of its picture as a row, with the line's end."""

    def read(self, stream: BinaryIO) -> Iterator[StoredRow]:
        """Yield the whole rows of a file, from its first byte on; a half-written one at its end is none.

        Raises
        ------
        RowError
            If something else stands before.
        """


def path_in_words(path: Path | None) -> str:
    r"""Return a path as text; bytes of it that are no UTF-8 stand as ``\xe9``. Nothing where there was no file."""
    return "" if path is None else os.fsencode(path).decode("utf-8", "backslashreplace")


class JsonLines:
    """A JSON object a line.

    Parameters
    ----------
    predictor
        Whose predictions they are.
    explained
        Whether each has its explanation in numbers.
    """

    name = "JSON lines"
    header = ""

    def __init__(self, predictor: Predictor, *, explained: bool = False) -> None:
        run = predictor.run
        self._explained = explained
        self._model = {
            "name": run.name,
            "version": run.version if isinstance(run, BundleDescription) else __version__,
            "sha256": run.model_sha256,
            "engine": predictor.engine.name,
        }

    def row(self, prediction: AnyPrediction, picture: Path | None) -> str:
        """Return a prediction as a line."""
        return json.dumps(self._object(prediction, picture), ensure_ascii=False) + "\n"

    def _object(self, prediction: AnyPrediction, picture: Path | None) -> dict[str, Any]:
        path = path_in_words(prediction.path)
        if isinstance(prediction, FailedPrediction):
            return {"path": path, "error": {"code": prediction.error.code, "message": str(prediction.error)}}
        accepted = prediction.refused is None
        rounded = {finding: round(p, 6) for finding, p in prediction.probabilities.items()}
        content = {
            "path": path,
            "sha256": prediction.sha256,
            "finding": prediction.finding if accepted else None,
            "probabilities": rounded if accepted else None,
            "triage": {"priority": prediction.triage.priority, "reason": prediction.triage.reason},
            "gate": {"accepted": accepted, "reasons": list(prediction.reasons)},
            "reservations": list(prediction.reservations),
            "model": self._model,
            "elapsed_ms": round(prediction.elapsed_ms, 2),
        }
        if self._explained:
            content["explanation"] = _explanation_in_numbers(prediction, picture)
        return content

    def read(self, stream: BinaryIO) -> Iterator[StoredRow]:
        """Yield the whole lines of a file; see `RowFormat.read`."""
        start = 0
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            end = start + len(line)
            yield self._stored(line, number, start, end)
            start = end

    def _stored(self, line: bytes, number: int, start: int, end: int) -> StoredRow:
        try:
            content = json.loads(line)
            path = content["path"]
            failed = "error" in content
            sha256 = None if failed else content["model"]["sha256"]
            # Surrogates in a path could not be hashed.
            path.encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            msg = f"line {number} is no result in JSON"
            raise RowError(msg) from None
        if not failed and ("explanation" in content) != self._explained:
            msg = f"line {number} was written with{'out' if self._explained else ''} --explain"
            raise RowError(msg)
        return StoredRow(start, end, path, failed, sha256)


class Csv:
    """CSV with a header; see `JsonLines` for the parameters."""

    name = "CSV"

    def __init__(self, predictor: Predictor, *, explained: bool = False) -> None:
        self._findings = predictor.run.findings
        self._model_sha256 = predictor.run.model_sha256
        self._explained = explained
        probabilities = [f"probability:{finding}" for finding in self._findings]
        columns = ["path", "finding", *probabilities, "priority", "reason", "error_code", "error", "model_sha256"]
        columns += ["reservations", *(_WHY if explained else ())]
        self._columns = len(columns)
        self.header = _csv_line(columns)

    def row(self, prediction: AnyPrediction, picture: Path | None) -> str:
        """Return a prediction as a row."""
        path, judged = path_in_words(prediction.path), [""] * (1 + len(self._findings))
        if isinstance(prediction, FailedPrediction):
            said = ["", "", prediction.error.code, str(prediction.error)]
        else:
            if prediction.refused is None:
                shares = prediction.probabilities
                judged = [prediction.finding, *(f"{shares[finding]:.6f}" for finding in self._findings)]
            said = [prediction.triage.priority, prediction.triage.reason, "", ""]
        doubts = "" if isinstance(prediction, FailedPrediction) else " ".join(prediction.reservations)
        return _csv_line([path, *judged, *said, self._model_sha256, doubts, *self._why(prediction, picture)])

    def _why(self, prediction: AnyPrediction, picture: Path | None) -> list[str]:
        if not self._explained:
            return []
        why = None if isinstance(prediction, FailedPrediction) else _explanation_in_numbers(prediction, picture)
        return ["" if why is None or why[key] is None else str(why[key]) for key in _WHY]

    def read(self, stream: BinaryIO) -> Iterator[StoredRow]:
        """Yield the whole rows of a file, without its header; see `RowFormat.read`."""
        lines = _Lines(stream)
        start, seen = 0, 0
        try:
            for fields in csv.reader(lines):
                seen += 1
                if not lines.whole or (seen > 1 and len(fields) < self._columns and lines.at_end()):
                    return
                if seen == 1:
                    self._require_header(fields)
                elif len(fields) != self._columns:
                    msg = f"row {seen} has {len(fields)} fields and not {self._columns}"
                    raise RowError(msg)
                else:
                    yield self._stored(fields, start, lines.end)
                start = lines.end
        except (csv.Error, UnicodeDecodeError):
            msg = f"what follows row {seen} is no result in CSV"
            raise RowError(msg) from None

    def _require_header(self, fields: list[str]) -> None:
        if _csv_line(fields) != self.header:
            msg = "its header is not the one that this model and these options give"
            raise RowError(msg)

    def _stored(self, fields: list[str], start: int, end: int) -> StoredRow:
        error = 4 + len(self._findings)
        return StoredRow(start, end, fields[0], bool(fields[error]), fields[error + 2])


def _explanation_in_numbers(prediction: Prediction, picture: Path | None) -> dict[str, Any] | None:
    explanation = prediction.explanation
    if explanation is None:
        return None
    shares = (explanation.inside_lungs(prediction.finding), explanation.lungs_fill)
    inside, fill = (None if share is None else round(share, 4) for share in shares)
    rows, columns, _ = explanation.contributions.shape
    return {
        "finding": prediction.finding,
        "overlay": None if picture is None else path_in_words(Path(picture.name)),
        "inside_lungs": inside,
        "lungs_fill": fill,
        "cells": [rows, columns],
    }


def _csv_line(fields: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue()


class _Lines:
    """The lines of a file as text, and how many bytes of it were read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.end = 0
        self.whole = True

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.end += len(line)
            self.whole = line.endswith(b"\n")
            yield line.decode("utf-8")

    def at_end(self) -> bool:
        """Return whether the file has no more bytes."""
        return os.fstat(self._stream.fileno()).st_size == self.end
