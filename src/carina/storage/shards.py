"""A cache of arrays in shards: written as they come, so that a killed run loses at most one shard of work.

The folder's name is made from everything that could change an entry but its key.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.storage.arrays import read_arrays, write_arrays

SHARD = 2048


def load_shards(folder: Path, wanted: set[str]) -> dict[str, NDArray[Any]]:
    """Return the entries of these keys that the folder holds."""
    known: dict[str, NDArray[Any]] = {}
    for path in sorted(folder.glob("shard-*.npz")):
        try:
            shard = read_arrays(path)
            pairs = zip(shard["keys"].tolist(), shard["values"], strict=True)
            # The folder may hold other data sets' images; a copy lets go of the shard they lie in.
            known.update((key, value.copy()) for key, value in pairs if key in wanted)
        except (BundleError, ValueError, KeyError):
            # A damaged shard is only lost work: its entries are made again.
            path.unlink(missing_ok=True)
    return known


def write_shard(folder: Path, keys: Sequence[str], values: NDArray[Any]) -> None:
    """Write entries; `values` has a row a key."""
    # The name follows the content, so that two runs that make the same entries at once do no harm.
    name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    write_arrays(folder / f"shard-{name}.npz", {"keys": np.array(keys), "values": values})
