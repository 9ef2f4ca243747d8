"""Independent pieces of work side by side on a cluster, their results in order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from carina.cluster.ray_engine import RETRIES, mapped, numbers, quiet_data, started
from carina.errors import CarinaError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Spread:
    """What maps a function over items on a cluster; see `spread_on`.

    Parameters
    ----------
    size
        How many items are done together.
    cores
        How many cores a function takes.
    lost
        Gives the result for an item that ended its process twice; by default that is an error.
    """

    def __init__(self, size: int, cores: float, lost: Callable[[Any], Any] | None) -> None:
        self._size, self._cores, self._lost = size, cores, lost

    def __call__(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
        """Yield what a function gives for each item, in order.

        Raises
        ------
        CarinaError
            If an item ended its process twice.
        Exception
            What the function raised.
        """
        import ray  # noqa: PLC0415

        if not len(items):
            return
        context = quiet_data()
        context.execution_options.preserve_order = True
        # Once for each machine, and not for each task.
        given = [ray.put((work, list(items)))]
        count = -(-len(items) // self._size)
        settings = {"fn_kwargs": {"given": given, "size": self._size}, "num_cpus": self._cores, "max_retries": RETRIES}
        done = mapped(numbers(count), _do, **settings).iter_rows()
        expected = 0
        for row in done:
            yield from self._missing(given, expected, row["chunk"], len(items))
            yield from _results(row)
            expected = row["chunk"] + 1
        yield from self._missing(given, expected, count, len(items))

    def _missing(self, given: list[Any], first: int, end: int, total: int) -> Iterator[Any]:
        """Yield the results of chunks whose process died too often, item by item."""
        import ray  # noqa: PLC0415

        alone = ray.remote(_do).options(num_cpus=self._cores, max_retries=RETRIES)
        for place in range(first * self._size, min(end * self._size, total)):
            try:
                row = ray.get(alone.remote({"id": np.array([place])}, given=given, size=1))
            except ray.exceptions.RayError:
                item = ray.get(given[0])[1][place]
                if self._lost is None:
                    msg = f"What was done with {item} on the cluster ended its process twice."
                    raise CarinaError(msg) from None
                yield self._lost(item)
            else:
                yield from _results({name: value[0] for name, value in row.items()})


def _do(batch: dict[str, Any], *, given: list[Any], size: int) -> dict[str, Any]:
    import ray  # noqa: PLC0415

    number = int(batch["id"][0])
    work, items = ray.get(given[0])
    row: dict[str, Any] = {"chunk": number, "results": None, "error": None}
    try:
        row["results"] = [work(item) for item in items[number * size : (number + 1) * size]]
    except Exception as error:  # noqa: BLE001  # it is raised again where the results are wanted
        row["error"] = error
    made = {name: np.empty(1, object) for name in row}
    for name, value in row.items():
        made[name][0] = value
    return made


def _results(row: dict[str, Any]) -> list[Any]:
    if row["error"] is not None:
        raise row["error"]
    return list(row["results"])


@contextmanager
def spread_on(
    address: str, *, size: int = 1, cores: float = 1.0, lost: Callable[[Any], Any] | None = None
) -> Iterator[Spread]:
    """Yield what maps a function over items on the cluster at an address, or on this machine (``auto``).

    Raises
    ------
    ConfigurationError
        If there is no cluster at the address.
    """
    with started(address):
        yield Spread(size, cores, lost)
