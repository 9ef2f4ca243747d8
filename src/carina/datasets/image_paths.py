"""Where the images of a table lie: at the path that it gives, or below a folder under a name that fits."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from carina.errors import DataError
from carina.radiographs.file_kind import IMAGE_ENDINGS, is_hidden

_Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundPaths:
    """Where the images of a table lie.

    Attributes
    ----------
    paths
        Absolute, one for each name; where no file was found the one that was tried.
    exists
        Whether a file lies there.
    searched
        Whether it was found by a name that fits and not at the path as it is written.
    """

    paths: list[str]
    exists: list[bool]
    searched: list[bool]


def find_images(names: Sequence[str], rows: Sequence[int], folder: Path, table: Path) -> FoundPaths:
    r"""Return where images lie.

    First the path as it is written is tried, from `folder` unless it is absolute. If no file lies there, the files
    below the folder are searched for one that fits: without regard to upper and lower case, Unicode form, backslashes
    and the ending. A file fits if its path below the folder ends with the written path (``images_001/images/a.png``
    for ``a.png``), or the written path ends with it (``normal/a.png`` for ``C:\data\normal\a.png``). Two folders that
    contradict each other never fit.

    Parameters
    ----------
    names
        As the table writes them.
    rows
        The line of each.
    folder
        Where relative paths begin.
    table
        For messages.

    Raises
    ------
    DataError
        If several files fit one name.
    """
    found = FoundPaths([], [], [])
    index: _Index | None = None
    for name, row in zip(names, rows, strict=True):
        path = folder / name
        searched = False
        # os.path, because Path.is_file raises where a folder may not be entered.
        exists = os.path.isfile(path)  # noqa: PTH113
        if not exists:
            index = index or _Index(folder)
            fitting = index.fitting(name)
            if len(fitting) > 1:
                told = " and ".join(str(folder.joinpath(*parts)) for parts in fitting[:2])
                msg = (
                    f"{table}, row {row}: {len(fitting)} files fit '{name}', such as {told}. Write the folder of "
                    "the image in the table, too."
                )
                raise DataError(msg)
            exists = searched = bool(fitting)
            path = folder.joinpath(*fitting[0]) if fitting else path
        found.paths.append(str(path))
        found.exists.append(exists)
        found.searched.append(searched)
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
