"""What the user names becomes a list of image files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from carina.radiographs.read import IMAGE_ENDINGS


def image_files(named: Iterable[Path]) -> Iterator[Path]:
    """Yield each file as it was named, and for each folder the image files below it, by name.

    A file that is named is taken whatever its ending, and even if it does not exist, so that it gets its error.
    """
    for path in named:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS and p.is_file())
        else:
            yield path
