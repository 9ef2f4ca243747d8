"""A group of processes: a part that ends is started again, with growing pauses, until the group is stopped."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from carina.dicom.transport.log import EventLog

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
# A part that ran for so long had a good start: the next pause is the first again.
_GOOD_S = 60.0
_LOOK_S = 0.2


class _Part:
    """A process and when it may be started again."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self.name, self._run = name, run
        self.process: Any = None
        self._started = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._again = 0.0

    def start(self, log: EventLog) -> None:
        # Its own program from the first line: threads and connections of this process are not for it. No daemon: it
        # has processes of its own.
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=self._run, name=f"carina-{self.name}", daemon=False)
        self.process.start()
        self._started = time.monotonic()
        log.tell("part started", part=self.name, process=self.process.pid)

    def look(self, log: EventLog) -> None:
        """Start the process again if it has ended and its pause is over."""
        if self.process is not None and self.process.exitcode is not None:
            code, lasted = self.process.exitcode, time.monotonic() - self._started
            self.process.close()
            self.process = None
            self._pause_s = _FIRST_PAUSE_S if lasted > _GOOD_S else self._pause_s
            self._again = time.monotonic() + self._pause_s
            log.tell("part ended", part=self.name, code=code, again_s=self._pause_s)
            self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)
        if self.process is None and time.monotonic() >= self._again:
            self.start(log)


def run_group(parts: Mapping[str, Callable[[], None]], log: EventLog, *, stop_s: float) -> None:
    """Run parts until SIGTERM or SIGINT; called in the main thread.

    Parameters
    ----------
    parts
        What each process runs, by its name; importable, as `multiprocessing` wants it. It ends on SIGTERM.
    log
        Is told when a part ends.
    stop_s
        How long they have to end by themselves. Then they are killed.
    """
    wanted = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        set_from_signal(wanted)

    before = {which: signal.signal(which, stop) for which in (signal.SIGINT, signal.SIGTERM)}
    group = [_Part(name, run) for name, run in parts.items()]
    try:
        while not wanted.is_set():
            for part in group:
                part.look(log)
            wanted.wait(_LOOK_S)
        log.tell("stopping")
    finally:
        _end(group, stop_s)
        for which, handler in before.items():
            signal.signal(which, handler)
    log.tell("stopped")


def set_from_signal(event: threading.Event) -> None:
    """Set an event within a signal's handler.

    In a thread of its own: the handler may have interrupted this one while it holds the event's lock, by waiting for
    the event or by an earlier signal, and would then wait for itself for ever.
    """
    threading.Thread(target=event.set, daemon=True).start()


def _end(group: list[_Part], stop_s: float) -> None:
    running = [part.process for part in group if part.process is not None]
    for process in running:
        process.terminate()
    until = time.monotonic() + stop_s
    for process in running:
        process.join(max(0.0, until - time.monotonic()))
    for process in running:
        if process.exitcode is None:
            process.kill()
            process.join()
        process.close()
