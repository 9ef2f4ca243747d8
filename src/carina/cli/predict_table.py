"""What ``carina predict`` shows to people: one line per image, and below it once what the words in it mean.

On a terminal the rows are sorted by priority, so they come when all images are judged. Anywhere else (a pipe, a log
file) each row comes as soon as it is known, in the order of the input, and a line stays a line.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from carina.cli.predict_words import STYLES, figure, print_wrapped, printable
from carina.decisions.policy import Policy
from carina.decisions.triage import REASON_CODES, code_meanings, promise_basis
from carina.errors import InputErrorCode
from carina.findings import short_name
from carina.inference.prediction import AnyPrediction, FailedPrediction
from carina.inference.prediction_list import FAILED, ROW_ORDER, summary
from carina.inference.results import path_in_words

_NOTHING = "–"
_GAP = "  "
# Of one error code so many different messages are shown; files by the thousand may fail each in its own words.
_MESSAGES_OF_A_CODE = 3
# Wider than this, a path need not make room: all probabilities are shown.
_ROOMY_PATH = 28
_LEAST_PATH = 12


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of an image: as little as its line needs."""

    # A priority, or that it failed; and the code of the reason or of the error.
    said: str
    code: str
    # The column of the most probable finding; -1 where there is none.
    called: int
    figures: tuple[str, ...]
    # Numbers of the notes below the table.
    notes: tuple[int, ...]
    path: str


class _Notes:
    """Sentences below the table, each once: their numbers from 1 on, and how many images each is about."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._images: Counter[int] = Counter()
        self._messages: Counter[str] = Counter()
        self._seen: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._renumbered: dict[int, int] = {}

    def add(self, sentences: Sequence[str]) -> tuple[int, ...]:
        """Return the numbers of an image's sentences."""
        numbers = tuple(sorted({self._numbers.setdefault(said, len(self._numbers) + 1) for said in sentences}))
        self._images.update(numbers)
        # Equal ones are kept once, however many images have them.
        return self._seen.setdefault(numbers, numbers)

    def add_error(self, code: str, message: str) -> tuple[int, ...]:
        """Return the number of an error's message."""
        said = f"{code}: {message}"
        if said not in self._numbers:
            if self._messages[code] == _MESSAGES_OF_A_CODE:
                said = f"{code}: other messages; --json shows each."
            else:
                self._messages[code] += 1
        return self.add([said])

    def number_as_in(self, rows: Iterable[tuple[int, ...]]) -> None:
        """Give the sentences their numbers in the order in which rows that were sorted name them."""
        for number in chain.from_iterable(rows):
            self._renumbered.setdefault(number, len(self._renumbered) + 1)

    def shown(self, numbers: tuple[int, ...]) -> str:
        """Return an image's numbers as its row shows them."""
        return ",".join(map(str, sorted(self._renumbered.get(number, number) for number in numbers)))

    def below(self) -> list[tuple[str, str]]:
        """Return each number with its sentence and the number of images that it is about, in order."""
        found = sorted((self._renumbered.get(number, number), said, number) for said, number in self._numbers.items())
        return [
            (str(shown), f"{said} ({self._images[number]:,} image{'s' * (self._images[number] > 1)})")
            for shown, said, number in found
        ]


class PredictTable:
    """A table with one line per image, and below it the thresholds at a stated prevalence.

    Attributes
    ----------
    comes_last
        Whether the rows are sorted, and so printed when all images are judged.
    """

    def __init__(self, policy: Policy, prevalence: float | None) -> None:
        self._policy, self._prevalence = policy, prevalence
        self.comes_last = sys.stdout.isatty()
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._rows: list[_Row] = []
        self._notes = _Notes()
        self._codes: set[str] = set()
        self._pictures: Path | None = None
        self._layout: _Layout | None = None

    def add(self, prediction: AnyPrediction, picture: Path | None) -> None:
        """Take in an image; objects beside the images of a study have no row."""
        if isinstance(prediction, FailedPrediction) and prediction.passed_over:
            return
        self._take(self._row(prediction), picture)

    def add_row(self, path: Path, told: Mapping[str, Any], beside: Sequence[str] = ()) -> None:
        """Take in an image that another process judged.

        `told` is the object that ``carina predict --json`` prints for it. The sentences of `beside` are shown as notes,
        too.
        """
        nothing = (_NOTHING,) * len(self._policy.findings)
        shown = printable(path_in_words(path))
        if (error := told.get("error")) is not None:
            notes = self._notes.add_error(error["code"], error["message"])
            self._take(_Row(FAILED, error["code"], -1, nothing, notes, shown), None)
            return
        shares, gate = told["probabilities"], told["gate"] or {"reasons": ()}
        notes = self._notes.add([*map(_not_judged, gate["reasons"]), *told["reservations"], *beside])
        triage = told["triage"]
        figures = nothing if shares is None else self._figures(shares)
        called = -1 if shares is None else self._policy.findings.index(told["finding"])
        self._take(_Row(triage["priority"], triage["code"], called, figures, notes, shown), None)

    def _take(self, row: _Row, picture: Path | None) -> None:
        self._codes.add(row.code)
        self._pictures = self._pictures or (None if picture is None else picture.parent)
        if self.comes_last:
            self._rows.append(row)
            return
        if self._layout is None:
            self._layout = _Layout.for_any(self._policy.findings)
            self._print(self._layout.header())
        self._print(self._layout.line(row, self._notes.shown(row.notes)))

    def end(self, counts: Counter[str]) -> None:
        """Print what is left of the table, and below it what its words and numbers mean."""
        # Images of one priority keep the order of the input: bands are tested, a finer order is not.
        self._rows.sort(key=lambda row: ROW_ORDER.index(row.said))
        if self._rows:
            self._notes.number_as_in(row.notes for row in self._rows)
            layout = _Layout.for_terminal(self._policy.findings, self._rows, self._notes.shown, self._console.width)
            if layout.folder:
                self._print(Text(f"Images in {layout.folder}{os.sep}"))
            self._print(layout.header())
            for row in self._rows:
                self._print(layout.line(row, self._notes.shown(row.notes)))
        if not self._codes:
            return
        meanings = code_meanings(self._policy, prevalence=self._prevalence)
        occurred = [(code, meanings[code]) for code in REASON_CODES if code in self._codes]
        self._print_below("Reasons", occurred)
        if set(self._codes) & set(REASON_CODES) - {"refused", "no-number"}:
            self._print_wrapped(f"  {promise_basis(self._policy, prevalence=self._prevalence)}")
        self._print_below("Notes", self._notes.below())
        if self._pictures is not None:
            self._print(Text(f"\nPictures are in {printable(path_in_words(self._pictures))}"))
        self._print(Text())
        self._print_wrapped(summary(counts), indent=0)
        if len(self._rows) > self._console.height:
            self._print_wrapped("The rows are sorted by priority: the first ones are above this screen.", indent=0)

    def _row(self, prediction: AnyPrediction) -> _Row:
        path = printable(path_in_words(prediction.path))
        findings = self._policy.findings
        nothing = (_NOTHING,) * len(findings)
        if isinstance(prediction, FailedPrediction):
            error = prediction.error
            return _Row(FAILED, error.code, -1, nothing, self._notes.add_error(error.code, str(error)), path)
        triage = prediction.triage
        notes = self._notes.add([*map(_not_judged, prediction.reasons), *prediction.reservations])
        if prediction.finding is None:
            return _Row(triage.priority, triage.code, -1, nothing, notes, path)
        called, shares = prediction.judged()
        return _Row(triage.priority, triage.code, findings.index(called), self._figures(shares), notes, path)

    def _figures(self, probabilities: Mapping[str, float]) -> tuple[str, ...]:
        return tuple(sys.intern(figure(probabilities[finding])) for finding in self._policy.findings)

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def _print_below(self, title: str, entries: Sequence[tuple[str, str]]) -> None:
        if not entries:
            return
        self._print(Text(f"\n{title}", "bold"))
        width = max(len(word) for word, _ in entries)
        for word, meaning in entries:
            self._print_wrapped(f"  {word:<{width}}  {meaning}", indent=width + 4)

    def _print_wrapped(self, line: str, *, indent: int = 2) -> None:
        print_wrapped(self._console, line, indent=indent)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns a table has, and how wide they are; 0 for notes where there are none, and for a path never cut."""

    # Whose probabilities have a column each; none where only the most probable finding is shown.
    findings: tuple[str, ...]
    # Short names of all findings.
    names: tuple[str, ...]
    said: int
    code: int
    notes: int
    path: int = 0
    # What all paths begin with, shown once above the table; empty where they are shown as they are.
    folder: str = ""

    @classmethod
    def for_any(cls, findings: tuple[str, ...]) -> "_Layout":
        """Return a layout for rows that are not known yet."""
        names = tuple(map(short_name, findings))
        code = max(map(len, (*REASON_CODES, *get_args(InputErrorCode))))
        return cls(names, names, max(map(len, ROW_ORDER)), code, len("notes"))

    @classmethod
    def for_terminal(
        cls, findings: tuple[str, ...], rows: Sequence[_Row], noted: Callable[[tuple[int, ...]], str], width: int
    ) -> "_Layout":
        """Return the layout that shows the most of some rows in a terminal's width."""
        names = tuple(map(short_name, findings))
        said = max(len("priority"), *(len(row.said) for row in rows))
        code = max(len("reason"), *(len(row.code) for row in rows))
        notes = max(len(noted(row.notes)) for row in rows)
        notes = max(notes, len("notes")) if notes else 0
        longest = max(cell_len(row.path) for row in rows)
        for shown in (names, ()):
            free = width - cls(shown, names, said, code, notes).before_path()
            if longest <= free:
                return cls(shown, names, said, code, notes, free)
            folder = _folder_of_all(rows)
            inside = max(cell_len(_inside(row.path, folder)) for row in rows)
            if inside <= free or free >= _ROOMY_PATH:
                break
        return cls(shown, names, said, code, notes, max(free, _LEAST_PATH), folder)

    def before_path(self) -> int:
        """Return how many columns of characters come before the path."""
        return len(self._words("", "", [""] * (len(self.findings) or 2), "", ""))

    def header(self) -> Text:
        """Return the names of the columns."""
        figures = self.findings or ("finding", "P")
        return Text(self._words("priority", "reason", figures, "notes", "image"), "bold")

    def line(self, row: _Row, notes: str) -> Text:
        """Return an image's line."""
        if self.findings:
            figures: Sequence[str] = row.figures
        else:
            figures = (self.names[row.called], row.figures[row.called]) if row.called >= 0 else (_NOTHING, _NOTHING)
        path = _inside(row.path, self.folder)
        path = cut_in_the_middle(path, self.path) if self.path else path
        line = Text(self._words(row.said, row.code, figures, notes, path))
        # Not the spaces behind the word, which a background would colour as well.
        line.stylize(STYLES.get(row.said, ""), 0, len(row.said))
        if self.findings and row.called >= 0:
            start = self.said + sum(len(_GAP) + self._width(name) for name in self.findings[: row.called])
            line.stylize("bold", start + len(_GAP), start + len(_GAP) + self._width(self.findings[row.called]))
        return line

    @staticmethod
    def _width(name: str) -> int:
        return max(6, len(name))

    def _words(self, said: str, code: str, figures: Sequence[str], notes: str, path: str) -> str:
        if self.findings:
            shown = [f"{text:>{self._width(name)}}" for text, name in zip(figures, self.findings, strict=True)]
        else:
            name = max(len("finding"), *map(len, self.names))
            shown = [f"{figures[0]:<{name}}", f"{figures[1]:>6}"]
        noted = [f"{notes:<{self.notes}}"] if self.notes else []
        return _GAP.join([f"{said:<{self.said}}", *shown, f"{code:<{self.code}}", *noted, path])


def _not_judged(reason: str) -> str:
    return f"Not judged: {reason}."


def cut_in_the_middle(text: str, width: int) -> str:
    """Return text that fits a width in terminal cells: of a longer one the beginning and, twice as long, the end."""
    if cell_len(text) <= width:
        return text
    head = (width - 1) // 3
    tail = width - 1 - head
    return f"{set_cell_size(text, head)}…{set_cell_size(text[::-1], tail)[::-1]}"


def _folder_of_all(rows: Sequence[_Row]) -> str:
    """Return the folder that holds all images; empty where there is no such folder."""
    try:
        return os.path.commonpath([os.path.dirname(row.path) for row in rows])  # noqa: PTH120  # they are texts
    except ValueError:  # relative and absolute paths, or several drives
        return ""


def _inside(path: str, folder: str) -> str:
    return path[len(folder) :].lstrip(os.sep) if folder else path
