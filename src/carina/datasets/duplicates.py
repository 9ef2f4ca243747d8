"""Near-duplicates: proposed by perceptual hash, confirmed by correlation, joined into groups.

Public collections copy from each other: the same radiograph comes back scaled, compressed, with arrows drawn on it,
lighter or darker. Copies on both sides of a split, or of a training and a test set, make a result worthless.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from carina.radiographs.fingerprint import detail_correlation

# Both measured on the pairs among 15,204 radiographs of four public collections:
# docs/decisions/0003-near-duplicates.md.
MAX_HAMMING_DISTANCE = 10
MIN_CORRELATION = 0.70

# Pairs compared at once: bounds the memory (9 bytes a pair) whatever the number of images.
_PAIRS_AT_ONCE = 4_000_000


# Two hashes with at most 10 different bits of 64 have at most 2 in one of these four parts of 16 bits.
_PARTS, _PART_BITS, _PART_DISTANCE = 4, 16, 2
Part = tuple[int, int]
"""Which part of the hashes, and which of its bits differ: the pairs to compare that belong together."""


def parts_of_comparison() -> list[Part]:
    """Return what `near_pairs` compares one after the other, or many machines side by side."""
    bits = range(_PART_BITS)
    masks = [sum(1 << bit for bit in chosen) for n in range(_PART_DISTANCE + 1) for chosen in combinations(bits, n)]
    return [(part, mask) for part in range(_PARTS) for mask in masks]


def near_pairs(hashes: NDArray[np.uint64], comparison: Part) -> NDArray[np.int64]:
    """Return the pairs of rows within `MAX_HAMMING_DISTANCE` that belong to a part: int64 ``(pairs, 2)``.

    Over all of `parts_of_comparison` each pair is found exactly once. Of random hashes one pair in 120 is looked at.

    Source: Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with multi-index hashing",
    doi:10.1109/CVPR.2012.6248043.
    """
    part, mask = comparison
    keys = _part(hashes, part)
    order = np.argsort(keys, kind="stable")
    values, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    partner = np.searchsorted(values, values ^ np.uint64(mask))
    partner[partner == len(values)] = 0
    kept = (values[partner] == values ^ np.uint64(mask)) & (values <= values[partner])
    one, other = np.nonzero(kept)[0], partner[kept]
    found = [np.empty((0, 2), np.int64)]
    for rows, columns in _products(starts[one], counts[one], starts[other], counts[other]):
        first, second = order[rows], order[columns]
        differing = hashes[first] ^ hashes[second]
        near = np.bitwise_count(differing) <= MAX_HAMMING_DISTANCE
        if mask == 0:
            near &= rows < columns
        for earlier in range(part):
            # That part has found it.
            near &= np.bitwise_count(_part(differing, earlier)) > _PART_DISTANCE
        pairs = np.stack([first[near], second[near]], axis=1).astype(np.int64)
        found.append(np.sort(pairs, axis=1))
    return np.concatenate(found)


def _part(hashes: NDArray[np.uint64], part: int) -> NDArray[np.uint64]:
    return (hashes >> np.uint64(_PART_BITS * part)) & np.uint64((1 << _PART_BITS) - 1)


def _products(
    first: NDArray[np.int64], counts: NDArray[np.int64], second: NDArray[np.int64], others: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield places of all pairs between runs of places, some millions at a time."""
    # A run so long that its pairs are too many goes in pieces.
    pieces = -(-counts * others // _PAIRS_AT_ONCE)
    which = np.repeat(np.arange(len(first)), np.maximum(pieces, 1))
    number = np.arange(len(which)) - np.searchsorted(which, which)
    step = -(-counts // np.maximum(pieces, 1))[which]
    begin = number * step
    rows = np.clip(counts[which] - begin, 0, step)
    ends = np.cumsum(rows * others[which])
    start = 0
    while start < len(which):
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, side="right")))
        chunk = np.repeat(np.arange(start, end), rows[start:end] * others[which[start:end]])
        run = which[chunk]
        offset = np.arange(len(chunk)) - (np.concatenate([[0], ends])[chunk] - before)
        yield first[run] + begin[chunk] + offset // others[run], second[run] + offset % others[run]
        start = end


def find_duplicates_spread(
    hashes: NDArray[np.uint64],
    details: NDArray[np.int8],
    spread: Callable[[Callable[[Part], NDArray[np.int64]], list[Part]], Iterable[NDArray[np.int64]]],
) -> NDArray[np.int64]:
    """Return what `find_duplicates` gives within one set, compared part by part, wherever `spread` does it."""
    found = list(spread(partial(near_pairs, hashes), parts_of_comparison()))
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return _confirmed(pairs[:, 0], pairs[:, 1], details, details)


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
