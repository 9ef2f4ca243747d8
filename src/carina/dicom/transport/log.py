"""What the network tells of its work: one line per event, with counts, hashes, states and times, but no tag values."""

import contextlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

from carina.dicom.quiet import silenced

_LIBRARIES = ("pydicom", "pynetdicom", "highdicom", "urllib3", "requests", "pylibjpeg")
_PLAIN = re.compile(r"[A-Za-z0-9 ._:/\[\]-]{1,128}")


def shown(digest: str) -> str:
    """Return a digest as a line shows it."""
    # Enough to find a file by, and among a million objects two alike once in a thousand.
    return digest[:12]


class EventLog:
    """Lines on a stream, each written whole. Once it takes no more lines, they are dropped and the work goes on."""

    def __init__(self, stream: TextIO, *, as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._lock = threading.Lock()

    def tell(self, event: str, **facts: int | float | str | None) -> None:
        """Write a line of Carina's own words, words of its settings, and numbers.

        A fact that is none is left out, and a text with unusual characters is replaced: should a value from elsewhere
        ever get here, it does not go on as it came.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {key: _plain(value) for key, value in facts.items() if value is not None}
        if self._as_json:
            line = json.dumps({"time": time, "event": event, **told})
        else:
            line = " ".join([time, event, *(f"{key}={value}" for key, value in told.items())])
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()


class ToEvents(logging.Handler):
    """Lets what a logger says be an event, so that every line of a log has one form."""

    def __init__(self, log: EventLog, event: str) -> None:
        super().__init__()
        self._log, self._event = log, event

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it."""
        self._log.tell(self._event, what=record.getMessage())


def _plain(value: int | float | str) -> int | float | str:
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        return "(not shown)"
    return value


@contextlib.contextmanager
def quiet_libraries(log: EventLog | None = None) -> Iterator[None]:
    """Let no library print while this lasts: their warnings, log lines and tracebacks hold values of tags.

    If an error ends a thread, the log names its kind and nothing else.
    """
    from pynetdicom import _config  # noqa: PLC0415  # of the extra

    handled, hook = _config.LOG_HANDLER_LEVEL, threading.excepthook

    def tell_kind(error: threading.ExceptHookArgs) -> None:
        if log is not None:
            log.tell("internal error", kind=error.exc_type.__name__)

    with silenced(*_LIBRARIES):
        # Its own handlers write every message out; without them it is faster, too.
        _config.LOG_HANDLER_LEVEL = "none"
        threading.excepthook = tell_kind
        try:
            yield
        finally:
            _config.LOG_HANDLER_LEVEL = handled
            threading.excepthook = hook
