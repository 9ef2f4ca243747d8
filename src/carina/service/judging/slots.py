"""The names of workers: the first that no other worker of this machine has, until its holder ends."""

import os
import socket
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MOST = 1000


class Slot:
    """A worker's name, held until the process ends, however it ends.

    Whoever gets the name next knows that the worker before is gone, and that what it had taken is free.
    """

    def __init__(self, folder: Path) -> None:
        self.name, self._held = _take(folder)

    @property
    def is_first(self) -> bool:
        """Whether it is the first name of this machine."""
        return self.name.endswith(":0")

    def close(self) -> None:
        """Let another worker have the name."""
        if self._held is not None:
            self._held.close()


def _take(folder: Path) -> tuple[str, IO[bytes] | None]:
    host = socket.gethostname()[:32]
    if fcntl is None:
        return f"{host}:{os.getpid()}", None
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(_MOST):
        held = (folder / f"worker-{host}-{number}").open("ab")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
        else:
            return f"{host}:{number}", held
    return f"{host}:{os.getpid()}", None
