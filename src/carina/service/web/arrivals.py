"""Pages learn of what arrives: one thread waits for changes of the database, and wakes all who listen."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from sqlalchemy import Engine

from carina.service.database.changes import Changes

_WAIT_S = 1.0


class Arrivals:
    """Tells pages that something changed.

    Attributes
    ----------
    listeners
        How many pages listen.
    changes
        How many changes were noticed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()
        self.changes = 0

    @property
    def listeners(self) -> int:
        """Return how many pages listen."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to wait for changes; called within the event loop."""
        self._loop = asyncio.get_running_loop()
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, name="carina-arrivals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, from whatever thread, and end what tells the pages: they ask again when the site is back.

        Whoever stops the server calls this first, or it would wait for pages that listen.
        """
        self._ended.set()
        self._tell()
        if self._thread is not None:
            self._thread.join(2 * _WAIT_S)

    @property
    def stopped(self) -> bool:
        """Return whether there will be no further news."""
        return self._ended.is_set()

    async def wait(self, changed: asyncio.Event, seconds: float) -> bool:
        """Return whether something changed within some seconds."""
        try:
            await asyncio.wait_for(changed.wait(), seconds)
        except TimeoutError:
            return False
        changed.clear()
        return True

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Yield what is set whenever something changes."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            yield changed
        finally:
            self._waiting.discard(changed)

    def _watch(self) -> None:
        with Changes(self._engine) as changes:
            while not self._ended.is_set():
                if changes.wait(_WAIT_S):
                    self.changes += 1
                    self._tell()

    def _tell(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for changed in list(self._waiting):
            changed.set()
