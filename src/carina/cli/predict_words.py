"""Words and colours that ``carina predict`` has for an image, in its table and in its long form."""

import sys
from collections import Counter

from rich.console import Console
from rich.text import Text

from carina.decisions.triage import PRIORITIES, READING_PLACES
from carina.inference.predictor import Prediction
from carina.inference.results import AnyPrediction

FAILED = "failed"
PASSED_OVER = "passed over"
# As images are to be read. What failed was not judged either, so it has the place of what could not be judged.
_PLACES: dict[str, int] = {name: READING_PLACES[name] for name in PRIORITIES}
_PLACES[FAILED] = _PLACES["not-assessable"]
ROW_ORDER: tuple[str, ...] = tuple(sorted(_PLACES, key=_PLACES.__getitem__))
# Readable on light and on dark. None is green: no priority says that nothing is there.
STYLES = {
    "fast-track": "bold white on red3",
    "expedite": "bold dark_orange3",
    "secondary-review": "bold",
    "not-assessable": "bold magenta",
    FAILED: "bold red",
    PASSED_OVER: "dim",
}


def said_of(prediction: AnyPrediction) -> str:
    """Return the word for an image in tables and counts: its priority, that it failed, or that it was passed over."""
    if isinstance(prediction, Prediction):
        return prediction.triage.priority
    return PASSED_OVER if prediction.passed_over else FAILED


def summary(counts: Counter[str]) -> str:
    """Return how many images have each priority, were refused and failed, by the words of `said_of`."""
    refused, failed = counts["not-assessable"], counts[FAILED]
    judged = [(counts[said], said) for said in ROW_ORDER if counts[said] and said not in ("not-assessable", FAILED)]
    total = sum(count for count, _ in judged)
    each = f" ({', '.join(f'{count:,} {said}' for count, said in judged)})" if judged else ""
    said = f"Judged: {total:,} image{'s' * (total != 1)}{each}. Refused (not-assessable): {refused:,}."
    return f"{said} Failed: {failed:,}."


def printable(text: str) -> str:
    """Return a path without what would move a terminal's cursor or colour it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def figure(probability: float) -> str:
    """Return a probability with three decimals; none but 0 and 1 is shown as 0 or 1."""
    if 0 < probability < 0.0005:
        return "<0.001"
    if 0.9995 <= probability < 1:
        return ">0.999"
    return f"{probability:.3f}"


def print_wrapped(console: Console, line: str, *, indent: int) -> None:
    """Print a line; a terminal wraps it and indents what follows, in a file or another program it stays a line."""
    if not sys.stdout.isatty():
        console.print(Text(line), soft_wrap=True)
        return
    first, rest = line[:indent], line[indent:]
    for number, part in enumerate(Text(rest).wrap(console, max(20, console.width - indent))):
        console.print(Text(first if number == 0 else " " * indent) + part, soft_wrap=True)
