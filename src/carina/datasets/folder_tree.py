"""All files below a folder: which are images, and which are left out and why. What folders mean is asked elsewhere.

See `carina.datasets.folder_layout` for what folders mean.
"""

import os
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from carina.radiographs.file_kind import counted, is_hidden
from carina.radiographs.read import kind_at
from carina.wording import say_left_out

LEFT_OUT_SCHEMA = pl.Schema({"path": pl.String, "reason": pl.String})
_NOT_TEXT = "its name is not valid UTF-8"
_FOLDER_NOT_TEXT = "its name is not valid UTF-8, and its images are missing: rename it"
_TAKEN_ALREADY = "it is a link to a folder that is taken already"
_SECOND_COPY = "it is a second copy: a folder in a folder of the same name holds the same files"
_NO_IMAGE, _HIDDEN = "no image: ", "hidden: "
# Folders that are still to be looked into, with the names that lead to them.
_Waiting = deque[tuple[Path, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class TreeImage:
    """An image file of a tree."""

    path: Path  # absolute
    folders: tuple[str, ...]  # the names of the folders that it lies in, from the top of the tree on


@dataclass(slots=True)
class FolderTree:
    """What lies below a folder."""

    top: Path
    images: list[TreeImage] = field(default_factory=list)  # the image files, by path
    folders: list[tuple[str, ...]] = field(default_factory=list)  # every folder below, as the names that lead to it
    # Files and folders that are not taken: path and reason, by path.
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def leave_out(self, path: Path, reason: str) -> None:
        r"""Note a file that is not taken; bytes of its path that are not UTF-8 become ``\xe9``."""
        self.left_out.append((os.fsencode(path).decode("utf-8", "backslashreplace"), reason))

    def drop(self, dropped: dict[Path, str]) -> None:
        """Take images out of the tree, each with its reason."""
        for path, reason in dropped.items():
            self.leave_out(path, reason)
        self.images = [image for image in self.images if image.path not in dropped]


def read_tree(top: Path) -> FolderTree:
    """Return what lies below a folder.

    Links are followed. A folder that is reached twice is taken once, under its own name where that lies in the tree, so
    that a link in a circle ends. Hidden files and folders are left out, and so is what macOS adds.

    Raises
    ------
    OSError
        If a folder may not be entered: its images would be missing without a word.
    """
    tree = FolderTree(top)
    # Links come last: of a folder and a link to it, the folder is taken.
    todo: _Waiting = deque([(top, ())])
    links: _Waiting = deque()
    seen: set[tuple[int, int]] = set()
    while todo or links:
        folder, folders = todo.pop() if todo else links.popleft()
        itself = folder.stat()
        if (itself.st_dev, itself.st_ino) in seen:
            tree.leave_out(folder, _TAKEN_ALREADY)
            continue
        seen.add((itself.st_dev, itself.st_ino))
        if folders:
            tree.folders.append(folders)
        _look_into(folder, folders, tree, todo, links)
    tree.images.sort(key=lambda image: image.path)
    tree.folders.sort()
    tree.left_out.sort()
    return tree


def _look_into(folder: Path, folders: tuple[str, ...], tree: FolderTree, todo: _Waiting, links: _Waiting) -> None:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = folder / entry.name
        if not _is_text(entry.name):
            tree.leave_out(path, _FOLDER_NOT_TEXT if _is_folder(entry) else _NOT_TEXT)
        elif _is_folder(entry):
            if is_hidden(entry.name):
                tree.leave_out(path, _HIDDEN + "folder")
            else:
                (links if entry.is_symlink() else todo).append((path, (*folders, entry.name)))
        else:
            kind = kind_at(folder, entry.name)
            if kind.is_image and not is_hidden(entry.name):
                tree.images.append(TreeImage(path, folders))
            else:
                tree.leave_out(path, _HIDDEN + "image" if kind.is_image else _NO_IMAGE + kind.name)


def drop_second_copies(tree: FolderTree) -> None:
    """Drop a folder that lies in one of the same name and holds the same files: an archive that was unpacked twice."""
    for folders in tree.folders:
        parent = folders[:-1]
        if folders[-1] != (parent[-1] if parent else tree.top.name):
            continue
        inside = {i.path: i.folders[len(folders) :] for i in tree.images if i.folders[: len(folders)] == folders}
        beside = {
            (*i.folders[len(parent) :], i.path.name, i.path.stat().st_size)
            for i in tree.images
            if i.path not in inside and i.folders[: len(parent)] == parent
        }
        if inside and all((*rest, path.name, path.stat().st_size) in beside for path, rest in inside.items()):
            tree.drop(dict.fromkeys(inside, _SECOND_COPY))


def notes_of(left_out: list[tuple[str, str]]) -> list[str]:
    """Return what was left out, a sentence for each reason."""
    notes, rest = [], [reason for _, reason in left_out]
    for beginning, why in ((_NO_IMAGE, "not images"), (_HIDDEN, "hidden")):
        kinds = Counter(reason.removeprefix(beginning) for reason in rest if reason.startswith(beginning))
        rest = [reason for reason in rest if not reason.startswith(beginning)]
        if kinds:
            notes.append(f"Left out, since they are {why}: {counted(kinds)}.")
    for reason, count in Counter(rest).most_common():
        noun = "folder" if reason in (_FOLDER_NOT_TEXT, _TAKEN_ALREADY) else "file"
        notes.append(say_left_out(count, noun, reason))
    return notes


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
