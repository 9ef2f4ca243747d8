"""A file or folder appears whole or not at all, whatever stops the writing: an error, a full disk, a kill."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carina.errors import ConfigurationError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on failure it is deleted.

    The bytes are flushed to the disk before the rename, so that after a power cut the name never
    means an empty file.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full. `path` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept because some writers (Keras, Matplotlib) choose the format by it.
    temporary = path.parent / f".partial-{secrets.token_hex(8)}{path.suffix}"
    try:
        # Opened plainly, so that the user's umask decides who may read it: labels and patients are private.
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:  # Ctrl-C must clean up as well
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(out: Path, *, what: str) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that takes its name on success and is deleted on failure.

    `out` must not exist, or be empty; `what` is what it will be ("dataset", "evaluation"), for the error message.

    Raises
    ------
    ConfigurationError
        If `out` exists and is not an empty folder: nothing is overwritten silently.
    OSError
        If the folder cannot be written or the disk is full.
    """
    require_absent(out, what=what)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.parent / f".partial-{out.name}-{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        yield temporary
        if out.exists():
            out.rmdir()
        temporary.replace(out)
    except BaseException:  # Ctrl-C must clean up as well
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def require_absent(out: Path, *, what: str) -> None:
    """Refuse a path that already holds something.

    Raises
    ------
    ConfigurationError
        If `out` is a file or a folder that is not empty.
    """
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        msg = f"{out} already exists. Choose another folder for the {what}, or delete this one first."
        raise ConfigurationError(msg)
