"""Masks beside radiographs: told by their names and their two values, and given to the images that they belong to."""

import re
from pathlib import Path

import numpy as np

from carina.datasets.folder_tree import FolderTree, TreeImage
from carina.datasets.folder_words import names_images
from carina.errors import InputError
from carina.radiographs.read import read_radiograph

_MASK_WORDS = frozenset({"mask", "masks", "segmentation", "segmentations", "seg", "segs"})
# Other words that the name of a mask of whole lungs may have. "Left", "heart" and "infection" may not.
_LUNG_WORDS = frozenset({"lung", "lungs", "manual", "images", "image", "png", "jpg"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS = re.compile(r"[^\W_]+")
# Of a mask's pixels, so many lie at one of two values. Those of a JPEG are not quite at them.
_AT_TWO_VALUES = 0.97
_NEAR = 0.06

LUNG_MASK = "it is a lung mask"
OTHER_MASK = "it is a mask of something else than the lungs"
LIKE_A_MASK = "its folder is named like one of masks, and its pixels have more than two values"


def take_masks(tree: FolderTree) -> tuple[dict[Path, Path], list[str]]:
    """Take the masks out of a tree; return the lung mask of each image that has one, and what was found, in sentences.

    A file is a mask where its folder's name or its own ends with a word for it (``lung masks/``, ``x_mask.png``), or
    its own begins so, and its pixels have two values. Where the folder alone is named so, the file is left out in any
    case: a mask that is learned as a radiograph does more harm than a radiograph that is missing, and is counted.
    """
    dropped: dict[Path, str] = {}
    lungs: dict[tuple[str, ...], Path] = {}
    not_masks = 0
    for image in tree.images:
        named = [of_folder for name in image.folders if _is_mask_name(of_folder := _words_of(name))]
        own = _words_of(image.path.stem)
        by_file = _is_mask_name(own) or own[:1] in (["mask"], ["seg"])
        if not named and not by_file:
            continue
        if not _is_two_valued(image.path):
            not_masks += not named
            if named:
                dropped[image.path] = LIKE_A_MASK
            continue
        words = {word for each in (*named, *([own] if by_file and not named else [])) for word in each}
        # A file is named after its image, so that of its other words only the last may say what is masked.
        of_lungs = not named or words <= _MASK_WORDS | _LUNG_WORDS
        if not named and len(own) > 1 and own[-2] in ("infection", "lesion", "heart", "left", "right"):
            of_lungs = False
        dropped[image.path] = LUNG_MASK if of_lungs else OTHER_MASK
        if of_lungs:
            lungs.setdefault(_key(image), image.path)
    tree.drop(dropped)
    of_image = {image.path: lungs[key] for image in tree.images if (key := _key(image)) in lungs}
    notes = []
    if of_image:
        notes.append(f"Images with a lung mask, which is kept with them: {len(of_image)} of {len(tree.images)}.")
    if not_masks:
        notes.append(f"Taken as images, since they are named like masks but have more than two values: {not_masks}.")
    return of_image, notes


def _words_of(name: str) -> list[str]:
    return _WORDS.findall(_CAMEL.sub(" ", name).lower())


def _is_mask_name(words: list[str]) -> bool:
    return bool(words) and words[-1] in _MASK_WORDS


def _key(image: TreeImage) -> tuple[str, ...]:
    """Return what is equal for an image and its mask: all of folders and name that does not say which of them it is."""
    folders = [name.lower() for name in image.folders if not names_images(name) and not _is_mask_name(_words_of(name))]
    stem = _words_of(image.path.stem)
    return (*folders, *([word for word in stem if word not in _MASK_WORDS and word not in _LUNG_WORDS] or stem))


def _is_two_valued(path: Path) -> bool:
    try:
        radiograph = read_radiograph(path)
    except InputError as error:
        # The mask of nothing is black all over.
        return error.code == "constant-image"
    pixels = radiograph.pixels.astype(np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    near = _NEAR * (high - low)
    return bool(((pixels - low <= near) | (high - pixels <= near)).mean() >= _AT_TWO_VALUES)
