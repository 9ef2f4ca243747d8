"""Order is kept, at most so many items are taken ahead, and an error comes in its item's place."""

import threading
from collections.abc import Iterable, Iterator

import pytest

from carina.runtime.streams import batched, carry, read_ahead, side_by_side


def test_results_come_in_order_though_later_ones_are_ready_first() -> None:
    second_done = threading.Event()

    def read(item: int) -> int:
        if item == 0:
            assert second_done.wait(10)
        else:
            second_done.set()
        return -item

    assert list(read_ahead(read, range(5), ahead=3)) == [0, -1, -2, -3, -4]


def test_no_more_items_are_taken_than_are_to_be_read_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    results = read_ahead(lambda item: item, items(), ahead=3)
    assert next(results) == 0
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4


def test_an_error_comes_after_the_results_before_it() -> None:
    def read(item: int) -> int:
        return 6 // (2 - item)

    results = read_ahead(read, range(4), ahead=4)
    assert [next(results), next(results)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_work_is_done_side_by_side_in_order_and_by_the_caller_where_one_thread_is_enough() -> None:
    together = threading.Barrier(2, timeout=10)

    def work(item: int) -> tuple[int, int]:
        together.wait()  # is passed by two at a time alone
        return item, threading.get_ident()

    assert [item for item, _ in side_by_side(work, range(4), threads=2)] == [0, 1, 2, 3]
    together = threading.Barrier(1)
    assert list(side_by_side(work, range(2), threads=1)) == [(0, threading.get_ident()), (1, threading.get_ident())]


def test_what_is_carried_stays_beside_its_result() -> None:
    def in_pairs(items: Iterable[int]) -> Iterator[int]:
        # As an engine that takes two before the first comes out.
        for pair in batched(items, 2):
            yield from [10 * item for item in pair]

    assert list(carry(in_pairs, zip("abcde", range(5), strict=True))) == [
        *(("a", 0), ("b", 10), ("c", 20), ("d", 30), ("e", 40)),
    ]


def test_the_last_list_holds_what_is_left() -> None:
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
