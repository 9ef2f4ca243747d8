"""Bytes that are on the disk, and not merely on their way to it, when a function returns."""

import os
from collections.abc import Iterable
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises
    ------
    OSError
        If the disk does not take them.
    """
    if os.name == "nt":
        # Windows opens no folders; there a name is as durable as its file.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Wait until the bytes of a file are on the disk.

    Raises
    ------
    OSError
        If it cannot be opened, or the disk does not take them.
    """
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a new file, readable by its owner alone, and wait until its bytes are on the disk; its name may not be yet.

    Raises
    ------
    OSError
        If the disk is full or the file exists. What was written of it is deleted.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for part in parts:
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
