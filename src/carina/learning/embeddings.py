"""The embedding cache: every image goes through the frozen backbone once, whatever is learned on top of it.

An entry is found by the image's pixels (SHA-256), the number of its augmented view, and the folder it lies in, which
stands for everything else that could change it: preprocessing, backbone, augmentation. Entries are written in shards
as they come, so that a killed run loses at most one shard of work.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.arrays import read_arrays, write_arrays
from carina.engine import Engine, load_engine
from carina.errors import BundleError
from carina.learning.augment import augmented_view
from carina.learning.pipeline import read_grey
from carina.learning.recipe import Recipe
from carina.progress import Progress, no_progress
from carina.radiographs.preprocess import to_tensor

# Two batches are under way at a time; larger ones take more memory and no less time.
_BATCH = 8
_SHARD = 2048


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
    recipe
        Preprocessing, augmentation and seed.
    backbone
        Its ONNX graph.
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
        folder = cache / "embeddings" / _cache_key(recipe, backbone, augmented=view > 0)
        wanted = [_Wanted(path, sha256, view) for path, sha256 in images]
        known = _load_shards(folder, {item.key for item in wanted})
        missing = list({item.key: item for item in wanted if item.key not in known}.values())
        done += len(images) - len(missing)
        progress(done, total)
        for shard in _batched(missing, _SHARD):
            engine = engine or load_engine(backbone)
            batches = []
            for batch in _embed(shard, recipe, engine):
                batches.append(batch)
                done += len(batch)
                progress(done, total)
            keys = [item.key for item in shard]
            made = np.concatenate(batches)
            _write_shard(folder, keys, made)
            known.update(zip(keys, made, strict=True))
        made_views.append(np.stack([known[item.key] for item in wanted]))
    return np.stack(made_views)


def _cache_key(recipe: Recipe, backbone: Path, *, augmented: bool) -> str:
    """Return what stands for everything but the image and the view that could change an embedding."""
    settings = {
        "preprocessing": recipe.preprocessing.model_dump(),
        "backbone": hashlib.sha256(backbone.read_bytes()).hexdigest(),
        "augmentation": recipe.augmentation.model_dump(exclude={"views"}) if augmented else None,
        "seed": recipe.training.seed if augmented else None,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]


def _embed(wanted: tuple[_Wanted, ...], recipe: Recipe, engine: Engine) -> Iterator[NDArray[np.float32]]:
    """Yield embeddings in order, decoding the next images while the engine computes."""
    # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
    cv2.setNumThreads(1)

    def grey(item: _Wanted) -> NDArray[np.uint8]:
        image = read_grey(item.path, item.sha256, recipe.preprocessing.size)
        return augmented_view(image, recipe.augmentation, sha256=item.sha256, view=item.view, seed=recipe.training.seed)

    def tensors(pool: ThreadPoolExecutor) -> Iterator[NDArray[np.float32]]:
        groups = _batched(wanted, _BATCH)
        ahead = [pool.submit(grey, item) for item in next(groups)]
        for group in chain(groups, [()]):
            current, ahead = ahead, [pool.submit(grey, item) for item in group]
            yield to_tensor(np.stack([future.result() for future in current]), recipe.preprocessing.pixel_range)

    with ThreadPoolExecutor(2) as pool:
        for outputs in engine.stream(tensors(pool)):
            yield outputs["embedding"]


def _batched(items: Sequence[_Wanted], size: int) -> Iterator[tuple[_Wanted, ...]]:
    remaining = iter(items)
    while batch := tuple(islice(remaining, size)):
        yield batch


def _load_shards(folder: Path, wanted: set[str]) -> dict[str, NDArray[np.float32]]:
    known: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.glob("shard-*.npz")):
        try:
            shard = read_arrays(path)
            pairs = zip(shard["keys"].tolist(), shard["embeddings"], strict=True)
            # The folder may hold other data sets' images; a copy lets go of the shard they lie in.
            known.update((key, embedding.copy()) for key, embedding in pairs if key in wanted)
        except (BundleError, ValueError, KeyError):
            # A damaged shard is only lost work: its images are embedded again.
            path.unlink(missing_ok=True)
    return known


def _write_shard(folder: Path, keys: list[str], embeddings: NDArray[np.float32]) -> None:
    # The name follows the content, so that two runs that embed the same images at once do no harm.
    name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    write_arrays(folder / f"shard-{name}.npz", {"keys": np.array(keys), "embeddings": embeddings})
