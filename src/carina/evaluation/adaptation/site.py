"""What a model's network gives for the films of a site: computed once for each film, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carina.bundles.pipeline import Judged, Pipeline, load_pipeline
from carina.datasets.images import read_whole
from carina.errors import BundleError
from carina.progress import Progress, no_progress
from carina.runtime.streams import batched, read_ahead
from carina.storage.shards import SHARD, load_shards, write_shard

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from carina.bundles.bundle import BundleDescription

_BATCH = 8


@dataclass(frozen=True, slots=True, eq=False)
class SiteFilms:
    """What the network gives for n films, in the order of the rows that were asked for.

    Attributes
    ----------
    logits
        float32 ``(n, findings)``: of the model as it was shipped.
    embedding
        float32 ``(n, d)``: what its last layer reads.
    accepted
        bool ``(n,)``: whether the model would judge the film at all.
    """

    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]
    accepted: NDArray[np.bool_]

    def __getitem__(self, part: NDArray[Any]) -> SiteFilms:
        """Return some of the films, by their numbers or by bool ``(n,)``."""
        return SiteFilms(self.logits[part], self.embedding[part], self.accepted[part])

    def __len__(self) -> int:
        return len(self.logits)


def judge_rows(
    bundle: Path,
    described: BundleDescription,
    rows: pl.DataFrame,
    cache: Path,
    *,
    progress: Progress = no_progress,
) -> SiteFilms:
    """Return what a bundle's network gives for rows of a manifest, from the cache where it has them.

    Parameters
    ----------
    bundle, described
        An opened bundle.
    rows
        With the columns path and sha256.
    cache
        The folder that holds all caches. It holds embeddings under the hashes of pixels, and no image.
    progress
        Told how many films are there.

    Raises
    ------
    BundleError
        If the bundle's graph gives no embedding.
    DataError
        If an image is gone or was changed since the import.
    """
    findings = len(described.findings)
    folder = cache / "site-films" / _cache_key(described)
    images = list(rows.select("path", "sha256").iter_rows())
    known = load_shards(folder, {sha256 for _, sha256 in images})
    missing = list({sha256: (path, sha256) for path, sha256 in images if sha256 not in known}.items())
    done = len(images) - len(missing)
    progress(done, len(images))
    pipeline: Pipeline | None = None
    for shard in batched(missing, SHARD):
        made: list[NDArray[np.float32]] = []
        pipeline = pipeline or load_pipeline(bundle, described)
        for judged in judge_images(pipeline, [image for _, image in shard]):
            made.append(_table_of(judged))
            done += len(judged.lungs)
            progress(done, len(images))
        values = np.concatenate(made)
        keys = [sha256 for sha256, _ in shard]
        write_shard(folder, keys, values)
        known.update(zip(keys, values, strict=True))
    table = np.stack([known[sha256] for _, sha256 in images])
    return SiteFilms(table[:, 1 : 1 + findings], table[:, 1 + findings :], table[:, 0] > 0)


def judge_images(pipeline: Pipeline, images: Iterable[tuple[str, str]]) -> Iterator[Judged]:
    """Yield what a pipeline makes of images of a manifest (path, sha256), a batch at a time, in order."""
    size = pipeline.preprocessing.read_size
    wholes = batched(read_ahead(lambda image: read_whole(*image, size), images, ahead=2 * _BATCH), _BATCH)
    for _, judged in pipeline.stream((None, batch) for batch in wholes):
        yield judged


def _table_of(judged: Judged) -> NDArray[np.float32]:
    """Return float32 ``(n, 1 + findings + d)``: accepted, logits, embedding."""
    if "embedding" not in judged.outputs:
        msg = "The bundle's graph gives no embedding, so its last layer cannot be fitted again. Export it again."
        raise BundleError(msg)
    parts = [judged.accepted[:, None], judged.logits, judged.outputs["embedding"]]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _cache_key(described: BundleDescription) -> str:
    """Return a key for everything but the image that could change the network's outputs."""
    gate = None if described.gate is None else described.gate.sha256
    settings = {
        "preprocessing": described.preprocessing.model_dump(mode="json"),
        "graphs": [described.model_sha256, described.lungs_sha256, gate],
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]
