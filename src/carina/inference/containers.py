"""Files that hold or list others, a ZIP archive and a DICOMDIR, become the inputs in them.

What they say of paths is not believed: a file of an archive is never written anywhere, and one that is listed is read
only if it lies in the DICOMDIR's folder or below.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from carina.errors import InputError
from carina.inference.inputs import Input, TellLeftOut
from carina.radiographs.archive import BadMember, Member, list_archive
from carina.radiographs.dicom.workers import list_dicom_directory
from carina.radiographs.file_kind import HEAD_BYTES, is_archive, kind_of
from carina.radiographs.read import read_bytes

_FORBIDDEN = frozenset('/\\:*?"<>|')


def inputs_of_container(path: Path, left_out: TellLeftOut) -> Iterator[Input]:
    """Yield what a ZIP archive or a DICOMDIR holds; the file itself with its error where it cannot be read.

    Parameters
    ----------
    path
        The archive or DICOMDIR.
    left_out
        Told of each file in an archive that is no image.
    """
    found = False
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        for each in _in_archive(path, left_out) if is_archive(head) else _in_directory(path):
            found = True
            yield each
    except InputError as error:
        yield Input(path, error=error)
    except OSError as error:
        msg = f"the file cannot be read: {error.strerror}."
        yield Input(path, error=InputError(msg, "unreadable-file"))
    else:
        if not found:
            msg = "it holds no image that Carina reads. Have a look at what is in it."
            yield Input(path, error=InputError(msg, "no-image"))


def _in_archive(path: Path, left_out: TellLeftOut) -> Iterator[Input]:
    for each in list_archive(path):
        if isinstance(each, BadMember):
            yield Input(Path(f"{path}!file {each.number}"), named=False, error=each.error)
            continue
        told = Path(f"{path}!{each.name}")
        try:
            head = each.head(HEAD_BYTES)
            _require_no_archive(each, head)
        except InputError as error:
            yield Input(told, named=False, error=error)
            continue
        kind = kind_of(each.name.rsplit("/", 1)[-1], head)
        if kind.is_image:
            yield Input(told, named=False, member=each)
        else:
            left_out(told, kind)


def _require_no_archive(member: Member, head: bytes) -> None:
    if is_archive(head) and member.name.lower().endswith(".zip"):
        msg = "it is an archive within an archive, which is not read. Unpack the outer one."
        raise InputError(msg, "unsupported-format")


def _in_directory(path: Path) -> Iterator[Input]:
    listed: set[Path] = set()
    for number, names in enumerate(list_dicom_directory(read_bytes(path)), start=1):
        file = _listed_file(path.parent, names)
        if file is None:
            msg = "this entry of the DICOMDIR leads out of its folder. Have a look at where the DICOMDIR came from."
            yield Input(Path(f"{path}!file {number}"), named=False, error=InputError(msg, "unsafe-path"))
        elif file not in listed:
            listed.add(file)
            yield Input(file, named=False)


def _listed_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the file that a DICOMDIR in a folder names, or nothing if it would lie elsewhere."""
    parts = [name.strip(" \0") for name in names]
    if not parts or not all(map(_is_name, parts)):
        return None
    file = folder
    for part in parts:
        file = _as_written(file, part)
    top, real = os.path.realpath(folder), os.path.realpath(file)
    return file if real.startswith(os.path.join(top, "")) else None  # noqa: PTH118  # ends with one separator


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and name.isprintable() and not _FORBIDDEN.intersection(name)


def _as_written(folder: Path, name: str) -> Path:
    """Return a file as its name is written on this disk: what reads discs often turns capitals into small letters."""
    path = folder / name
    small = folder / name.lower()
    return small if not os.path.lexists(path) and os.path.lexists(small) else path
