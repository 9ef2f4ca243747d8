"""What the verbs share: where results, progress and errors are printed."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from carina.cli.log_progress import LogProgress, beating
from carina.progress import Progress as Tell

if TYPE_CHECKING:
    # A verb that prints no table does without the table library.
    import polars as pl

_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
_ANY_WIDTH = 10_000


def print_error(message: str) -> None:
    """Print one line to stderr."""
    _errors.print(f"carina: {message}")


def print_note(message: str) -> None:
    """Print a remark to stderr, where no program takes it for a result; a terminal wraps it between words."""
    _errors.print(message, soft_wrap=not _moves())


def print_result(text: str) -> None:
    """Print a result to stdout as it is."""
    sys.stdout.write(text + "\n")


def print_table(table: "pl.DataFrame", *, title: str | None = None) -> None:
    """Print a table to stdout; numbers to the right, nulls as dashes."""
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, dtype in table.schema.items():
        shown.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in table.iter_rows():
        shown.add_row(*("–" if value is None else str(value) for value in row))
    # In a file or another program a row stays a line, however long it is.
    width = None if sys.stdout.isatty() else _ANY_WIDTH
    Console(highlight=False, markup=False, width=width).print(shown)


@contextmanager
def progress_bars() -> Iterator[Callable[[str | Callable[[], str]], Tell]]:
    """Yield what takes the name of a stage, or what gives it, and gives what shows its progress on stderr.

    On a terminal this is a bar with the time left; elsewhere it is a line every half minute, and one in the end.
    """
    if not _moves():
        with beating(LogProgress(print_note)) as log:
            yield log.stage
        return
    # Half as long to import as all else here, and most commands are done in a second and show no bar.
    from carina.cli.bars import moving_bars  # noqa: PLC0415

    with moving_bars(_errors) as bar:
        yield bar


@contextmanager
def running_count(done: str, *, streamed: bool) -> Iterator[Callable[[int], None]]:
    """Yield what shows on stderr how many items are done, and how fast, where nobody knows how many there will be.

    On a terminal this is a line that changes, such as ``40 judged``; elsewhere it is a line every half minute. Where a
    result is streamed to stdout for each item, and that is the same terminal or the same file, the results show by
    themselves how far the work is.
    """
    if streamed and _same_place():
        yield lambda _: None
        return
    if not _moves():
        with beating(LogProgress(print_note)) as log:
            yield lambda count: log.count(count, done)
        return
    started = time.monotonic()
    with _errors.status("") as status:

        def tell(count: int) -> None:
            seconds = time.monotonic() - started
            status.update(f"{count:,} {done}, {count / max(seconds, 1e-3):.1f} per second")

        yield tell


def _moves() -> bool:
    """Return whether stderr is a terminal on which a line can change; ``FORCE_COLOR`` alone does not make it one."""
    return sys.stderr.isatty() and not _errors.is_dumb_terminal


def _same_place() -> bool:
    """Return whether stdout and stderr are one terminal, or go to one file or pipe."""
    try:
        if sys.stdout.isatty() and sys.stderr.isatty():
            return True
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):  # a stream that is no file
        return False


def typed_command() -> str:
    """Return what was typed, for the record; of absolute paths only the last part, since the record is passed on."""
    return shlex.join(["carina", *map(_without_folders, sys.argv[1:])])


def _without_folders(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)
