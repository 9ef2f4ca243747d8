"""Work that is done ahead, in order: items are read by threads while others are computed, and nothing overtakes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Carried = TypeVar("_Carried")


def read_ahead(
    read: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int, threads: int = 2
) -> Generator[_Result]:
    """Yield ``read(item)`` for each item, in order, while threads read the next ones.

    What reading raises is raised here, in the item's place. Items are taken as they are needed: at most `ahead` are
    read or being read before they are asked for.
    """
    remaining = iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        waiting = deque(pool.submit(read, item) for item in islice(remaining, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in islice(remaining, 1))
            yield result
    finally:  # who stops reading results, or the command, does not wait for what nobody will see
        pool.shutdown(cancel_futures=True)


def side_by_side(work: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int) -> Iterator[_Result]:
    """Yield ``work(item)`` for each item, in order, on so many threads; a single one is the caller's.

    An item is taken for each thread and one more before the first result is yielded.
    """
    return map(work, items) if threads == 1 else read_ahead(work, items, ahead=threads + 1, threads=threads)


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield the items in lists of `size`, the last one of what is left. Python 3.12 has it in itertools."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def carry(
    stream: Callable[[Iterable[_Item]], Iterator[_Result]], pairs: Iterable[tuple[_Carried, _Item]]
) -> Iterator[tuple[_Carried, _Result]]:
    """Send the second of each pair through a stream, and yield the first again beside what comes out.

    The stream yields one result for each item, in order. It may take several items before it yields the first result.
    """
    waiting: deque[_Carried] = deque()

    def items() -> Iterator[_Item]:
        for carried, item in pairs:
            waiting.append(carried)
            yield item

    for result in stream(items()):
        yield waiting.popleft(), result
