"""A prediction becomes a row for a program, JSON or CSV; and rows are read again when a batch goes on."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from carina._version import __version__
from carina.bundles.bundle import BundleDescription
from carina.inference.prediction import AnyPrediction, FailedPrediction, Prediction
from carina.inference.predictor import Predictor

# Of an explanation, in CSV.
_WHY = ("overlay", "inside_lungs", "lungs_fill")


@dataclass(frozen=True, slots=True)
class JudgedBy:
    """What a result depends on beside the image; where any of it differs, results do not belong together."""

    model_sha256: str  # of the classifier's graph
    bundle_sha256: str  # a hash of the whole bundle or run, with its thresholds; see `Predictor.sha256`
    precision: str  # that the graph was computed in
    prevalence: str  # that was stated, as text; empty where none was

    @classmethod
    def of(cls, predictor: Predictor, prevalence: float | None) -> "JudgedBy":
        """Return what the results of a predictor depend on."""
        stated = "" if prevalence is None else repr(float(prevalence))
        return cls(predictor.graph_sha256, predictor.sha256, predictor.engine.precision, stated)

    def difference(self, other: "JudgedBy") -> str | None:
        """Return a phrase for what differs first; none if nothing does."""
        for mine, theirs, what in (
            (self.model_sha256, other.model_sha256, "another model"),
            (self.bundle_sha256, other.bundle_sha256, "the same network with other thresholds (another bundle)"),
            (self.precision, other.precision, f"precision {other.precision}"),
            (self.prevalence, other.prevalence, f"{_stated(other.prevalence)} instead of {_stated(self.prevalence)}"),
        ):
            if mine != theirs:
                return what
        return None


def _stated(prevalence: str) -> str:
    return f"--prevalence {prevalence}" if prevalence else "no --prevalence"


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of a file."""

    # Where it begins and ends, in bytes.
    start: int
    end: int
    path: str  # of the input, as `path_in_words` gives it
    failed: bool  # whether the input could not be judged
    sha256: str | None  # of the pixels that were judged; none where it failed
    judged_by: JudgedBy | None  # what judged it; none where it failed and its row does not say


class RowError(ValueError):
    """A stored row is none of this format, or was written with other options."""


def path_in_words(path: Path | None) -> str:
    r"""Return a path as text; bytes of it that are not UTF-8 become ``\xe9``. Empty if there was no file."""
    return "" if path is None else os.fsencode(path).decode("utf-8", "backslashreplace")


class JsonLines:
    """One JSON object per line, each with its explanation in numbers where the predictions were explained."""

    name = "JSON lines"
    header = ""

    def __init__(self, predictor: Predictor, *, explained: bool = False, prevalence: float | None = None) -> None:
        run = predictor.run
        self.judged_by = JudgedBy.of(predictor, prevalence)
        self._explained = explained
        self._prevalence = prevalence
        self._flag = run.policy.flag_finding
        self.model = {
            "name": run.name,
            "version": run.version if isinstance(run, BundleDescription) else __version__,
            "sha256": predictor.graph_sha256,
            "bundle_sha256": predictor.sha256,
            "engine": predictor.engine.name,
            "precision": predictor.engine.precision,
            "threads": predictor.engine.threads,
        }

    def row(self, prediction: AnyPrediction, picture: Path | None) -> str:
        """Return a prediction, with the name of its picture, as a line with its end."""
        return json.dumps(self.content(prediction, picture), ensure_ascii=False) + "\n"

    def content(self, prediction: AnyPrediction, picture: Path | None) -> dict[str, Any]:
        """Return a prediction, with the name of its picture, as what becomes the line."""
        path = path_in_words(prediction.path)
        if isinstance(prediction, FailedPrediction):
            return {"path": path, "error": {"code": prediction.error.code, "message": str(prediction.error)}}
        shares = prediction.probabilities
        content = {
            "path": path,
            "sha256": prediction.sha256,
            "reduced": prediction.reduced,
            "finding": prediction.finding,
            "probabilities": None if shares is None else {finding: round(p, 6) for finding, p in shares.items()},
            "triage": {
                "priority": prediction.triage.priority,
                "code": prediction.triage.code,
                "reason": prediction.triage.reason,
                "prevalence": self._prevalence,
                "flag_finding": self._flag,
            },
            # Null where nothing refused the image and no gate looked at it: then a reservation says so.
            "gate": None
            if prediction.accepted is None
            else {"accepted": prediction.accepted, "reasons": list(prediction.reasons)},
            "reservations": list(prediction.reservations),
            "model": self.model,
            "elapsed_ms": round(prediction.elapsed_ms, 2),
        }
        if self._explained:
            content["explanation"] = _explanation_in_numbers(prediction, picture)
        return content

    def read(self, stream: BinaryIO) -> Iterator[StoredRow]:
        """Yield the whole lines of a file, from its first byte on; a half-written one at its end is none.

        Raises
        ------
        RowError
            If there is something else before it.
        """
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
            judged_by, sha256 = (None, None) if failed else (_judged_by(content), content["sha256"])
            # Surrogates in a path could not be hashed.
            path.encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            msg = f"line {number} is not a result in JSON"
            raise RowError(msg) from None
        if not failed and ("explanation" in content) != self._explained:
            msg = f"line {number} was written with{'out' if self._explained else ''} --explain"
            raise RowError(msg)
        return StoredRow(start, end, path, failed, sha256, judged_by)


def _judged_by(content: dict[str, Any]) -> JudgedBy:
    model, prevalence = content["model"], content["triage"]["prevalence"]
    stated = "" if prevalence is None else repr(float(prevalence))
    return JudgedBy(model["sha256"], model["bundle_sha256"], model["precision"], stated)


class Csv:
    """CSV with a header; see `JsonLines` for the parameters."""

    name = "CSV"

    def __init__(self, predictor: Predictor, *, explained: bool = False, prevalence: float | None = None) -> None:
        self._findings = predictor.run.findings
        self.judged_by = JudgedBy.of(predictor, prevalence)
        self._explained = explained
        self._flag = predictor.run.policy.flag_finding
        probabilities = [f"probability:{finding}" for finding in self._findings]
        columns = ["path", "finding", *probabilities, "priority", "reason_code", "reason", "error_code", "error"]
        columns += [*(field.name for field in fields(JudgedBy)), "reservations", "flag_finding", "gate_accepted"]
        columns += ["sha256", "reduced"]
        columns += _WHY if explained else ()
        self.columns = tuple(columns)
        self.header = _csv_line(columns)

    def row(self, prediction: AnyPrediction, picture: Path | None) -> str:
        """Return a prediction as a row."""
        path, judged = path_in_words(prediction.path), [""] * (1 + len(self._findings))
        if isinstance(prediction, FailedPrediction):
            said = ["", "", "", prediction.error.code, str(prediction.error)]
        else:
            if prediction.finding is not None:
                finding, shares = prediction.judged()
                judged = [finding, *(f"{shares[finding]:.6f}" for finding in self._findings)]
            triage = prediction.triage
            said = [triage.priority, triage.code, triage.reason, "", ""]
        doubts, accepted, pixels = "", None, ["", ""]
        if isinstance(prediction, Prediction):
            doubts, accepted = " ".join(prediction.reservations), prediction.accepted
            pixels = [prediction.sha256, str(prediction.reduced)]
        gate = "" if accepted is None else str(accepted).lower()
        why = self._why(prediction, picture)
        return _csv_line([path, *judged, *said, *astuple(self.judged_by), doubts, self._flag, gate, *pixels, *why])

    def _why(self, prediction: AnyPrediction, picture: Path | None) -> list[str]:
        if not self._explained:
            return []
        why = None if isinstance(prediction, FailedPrediction) else _explanation_in_numbers(prediction, picture)
        return ["" if why is None or why[key] is None else str(why[key]) for key in _WHY]

    def read(self, stream: BinaryIO) -> Iterator[StoredRow]:
        """Yield the whole rows of a file, without its header; see `JsonLines.read`."""
        lines = _Lines(stream)
        start, seen = 0, 0
        try:
            for cells in csv.reader(lines):
                seen += 1
                if not lines.whole or (seen > 1 and len(cells) < len(self.columns) and lines.at_end()):
                    return
                if seen == 1:
                    self._require_header(cells)
                elif len(cells) != len(self.columns):
                    msg = f"row {seen} has {len(cells)} fields and not {len(self.columns)}"
                    raise RowError(msg)
                else:
                    yield self._stored(cells, start, lines.end)
                start = lines.end
        except (csv.Error, UnicodeDecodeError):
            msg = f"what follows row {seen} is not a result in CSV"
            raise RowError(msg) from None

    def _require_header(self, cells: list[str]) -> None:
        if _csv_line(cells) != self.header:
            msg = "its header is not the one that this model, these options and this version of Carina give"
            raise RowError(msg)

    def _stored(self, cells: list[str], start: int, end: int) -> StoredRow:
        row = dict(zip(self.columns, cells, strict=True))
        judged_by = JudgedBy(*(row[field.name] for field in fields(JudgedBy)))
        return StoredRow(start, end, row["path"], bool(row["error_code"]), row["sha256"] or None, judged_by)


RowFormat = JsonLines | Csv


def _explanation_in_numbers(prediction: Prediction, picture: Path | None) -> dict[str, Any] | None:
    explanation = prediction.explanation
    if explanation is None:
        return None
    finding, _ = prediction.judged()
    shares = (explanation.inside_lungs(finding), explanation.lungs_fill)
    inside, fill = (None if share is None else round(share, 4) for share in shares)
    rows, columns, _ = explanation.contributions.shape
    return {
        "finding": finding,
        "overlay": None if picture is None else path_in_words(Path(picture.name)),
        "inside_lungs": inside,
        "lungs_fill": fill,
        "cells": [rows, columns],
    }


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
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
