"""Progress on a terminal: a bar for each stage, with the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from carina.progress import Progress as Tell

_NO_STAGE = "Working"


@contextmanager
def moving_bars(console: Console) -> Iterator[Callable[[str | Callable[[], str]], Tell]]:
    """Yield what takes the name of a stage and gives what moves its bar; the bars go when the work ends.

    Between the stages, and after the last, a bar without an end shows that the work goes on.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _Count(),
        TimeElapsedColumn(),
        _Left(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        unnamed = progress.add_task(_NO_STAGE, total=None)

        def bar(stage: str | Callable[[], str]) -> Tell:
            task: TaskID | None = None

            def tell(done: int, total: int) -> None:
                nonlocal task
                # From the first step on: what fails before has no bar beside its error.
                name = stage if isinstance(stage, str) else stage()
                if task is None:
                    task = progress.add_task(name, total=total)
                progress.update(task, description=name, completed=done, total=total)
                waiting = all(each.finished for each in progress.tasks if each.id != unnamed)
                progress.update(unnamed, visible=waiting)

            return tell

        yield bar


class _Count(MofNCompleteColumn):
    """How much of a stage is done; nothing where nobody knows how much there is."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class _Left(TimeRemainingColumn):
    """The time left of a stage, with the word for it."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else Text("left ") + super().render(task)
