"""A file of results that an interrupted batch goes on with: nothing is judged twice, and nothing half-written stays.

What a killed process left is trusted as far as it is whole: a last row without its end is cut off. Rows of inputs
that could not be judged are taken out, and these inputs tried again with the rest: reading a file once more costs
little, and a disk that was away may be back. So each input has one row in the end, and what still fails is what this
run says.

Held in memory are 20 bytes an input that was judged: a hash of its path, and a counter. An input is known by its path
as it was named: what was named ``films/a.png`` is another than ``/data/films/a.png``.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from carina.errors import ConfigurationError
from carina.inference.inputs import Input
from carina.inference.results import RowError, RowFormat, path_in_words
from carina.storage.atomic import whole_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HASH_BYTES = 16
# Every row is handed to the system at once, which outlives a killed process. To the disk, which outlives a power cut:
_SECONDS_BETWEEN_SYNCS = 1.0


class ResumedResults:
    """A file of results that goes on.

    Attributes
    ----------
    held
        How many inputs were judged before.
    retried
        How many rows of inputs that could not be judged were taken out.
    """

    def __init__(self, stream: BinaryIO, hashes: bytes, retried: int) -> None:
        self._stream = stream
        self._synced = time.monotonic()
        every = np.frombuffer(hashes, f"S{_HASH_BYTES}")
        self._hashes, counts = np.unique(every, return_counts=True)
        self._left = counts.astype(np.uint32)
        self.held = len(every)
        self.retried = retried

    def pending(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """Yield the inputs that were not judged yet; one that is named twice is judged twice in all."""
        for each in inputs:
            if not self._take(_hash(path_in_words(each.path))):
                yield each

    def _take(self, sought: bytes) -> bool:
        place = int(np.searchsorted(self._hashes, np.array(sought, self._hashes.dtype)))
        # NumPy drops zero bytes at the end of both.
        if place == len(self._hashes) or self._hashes[place] != sought.rstrip(b"\0") or not self._left[place]:
            return False
        self._left[place] -= 1
        return True

    def append(self, row: str) -> None:
        """Write a row; from then on it outlives the process.

        Raises
        ------
        OSError
            If the disk is full.
        """
        self._stream.write(row.encode("utf-8"))
        self._stream.flush()
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Bring all rows to the disk."""
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


@contextmanager
def resume_results(path: Path, rows: RowFormat) -> Iterator[ResumedResults]:
    """Yield a file of results, ready for more rows; it is made where there is none.

    Parameters
    ----------
    path
        The file.
    rows
        What stands in it.

    Raises
    ------
    ConfigurationError
        If another process writes to it, another bundle or other options wrote it, or it holds anything else than such
        rows.
    OSError
        If it cannot be read or written.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(path.open("a+b"))
        _lock(stream, path)
        hashes, end, retried = _read(stream, path, rows)
        stream.truncate(end)
        if retried:
            _take_out_failed(stream, path, rows)
            # The lock on the file that was replaced is kept: whoever waits for it must not write to it.
            stream = stack.enter_context(path.open("a+b"))
            _lock(stream, path)
        elif not end:
            stream.write(rows.header.encode("utf-8"))
            stream.flush()
        results = ResumedResults(stream, hashes, retried)
        try:
            yield results
        finally:
            results.sync()


def _lock(stream: BinaryIO, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        msg = f"--resume {path}: another process is writing to it. Wait until it is done, or name another file."
        raise ConfigurationError(msg) from None
    except OSError:
        # Some network file systems know no locks.
        return


def _read(stream: BinaryIO, path: Path, rows: RowFormat) -> tuple[bytes, int, int]:
    """Return the hashes of the paths that were judged, where the last whole row ends, and how many rows failed."""
    stream.seek(0)
    hashes, end, failed = bytearray(), 0, 0
    try:
        for row in rows.read(stream):
            other = None if row.judged_by is None else rows.judged_by.difference(row.judged_by)
            if other is not None:
                msg = f"--resume {path}: it was written with {other}. Go on with that, or name another file."
                raise ConfigurationError(msg)
            end = row.end
            failed += row.failed
            if not row.failed:
                hashes += _hash(row.path)
    except RowError as error:
        msg = (
            f"--resume {path}: {error}. Name a file that carina predict wrote as {rows.name} with the same options, "
            "or a new one."
        )
        raise ConfigurationError(msg) from None
    return bytes(hashes), end, failed


def _take_out_failed(stream: BinaryIO, path: Path, rows: RowFormat) -> None:
    """Write the file anew without the rows of inputs that could not be judged, whole or not at all."""
    header = rows.header.encode("utf-8")
    stream.seek(0)
    with whole_file(path) as temporary, path.open("rb") as source, temporary.open("wb") as target:
        target.write(header)
        for row in rows.read(stream):
            if not row.failed:
                source.seek(row.start)
                target.write(source.read(row.end - row.start))


def _hash(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8"), digest_size=_HASH_BYTES).digest()
