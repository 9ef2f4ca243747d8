"""Objects are judged in processes of their own: what breaks or hangs there does not end who asks."""

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from carina.dicom.transport.log import quiet_libraries
from carina.errors import CarinaError, ConfigurationError, InputError

# Loading a model takes seconds, on a busy machine a minute.
_START_S = 300.0
_MEANINGS: Mapping[str, str] = {
    "too-slow": "judging it took too long and was ended. Run the same command again when the machine is less busy. "
    "If it happens again, check the file.",
    "process-ended": "the process that judges ended while it judged this image. The file may be damaged, or the "
    "machine may have too little memory. Check both, and run the same command again.",
    "no-judge": "the process that judges could not be started again. The machine may have too little memory. Free "
    "some, and run the same command again.",
    "no-answer": "the judge wrote no answer, or wrote it to another folder. Report this to those who make Carina, "
    "without the image.",
}
_LATER = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EROFS})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object cannot be judged, now or ever: a code of `carina.errors.InputError`, and why, without a tag's value."""

    code: str
    message: str


class Judge(Protocol):
    """What makes answers to an object."""

    def __call__(self, stored: Path, folder: Path) -> Sequence[Path] | Refusal:
        """Return the files of the answers, written directly into a folder that is empty, or why there are none.

        The object is in the DICOM File Format (PS3.10). The same object gives the same answers with the same UIDs
        whenever it is judged: that is what makes a repetition harmless.

        Raises
        ------
        InputError
            Another way to refuse.
        OSError
            If the disk is full, for one: the same is tried again later.
        """


@dataclass(frozen=True, slots=True)
class AnswerFiles:
    """An object was judged: the SOP Instance UIDs of its answers, one at least."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Judging an object failed: with this kind of error, or with this end of the process.

    `later` tells whether it is not the object's fault: the disk is full, for one.
    """

    reason: str
    later: bool = False

    @property
    def meaning(self) -> str:
        """What the reason means and what can be done, for the person who asked."""
        if (said := _MEANINGS.get(self.reason)) is not None:
            return said
        if self.later:
            return (
                f"the machine has too little memory or disk space, or its disk fails ({self.reason}). Mend that, and "
                "run the same command again."
            )
        return (
            f"judging it ended with an unexpected error ({self.reason}). Run the same command again. If it happens "
            "again, report it to those who make Carina, without the image."
        )


class JudgeProcess:
    """A process that judges what it is asked, each time in so many seconds, and is started again when it ends.

    `factory` makes the judge, in the process: a `Judge`, or any function that says of its arguments what can be sent
    back. It must be importable there: a function of a module, or a partial of one.
    """

    def __init__(self, factory: Callable[[], Callable[..., Any]], seconds: float) -> None:
        self._factory = factory
        self._seconds = seconds
        self._process: Any = None
        self._pipe: Connection | None = None

    def start(self) -> None:
        """Start the process and wait until its judge is ready.

        Raises
        ------
        CarinaError
            As the judge's making raised it.
        ConfigurationError
            If the process ended.
        """
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        # No daemon: those may have no processes of their own, in which images are decoded.
        process = context.Process(target=_serve, args=(theirs, self._factory), name="carina-judge", daemon=False)
        process.start()
        theirs.close()
        self._process, self._pipe = process, pipe
        said = self._wait(_START_S)
        if said is not None:
            self.end()
            if isinstance(said, CarinaError):
                raise said
            msg = f"The process that judges could not be started ({said.reason})."
            raise ConfigurationError(msg)

    def judge(self, stored: Path, folder: Path) -> AnswerFiles | Refusal | Failure:
        """Return what became of an object by a `Judge`, as `ask` does."""
        said: AnswerFiles | Refusal | Failure = self.ask(stored, folder)
        return said

    def ask(self, *arguments: Any) -> Any:
        """Return what the judge says of its arguments, a `Refusal` or a `Failure`.

        It never raises for what breaks the process, which is started again.
        """
        if self._pipe is None:
            try:
                self.start()
            except CarinaError:
                return Failure("no-judge", later=True)
        try:
            if self._pipe is None:
                return Failure("no-judge", later=True)
            self._pipe.send(arguments)
        except OSError:
            said = Failure("process-ended")
        else:
            said = self._wait(self._seconds)
        if isinstance(said, Failure) and said.reason in ("process-ended", "too-slow"):
            self.end()
        return said

    def end(self) -> None:
        """End the process, whatever it is doing."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.kill()
            process.join()
            process.close()

    def stop(self) -> None:
        """Let the process end by itself; it must not be judging."""
        if self._pipe is not None:
            try:
                self._pipe.send(None)
                self._process.join(5)
            except (OSError, ValueError):
                pass
        self.end()

    def _wait(self, seconds: float) -> Any:
        pipe = self._pipe
        try:
            if pipe is None or not pipe.poll(seconds):
                return Failure("too-slow")
            return pipe.recv()
        except (EOFError, OSError):
            return Failure("process-ended")


def _serve(pipe: Connection, factory: Callable[[], Callable[..., Any]]) -> None:
    """Judge what comes through a pipe, until nothing more comes."""
    # Both go to the listener's whole group; it is the listener that decides what is still finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    # Decoders in C print what they please.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with quiet_libraries():
        try:
            judge = factory()
        except CarinaError as error:
            pipe.send(error)
            return
        except Exception as error:  # noqa: BLE001  # its message may hold anything
            pipe.send(Failure(type(error).__name__))
            return
        pipe.send(None)
        while (asked := pipe.recv()) is not None:
            pipe.send(_judge(judge, asked))


def _judge(judge: Callable[..., Any], asked: Sequence[Any]) -> Any:
    try:
        said = judge(*asked)
        # Only a `Judge` gives files, and only of those is there anything to check.
        return _answers(said, asked[1]) if isinstance(said, Sequence) else said
    except InputError as error:
        return Refusal(error.code, str(error))
    except MemoryError:
        return Failure("MemoryError", later=True)
    except OSError as error:
        return Failure(type(error).__name__, later=error.errno in _LATER)
    except Exception as error:  # noqa: BLE001  # its message may hold anything
        return Failure(type(error).__name__)


def _answers(paths: Sequence[Path], folder: Path) -> AnswerFiles | Failure:
    from pydicom.filereader import read_file_meta_info  # noqa: PLC0415  # of the extra

    if not paths or any(path.parent != folder or not path.is_file() for path in paths):
        return Failure("no-answer")
    return AnswerFiles(tuple(str(read_file_meta_info(path).MediaStorageSOPInstanceUID) for path in paths))


def end_with_parent() -> None:
    """End when the process does that started this one, even if it was killed: nobody would watch the time any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
