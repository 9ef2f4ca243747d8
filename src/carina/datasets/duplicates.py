"""Near-duplicates: proposed by perceptual hash, confirmed by correlation, joined into groups.

Public collections copy from each other: the same radiograph comes back scaled, compressed, with arrows drawn on it,
lighter or darker. Copies on both sides of a split, or of a training and a test set, make a result worthless.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from carina.radiographs.fingerprint import detail_correlation

# Both measured on the pairs among 15,204 radiographs of four public collections:
# docs/decisions/0003-near-duplicates.md.
MAX_HAMMING_DISTANCE = 10
MIN_CORRELATION = 0.70

# Pairs compared at once: bounds the memory (9 bytes a pair) whatever the number of images.
_PAIRS_AT_ONCE = 4_000_000


def find_duplicates(
    hashes: NDArray[np.uint64],
    details: NDArray[np.int8],
    other_hashes: NDArray[np.uint64] | None = None,
    other_details: NDArray[np.int8] | None = None,
) -> NDArray[np.int64]:
    """Return the pairs of rows that show the same radiograph: int64 ``(pairs, 2)``.

    Every pair of hashes is compared, n² / 2 of them: a second for 15,000 images, four minutes for 250,000.

    Parameters
    ----------
    hashes, details
        uint64 ``(n,)`` and int8 ``(n, 1764)`` of one set; the details may be memory-mapped.
    other_hashes, other_details
        The same of a second set. Without it, pairs within the first are sought, the smaller row first.
    """
    within = other_hashes is None or other_details is None
    second_hashes, second_details = (hashes, details) if within else (other_hashes, other_details)
    if len(hashes) == 0 or second_hashes is None or second_details is None or len(second_hashes) == 0:
        return np.empty((0, 2), np.int64)
    step = max(1, _PAIRS_AT_ONCE // len(second_hashes))
    found = []
    for start in range(0, len(hashes), step):
        # Within one set the columns left of the diagonal were compared already.
        first_column = start if within else 0
        distances = np.bitwise_count(hashes[start : start + step, None] ^ second_hashes[None, first_column:])
        rows, columns = np.nonzero(distances <= MAX_HAMMING_DISTANCE)
        rows, columns = rows + start, columns + first_column
        if within:
            rows, columns = rows[columns > rows], columns[columns > rows]
        found.append(_confirmed(rows, columns, details, second_details))
    return np.concatenate(found)


def _confirmed(
    rows: NDArray[np.int64], columns: NDArray[np.int64], details: NDArray[np.int8], others: NDArray[np.int8]
) -> NDArray[np.int64]:
    kept = [np.empty((0, 2), np.int64)]
    for start in range(0, len(rows), 4096):
        first, second = rows[start : start + 4096], columns[start : start + 4096]
        confirmed = detail_correlation(np.asarray(details[first]), np.asarray(others[second])) >= MIN_CORRELATION
        kept.append(np.stack([first[confirmed], second[confirmed]], axis=1))
    return np.concatenate(kept)


def join_groups(count: int, links: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the group of each of `count` items: int64 ``(count,)``, the smallest index that it is linked with.

    Links join transitively: a–b and b–c put a, b and c into one group.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415  # a quarter of a second, for imports of data sets alone
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    ends = np.array(list(links), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.bool_), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, smallest = np.unique(component, return_index=True)
    return np.asarray(smallest[component], np.int64)
