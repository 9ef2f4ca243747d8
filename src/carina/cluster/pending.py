"""What a batch still has to judge, written to the output in units: the driver holds none of it in memory.

A unit is what becomes one part: so many entries, one after the other as they are listed. Those that have a row already
are left out of their unit, and the borders of the others stay. So a batch that goes on makes the parts that it would
have made before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carina.cluster.entries import Entry
from carina.cluster.output_store import Store
from carina.cluster.table_parts import encode, has
from carina.runtime.streams import batched

# A worker that is killed loses so many at most; a part of so many rows has some 50 KB.
UNIT = 256
_UNITS_IN_A_FILE = 64


@dataclass(frozen=True, slots=True)
class Listing:
    """Units that lie in files of an output.

    Attributes
    ----------
    store, folder
        Where.
    units, inputs
        How many there are.
    """

    store: Store
    folder: str
    units: int
    inputs: int

    def unit(self, number: int) -> list[Entry]:
        """Return the entries of a unit, by its number from 0."""
        page, place = divmod(number, _UNITS_IN_A_FILE)
        rows = _page(self.store, f"{self.folder}/{page:06d}")
        return [Entry.from_json(text) for text in rows[place]]


@lru_cache(maxsize=4)
def _page(store: Store, name: str) -> list[list[str]]:
    table = pq.read_table(pa.BufferReader(store.read(name)))
    return table.column("entries").to_pylist()  # type: ignore[no-any-return]


@dataclass(slots=True)
class Counts:
    """How many inputs were listed, and how many of them have a row already."""

    listed: int = 0
    judged_before: int = 0


def pending_units(
    entries: Iterable[Entry], judged: NDArray[np.bytes_], counts: Counts, size: int = UNIT
) -> Iterator[list[Entry]]:
    """Yield the entries that have no row, in units; `counts` is kept up meanwhile."""
    for together in batched(entries, size):
        left = [entry for entry in together if not has(judged, entry.key)]
        counts.listed += len(together)
        counts.judged_before += len(together) - len(left)
        if left:
            yield left


def write_listing(store: Store, folder: str, units: Iterable[list[Entry]]) -> Listing:
    """Write units to an output.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    count = inputs = 0
    for page, group in enumerate(batched(units, _UNITS_IN_A_FILE)):
        texts = [[entry.to_json() for entry in unit] for unit in group]
        table = pa.table({"entries": pa.array(texts, pa.list_(pa.string()))})
        store.put(f"{folder}/{page:06d}", encode(table))
        count += len(group)
        inputs += sum(map(len, group))
    return Listing(store, folder, count, inputs)
