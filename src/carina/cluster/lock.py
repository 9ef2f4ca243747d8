"""One driver per output: in a folder by a lock of the system, in a bucket by objects that only one may create.

A bucket has no locks, but a request can ask that an object must not exist yet. The holder creates ``lock-1`` and
writes to it every few seconds. Whoever comes later watches it: if it changes, the holder lives, and the newcomer is
refused. If it does not, the holder is dead, and the newcomer creates ``lock-2``; of several only one succeeds. A holder
that was merely asleep sees that number when it wakes, and stops.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from carina.cluster.output_store import Store
from carina.errors import ConfigurationError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FOLDER = "_carina/lock"
BEAT_S = 15.0
DEAD_AFTER_S = 60.0


@contextmanager
def held(store: Store, note: Callable[[str], None]) -> Iterator[threading.Event]:
    """Hold an output; the event that is yielded is set if another driver has taken it.

    Parameters
    ----------
    store
        The output.
    note
        Is told that there is something to wait for.

    Raises
    ------
    ConfigurationError
        If another driver holds it.
    """
    with ExitStack() as stack:
        yield stack.enter_context(_in_folder(store) if store.folder is not None else _in_bucket(store, note))


@contextmanager
def _in_folder(store: Store) -> Iterator[threading.Event]:
    assert store.folder is not None  # noqa: S101  # for the checker of types
    path = store.folder / f"{_FOLDER}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        if fcntl is not None:
            try:
                fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _refusal(store) from None
        yield threading.Event()


@contextmanager
def _in_bucket(store: Store, note: Callable[[str], None]) -> Iterator[threading.Event]:
    mine = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
    number = _last(store)
    if number and store.read(_name(number)) != b"":
        note(f"{store.address} is held by another driver, or by one that died: waiting {DEAD_AFTER_S:.0f} s to see.")
        before = store.read(_name(number))
        threading.Event().wait(DEAD_AFTER_S)
        if _last(store) != number or store.read(_name(number)) not in (before, b""):
            raise _refusal(store)
    number += 1
    try:
        store.put(_name(number), mine.encode(), new=True)
    except FileExistsError:
        raise _refusal(store) from None
    lost, done = threading.Event(), threading.Event()
    beating = threading.Thread(target=_beat, args=(store, number, mine, lost, done), daemon=True)
    beating.start()
    try:
        yield lost
    finally:
        done.set()
        beating.join()
        if not lost.is_set():
            # Empty: given back. It stays, so that the next number is never one that was used before.
            store.put(_name(number), b"")


def _beat(store: Store, number: int, mine: str, lost: threading.Event, done: threading.Event) -> None:
    beats = 0
    while not done.wait(BEAT_S):
        beats += 1
        try:
            if _last(store) > number:
                lost.set()
                return
            store.put(_name(number), f"{mine} {beats}".encode())
        except OSError:
            # The store is away; whoever takes over meanwhile is seen by the next beat.
            continue


def _last(store: Store) -> int:
    return max((int(name.rsplit("-", 1)[1]) for name in store.names("_carina") if name.startswith("lock-")), default=0)


def _name(number: int) -> str:
    return f"{_FOLDER}-{number}"


def _refusal(store: Store) -> ConfigurationError:
    msg = f"--out {store.address}: another carina batch is writing to it. Wait until it is done, or name another."
    return ConfigurationError(msg)
