"""What runs in a process of its own: a model is fitted to films with verdicts, by the library's own functions."""

import csv
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from carina.errors import CarinaError
from carina.service.fitting.fitting_report import FittingReport
from carina.service.fitting.fitting_tables import FittingKind

# Pages and judging go first.
_NICE = 10
# How sentences of the library name the data set.
DATASET = "verdicts"
_BETWEEN_SENTENCES = re.compile(r"(?<=[.?!]) (?=[A-Z-])")
_ASKS_FOR_AN_OPTION = re.compile(r"--[a-z]|\b[Ii]mport (?:\w+ ){0,3}(?:again|with)\b|`carina ")
_ELSEWHERE = "More verdicts may help. On the command line, carina adapt has further choices."


@dataclass(frozen=True, slots=True)
class Film:
    """An image with a verdict: where it lies, what readers see, and by what its patient's images are known."""

    path: Path
    finding: str
    patient: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of it.

    Attributes
    ----------
    made
        Whether there is a new bundle.
    message
        Why there is none.
    report
        What was measured; none where it did not come so far.
    """

    made: bool
    message: str | None
    report: FittingReport | None


def fitter(cache: Path) -> Callable[[], Callable[..., Fitted]]:
    """Return what makes, in another process, the function that fits; its arguments are those of `fit`."""
    return partial(_make, cache)


def _make(cache: Path) -> Callable[..., Fitted]:
    os.nice(_NICE)
    # What the network gives for a film is kept in the site's own folder, and goes with it.
    os.environ["CARINA_CACHE"] = str(cache)
    return fit


def fit(kind: FittingKind, bundle: Path, films: Sequence[Film], out: Path, version: str) -> Fitted:
    """Write a bundle that is fitted to films, and return what was measured on films held out.

    Parameters
    ----------
    kind
        ``recalibrate``: `carina.api.bundles.recalibrate`; ``adapt``: `carina.api.bundles.adapt`.
    bundle, out, version
        What is fitted, the folder to write, and the version of the new one.
    films
        Those whose finding the model does not know are left out, and counted.
    """
    from carina.api.bundles import adapt, recalibrate  # noqa: PLC0415  # this process alone learns
    from carina.bundles.bundle import open_bundle  # noqa: PLC0415
    from carina.datasets.importing import import_dataset  # noqa: PLC0415
    from carina.service.fitting.fitting_report import build_report  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="carina-fitting-") as work:
        folder = Path(work) / DATASET
        try:
            described = open_bundle(bundle)[0]
            known = [film for film in films if film.finding in described.findings]
            left_out = _left_out(films, len(known))
            if not known:
                return Fitted(made=False, message="No verdict names a finding of the model. " + left_out, report=None)
            imported = import_dataset(_table(known, Path(work)), folder, test_only=True)
            said = [left_out] if left_out else []
            said += imported.unread()
            if kind == "recalibrate":
                done = recalibrate(bundle, imported, out, version=version, hold_out=True)
                if done.held_out is None:  # it was asked for
                    return Fitted(made=True, message=None, report=None)
                report = build_report(done.held_out, done.old, done.summary().splitlines(), said)
                return Fitted(made=True, message=None, report=_plain(report, work))
            adapted = adapt(bundle, imported, out, version=version)
            report = build_report(adapted.held_out, adapted.old, adapted.summary().splitlines(), said)
            refused = adapted.refused
            message = None if refused is None else f"The adapted model is not better here: {refused}."
            return Fitted(made=refused is None, message=message, report=_plain(report, work))
        except CarinaError as error:
            return Fitted(made=False, message=_in_words(str(error), work), report=None)


def _left_out(films: Sequence[Film], known: int) -> str:
    if known == len(films):
        return ""
    return (
        f"{len(films) - known} of {len(films)} verdicts name a finding that the model does not know, and were left out."
    )


def _table(films: Sequence[Film], folder: Path) -> Path:
    path = folder / "films.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(("path", "finding", "patient"))
        rows.writerows((film.path, film.finding, film.patient) for film in films)
    return path


def _in_words(message: str, work: str) -> str:
    """Return what the library says, for somebody at the page.

    Where it names a folder that nobody knows, it names the site's verdicts. A sentence that asks for an option of the
    command line is left out, and it is said where that can be chosen.
    """
    named = message.replace(str(Path(work) / DATASET), "The site's verdicts").replace(work, "The site's verdicts")
    sentences = _BETWEEN_SENTENCES.split(named)
    told = [sentence for sentence in sentences if not _ASKS_FOR_AN_OPTION.search(sentence)]
    return " ".join(told if len(told) == len(sentences) else [*told, _ELSEWHERE])


def _plain(report: FittingReport, work: str) -> FittingReport:
    return report.model_copy(
        update={name: tuple(_in_words(line, work) for line in getattr(report, name)) for name in ("lines", "left_out")}
    )
