"""The process that decodes DICOM files, one after the other, until nobody asks any more.

It may take no more memory and processor time than it was told, writes no file, leaves no core dump (which would hold a
patient's image), and says nothing on the streams that a library might say something on. See `workers` for who asks.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO

from carina.errors import InputError
from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.directory import read_directory
from carina.radiographs.dicom.identity import read_identity
from carina.radiographs.dicom.limits import DecodingLimits
from carina.radiographs.dicom.outline import NotDicomError
from carina.radiographs.dicom.protocol import HEAD, NOT_DICOM, READY
from carina.radiographs.dicom.study_header import read_study_header


def main() -> None:
    """Answer requests on standard input until it is closed."""
    limits = DecodingLimits(**json.loads(sys.argv[-1]))
    requests, answers = _take_streams()
    _confine(limits)
    # The one library that every file needs, before the first one is waited for.
    import pydicom.filereader  # noqa: PLC0415, F401

    answers.write(READY)
    answers.flush()
    while len(head := requests.read(HEAD.size)) == HEAD.size:
        _allow_processor_time(limits.cpu_seconds)
        said, more = _answer(requests, *HEAD.unpack(head))
        words = json.dumps(said).encode()
        answers.write(HEAD.pack(len(words), len(more)))
        answers.write(words)
        answers.write(more)
        answers.flush()
        if said.get("last"):
            # Its memory is full, or in pieces: the next one starts afresh.
            return


def _answer(requests: BinaryIO, words: int, size: int) -> tuple[dict[str, Any], bytes | memoryview]:
    """Return what is to be said of one file, and the bytes of what is too long for words."""
    try:
        options = json.loads(requests.read(words))
        content = requests.read(size)
        return _TASKS[options.pop("task")](content, **options)
    except InputError as error:
        return {"error": error.code, "message": str(error)}, b""
    except NotDicomError:
        return {"error": NOT_DICOM}, b""
    except MemoryError:
        msg = "decoding it takes more memory than a radiograph may. Check the file, or export it uncompressed."
        return {"error": "too-large", "message": msg, "last": True}, b""
    except Exception:  # noqa: BLE001  # a library may raise anything at a file that means harm, and quote it
        msg = "the DICOM file is damaged and cannot be read. Copy it again from where it came from."
        return {"error": "unreadable-file", "message": msg}, b""


def _decoded(content: bytes, *, deflated: bool, whole: bool, enough: int) -> tuple[dict[str, Any], memoryview]:
    radiograph = decode(content, deflated=deflated, whole=whole, enough=enough)
    header = None if radiograph.header is None else asdict(radiograph.header)
    words = {"shape": radiograph.pixels.shape, "header": header, "window": radiograph.window}
    return words | {"reduced": radiograph.reduced}, radiograph.pixels.data.cast("B")


def _identified(content: bytes) -> tuple[dict[str, Any], bytes]:
    return read_identity(content), b""


def _described(content: bytes) -> tuple[dict[str, Any], bytes]:
    return read_study_header(content), b""


def _listed(content: bytes) -> tuple[dict[str, Any], bytes]:
    return {}, json.dumps(read_directory(content)).encode()


_TASKS: dict[str, Callable[..., tuple[dict[str, Any], bytes | memoryview]]] = {
    "decode": _decoded,
    "identify": _identified,
    "describe": _described,
    "list": _listed,
}


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output, and put nothing in their place: what a library prints is lost."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    return requests, answers


def _confine(limits: DecodingLimits) -> None:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  # not on Windows

    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, limits.memory_bytes),
    ):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            # macOS refuses a limit of address space; the time limits hold there.
            continue


def _allow_processor_time(seconds: int) -> None:
    """Let the system end this process once it has used some more seconds of processor time than by now."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  # not on Windows

    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
