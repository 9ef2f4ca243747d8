"""A file of results that an interrupted batch goes on with: nothing is judged twice, and nothing half-written stays.

A killed process may leave a last row without its end: it is cut off. Rows of inputs that could not be judged are taken
out, and these inputs are tried again: reading a file once more costs little, and a disk that was away may be back.
An image that was judged is read again to see whether its pixels are those that were judged. If not, it is judged again,
and its old row is taken out. So each path has one row in the end, and the row says what this file shows now.

Held in memory are 32 bytes for each input that was judged: a hash of its path, and one of its pixels. An
input is known by its path as it was named: ``films/a.png`` and ``/data/films/a.png`` are two inputs.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from carina.errors import ConfigurationError, InputError
from carina.inference.image_input import Input
from carina.inference.results import RowError, RowFormat, path_in_words
from carina.runtime.streams import read_ahead
from carina.storage.atomic import whole_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HASH_BYTES = 16
# Every row is handed to the system at once, which outlives a killed process. To the disk, which outlives a power cut:
_SECONDS_BETWEEN_SYNCS = 1.0
# Of a file that is not there, or may not be read: nobody knows what it shows now.
_OUT_OF_REACH = frozenset({"not-found", "permission-denied"})
# So many inputs are looked at ahead, whether they were judged before.
_AHEAD = 16


@dataclass(frozen=True, slots=True)
class _Stored:
    """The rows of a file, in its order."""

    # ``S16`` ``(rows,)``: hashes.
    paths: NDArray[np.bytes_]
    pixels: NDArray[np.bytes_]
    failed: NDArray[np.bool_]  # bool ``(rows,)``
    end: int  # where the last whole row ends, in bytes

    def last_of_each_path(self) -> NDArray[np.int64]:
        """Return the last row of each path, in the order of the paths' hashes."""
        _, from_the_end = np.unique(self.paths[::-1], return_index=True)
        return np.asarray(len(self.paths) - 1 - from_the_end, np.int64)


class ResumedResults:
    """A file of results that goes on.

    Attributes
    ----------
    held
        How many inputs were judged before.
    retried
        How many rows of inputs that could not be judged were taken out.
    changed
        How many inputs were judged before with other pixels, and are judged again.
    unreadable
        How many inputs were judged before and cannot be read now: what was said of them is kept.
    """

    def __init__(self, stream: BinaryIO, stored: _Stored) -> None:
        self._stream = stream
        self._synced = time.monotonic()
        last = stored.last_of_each_path()
        judged = last[~stored.failed[last]]
        self._paths, self._pixels = stored.paths[judged], stored.pixels[judged]
        self.held = len(judged)
        self.retried = int(stored.failed.sum())
        self.changed = self.unreadable = 0
        self._forgotten: set[bytes] = set()

    def pending(self, inputs: Iterable[Input], pixel_sha256: Callable[[Input], str]) -> Iterator[Input]:
        """Yield the inputs that were not judged yet, and those whose pixels are no longer the ones that were judged.

        An input that was judged and cannot be read now, as on a disk that is away, keeps its row.

        Parameters
        ----------
        pixel_sha256
            Reads an input and returns the SHA-256 of its pixels, or raises `InputError`.
        """

        def compare(each: Input) -> tuple[Input, bytes | None, bytes | None]:
            judged = self._judged(path_in_words(each.path))
            return each, judged, None if judged is None else _pixels_of(each, pixel_sha256)

        for each, judged, there in read_ahead(compare, inputs, ahead=_AHEAD):
            if judged is not None and there is None:
                self.unreadable += 1
            elif judged is None or judged != there:
                self.changed += judged is not None
                yield each

    def forget(self, path: Path | None) -> None:
        """Take out what was said of a path before: the file is now one that nothing is said of."""
        self._forgotten.add(_hash(path_in_words(path)))

    def _judged(self, path: str) -> bytes | None:
        """Return the hash of the pixels that were judged at a path; none if no row has the path."""
        # NumPy drops zero bytes at the end of both.
        sought = np.array(_hash(path), self._paths.dtype)
        place = int(np.searchsorted(self._paths, sought))
        found = place < len(self._paths) and self._paths[place] == sought
        return bytes(self._pixels[place]) if found else None

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
        stored = _read(stream, path, rows)
        stream.truncate(stored.end)
        last = np.zeros(len(stored.paths), bool)
        last[stored.last_of_each_path()] = True
        if not (last & ~stored.failed).all():
            _keep(stream, path, rows, last & ~stored.failed)
            # The lock on the file that was replaced is kept: whoever waits for it must not write to it.
            stream = stack.enter_context(path.open("a+b"))
            _lock(stream, path)
        elif not stored.end:
            stream.write(rows.header.encode("utf-8"))
            stream.flush()
        results = ResumedResults(stream, stored)
        try:
            yield results
        finally:
            results.sync()
            if results.changed:
                _drop_earlier_rows(stream, path, rows, results._forgotten)


def _drop_earlier_rows(stream: BinaryIO, path: Path, rows: RowFormat, forgotten: set[bytes]) -> None:
    stored = _read(stream, path, rows)
    kept = np.zeros(len(stored.paths), bool)
    kept[stored.last_of_each_path()] = True
    kept &= ~np.isin(stored.paths, np.array(sorted(forgotten), stored.paths.dtype))
    _keep(stream, path, rows, kept)


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


def _read(stream: BinaryIO, path: Path, rows: RowFormat) -> _Stored:
    """Return what the file holds, up to the end of its last whole row."""
    stream.seek(0)
    paths, pixels, failed, end = bytearray(), bytearray(), bytearray(), 0
    try:
        for row in rows.read(stream):
            other = None if row.judged_by is None else rows.judged_by.difference(row.judged_by)
            if other is not None:
                msg = f"--resume {path}: it was written with {other}. Go on with that, or name another file."
                raise ConfigurationError(msg)
            end = row.end
            paths += _hash(row.path)
            pixels += _hash(row.sha256 or "")
            failed.append(row.failed)
    except RowError as error:
        msg = (
            f"--resume {path}: {error}. Name a file that carina predict wrote as {rows.name} with the same options, "
            "or a new one."
        )
        raise ConfigurationError(msg) from None
    kind = f"S{_HASH_BYTES}"
    return _Stored(np.frombuffer(paths, kind), np.frombuffer(pixels, kind), np.frombuffer(failed, bool), end)


def _keep(stream: BinaryIO, path: Path, rows: RowFormat, kept: NDArray[np.bool_]) -> None:
    """Write the file again with some of its rows, whole or not at all."""
    stream.seek(0)
    with whole_file(path) as temporary, path.open("rb") as source, temporary.open("wb") as target:
        target.write(rows.header.encode("utf-8"))
        for row, keep in zip(rows.read(stream), kept, strict=True):
            if keep:
                source.seek(row.start)
                target.write(source.read(row.end - row.start))


def _pixels_of(each: Input, pixel_sha256: Callable[[Input], str]) -> bytes | None:
    """Return the hash of an input's pixels as it is kept; empty if it is damaged, None if it is out of reach."""
    try:
        # As NumPy gives back the one that is kept: without zero bytes at its end.
        return _hash(pixel_sha256(each)).rstrip(b"\0")
    except InputError as error:
        return None if error.code in _OUT_OF_REACH else b""


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=_HASH_BYTES).digest()
