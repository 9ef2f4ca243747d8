"""Files that hold or list others, a ZIP archive and a DICOMDIR, become the inputs in them.

What they say of paths is not believed: a file of an archive is never written anywhere, and one that is listed is read
only if it lies in the DICOMDIR's folder or below.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from carina.errors import InputError
from carina.inference.image_input import Input, TellLeftOut
from carina.radiographs.archive import BadMember, Member, list_archive
from carina.radiographs.dicom.workers import shared_workers
from carina.radiographs.file_kind import HEAD_BYTES, HIDDEN_IMAGE, is_archive, is_hidden, kind_of
from carina.radiographs.read import read_bytes

_FORBIDDEN = frozenset('/\\:*?"<>|')


def inputs_of_container(path: Path, left_out: TellLeftOut) -> Iterator[Input]:
    """Yield what a ZIP archive or a DICOMDIR holds; the file itself with its error where it cannot be read."""
    found = False
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        for each in inputs_of_archive(path, left_out) if is_archive(head) else _in_directory(path):
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


def inputs_of_archive(path: Path, left_out: TellLeftOut) -> Iterator[Input]:
    """Yield what a ZIP archive holds.

    Raises
    ------
    InputError
        If its list of files cannot be read.
    """
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
        if kind.is_image and not any(map(is_hidden, each.name.split("/"))):
            yield Input(told, named=False, member=each)
        else:
            left_out(told, HIDDEN_IMAGE if kind.is_image else kind)


def _require_no_archive(member: Member, head: bytes) -> None:
    if is_archive(head) and member.name.lower().endswith(".zip"):
        msg = "it is an archive within an archive, which is not read. Unpack the outer one."
        raise InputError(msg, "unsupported-format")


def _in_directory(path: Path) -> Iterator[Input]:
    listed: set[Path] = set()
    disc = _Disc(path.parent)
    for number, names in enumerate(shared_workers().list_directory(read_bytes(path)), start=1):
        try:
            file = disc.file_named(names)
        except InputError as error:
            yield Input(Path(f"{path}!file {number}"), named=False, error=error)
            continue
        if file not in listed:
            listed.add(file)
            yield Input(file, named=False)


class _Disc:
    """The folder of a DICOMDIR, in which the files that it names are found however their names are written there.

    A DICOMDIR has names of capitals without an ending (PS3.10 8.2). On the discs and copies of them that people have,
    the same files are ``im1``, ``IM1.dcm`` or ``IM1;1``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._top = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118  # ends with one separator
        self._names: dict[Path, dict[str, list[str]]] = {}

    def file_named(self, names: tuple[str, ...]) -> Path:
        """Return the file of a name, as it is written on this disk or, where there is none, as the DICOMDIR names it.

        Raises
        ------
        InputError
            If it would lie elsewhere, or several files may be meant.
        """
        # Folders are values of their own; some writers put them into one, by the separators of a system.
        parts = [part for name in names for part in re.split(r"[\\/]", name.strip(" \0"))]
        parts = [part.strip(" ") for part in (parts[1:] if parts[0] == "." and len(parts) > 1 else parts)]
        file = self._folder
        if not all(map(_is_name, parts)):
            raise _leads_out()
        for part in parts:
            file = self._as_written(file, part)
            if not os.path.realpath(file).startswith(self._top):
                raise _leads_out()
        return file

    def _as_written(self, folder: Path, name: str) -> Path:
        path = folder / name
        if os.path.lexists(path):
            return path
        if folder not in self._names:
            self._names[folder] = _by_bare_name(folder)
        alike = self._names[folder].get(_bare(name), [])
        # The case of a name, or else its ending or version, tells which of them is meant.
        for meant in ([each for each in alike if each.casefold() == name.casefold()], alike):
            if len(meant) == 1:
                return folder / meant[0]
            if meant:
                msg = (
                    f"the DICOMDIR names the file {name}, and {len(meant)} files of such a name lie there: "
                    f"{', '.join(meant[:3])}. Name the one that you want."
                )
                raise InputError(msg, "not-found")
        return path


def _by_bare_name(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        for path in sorted(folder.iterdir()):
            found.setdefault(_bare(path.name), []).append(path.name)
    except OSError:
        # Each file in it gets an error of its own.
        return {}
    return found


def _bare(name: str) -> str:
    """Return a name without its case, the version that ISO 9660 appends and the ending of DICOM files."""
    return re.sub(r"(\.dcm|\.dicom|\.)?(;\d+)?$", "", unicodedata.normalize("NFC", name).casefold())


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and name.isprintable() and not _FORBIDDEN.intersection(name)


def _leads_out() -> InputError:
    msg = "this entry of the DICOMDIR leads out of its folder. Have a look at where the DICOMDIR came from."
    return InputError(msg, "unsafe-path")
