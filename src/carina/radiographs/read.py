"""A file becomes a radiograph: sniff what it is by its first bytes and hand it to the decoder for it."""

import os
import stat
from contextlib import suppress
from os import PathLike
from pathlib import Path

from carina.errors import InputError
from carina.radiographs.dicom.outline import NotDicomError, begins_as
from carina.radiographs.file_kind import BROKEN_LINK, HEAD_BYTES, FileKind, foreign_format, kind_by_name, kind_of
from carina.radiographs.radiograph import Radiograph
from carina.radiographs.raster import RASTER_FORMATS, decode_raster

# A radiograph of 5,000 × 5,000 × 16 bit without compression takes 50 MB; ten times that is no radiograph.
MAX_FILE_BYTES = 512 * 1024 * 1024


def read_radiograph(path: str | PathLike[str], *, deflated: bool = False, enough: int = 0) -> Radiograph:
    """Return the radiograph in an image file: DICOM, PNG, JPEG, TIFF, BMP or WebP, grey or colour.

    The name's ending does not matter; the first bytes decide. A file that begins as DICOM and as something else is
    DICOM, which says more of its image. A deflated DICOM data set is inflated on request (`deflated`).

    Where it is enough that the shorter side has so many pixels (`enough`), large DICOM JPEG 2000 is decoded at a lower
    resolution, many times as fast: `Radiograph.reduced` then says at which. Every pixel is read where none is named.

    Raises
    ------
    InputError
        If the path is no readable file, or holds nothing that may be judged: see
        :data:`carina.errors.InputErrorCode` for the reasons.
    """
    return radiograph_of(read_bytes(Path(path)), deflated=deflated, enough=enough)


def radiograph_of(content: bytes, *, deflated: bool = False, whole: bool = False, enough: int = 0) -> Radiograph:
    """Return the radiograph in an image file's bytes; see `read_radiograph`.

    With `whole`, a DICOM image keeps what lies outside its header's window, and says which window that is.

    Raises
    ------
    InputError
        If they hold nothing that may be judged.
    """
    if begins_as(content) is not None:
        # It brings subprocesses along, which a PNG does not need.
        from carina.radiographs.dicom.workers import shared_workers  # noqa: PLC0415

        with suppress(NotDicomError):
            return shared_workers().decode(content, deflated=deflated, whole=whole, enough=enough)
    return decode_raster(content, sniff_format(content))


def _folder_without_image(folder: Path) -> InputError:
    try:
        os.scandir(folder).close()
    except PermissionError:
        return InputError("this user may not look into the folder. Ask its owner for permission.", "permission-denied")
    except OSError as error:
        return InputError(f"the folder cannot be read: {error.strerror}.", "unreadable-file")
    return InputError("no image lies in this folder. Name an image file, or a folder that holds some.", "not-a-file")


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    InputError
        If the path is missing, no file, not permitted, unreadable, empty or beyond 512 MiB.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise _folder_without_image(path)
        if not path.is_file():
            msg = "this is not a file. Name an image file, or a folder that holds some."
            raise InputError(msg, "not-a-file")
        check_size(size)
        content = path.read_bytes()
    except (FileNotFoundError, ValueError):  # ValueError: no file can have such a name (a NUL byte in it)
        raise missing_file(path) from None
    except PermissionError:
        raise closed_file() from None
    except OSError as error:
        msg = f"the file cannot be read: {error.strerror}."
        raise InputError(msg, "unreadable-file") from None
    check_size(len(content))
    return content


def missing_file(path: Path) -> InputError:
    """Return the error that a file is not there."""
    msg = "there is no such file. Check the path."
    if path.is_symlink():
        msg = "this is a link, and the file that it leads to does not exist. Mend the link, or name the file itself."
    return InputError(msg, "not-found")


def closed_file() -> InputError:
    """Return the error that a file may not be read."""
    return InputError("this user may not read the file. Ask its owner for read permission.", "permission-denied")


def check_size(size: int) -> None:
    """Refuse so many bytes as no radiograph has.

    Raises
    ------
    InputError
        If there are none, or more than 512 MiB.
    """
    if size > MAX_FILE_BYTES:
        msg = f"the file has {size:,} bytes; more than {MAX_FILE_BYTES:,} are not read as a radiograph."
        raise InputError(msg, "too-large")
    if not size:
        msg = "the file is empty. Copy it again from where it came from."
        raise InputError(msg, "empty-file")


def read_head(path: Path) -> bytes | None:
    """Return a regular file's first `HEAD_BYTES`; nothing of what is none, and none where it may not be read."""
    try:
        # What is no file might never be done with being opened.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except PermissionError:
        return None
    except (OSError, ValueError):
        return b""
    try:
        return os.read(handle, HEAD_BYTES) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return None
    finally:
        os.close(handle)


def kind_at(folder: str | Path, name: str) -> FileKind:
    """Return what a file in a folder is; it is opened only where its name does not say that it is an image."""
    if (kind := kind_by_name(name)) is not None:
        return kind
    path = Path(folder, name)
    head = read_head(path)
    leads_nowhere = head == b"" and os.path.islink(path) and not os.path.exists(path)  # noqa: PTH110, PTH114  # no errors
    return BROKEN_LINK if leads_nowhere else kind_of(name, head)


def sniff_format(content: bytes) -> str:
    """Return which raster format the bytes begin as: a key of ``RASTER_FORMATS``.

    Raises
    ------
    InputError
        If they begin as something else; the message names it where it is known.
    """
    for name, raster in RASTER_FORMATS.items():
        if raster.begins(content):
            return name
    wanted = ", ".join(("DICOM", *RASTER_FORMATS))
    msg = f"the content is not an image that Carina reads ({wanted}), whatever the name says."
    if (foreign := foreign_format(content)) is not None:
        article = "an" if foreign.startswith("A") else "a"
        msg = f"this is {article} {foreign} file. Carina reads {wanted}: convert it."
    raise InputError(msg, "unsupported-format")
