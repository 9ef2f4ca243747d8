"""What the folders of a tree mean: which level names the finding, the source, the split, the patient.

Known layouts are told by the folders' names. Where names do not tell, the user is asked: a wrong guess would make
hospitals or parts of a split into findings.
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from carina.datasets.folder_tree import FolderTree, TreeImage, drop_second_copies
from carina.datasets.folder_words import (
    PublishedSplit,
    is_numbered,
    names_a_finding,
    names_a_fold,
    names_a_patient,
    names_an_absence,
    names_images,
    published_split,
)
from carina.errors import ConfigurationError, DataError
from carina.radiographs.file_kind import is_hidden
from carina.wording import counted

Role = Literal["finding", "source", "split", "patient", "-"]

UNDERSTOOD = (
    "Carina understands: one folder per finding (Normal/, Tuberculosis/); such folders in train/, val/ and test/, or "
    "in one folder per hospital; and a table with the columns path and finding. For other folders, --layout says what "
    "each level means, for example: --layout source/finding/patient"
)
NO_FINDING = "it lies in no finding's folder"
# So many numbered folders are patients or examinations. Fewer may be anything, for example the findings 0 and 1.
_MANY = 10
# A hospital gives more images than this, a patient fewer.
_IMAGES_OF_A_HOSPITAL = 20
_TOLD = 5
_TABLES = (".csv", ".tsv", ".xlsx", ".parquet", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True, slots=True)
class Placed:
    """An image, and what its folders say of it."""

    path: Path
    finding_folder: Path  # the folder that names its finding
    # source, patient: names of folders; none where no folder says it
    source: str | None = None
    split: PublishedSplit | None = None  # which part of a published split it lies in; none where no folder says it
    patient: str | None = None


@dataclass(slots=True)
class _Names:
    """The folders of an image that may mean something: their places and names, and what was found out already."""

    image: TreeImage
    places: list[int]
    split: PublishedSplit | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.image.folders[place] for place in self.places)


def parse_layout(text: str) -> tuple[Role, ...]:
    """Return what each level of folders means, from a text like ``source/finding/patient``.

    Raises
    ------
    ConfigurationError
        If a word is unknown or repeated, or no level is the finding.
    """
    roles = tuple(word.strip().lower() for word in text.strip().strip("/").split("/"))
    known = get_args(Role)
    wrong = next((role for role in roles if role not in known), None)
    repeated = next((role for role in roles if role != "-" and roles.count(role) > 1), None)
    if wrong is not None or repeated is not None or "finding" not in roles:
        what = f"{repeated} comes twice" if repeated else "no level is the finding"
        what = f"{wrong!r} is not a level" if wrong is not None else what
        msg = (
            f"--layout {shlex.quote(text)}: {what}. Write a word for each level of folders, from the outermost in, "
            f"with slashes between them: {', '.join(known)} (- is for a level that means nothing)."
        )
        raise ConfigurationError(msg)
    return cast("tuple[Role, ...]", roles)


def place_images(tree: FolderTree, layout: Sequence[Role] | None = None) -> tuple[list[Placed], list[str]]:
    """Return each image of a tree with what its folders say of it, and what was assumed, in sentences.

    Images that lie in no finding's folder are left out of the tree, with that reason; masks are no longer in it. The
    layout says what each level means, from the outermost in. By default the names tell.

    Raises
    ------
    DataError
        If no image lies in a finding's folder, or the names do not tell which level the findings are.
    """
    notes: list[str] = []
    if layout is not None:
        placed = _by_layout(tree, layout)
        _require_no_splits(tree, placed, layout)
    else:
        drop_second_copies(tree)
        placed, notes = _by_names(tree)
    taken = {each.path for each in placed}
    loose = {image.path: NO_FINDING for image in tree.images if image.path not in taken}
    if loose and not placed:
        said = " They lie in fewer folders than --layout has levels." if layout is not None else ""
        msg = f"{tree.top} holds {counted(len(loose), 'image')}, but in no finding's folder.{said} {_instead(tree)}"
        raise DataError(msg)
    tree.drop(loose)
    return placed, notes + _empty_folders(tree, placed)


def _by_layout(tree: FolderTree, layout: Sequence[Role]) -> list[Placed]:
    at = {role: level for level, role in enumerate(layout) if role != "-"}

    def named(image: TreeImage, role: Role) -> str | None:
        return image.folders[at[role]] if role in at and at[role] < len(image.folders) else None

    return [
        Placed(
            image.path,
            tree.top.joinpath(*image.folders[: at["finding"] + 1]),
            source=named(image, "source"),
            split=published_split(named(image, "split") or ""),
            patient=named(image, "patient"),
        )
        for image in tree.images
        if len(image.folders) > at["finding"]
    ]


def _require_no_splits(tree: FolderTree, placed: list[Placed], layout: Sequence[Role]) -> None:
    """Refuse a layout whose level of findings has the parts of a split, as when a folder around all is forgotten."""
    splits = sorted({name for each in placed if published_split(name := each.finding_folder.name)})
    if len(splits) > 1:
        outer = sorted({image.folders[0] for image in tree.images if image.folders})
        msg = (
            f"--layout {'/'.join(layout)}: the level of the findings has the folders {_listed(splits)}, which name "
            f"parts of a split. The outermost folders in {tree.top} are: {_listed(outer)}. Write - for a level that "
            "means nothing."
        )
        raise DataError(msg)


def _by_names(tree: FolderTree) -> tuple[list[Placed], list[str]]:
    found = [_Names(image, _meaningful(tree, image.folders)) for image in tree.images]
    _strip_wrappers(found)
    _take_splits(found)
    _strip_wrappers(found)
    levels = _finding_levels(tree, found)
    outer = {each.names[:level][-1] for each, level in levels if level}
    role = _role_of_outer(outer, [each.names[:level] for each, level in levels])
    inner_patients = _are_patients(each.names[level + 1] for each, level in levels if len(each.names) > level + 1)
    placed = []
    for each, level in levels:
        names = each.names
        before = "/".join(names[:level]) or None
        after = names[level + 1] if inner_patients and len(names) > level + 1 else None
        placed.append(
            Placed(
                each.image.path,
                tree.top.joinpath(*each.image.folders[: each.places[level] + 1]),
                source=before if role == "source" else None,
                split=each.split,
                patient=before if role == "patient" else after,
            )
        )
    return placed, _assumed(levels, placed, role, outer)


def _meaningful(tree: FolderTree, folders: tuple[str, ...]) -> list[int]:
    """Return the places of the folders that are neither called ``images`` nor named as the folder they lie in."""
    above = (tree.top.name, *folders)
    return [
        place
        for place, name in enumerate(folders)
        if not names_images(name) and (name != above[place] or names_a_finding(name))
    ]


def _strip_wrappers(found: list[_Names]) -> None:
    """Take off folders that all images lie in, as archives have them, unless such a folder is the only finding."""
    while True:
        named = [each for each in found if each.places]
        outer = {each.names[0] for each in named}
        inner = {each.names[1] for each in named if len(each.places) > 1}
        if len(outer) != 1 or not inner:
            return
        (name,) = outer
        below = {below for each in named for below in each.names[1:]}
        findings_inside = sum(map(names_a_finding, inner)) > 1 or any(map(names_an_absence, below))
        holds_images = any(len(each.places) == 1 for each in named)
        if names_a_finding(name) and (names_an_absence(name) or holds_images or not findings_inside):
            return
        if _are_patients(inner):
            return
        for each in named:
            del each.places[0]


def _take_splits(found: list[_Names]) -> None:
    top = {each.names[0] for each in found if each.places}
    only_splits = all(published_split(name) for name in top)
    for each in found:
        names = each.names
        for place, name in enumerate(names):
            # Beside a folder "control", a folder "test" is a finding, if there is nothing in it but images.
            if (split := published_split(name)) and (len(names) > 1 or only_splits):
                each.split = split
                del each.places[place]
                break


def _finding_levels(tree: FolderTree, found: list[_Names]) -> list[tuple[_Names, int]]:
    """Return the images that lie in a finding's folder, with the level of that folder among their names.

    The outermost folder that names a finding is it, unless normal images lie below it: ``COVID-19/{Normal,COVID}``. The
    folders beside it are findings as well, whatever their names, unless findings lie below them.
    """
    beside: dict[tuple[str, ...], set[str]] = defaultdict(set)
    below: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for names in {each.names for each in found}:
        for level, name in enumerate(names):
            beside[names[:level]].add(name)
            below[names[: level + 1]].update(names[level + 1 :])

    def is_finding(prefix: tuple[str, ...], name: str) -> bool:
        if not names_a_finding(name):
            return False
        return names_an_absence(name) or not any(map(names_an_absence, below[*prefix, name]))

    def level_of(names: tuple[str, ...]) -> int | None:
        for level, name in enumerate(names):
            prefix = names[:level]
            if is_finding(prefix, name):
                return level
            like_one = any(is_finding(prefix, other) for other in beside[prefix])
            if like_one and not any(map(names_a_finding, below[*prefix, name])):
                return level
        return len(names) - 1 if names and names_a_finding(names[-1]) else None

    level_of_names = {names: level_of(names) for names in {each.names for each in found}}
    levels = {level for level in level_of_names.values() if level is not None}
    if not levels:
        _require_unambiguous(tree, beside)
        _require_few(tree, beside[()], len(found))
        levels = {0}
    # Folders without a known name lie as deep as those with one: siteA/Normal and siteB/Silicosis.
    usual = next(iter(levels)) if len(levels) == 1 else None
    placed: list[tuple[_Names, int]] = []
    for each in found:
        own = level_of_names[each.names]
        taken = usual if own is None else own
        if taken is not None and taken < len(each.names):
            placed.append((each, taken))
    return placed


def _require_unambiguous(tree: FolderTree, beside: dict[tuple[str, ...], set[str]]) -> None:
    """Refuse to guess if no name is known and several folders hold folders of equal names."""
    outer = beside[()]
    count = Counter(name for one in outer for name in beside.get((one,), ()))
    shared = sorted(name for name, folders in count.items() if folders > 1)
    if not shared or (len(count) > _MANY and all(map(is_numbered, count))) or _are_patients(count):
        return
    which = f"the folders {_listed(outer)}" if len(outer) <= _MANY else f"{len(outer)} folders"
    msg = (
        f"{tree.top}: {which} hold folders of equal names ({_listed(shared)}), and Carina does not know which of them "
        "are findings. Say it with --layout source/finding if the inner ones are, or --layout finding if the outer "
        "ones are."
    )
    raise DataError(msg)


def _require_few(tree: FolderTree, outer: set[str], images: int) -> None:
    """Refuse to make each of many small folders a finding, where no name is known: they are patients' or the like.

    The message does not name the folders, whose names may be patients'.
    """
    if _are_patients(outer) or (len(outer) > _MANY and images < _IMAGES_OF_A_HOSPITAL * len(outer)):
        msg = (
            f"{tree.top} holds {len(outer)} folders with {images} images in all, and no folder's name is that of a "
            "finding that Carina knows: they look like patients. If each is a finding, say so: --layout finding. "
            f"{UNDERSTOOD}"
        )
        raise DataError(msg)


def _are_patients(names: Iterable[str]) -> bool:
    distinct = set(names)
    return bool(distinct) and all(map(names_a_patient, distinct))


def _role_of_outer(outer: set[str], prefixes: list[tuple[str, ...]]) -> Role:
    """Return what the folders around the findings' folders are, by their names, how many they are and what they hold.

    Many folders with few images each are taken for patients: if they are not, too much stays together. Taken for
    sources, patients' names would get into reports.
    """
    distinct = len(set(prefixes))
    if distinct < 2 or all(map(names_a_fold, outer)):
        return "-"
    many = distinct > _MANY and (all(map(is_numbered, outer)) or len(prefixes) < _IMAGES_OF_A_HOSPITAL * distinct)
    return "patient" if many or _are_patients(outer) else "source"


def _assumed(levels: list[tuple[_Names, int]], placed: list[Placed], role: Role, outer: set[str]) -> list[str]:
    notes = []
    if role == "source":
        count = Counter(each.source or "none" for each in placed)
        told = _listed(f"{source} ({images})" for source, images in count.items())
        notes.append(f"The outer folders are taken as the images' sources: {told}. Other meanings: --layout.")
    elif role == "-" and outer and all(map(names_a_fold, outer)):
        notes.append(f"The folders {_listed(outer)} are parts of a cross-validation and are not used.")
    if patients := {each.patient for each in placed if each.patient}:
        notes.append(
            f"Taken as patients, whose images stay together: {counted(len(patients), 'folder')}. Other meanings: "
            "--layout."
        )
    inner = {each.names[level + 1] for each, level in levels if len(each.names) > level + 1}
    findings = sorted(name for name in inner if names_a_finding(name))
    if findings:
        notes.append(
            f"The folders {_listed(findings)} lie in the folder of another finding and count as that one. To keep them "
            "apart, move them beside it."
        )
    elif inner and not patients and all(map(is_numbered, inner)):
        notes.append(
            f"The findings' folders hold {len(inner)} numbered folders, which are not used. If each is a patient, say "
            "so, and no patient is in two splits: --layout finding/patient"
        )
    return notes


def _empty_folders(tree: FolderTree, placed: list[Placed]) -> list[str]:
    """Return a sentence on the folders beside the findings' folders in which no radiograph lies."""
    holders = {each.finding_folder.parent for each in placed}
    held = {folder for each in placed for folder in each.path.parents}
    empty = [
        folder
        for names in tree.folders
        if (folder := tree.top.joinpath(*names)).parent in holders
        and folder not in held
        and not names_images(names[-1])
        and not published_split(names[-1])
    ]
    if not empty:
        return []
    return [f"No radiograph lies in: {_listed(folder.relative_to(tree.top).as_posix() for folder in empty)}."]


def _instead(tree: FolderTree) -> str:
    """Return what to do with a tree that has no folder of a finding."""
    # macOS puts a hidden ``._labels.csv`` beside ``labels.csv``.
    tables = [path for path, _ in tree.left_out if path.lower().endswith(_TABLES) and not is_hidden(Path(path).name)]
    if tables:
        beside = _listed(Path(path).relative_to(tree.top).as_posix() for path in tables)
        return (
            f"Beside them: {beside}. If that table names the images and their findings, import with: --labels "
            f"{shlex.quote(tables[0])}"
        )
    if tree.folders:
        return (
            f"Found there: folders {_listed(folders[0] for folders in tree.folders if len(folders) == 1)}. {UNDERSTOOD}"
        )
    if names_a_finding(tree.top.name):
        return f"The folder itself is named like a finding: import the folder above it, {tree.top.parent}."
    return (
        "Make one folder per finding (Normal/, Tuberculosis/) and move the images there, or write a table with the "
        "columns path and finding, and name it with --labels."
    )


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    told = ", ".join(ordered[:_TOLD])
    return f"{told} and {len(ordered) - _TOLD} more" if len(ordered) > _TOLD else told
