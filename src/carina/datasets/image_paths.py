"""Where the images of a table lie: at the path that it gives, or below a folder under a name that fits."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from carina.errors import DataError
from carina.radiographs.file_kind import IMAGE_ENDINGS, is_hidden

_Parts = tuple[str, ...]


class FoundImage(NamedTuple):
    """Where an image of a table lies."""

    path: str  # absolute; where no file was found the one that was tried
    exists: bool
    searched: bool  # found by a name that fits and not at the path as it is written


def find_images(names: Sequence[str], rows: Sequence[int], folder: Path, table: Path) -> list[FoundImage]:
    r"""Return where the images lie that a table names on these lines.

    First the path as it is written is tried, from `folder` unless it is absolute. If no file lies there, the files
    below the folder are searched for one that fits: without regard to upper and lower case, Unicode form, backslashes
    and the ending. A file fits if its path below the folder ends with the written path (``images_001/images/a.png``
    for ``a.png``), or the written path ends with it (``normal/a.png`` for ``C:\data\normal\a.png``). Two folders that
    contradict each other never fit.

    Raises
    ------
    DataError
        If several files fit one name.
    """
    index: _Index | None = None
    found = []
    for name, row in zip(names, rows, strict=True):
        # os.path, because Path.is_file raises where a folder may not be entered.
        if os.path.isfile(folder / name):  # noqa: PTH113
            found.append(FoundImage(str(folder / name), exists=True, searched=False))
            continue
        index = index or _Index(folder)
        fitting = [folder.joinpath(*parts) for parts in index.fitting(name)]
        if len(fitting) > 1:
            msg = (
                f"{table}, row {row}: {len(fitting)} files fit '{name}', such as {fitting[0]} and {fitting[1]}. Write "
                "the folder of the image in the table, too."
            )
            raise DataError(msg)
        path = fitting[0] if fitting else folder / name
        found.append(FoundImage(str(path), exists=bool(fitting), searched=bool(fitting)))
    return found


class _Index:
    """The files below a folder by their names."""

    def __init__(self, folder: Path) -> None:
        self._by_name: defaultdict[str, list[_Parts]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[_Parts]] = defaultdict(list)
        seen: set[tuple[int, int]] = set()
        for root, folders, names in os.walk(folder, followlinks=True):
            status = os.stat(root)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:  # a link to a folder that was searched
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            above = Path(root).relative_to(folder).parts
            for name in names:
                if not is_hidden(name):
                    self._by_name[_plain(name)].append((*above, name))
                    self._by_stem[_stem(_plain(name))].append((*above, name))

    def fitting(self, name: str) -> list[_Parts]:
        """Return the files that fit a name, as parts of their path below the folder."""
        written = PureWindowsPath(name)  # both kinds of slashes part it, and a drive is known
        wanted = [_plain(part) for part in written.parts[bool(written.anchor) :] if part != "."]
        if not wanted or ".." in wanted:
            return []
        candidates = self._by_name.get(wanted[-1]) or self._by_stem.get(_stem(wanted[-1]), [])
        found = [parts for parts in candidates if _agree([_plain(part) for part in parts[:-1]], wanted[:-1], written)]
        # Masks have the names of their images.
        return [parts for parts in found if not any("mask" in _plain(part) for part in parts[:-1])] or found


def _agree(above: list[str], wanted: list[str], written: PureWindowsPath) -> bool:
    """Return whether one of two lists of folders ends with the other; of an absolute path none may be missing."""
    if len(above) <= len(wanted):
        return wanted[len(wanted) - len(above) :] == above
    return not written.anchor and above[len(above) - len(wanted) :] == wanted


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    """Return a name without the ending of an image; other dots are part of it, as in a UID."""
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    return stem if ending in IMAGE_ENDINGS else name
