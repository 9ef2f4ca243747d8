"""What the user names becomes a stream of inputs: files, folders, patterns, archives, and a list on standard input.

Images are not collected: of a million files no more is held than the names in one folder and in those above it, and a
number for each folder. The order is that of what was named, by name within a folder, and so the same every time.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import BinaryIO

from carina.errors import ConfigurationError, InputError
from carina.inference.image_input import Input, TellLeftOut
from carina.radiographs.dicom.directory import is_directory
from carina.radiographs.file_kind import (
    HEAD_BYTES,
    HIDDEN_FOLDER,
    HIDDEN_IMAGE,
    FileKind,
    foreign_format,
    is_archive,
    is_hidden,
    kind_by_name,
    kind_of,
)
from carina.radiographs.read import kind_at, read_head

STANDARD_INPUT = "-"
_BLOCK = 65_536
_MAGIC = re.compile(r"[*?\[]")
_ANY_DEPTH = "**"

_FOLDER_AGAIN = FileKind("repeated folder", is_image=False)
_IMAGE_AGAIN = FileKind("repeated image", is_image=False)


def _tell_nobody(path: Path, kind: FileKind) -> None:
    pass


def image_inputs(
    named: Iterable[str | Path],
    *,
    standard_input: BinaryIO | None = None,
    left_out: TellLeftOut = _tell_nobody,
) -> Iterator[Input]:
    """Yield each file as it was named, for each folder the image files below it, and for each pattern what matches it.

    A file that is named is taken whatever its ending, and even if it does not exist, so that it gets its error. So is a
    folder that may not be entered or holds no image, and a pattern that nothing matches: nothing is passed over without
    a word. What an image is, is told by its first bytes; see `carina.radiographs.file_kind`. An image that is named
    twice, as with a folder and by itself, is taken once; each line of a list on standard input counts by itself.

    Parameters
    ----------
    named
        Of each, the first of these that fits:

        - ``-``: a list of files and folders, read from standard input as it comes in (a file of that name: ``./-``).
        - A folder: the images in it, those in folders below it after them, each folder by name. Hidden files and
          folders are left out. Links to folders are followed, and each folder is taken once. Archives are not opened,
          and a DICOMDIR is left out: the files that it lists lie there, too.
        - A ZIP archive: the same of its files, in its own order.
        - A DICOMDIR: the files that it lists.
        - What exists.
        - A pattern: ``*``, ``?`` and ``[…]`` as in a shell, ``**`` for folders at any depth. It is meant for where no
          shell has expanded it; what matches counts as named, and names that begin with a dot match only what begins
          with one.
    standard_input
        Where the list is read from: one path per line, or if there are NUL bytes a path up to each (``find -print0``).
        By default the process's own.
    left_out
        Told of each other file in a folder or an archive, and of what is named again.

    Raises
    ------
    ConfigurationError
        If a name is empty, or standard input holds an image or an archive and no list.
    """
    before = _Before()
    for name in named:
        if name == "":
            msg = "An empty path was given, as by a shell variable that is not set. Name a file or a folder."
            raise ConfigurationError(msg)
        if name == STANDARD_INPUT:
            for path in _listed(sys.stdin.buffer if standard_input is None else standard_input):
                yield from _inputs_of(path, left_out, _Before())
        elif _MAGIC.search(str(name)) and not os.path.lexists(name):
            yield from _matching(str(name), left_out, before)
        else:
            yield from _inputs_of(Path(name), left_out, before)


def names_several(path: Path) -> bool:
    """Return whether a path is a folder, holds or lists files, or is a pattern: more than one image may come of it."""
    if os.path.lexists(path):
        return os.path.isdir(path) or (os.path.isfile(path) and _holds_files(path))  # noqa: PTH112, PTH113  # see above
    return _MAGIC.search(str(path)) is not None


def names_one_image(path: Path) -> bool:
    """Return whether a path is a file that is neither an archive nor a DICOMDIR."""
    return os.path.isfile(path) and not _holds_files(path)  # noqa: PTH113  # it never raises


_Number = tuple[int, int]


@dataclass(slots=True)
class _Before:
    """What was taken before: folders by their numbers, and files that were named by their folder's number and name."""

    folders: set[_Number] = field(default_factory=set)
    files: set[tuple[_Number, str]] = field(default_factory=set)
    again: int = 0  # how often something was named again

    def has(self, folder: _Number, name: str) -> bool:
        """Return whether a file was named by itself."""
        return bool(self.files) and (folder, name) in self.files

    def take(self, path: Path) -> bool:
        """Note a file that is named, and return whether it is new."""
        try:
            folder = _number_of(path.parent)
        except OSError:
            return True
        # What lies in a folder that was taken was found there, if it is an image.
        found = folder in self.folders and os.path.lexists(path) and not is_hidden(path.name)
        if (folder, path.name) in self.files or (found and kind_at(path.parent, path.name).is_image):
            return False
        self.files.add((folder, path.name))
        return True


def _number_of(folder: str | Path) -> _Number:
    """Return what is equal for all paths of a folder."""
    itself = os.stat(folder)  # noqa: PTH116  # one call for both numbers
    return itself.st_dev, itself.st_ino


def _inputs_of(path: Path, left_out: TellLeftOut, before: _Before) -> Iterator[Input]:
    # Unlike Path.is_dir, this never raises for a path that may not be looked at.
    if os.path.isdir(path):  # noqa: PTH112
        again, found = before.again, False
        for file in _below(path, before, left_out):
            found = True
            yield Input(file, named=False)
        if not found and before.again == again:
            yield Input(path, error=_own_folder(path))
    elif not before.take(path):
        left_out(path, _IMAGE_AGAIN)
    elif _holds_files(path):
        # For these alone.
        from carina.inference.containers import inputs_of_container  # noqa: PLC0415

        yield from inputs_of_container(path, left_out)
    else:
        yield Input(path)


def _own_folder(path: Path) -> InputError | None:
    """Return what is wrong with a folder of Carina's own; none for any other folder."""
    # Only a folder without an image is looked at.
    from carina.places import without_images  # noqa: PLC0415

    said = without_images(path)
    return None if said is None else InputError(said, "not-a-file")


def _holds_files(path: Path) -> bool:
    """Return whether a file is one that holds or lists others: by its first bytes, but not if it ends like an image."""
    if kind_by_name(path.name) is not None:
        return False
    head = read_head(path) or b""
    return is_archive(head) or is_directory(head)


def _below(folder: Path, before: _Before, left_out: TellLeftOut) -> Iterator[Path]:
    """Yield the image files below a folder, and each folder that may not be entered."""
    try:
        itself = _number_of(folder)
        files, folders = _names_in(folder)
    except OSError:
        yield folder
        return
    if itself in before.folders:
        before.again += 1
        left_out(folder, _FOLDER_AGAIN)
        return
    before.folders.add(itself)
    for name in files:
        path, kind = Path(folder, name), kind_at(folder, name)
        if not kind.is_image:
            left_out(path, kind)
        elif is_hidden(name):
            left_out(path, HIDDEN_IMAGE)
        elif before.has(itself, name):
            before.again += 1
            left_out(path, _IMAGE_AGAIN)
        else:
            yield path
    files.clear()
    for name in folders:
        if is_hidden(name):
            left_out(Path(folder, name), HIDDEN_FOLDER)
        else:
            yield from _below(Path(folder, name), before, left_out)


def _names_in(folder: str | Path) -> tuple[list[str], list[str]]:
    """Return the names of the files and of the folders in a folder, in order; links count as what they lead to."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                is_folder = entry.is_dir()
            except OSError:  # a link in a circle
                is_folder = False
            (folders if is_folder else files).append(entry.name)
    return sorted(files), sorted(folders)


def _matching(pattern: str, left_out: TellLeftOut, before: _Before) -> Iterator[Input]:
    found = False
    anchor = Path(pattern).anchor
    parts = [part for part in re.split(r"[/\\]" if os.sep == "\\" else "/", pattern[len(anchor) :]) if part]
    for path in _expand(Path(anchor), parts):
        found = True
        yield from _inputs_of(path, left_out, before)
    if not found:
        yield Input(Path(pattern))


def _expand(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Yield what matches the parts of a pattern below a folder, depth first and by name."""
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH:
        # At the end it means the folder itself, whose files are looked for at any depth anyway.
        yield from _expand(folder, rest)
        if rest:
            for name in _folders_in(folder):
                yield from _expand(folder / name, parts)
    elif not _MAGIC.search(part):
        if os.path.lexists(folder / part):
            yield from _expand(folder / part, rest)
    else:
        matches = re.compile(translate(part)).match
        try:
            files, folders = _names_in(folder)
        except OSError:
            return
        for name in sorted(folders if rest else [*files, *folders]):
            if matches(name) and (part.startswith(".") or not name.startswith(".")):
                yield from _expand(folder / name, rest)


def _folders_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that ``**`` enters: neither hidden ones nor links, as in a shell."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False))
    except OSError:
        return []


# A first byte that no name in UTF-8 has, or a control character.
_NO_NAME = re.compile(rb"\A[\x00\x80-\xc1\xf5-\xff]|[\x01-\x08\x0b\x0c\x0e-\x1f]")


def _listed(stream: BinaryIO) -> Iterator[Path]:
    """Yield the paths of a list as they come in: a line each, or up to a NUL byte each."""
    read = getattr(stream, "read1", stream.read)
    separator, rest, beginning = b"", b"", b""
    ended = False
    while not ended:
        block = read(_BLOCK)
        ended, rest = not block, rest + block
        if len(beginning) < HEAD_BYTES:
            beginning += block
            _require_list(beginning)
            # A slow pipe gives a few bytes at a time: what does not begin as a name is not told yet.
            if not ended and len(beginning) < HEAD_BYTES and _NO_NAME.search(beginning):
                continue
        # The first separator decides: with NUL bytes between them, names may hold line breaks.
        if not separator:
            separator = b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b""
        if separator:
            *whole, rest = rest.split(separator)
            for name in whole:
                yield from _path_of(name, separator)
    yield from _path_of(rest, separator)


def _require_list(beginning: bytes) -> None:
    """Refuse an image where a list belongs: parts of its header, with the patient's name, would be shown as paths."""
    if kind_of("", beginning[:HEAD_BYTES]).is_image or foreign_format(beginning[:HEAD_BYTES]) is not None:
        msg = "Standard input holds an image or an archive, and not a list of paths. Name the file itself instead of -."
        raise ConfigurationError(msg)


def _path_of(name: bytes, separator: bytes) -> Iterator[Path]:
    if separator != b"\0":
        name = name.removesuffix(b"\r")  # a list from Windows
        if name.isspace():
            return
    if name:
        yield Path(os.fsdecode(name))
