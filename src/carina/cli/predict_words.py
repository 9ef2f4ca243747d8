"""Words and colours that ``carina predict`` has for an image, in its table and in its long form."""

import sys

from rich.console import Console
from rich.text import Text

from carina.inference.prediction_list import FAILED, PASSED_OVER

# Readable on light and on dark. None is green: no priority says that nothing is there.
STYLES = {
    "fast-track": "bold white on red3",
    "expedite": "bold dark_orange3",
    "secondary-review": "bold",
    "not-assessable": "bold magenta",
    FAILED: "bold red",
    PASSED_OVER: "dim",
}


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
