"""The embedding cache: every image goes through the frozen backbone once, whatever is learned on top of it.

An entry is found by the image's pixels (SHA-256), the number of its augmented view, and the folder it lies in, which
is made from everything else that could change it: preprocessing, backbone, augmentation. Entries are written in shards
as they come, so that a killed run loses at most one shard of work.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.images import read_whole
from carina.learning.data.augment import vary
from carina.learning.data.frames import Frames
from carina.learning.recipe import Recipe
from carina.progress import Progress, no_progress
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import Engine, load_engine
from carina.runtime.streams import batched, read_ahead
from carina.storage.seal import file_sha256
from carina.storage.shards import SHARD, load_shards, write_shard

# Two batches are under way at a time; larger ones take more memory and no less time.
_BATCH = 8


class _Wanted(NamedTuple):
    path: str
    sha256: str
    view: int

    @property
    def key(self) -> str:
        return f"{self.sha256}-{self.view}"


def embed_rows(
    rows: pl.DataFrame,
    recipe: Recipe,
    backbone: Path,
    frames: Frames,
    cache: Path,
    *,
    views: int = 0,
    progress: Progress = no_progress,
) -> NDArray[np.float32]:
    """Return the embeddings of images and of their augmented views, from the cache where it has them.

    Parameters
    ----------
    rows
        With the columns path and sha256.
    backbone
        Its ONNX graph.
    frames
        What the network is shown; lungs were found for these rows.
    cache
        The folder that holds all caches.
    views
        Augmented views of each image beside itself.
    progress
        Told how many embeddings are there.

    Returns
    -------
    NDArray
        float32 ``(1 + views, images, embedding)``; the first are the images as they are.

    Raises
    ------
    DataError
        If an image is gone or was changed since the import.
    """
    images = list(rows.select("path", "sha256").iter_rows())
    engine: Engine | None = None
    total, done = (1 + views) * len(images), 0
    made_views = []
    for view in range(1 + views):
        folder = cache / "embeddings" / _cache_key(recipe, backbone, frames, augmented=view > 0)
        wanted = [_Wanted(path, sha256, view) for path, sha256 in images]
        known = load_shards(folder, {item.key for item in wanted})
        missing = list({item.key: item for item in wanted if item.key not in known}.values())
        done += len(images) - len(missing)
        progress(done, total)
        for shard in batched(missing, SHARD):
            engine = engine or load_engine(backbone)
            batches = []
            for batch in _embed(shard, recipe, frames, engine):
                batches.append(batch)
                done += len(batch)
                progress(done, total)
            keys = [item.key for item in shard]
            made = np.concatenate(batches)
            write_shard(folder, keys, made)
            known.update(zip(keys, made, strict=True))
        made_views.append(np.stack([known[item.key] for item in wanted]))
    return np.stack(made_views)


def _cache_key(recipe: Recipe, backbone: Path, frames: Frames, *, augmented: bool) -> str:
    """Return a hash of everything but the image and the view that could change an embedding."""
    settings = {
        "preprocessing": recipe.preprocessing.model_dump(),
        "lungs": frames.lungs_key,
        "backbone": file_sha256(backbone),
        "augmentation": recipe.augmentation.model_dump(exclude={"views"}) if augmented else None,
        "seed": recipe.training.seed if augmented else None,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]


def _embed(wanted: Sequence[_Wanted], recipe: Recipe, frames: Frames, engine: Engine) -> Iterator[NDArray[np.float32]]:
    """Yield embeddings in order, decoding the next images while the engine computes."""
    # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
    cv2.setNumThreads(1)

    def grey(item: _Wanted) -> NDArray[np.uint8]:
        if item.view == 0:
            return frames.grey(item.path, item.sha256)
        whole = read_whole(item.path, item.sha256, recipe.preprocessing.read_size)
        # Seeded by image and view, so that order and batch do not matter.
        rng = np.random.default_rng([recipe.training.seed, item.view, int(item.sha256[:16], 16)])
        return vary(whole, frames.lungs_of(item.sha256), recipe.preprocessing, recipe.augmentation, rng)

    groups = batched(read_ahead(grey, wanted, ahead=2 * _BATCH), _BATCH)
    tensors = (to_tensor(np.stack(group), recipe.preprocessing.pixel_range) for group in groups)
    for outputs in engine.stream(tensors):
        yield outputs["embedding"]
