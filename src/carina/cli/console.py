"""What the verbs share: where results, progress and errors are printed."""

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from carina.progress import Progress as Tell

if TYPE_CHECKING:
    # A verb that prints no table does without the table library.
    import polars as pl
    from rich.progress import TaskID

_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
_results = Console(highlight=False, markup=False)


def print_error(message: str) -> None:
    """Print one line to stderr."""
    _errors.print(f"carina: {message}")


def print_note(message: str) -> None:
    """Print a remark to stderr, where it does not stand in a program's way."""
    _errors.print(message)


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
    _results.print(shown)


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Tell]]:
    """Yield what gives a progress bar with the time left, on stderr, for the name of a stage."""
    # Half as long to import as all else here, and verbs that are done in a second show no bar.
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # In a log file a bar is noise: there only the last state is printed.
    with Progress(*columns, console=_errors, transient=_errors.is_terminal) as progress:

        def bar(stage: str) -> Tell:
            task: TaskID | None = None

            def tell(done: int, total: int) -> None:
                nonlocal task
                # From the first step on: what fails before has no bar beside its error.
                if task is None:
                    task = progress.add_task(stage, total=total)
                progress.update(task, completed=done, total=total)

            return tell

        yield bar


@contextmanager
def running_count(done: str) -> Iterator[Callable[[int], None]]:
    """Yield what shows on stderr how many items are done, and how fast, where nobody knows how many there will be.

    Only on a terminal, and only if the results go elsewhere: they show it themselves.
    """
    if not _errors.is_terminal or _results.is_terminal:
        yield lambda _: None
        return
    started = time.monotonic()
    with _errors.status("") as status:

        def tell(count: int) -> None:
            seconds = time.monotonic() - started
            status.update(f"{count:,} {done}, {count / max(seconds, 1e-3):.1f} a second")

        yield tell


def typed_command() -> str:
    """Return what was typed, for the record; of absolute paths only the last part, since the record is passed on."""
    words = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    return shlex.join(["carina", *words])
