"""Progress for a log file, where a bar is noise: a line every half minute with what is done and what is left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from carina.progress import Progress as Tell

# Of work that is done before, only its end is told.
FIRST_LINE_S = 10.0
NEXT_LINE_S = 30.0
_BEAT_S = 1.0


class LogProgress:
    """Lines about stages of work. Nothing is printed from within the work but the end of a stage: `beat` does the rest.

    So a line comes even while a step takes long.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._lock = Lock()
        self._started = clock()
        self._due = self._started + FIRST_LINE_S
        self._open: list[_Stage] = []
        self._last = ""

    def stage(self, name: str | Callable[[], str]) -> Tell:
        """Return what takes how many items of a stage are done, and how many there are.

        A name that changes, as with a count of errors, is asked for before each line.
        """
        stage = _Stage(name)

        def tell(done: int, total: int) -> None:
            with self._lock:
                self._tell(stage, done, total)

        return tell

    def count(self, done: int, what: str) -> None:
        """Take how many items are done where nobody knows how many there will be."""
        with self._lock:
            if not self._open:
                self._open.append(_Stage(what, self._started))
            self._open[0].done = done

    def beat(self) -> None:
        """Print a line if one is due."""
        with self._lock:
            now = self._clock()
            if now < self._due:
                return
            self._due = now + NEXT_LINE_S
            if self._open:
                self._write(self._open[-1].line(now))
            else:
                self._write(f"{self._last}Still working after {duration(now - self._started)}.")

    def close(self) -> None:
        """Print where unfinished stages stopped."""
        with self._lock:
            for stage in list(self._open):
                self._stop(stage)

    def _tell(self, stage: "_Stage", done: int, total: int) -> None:
        now = self._clock()
        if stage not in self._open:
            if not total or (stage.done, stage.total) == (done, total):
                return  # nothing to do, or the end told once more
            for earlier in list(self._open):
                self._stop(earlier)
            stage.started, stage.before = now, done
            self._due = min(self._due, now + FIRST_LINE_S)
            self._open.append(stage)
        stage.done, stage.total, stage.told = done, total, now
        if done >= total:
            self._stop(stage)
            self._due = now + NEXT_LINE_S

    def _stop(self, stage: "_Stage") -> None:
        """Take a stage off, and say how far it came: a training may end early, when another stage begins."""
        self._open.remove(stage)
        if stage.total is not None:
            self._last = f"{stage.name}: done. "
            self._write(stage.end())


class _Stage:
    """How far a stage is, and when it was told last; `before` is how much of it was done before it began here."""

    def __init__(self, name: str | Callable[[], str], started: float = 0.0) -> None:
        self._name = name
        self.started = self.told = started
        self.done = self.before = 0
        self.total: int | None = None

    @property
    def name(self) -> str:
        return self._name if isinstance(self._name, str) else self._name()

    def line(self, now: float) -> str:
        seconds = now - self.started
        rate = (self.done - self.before) / seconds if seconds > 0 else 0.0
        shown = f"{rate:.1f} per second" if rate >= 1 else f"{60 * rate:.1f} per minute"
        if self.total is None:
            return f"{self.done:,} {self.name}, {shown}."
        left = f"{shown}, about {duration((self.total - self.done) / rate)} left" if rate else "time left unknown"
        return f"{self.name}: {self.done:,} of {self.total:,}, {left}."

    def end(self) -> str:
        stopped = "" if self.done == self.total else "stopped at "
        return f"{self.name}: {stopped}{self.done:,} of {self.total:,} in {duration(self.told - self.started)}."


@contextmanager
def beating(log: LogProgress) -> Iterator[LogProgress]:
    """Yield progress whose lines come by themselves while the work goes on."""
    stop = Event()

    def beat() -> None:
        while not stop.wait(_BEAT_S):
            log.beat()

    thread = Thread(target=beat, name="progress", daemon=True)
    thread.start()
    try:
        yield log
    finally:
        stop.set()
        thread.join()
        log.close()


def duration(seconds: float) -> str:
    """Return a time as people say it: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
