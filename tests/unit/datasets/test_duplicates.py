"""Duplicates against brute force, across chunk borders and between two sets; groups join transitively."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from amount import sampled
from carina.datasets import duplicates
from carina.datasets.duplicates import (
    MAX_HAMMING_DISTANCE,
    MIN_CORRELATION,
    find_duplicates,
    find_duplicates_spread,
    join_groups,
    near_pairs,
    parts_of_comparison,
)

LENGTH = 1764


def make_prints(seed: int, count: int) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Hashes and details in families whose members lie on both sides of both limits."""
    rng = np.random.default_rng(seed)
    family = rng.integers(0, max(1, count // 4), count)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)[family]
    for row, flips in enumerate(rng.integers(0, 9, count)):
        for bit in rng.choice(64, flips, replace=False):
            hashes[row] ^= np.uint64(1) << np.uint64(bit)
    base = rng.normal(size=(count, LENGTH))[family]
    noise = rng.normal(size=(count, LENGTH)) * rng.uniform(0.2, 0.9, (count, 1))
    return hashes, np.clip((base + noise) * 32, -127, 127).astype(np.int8)


def brute_force(
    hashes: NDArray[np.uint64],
    details: NDArray[np.int8],
    others: NDArray[np.uint64] = None,
    other_details: NDArray[np.int8] = None,
) -> set[tuple[int, int]]:
    found = set()
    pairs = (
        itertools.combinations(range(len(hashes)), 2)
        if others is None
        else itertools.product(range(len(hashes)), range(len(others)))
    )
    second, second_details = (hashes, details) if others is None else (others, other_details)
    for i, j in pairs:
        a, b = details[i].astype(float), second_details[j].astype(float)
        distance = (int(hashes[i]) ^ int(second[j])).bit_count()
        if distance <= MAX_HAMMING_DISTANCE and a @ b / np.sqrt((a @ a) * (b @ b)) >= MIN_CORRELATION:
            found.add((i, j))
    return found


@pytest.mark.parametrize("at_once", [1, 7, 61, 1000, 4_000_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_against_brute_force_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch, at_once: int, seed: int) -> None:
    monkeypatch.setattr(duplicates, "_PAIRS_AT_ONCE", at_once)
    hashes, details = make_prints(seed, 60)
    wanted = brute_force(hashes, details)
    found = find_duplicates(hashes, details)
    assert found.dtype == np.int64
    assert len(found) == len(wanted)  # none twice
    assert {(int(i), int(j)) for i, j in found} == wanted
    # Both limits decide something here, or the comparison would prove nothing.
    close = {
        (i, j) for i, j in itertools.combinations(range(60), 2) if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= 10
    }
    assert 0 < len(wanted) < len(close) < 60 * 59 / 2


@pytest.mark.parametrize("at_once", [1, 50, 4_000_000])
def test_between_two_sets(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(duplicates, "_PAIRS_AT_ONCE", at_once)
    hashes, details = make_prints(5, 70)
    first, second = slice(0, 30), slice(30, 70)
    wanted = brute_force(hashes[first], details[first], hashes[second], details[second])
    found = find_duplicates(hashes[first], details[first], hashes[second], details[second])
    assert {(int(i), int(j)) for i, j in found} == wanted
    assert wanted


def test_a_set_against_itself_finds_the_diagonal() -> None:
    hashes, details = make_prints(0, 12)
    found = find_duplicates(hashes, details, hashes, details)
    assert {(i, i) for i in range(12)} <= {(int(i), int(j)) for i, j in found}


def test_memory_mapped_details(tmp_path: Path) -> None:
    hashes, details = make_prints(2, 40)
    np.save(tmp_path / "d.npy", details)
    mapped = np.load(tmp_path / "d.npy", mmap_mode="r")
    np.testing.assert_array_equal(find_duplicates(hashes, mapped), find_duplicates(hashes, details))


def test_more_candidates_than_one_confirmation_holds() -> None:
    """100 equal images give 4,950 pairs, over the 4,096 that are confirmed at once."""
    hashes, details = make_prints(3, 1)
    found = find_duplicates(np.repeat(hashes, 100), np.repeat(details, 100, axis=0))
    assert len(np.unique(found, axis=0)) == 4950


def test_nothing_to_compare() -> None:
    none, no_details = np.empty(0, np.uint64), np.empty((0, LENGTH), np.int8)
    hashes, details = make_prints(0, 3)
    for found in (
        find_duplicates(none, no_details),
        find_duplicates(none, no_details, hashes, details),
        find_duplicates(hashes, details, none, no_details),
        find_duplicates(hashes[:1], details[:1]),
    ):
        assert found.shape == (0, 2)


def test_groups_join_transitively() -> None:
    assert join_groups(6, [(3, 1), (4, 3), (5, 2)]).tolist() == [0, 1, 2, 1, 1, 2]
    assert join_groups(3, []).tolist() == [0, 1, 2]
    assert join_groups(0, []).tolist() == []


@settings(deadline=None, database=None, max_examples=sampled(100))
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_groups_are_connected_components(case: Any) -> None:
    count, links = case
    groups = join_groups(count, links)
    one, other = (np.array([link[side] for link in links], dtype=int) for side in (0, 1))
    _, wanted = connected_components(
        coo_array((np.ones(len(links)), (one, other)), shape=(count, count)), directed=False
    )
    for label in range(wanted.max() + 1):
        members = np.flatnonzero(wanted == label)
        assert set(groups[members]) == {members.min()}


@given(st.integers(0, 2**32), st.integers(0, 80))
@settings(max_examples=sampled(25))
def test_parts_of_the_comparison_find_the_same_pairs_each_once(seed: int, count: int) -> None:
    hashes, details = make_prints(seed, count)
    found = find_duplicates_spread(hashes, details, map)
    np.testing.assert_array_equal(found, find_duplicates(hashes, details))


def test_parts_of_the_comparison_miss_no_pair_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten bits that differ, spread over the four parts in every way that a part can have two of them at least.
    monkeypatch.setattr(duplicates, "_PAIRS_AT_ONCE", 4)
    splits = [each for each in itertools.product(range(11), repeat=4) if sum(each) == 10]
    for differing in splits[:: max(1, len(splits) // sampled(60))]:
        mask = sum(((1 << bits) - 1) << (16 * part) for part, bits in enumerate(differing))
        hashes = np.array([7, 7 ^ mask, 7 ^ mask], np.uint64)
        found = np.concatenate([near_pairs(hashes, part) for part in parts_of_comparison()])
        assert sorted(map(tuple, found.tolist())) == [(0, 1), (0, 2), (1, 2)]
