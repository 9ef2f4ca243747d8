"""What the network is shown of each image of a data set: read, lungs found once and cached, framed."""

from collections.abc import Iterator
from itertools import islice
from math import isqrt
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.images import read_whole
from carina.errors import ConfigurationError
from carina.progress import Progress, no_progress
from carina.radiographs.lung_mask import SEARCH_VERSION, Lungs
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import Preprocessing, frame
from carina.runtime.streams import batched, read_ahead
from carina.storage.seal import file_sha256
from carina.storage.shards import SHARD, load_shards, write_shard

_BATCH = 16


class Frames:
    """The images of a data set as the network is shown them.

    Parameters
    ----------
    preprocessing
        What the network is shown.
    lung_graph
        The segmenter; needed where the lungs are cropped.
    cache
        The folder that holds all caches.

    Raises
    ------
    ConfigurationError
        If lungs are to be cropped and no segmenter is given.
    """

    def __init__(self, preprocessing: Preprocessing, lung_graph: Path | None, cache: Path) -> None:
        if preprocessing.crop == "lungs" and lung_graph is None:
            msg = "preprocessing.crop is 'lungs', and no lung segmenter is named. Set preprocessing.crop to 'none'."
            raise ConfigurationError(msg)
        self.preprocessing = preprocessing
        self.lung_graph = lung_graph if preprocessing.crop == "lungs" else None
        self._cache = cache
        self._lungs: dict[str, Lungs | None] = {}

    @property
    def lungs_key(self) -> str | None:
        """Return a hash of how lungs are found: the segmenter, and what is made of its output."""
        return None if self.lung_graph is None else f"{file_sha256(self.lung_graph)}-{SEARCH_VERSION}"

    def find_lungs(self, rows: pl.DataFrame, *, progress: Progress = no_progress) -> int:
        """Find the lungs of rows of a manifest, from the cache where it has them; return how many have no two.

        Raises
        ------
        DataError
            If an image is gone or was changed since the import.
        """
        if self.lung_graph is None:
            return 0
        folder = self._cache / "lungs" / f"{self.lungs_key}-{self.preprocessing.whole_size}"
        images = {sha256: path for path, sha256 in rows.select("path", "sha256").iter_rows()}
        packed = load_shards(folder, set(images))
        missing = [(path, sha256) for sha256, path in images.items() if sha256 not in packed]
        progress(len(packed), len(images))
        finder = LungFinder(self.lung_graph) if missing else None
        remaining = iter(missing)
        while finder is not None and (shard := list(islice(remaining, SHARD))):
            made = []
            for lungs in self._search(shard, finder):
                made.append(_pack(lungs, finder.size))
                progress(len(packed) + len(made), len(images))
            keys = [sha256 for _, sha256 in shard]
            write_shard(folder, keys, np.stack(made))
            packed.update(zip(keys, made, strict=True))
        self._lungs |= {sha256: _unpack(bits) for sha256, bits in packed.items()}
        return sum(self._lungs[sha256] is None for sha256 in images)

    def lungs_of(self, sha256: str) -> Lungs | None:
        """Return where the lungs of an image are; none where there are no two, or none are cropped."""
        return self._lungs[sha256] if self.lung_graph is not None else None

    def assessable(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        """Return which images prediction would judge, bool ``(n,)``: those with two lungs, where lungs are cropped."""
        if self.lung_graph is None:
            return np.ones(rows.height, np.bool_)
        return np.array([self._lungs[sha256] is not None for sha256 in rows["sha256"]], np.bool_)

    def grey(self, path: str, sha256: str) -> NDArray[np.uint8]:
        """Return what the network is shown of one image: uint8 ``(size, size)``.

        Raises
        ------
        DataError
            If the file is gone, unreadable, or not the one that was imported.
        """
        whole = read_whole(path, sha256, self.preprocessing.read_size)
        return frame(whole, self.lungs_of(sha256), self.preprocessing)

    def _search(self, images: list[tuple[str, str]], finder: LungFinder) -> Iterator[Lungs | None]:
        # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
        cv2.setNumThreads(1)
        size = self.preprocessing.whole_size
        wholes = read_ahead(lambda image: read_whole(*image, size), images, ahead=2 * _BATCH)
        for found in finder.stream(batched(wholes, _BATCH)):
            yield from found.lungs


def _pack(lungs: Lungs | None, size: int) -> NDArray[np.uint8]:
    """Return the mask as bits; no lungs are an empty mask, which two lungs never are."""
    return np.packbits(np.zeros((size, size), np.bool_) if lungs is None else lungs.mask)


def _unpack(packed: NDArray[np.generic]) -> Lungs | None:
    bits = np.unpackbits(packed.astype(np.uint8))
    size = isqrt(len(bits))  # the last byte may hold up to seven bits more
    mask = bits[: size * size].reshape(size, size).astype(np.bool_)
    return Lungs(mask) if mask.any() else None
