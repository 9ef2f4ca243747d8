"""What the user names becomes a list of image files."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from carina.radiographs.read import IMAGE_ENDINGS


def image_files(named: Iterable[Path]) -> Iterator[Path]:
    """Yield each file as it was named, and for each folder the image files below it, by name.

    A file that is named is taken whatever its ending, and even if it does not exist, so that it gets its error. So is a
    folder that may not be entered or holds no image: nothing is passed over without a word.
    """
    for path in named:
        # Unlike Path.is_dir, this never raises for a path that may not be looked at.
        if os.path.isdir(path):  # noqa: PTH112
            yield from _below(path)
        else:
            yield path


def _below(folder: Path) -> Iterator[Path]:
    closed: list[Path] = []
    found = False
    for place, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(str(error.filename)))):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in IMAGE_ENDINGS:
                found = True
                yield Path(place, name)
    yield from closed
    if not found and not closed:
        yield folder
