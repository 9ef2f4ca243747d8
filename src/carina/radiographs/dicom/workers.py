"""Processes that decode DICOM files for this one: started when the first file comes, used again, killed when they hang.

They are programs of their own (`worker`), started afresh and never forked from this process, whose engines hold
threads and locks. A file goes there and its grey values come back through pipes; what comes back is checked like
anything that a stranger sends, since a library that decodes may have been taken over by the file that it decoded.
"""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import IO, Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from carina.errors import InputError, InputErrorCode
from carina.radiographs.dicom.identity import Identity
from carina.radiographs.dicom.limits import DecodingLimits
from carina.radiographs.dicom.outline import NotDicomError
from carina.radiographs.dicom.protocol import HEAD, MAX_WORDS, NOT_DICOM, READY, WHITE
from carina.radiographs.dicom.study_header import StudyHeader
from carina.radiographs.header import Header
from carina.radiographs.radiograph import MAX_PIXELS, MAX_SIDE_PX, Radiograph
from carina.runtime.machine import usable_cores

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PROGRAM = (
    "import json, sys\n"
    "sys.path[:] = json.loads(sys.argv[1])\n"
    "from carina.radiographs.dicom.worker import main\n"
    "main()\n"
)
_ENVIRONMENT = {
    # Libraries that would start threads, each with memory of its own, for sums that one thread does at once.
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # GNU's C library then hands memory out as zeros, and overwrites what is given back: a decoder that reads what it
    # never wrote (CharLS does, with some damaged files) finds nothing of an earlier patient's film there. Blocks of up
    # to 1,032 bytes would go round a cache that does neither.
    "MALLOC_PERTURB_": "255",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}
# A process needs less than a second, and more on a machine that is busy.
_START_SECONDS = 60.0
_PIPE_BYTES = 1024 * 1024
_SIGXCPU, _SIGKILL = getattr(signal, "SIGXCPU", 0), getattr(signal, "SIGKILL", 9)
# Its pipes close a moment before a process has ended.
_ENDING_S = 0.5
_CODES: dict[object, InputErrorCode] = {code: code for code in get_args(InputErrorCode)}
_HEADERS = TypeAdapter(Header)
_IDENTITIES = TypeAdapter(Identity)
_STUDY_HEADERS = TypeAdapter(StudyHeader)
_WINDOWS = TypeAdapter(tuple[FiniteFloat, FiniteFloat] | None)
_DIGEST = re.compile("[0-9a-f]{64}")
_NAMES = TypeAdapter(list[tuple[str, ...]])


class Workers:
    """Processes that decode, as many as are asked at once and no more than there are processor cores.

    Parameters
    ----------
    limits, most
        What each may use for one file, and how many there may be; by default one a core.
    """

    def __init__(self, limits: DecodingLimits | None = None, most: int | None = None) -> None:
        self.limits = limits or DecodingLimits()
        self._room = threading.BoundedSemaphore(most or usable_cores())
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def decode(self, content: bytes, *, deflated: bool = False, whole: bool = False, enough: int = 0) -> Radiograph:
        """Return the radiograph in a DICOM file's bytes; see `carina.radiographs.dicom.decode.decode`.

        Raises
        ------
        InputError
            If there is none that may be judged, or decoding it takes too much time or memory.
        NotDicomError
            If it has no preamble and is not a data set with an image either.
        """
        asked = {"task": "decode", "deflated": deflated, "whole": whole, "enough": enough}
        answer, pixels = self._ask(asked, content)
        if answer.get("error") == NOT_DICOM:
            raise NotDicomError
        _raise_error(answer)
        with _sensible():
            header = _HEADERS.validate_python(answer.get("header"))
            window = _WINDOWS.validate_python(answer.get("window"))
        if pixels is None or pixels.dtype != np.uint16:
            raise _no_sense()
        reduced = answer.get("reduced")
        if not isinstance(reduced, int) or not 1 <= reduced <= MAX_SIDE_PX:
            raise _no_sense()
        return Radiograph(pixels, float(WHITE), header, window=window, reduced=reduced)

    def identify(self, content: bytes) -> Identity:
        """Return whose image a file holds, by its bytes, or by so many of them that its pixels begin among them.

        Raises
        ------
        InputError
            If it holds none that may be judged, as far as its header says. It is ``truncated`` where its pixels do not
            begin among the bytes.
        """
        answer, _ = self._ask({"task": "identify"}, content)
        _raise_error(answer)
        with _sensible():
            identity = _IDENTITIES.validate_python(answer)
        if not all(digest is None or _DIGEST.fullmatch(digest) for digest in (identity.patient, identity.study)):
            raise _no_sense()
        return identity

    def describe(self, content: bytes) -> StudyHeader:
        """Return what a worklist shows of a file's study; bytes and errors as of `identify`.

        What only the pixels say, or what keeps an image from being judged, is no error here.
        """
        answer, _ = self._ask({"task": "describe"}, content)
        _raise_error(answer)
        with _sensible():
            return _STUDY_HEADERS.validate_python(answer)

    def list_directory(self, content: bytes) -> list[tuple[str, ...]]:
        """Return the names of the files in a DICOMDIR, each as folders and a name, however wrong they are.

        Raises
        ------
        InputError
            If it is damaged, or names too many files.
        """
        answer, listed = self._ask({"task": "list"}, content)
        _raise_error(answer)
        with _sensible():
            return _NAMES.validate_json(b"" if listed is None else listed.tobytes())

    def _ask(self, request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], NDArray[Any] | None]:
        with self._room:
            try:
                return self._asked(request, content)
            except _KilledError:
                # Somebody killed it, such as a system that ran out of memory: that says nothing about this file.
                try:
                    return self._asked(request, content)
                except _KilledError:
                    raise _broke_down() from None

    def _asked(self, request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], NDArray[Any] | None]:
        worker = self._taken()
        try:
            answer, more = worker.ask(request, content)
        except BaseException:
            # Whoever stops waiting would find this answer when asking for the next.
            self._drop(worker)
            raise
        if answer.get("last"):
            self._drop(worker)
        else:
            with self._lock:
                self._idle.append(worker)
        return answer, more

    def process_ids(self) -> list[int]:
        """Return the system's numbers of the processes that there are by now."""
        with self._lock:
            return [worker.process.pid for worker in self._all]

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            every = list(self._all)
        for worker in every:
            self._drop(worker)

    def _taken(self) -> "_Worker":
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                worker = _Worker(self.limits)
                with self._lock:
                    self._all.add(worker)
                return worker
            if worker.is_alive():
                return worker
            self._drop(worker)

    def _drop(self, worker: "_Worker") -> None:
        with self._lock:
            self._all.discard(worker)
            if worker in self._idle:
                self._idle.remove(worker)
        worker.end()

    def forget(self) -> None:
        """Let go of processes that belong to the process which this one was forked from."""
        for worker in self._all:
            worker.forget()


class _GoneError(Exception):
    """A process ended without an answer."""


class _KilledError(Exception):
    """A process was killed from outside."""


class _Worker:
    def __init__(self, limits: DecodingLimits) -> None:
        self._limits = limits
        self._expired = False
        try:
            self.process = subprocess.Popen(  # noqa: S603  # this interpreter and our own words
                [sys.executable, "-I", "-B", "-c", _PROGRAM, json.dumps(sys.path), json.dumps(asdict(limits))],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
                # An interrupt at the terminal is for this process, which ends the others itself.
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(error.strerror or "no reason given") from None
        for stream in (self.process.stdin, self.process.stdout):
            _widen(stream)
        said = bytearray(len(READY))
        try:
            with self._killed_after(_START_SECONDS):
                self._receive(said)
        except _GoneError:
            said = bytearray()
        if said != READY:
            self.end()
            msg = "it ended at once; is pydicom installed?"
            raise _not_started(msg)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, options: dict[str, Any], content: bytes) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """Return the words and the bytes of an answer. If anything goes wrong, nothing more is to be asked.

        Raises
        ------
        InputError
            If the process came to its end, or its answer makes no sense.
        _KilledError
            If somebody killed it.
        """
        try:
            with self._killed_after(self._limits.seconds):
                return self._exchange(options, content)
        except _GoneError:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_ENDING_S)
            if self.process.returncode == -_SIGKILL and not self._expired:
                raise _KilledError from None
            raise self._why_gone() from None

    def _exchange(self, options: dict[str, Any], content: bytes) -> tuple[dict[str, Any], NDArray[Any] | None]:
        words = json.dumps(options).encode()
        # A process that ends while it is written to may still have said why.
        with suppress(BrokenPipeError):
            for part in (HEAD.pack(len(words), len(content)), words, content):
                self._send(part)
        head = bytearray(HEAD.size)
        self._receive(head)
        length, size = HEAD.unpack(head)
        if length > MAX_WORDS or size > 2 * MAX_PIXELS:
            raise _GoneError
        said = bytearray(length)
        self._receive(said)
        answer = _parsed(said)
        if not size:
            return answer, None
        grey = "shape" in answer
        more = np.empty(_shape(answer["shape"], size), np.uint16) if grey else np.empty(size, np.uint8)
        self._receive(more.data.cast("B"))
        return answer, more

    def _send(self, content: bytes) -> None:
        stream, left = self.process.stdin, memoryview(content)
        while stream is not None and left:
            left = left[stream.write(left) :]

    def _receive(self, room: bytearray | memoryview) -> None:
        stream, left = self.process.stdout, memoryview(room)
        while left:
            count = 0 if stream is None else stream.readinto(left)  # type: ignore[attr-defined]  # it is a FileIO
            if not count:
                raise _GoneError
            left = left[count:]

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        done = threading.Event()
        threading.Thread(target=self._watch, args=(done, seconds), daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _watch(self, done: threading.Event, seconds: float) -> None:
        # A second at a time: a machine that sleeps in between, process and all, has spent one and not the night.
        while seconds > 0:
            if done.wait(min(seconds, 1.0)):
                return
            seconds -= 1.0
        self._expired = True
        self.process.kill()

    def _why_gone(self) -> InputError:
        self.end()
        if self._expired or self.process.returncode == -_SIGXCPU:
            seconds = self._limits.seconds if self._expired else self._limits.cpu_seconds
            msg = f"decoding it took over {seconds:g} s and was ended. Check the file, or export it uncompressed."
            return InputError(msg, "too-slow")
        return _broke_down()

    def end(self) -> None:
        """End the process, at once if it is busy."""
        self._close_pipes()
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Close this process's ends of the pipes, and leave the process to the one that started it."""
        self._close_pipes()
        # Not this process's child: nobody here is to wait for it.
        self.process.returncode = 0

    def _close_pipes(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def _widen(pipe: IO[bytes] | None) -> None:
    # More at a time, where the system can and may.
    if fcntl is not None and pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _parsed(said: bytearray) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except ValueError:
        raise _GoneError from None
    if not isinstance(answer, dict):
        raise _GoneError
    return answer


def _shape(said: Any, size: int) -> tuple[int, int]:
    match said:
        case [int(height), int(width)] if min(height, width) > 0 and 2 * height * width == size:
            return height, width
    raise _GoneError


def _raise_error(answer: dict[str, Any]) -> None:
    error, message = answer.get("error"), answer.get("message")
    code = _CODES.get(error) if isinstance(error, str) else None
    if code is not None and isinstance(message, str) and message.isprintable():
        raise InputError(message, code)
    if error is not None:
        raise _no_sense()


def _broke_down() -> InputError:
    msg = (
        "the decoder broke down over it: the file is damaged, or was made to do harm. "
        "Copy it again from where it came from."
    )
    return InputError(msg, "unreadable-file")


def _no_sense() -> InputError:
    msg = "the decoder gave no sensible answer: the file is damaged, or was made to do harm."
    return InputError(msg, "unreadable-file")


@contextmanager
def _sensible() -> Iterator[None]:
    try:
        yield
    except ValidationError:
        raise _no_sense() from None


def _not_started(why: str) -> InputError:
    msg = f"the process that decodes DICOM could not be started: {why}. Look after this, and try again."
    return InputError(msg, "decoder-unavailable")


_shared: Workers | None = None
_shared_lock = threading.Lock()


def shared_workers() -> Workers:
    """Return the processes that all of this process shares."""
    global _shared  # noqa: PLW0603  # one for all threads, which share the cores
    with _shared_lock:
        if _shared is None:
            _shared = Workers()
            atexit.register(_shared.close)
        return _shared


def _after_fork() -> None:
    """Let a forked process start workers of its own: two that talk through the same pipes would mix their films."""
    global _shared, _shared_lock  # noqa: PLW0603
    _shared_lock = threading.Lock()
    if _shared is not None:
        _shared.forget()
        _shared = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
