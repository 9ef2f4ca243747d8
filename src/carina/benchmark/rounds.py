"""Timing in rounds: every task once a round, so that whatever else the machine does meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from carina.errors import ConfigurationError
from carina.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class Task:
    """What is timed."""

    run: Callable[[], object]
    calls: int = 1  # how often a round does it, each call timed alone


@dataclass(frozen=True, slots=True)
class RoundSpread:
    """A figure over the rounds: their median, and the lowest and the highest of them."""

    value: float
    low: float
    high: float


Rounds = list[list[float]]
"""Seconds of each call, by round."""


def time_in_rounds(
    tasks: Mapping[Hashable, Task], *, rounds: int, pause_s: float = 0.0, progress: Progress = no_progress
) -> dict[Hashable, Rounds]:
    """Return how long each task took: in every round all of them, one after the other, every second round backwards.

    Each is done once before, untimed: what is loaded, compiled or allocated on first use is not what is asked here.
    Before each task's turn there is a pause: threads of what ran before may still be spinning.

    Raises
    ------
    ConfigurationError
        If `rounds` is less than 1.
    """
    if rounds < 1:
        msg = f"At least one round is needed. Received: {rounds}."
        raise ConfigurationError(msg)
    seconds: dict[Hashable, Rounds] = {name: [] for name in tasks}
    turns, done = (rounds + 1) * len(tasks), 0
    for number in range(rounds + 1):
        for name in sorted(tasks, key=list(tasks).index, reverse=number % 2 == 1):
            time.sleep(pause_s)
            timed = [_seconds(tasks[name].run) for _ in range(tasks[name].calls if number else 1)]
            if number:
                seconds[name].append(timed)
            done += 1
            progress(done, turns)
    return seconds


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def spread(values: Sequence[float]) -> RoundSpread:
    """Return the median of a figure over the rounds, with the lowest and the highest."""
    return RoundSpread(statistics.median(values), min(values), max(values))


def rate(timed: Rounds, items: int) -> RoundSpread:
    """Return items a second, where each call did so many."""
    return spread([items * len(calls) / sum(calls) for calls in timed])


def percentile(timed: Rounds, percent: float) -> RoundSpread:
    """Return a percentile of the calls' seconds: of all of them, with the lowest and the highest of a round."""
    of_rounds = [float(np.percentile(calls, percent)) for calls in timed]
    of_all = float(np.percentile([call for calls in timed for call in calls], percent))
    return RoundSpread(of_all, min(of_rounds), max(of_rounds))
