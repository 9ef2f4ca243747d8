"""Radiographs and their alterations go through the model once; what came out is cached.

An entry is found by the image's pixels (SHA-256), the lungs it was altered by, and the folder it lies in, which stands
for everything else that could change it: model, preprocessing, alteration with its parameters, segmenter. Entries are
written in shards as they come, so that a killed audit loses at most one shard of work.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.images import read_mask, read_whole
from carina.errors import ConfigurationError, DataError
from carina.evaluation.audit.alterations import (
    ALTERATIONS,
    SUMMARIES,
    Alteration,
    AlterationSettings,
    Input,
    Summary,
    alter,
    lungs_of_mask,
    parameters_of,
    summarise,
)
from carina.evaluation.audit.audited_model import AuditedModel
from carina.progress import Progress, no_progress
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import Preprocessing, frame, to_tensor
from carina.runtime.engine import load_engine
from carina.runtime.streams import batched, carry, read_ahead
from carina.storage.shards import load_shards, write_shard

# With five looks at each: twenty tensors, a few of such batches under way at a time.
_BATCH = 4
_SHARD = 512
_Kind = Literal["lungs"] | Input
_Values = dict[_Kind, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What came out for n images; rows without lungs are NaN wherever lungs were needed."""

    found: NDArray[np.bool_]  # bool ``(n,)``: whether lungs were found
    # What a head is trained on: float32 ``(n, embedding)`` of each alteration, ``(n, length)`` of each summary.
    features: Mapping[Input, NDArray[np.float32]]
    logits: Mapping[Alteration, NDArray[np.float32]]  # float32 ``(n, findings)`` of each alteration

    def only(self, rows: NDArray[np.bool_]) -> "Looks":
        """Return the looks at some of the images."""
        return Looks(
            self.found[rows],
            {name: values[rows] for name, values in self.features.items()},
            {name: values[rows] for name, values in self.logits.items()},
        )


@dataclass(frozen=True, slots=True)
class _Item:
    path: str
    sha256: str
    mask: str | None
    key: str


@dataclass(slots=True)
class _Read:
    item: _Item
    whole: NDArray[np.uint8]
    masked: Lungs | None


@dataclass(frozen=True, slots=True)
class Looker:
    """What turns images into `Looks`."""

    model: AuditedModel  # the model that is audited
    segmenter: Path | None  # the graph that finds lungs where a data set has no mask; none where every image has one
    cache: Path  # the folder that holds all caches
    settings: AlterationSettings
    # What is wanted; with nothing but ``shown`` no mask is read.
    alterations: tuple[Alteration, ...] = ALTERATIONS
    summaries: tuple[Summary, ...] = SUMMARIES

    @property
    def _preprocessing(self) -> Preprocessing:
        return self.model.preprocessing

    @property
    def _crops(self) -> bool:
        return self._preprocessing.crop == "lungs"

    @property
    def _altered(self) -> tuple[Alteration, ...]:
        return tuple(name for name in self.alterations if name != "shown")

    @property
    def _always(self) -> tuple[_Kind, ...]:
        """Return what every image has, with lungs and without."""
        shown: tuple[_Kind, ...] = tuple(name for name in self.alterations if name == "shown")
        return (*(("lungs",) if self._altered else ()), *shown, *self.summaries)

    def look(self, rows: pl.DataFrame, *, progress: Progress = no_progress) -> Looks:
        """Return what comes out for rows of a manifest, from the cache where it has them.

        Parameters
        ----------
        rows
            With the columns path, sha256, mask and mask_sha256.

        Raises
        ------
        DataError
            If an image or a mask is gone, unreadable, or not the one that was imported.
        ConfigurationError
            If an image without a mask needs a segmenter and there is none.
        """
        items = self._items(rows)
        folders = {kind: self._folder_of(kind) for kind in (*self._always, *self._altered)}
        wanted = {item.key for item in items}
        known: dict[_Kind, dict[str, NDArray[np.float32]]] = {
            kind: load_shards(folder, wanted) for kind, folder in folders.items()
        }
        missing = list({item.key: item for item in items if not self._is_known(item.key, known)}.values())
        done = len(items) - len(missing)
        progress(done, len(items))
        if missing:
            values = self._compute(missing)
            for shard in batched(missing, _SHARD):
                made: dict[_Kind, dict[str, NDArray[np.float32]]] = {kind: {} for kind in folders}
                for item, found in islice(values, len(shard)):
                    for kind, value in found.items():
                        made[kind][item.key] = value
                    done += 1
                    progress(done, len(items))
                for kind, new in made.items():
                    # Without lungs there is nothing to alter, so that a kind may have no entry in a shard.
                    if new:
                        write_shard(folders[kind], list(new), np.stack(list(new.values())))
                    known[kind].update(new)
        return self._looks(items, known)

    def frames(self, rows: pl.DataFrame) -> NDArray[np.uint8]:
        """Return what the network is shown of rows of a manifest, unaltered: uint8 ``(n, size, size)``; see `look`."""
        groups = batched(read_ahead(self._read, self._items(rows), ahead=2 * _BATCH), _BATCH)
        found = chain.from_iterable(zip(group, lungs, strict=True) for group, lungs in self._with_lungs(groups))
        return np.stack([frame(read.whole, framed_by, self._preprocessing) for read, (_, framed_by) in found])

    def _items(self, rows: pl.DataFrame) -> list[_Item]:
        return [self._item(*row) for row in rows.select("path", "sha256", "mask", "mask_sha256").iter_rows()]

    def _is_known(self, key: str, known: Mapping[_Kind, Mapping[str, NDArray[np.float32]]]) -> bool:
        if any(key not in known[kind] for kind in self._always):
            return False
        return not self._altered or not known["lungs"][key][0] or all(key in known[kind] for kind in self._altered)

    def _item(self, path: str, sha256: str, mask: str | None, mask_sha256: str | None) -> _Item:
        if not self._altered:
            mask = None
        # What lungs were taken away decides as much as the image what comes out.
        by = "segmenter" if mask is None else hashlib.sha256(read_mask(mask, mask_sha256)).hexdigest()[:16]
        return _Item(path, sha256, mask, f"{sha256}-{by}" if self._altered else sha256)

    def _folder_of(self, kind: _Kind) -> Path:
        """Return the folder, named by a hash of everything but image and mask that could change an entry."""
        segmenter = self.segmenter
        settings: dict[str, Any] = {
            "preprocessing": self._preprocessing.model_dump(),
            "settings": parameters_of(kind, self.settings) if kind in ALTERATIONS else {"kind": kind},
        }
        if self._crops or kind == "lungs" or kind in self._altered:
            settings["segmenter"] = None if segmenter is None else hashlib.sha256(segmenter.read_bytes()).hexdigest()
        if kind in ALTERATIONS:
            settings["model"] = self.model.sha256
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]
        return self.cache / "audit" / f"{kind}-{key}"

    def _compute(self, items: Sequence[_Item]) -> Iterator[tuple[_Item, _Values]]:
        """Yield what comes out for each image, decoding the next ones while the engine computes."""
        # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
        cv2.setNumThreads(1)
        engine = load_engine(self.model.graph)
        groups = batched(read_ahead(self._read, items, ahead=2 * _BATCH), _BATCH)
        views = (self._views_of(group, lungs) for group, lungs in self._with_lungs(groups))
        for noted, outputs in carry(engine.stream, views):
            rows = iter(np.concatenate([outputs["embedding"], outputs["logits"]], axis=1))
            for item, values, shown in noted:
                values.update((name, next(rows)) for name in shown)
                yield item, values

    def _views_of(
        self, group: list[_Read], lungs: list[tuple[Lungs | None, Lungs | None]]
    ) -> tuple[list[tuple[_Item, _Values, tuple[Alteration, ...]]], NDArray[np.float32]]:
        """Return what is known of each image and which views of it the network is shown, and these as one tensor."""
        frames: list[NDArray[np.uint8]] = []
        noted = []
        for read, found in zip(group, lungs, strict=True):
            values, shown = self._views(read, found)
            noted.append((read.item, values, tuple(shown)))
            frames += shown.values()
        return noted, to_tensor(np.stack(frames), self._preprocessing.pixel_range)

    def _read(self, item: _Item) -> _Read:
        whole = read_whole(item.path, item.sha256, self._preprocessing.read_size)
        return _Read(item, whole, None if item.mask is None else _lungs_in_mask(item.mask))

    def _with_lungs(
        self, groups: Iterable[list[_Read]]
    ) -> Iterator[tuple[list[_Read], list[tuple[Lungs | None, Lungs | None]]]]:
        """Yield each group with the lungs of its images: those to take away, and those to crop by."""
        segmenter = self.segmenter
        if segmenter is None or not (self._crops or self._altered):
            for group in groups:
                if self._crops or (self._altered and any(read.item.mask is None for read in group)):
                    msg = (
                        "Some images have no lung mask, and the model finds no lungs itself. Name a segmenter: --lungs"
                    )
                    raise ConfigurationError(msg)
                yield group, [(read.masked, None) for read in group]
            return
        batches = ((group, [read.whole for read in group]) for group in groups)
        for group, found in carry(LungFinder(segmenter).stream, batches):
            pairs = zip(group, found.lungs, strict=True)
            yield group, [(lungs if read.item.mask is None else read.masked, lungs) for read, lungs in pairs]

    def _views(
        self, read: _Read, lungs: tuple[Lungs | None, Lungs | None]
    ) -> tuple[_Values, dict[Alteration, NDArray[np.uint8]]]:
        """Return what needs no network, and the frames for the network, of one image."""
        taken, framed_by = lungs
        shown = frame(read.whole, framed_by, self._preprocessing)
        values: _Values = {name: summarise(shown, read.whole, name) for name in self.summaries}
        if self._altered:
            values["lungs"] = np.array([taken is not None], dtype=np.float32)
        frames: dict[Alteration, NDArray[np.uint8]] = {"shown": shown} if "shown" in self.alterations else {}
        if taken is not None:
            frames |= {
                name: alter(read.whole, taken, framed_by, name, self._preprocessing, self.settings)
                for name in self._altered
            }
        return values, frames

    def _looks(self, items: Sequence[_Item], known: Mapping[_Kind, Mapping[str, NDArray[np.float32]]]) -> Looks:
        k = len(self.model.findings)
        tables: dict[Alteration, NDArray[np.float32]] = {}
        width = 0
        for name in self.alterations:
            width = width or next((len(value) for value in known[name].values()), 0)
            nothing = np.full(width, np.nan, dtype=np.float32)
            tables[name] = np.stack([known[name].get(item.key, nothing) for item in items])
        found = [bool(self._altered) and bool(known["lungs"][item.key][0]) for item in items]
        features: dict[Input, NDArray[np.float32]] = {
            name: np.stack([known[name][item.key] for item in items]) for name in self.summaries
        }
        return Looks(
            found=np.array(found, dtype=np.bool_),
            features=features | {name: table[:, :-k] for name, table in tables.items()},
            logits={name: table[:, -k:] for name, table in tables.items()},
        )


def _lungs_in_mask(path: str) -> Lungs | None:
    pixels = cv2.imdecode(np.frombuffer(read_mask(path), dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        msg = f"{path} is no lung mask that can be read. Put it back, or import the data set again."
        raise DataError(msg)
    return lungs_of_mask(np.asarray(pixels, dtype=np.uint8))
