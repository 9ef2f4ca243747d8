"""The exact distribution of turnaround in a queue with priorities that nobody interrupts, all readings exponential.

Given that all readers are busy, the images of priorities 1 to k that stand before an arrival of priority k, and the
reading under way, take a time that is exponential with rate ``readers / reading - arrivals of 1 to k``: merged they are
the first priority of a queue that is served as they come. While it lasts, images of priorities 1 to k - 1 go on
arriving, and each prolongs it by a busy period. So the Laplace transform of the wait is that of the exponential at
``s + a (1 - eta(s))``, with a the arrivals of priorities 1 to k - 1 and eta the transform of their busy period.

Source: Kella and Yechiali 1985, Stochastic Models 1:257-262. Inverted as in Abate and Whitt 1995,
doi:10.1287/ijoc.7.1.36 (Euler).
"""

import cmath
from collections.abc import Callable, Sequence
from math import comb, exp, pi

import numpy as np

from carina.evaluation.reading_room.waiting_times import Priorities, ReadingRoom


def flag_priorities(mix: dict[str, float], flagged: dict[str, float]) -> Priorities:
    """Return the two priorities that a flag makes, from shares of the arrivals and of each finding that is flagged."""
    chances = np.array([[flagged[finding], 1 - flagged[finding]] for finding in mix])
    return Priorities(tuple(mix), np.array(list(mix.values())), ("flagged", "not flagged"), chances)


def chance_of_a_wait(load: float, readers: int) -> float:
    """Return Erlang's C by its sum."""
    terms = [1.0]
    for number in range(1, readers + 1):
        terms.append(terms[-1] * load / number)
    last = terms[-1] / (1 - load / readers)
    return last / (sum(terms[:-1]) + last)


def share_read_within(minutes: float, room: ReadingRoom, shares: Sequence[float], priority: int) -> float:
    """Return which share of a priority's images is read within so many minutes of their arrival."""
    arrivals, reading = room.arrivals_per_hour / 60, 1 / room.reading_minutes
    rate, waits = room.readers * reading, chance_of_a_wait(arrivals / reading, room.readers)
    before, together = (arrivals * sum(shares[:end]) for end in (priority, priority + 1))

    def transform(s: complex) -> complex:
        around = before + rate + s
        busy = (around - cmath.sqrt(around * around - 4 * before * rate)) / (2 * before) if before else 1.0
        longer = s + before * (1 - busy)
        wait = (rate - together) / (rate - together + longer)
        return reading / (reading + s) * (1 - waits + waits * wait) / s

    return _inverse(transform, minutes)


def _inverse(transform: Callable[[complex], complex], time: float) -> float:
    rounding, terms, weighed = 18.4, 15, 11
    scale = exp(rounding / 2) / time
    total = scale * transform(complex(rounding / (2 * time))).real / 2
    sums = []
    for number in range(1, terms + weighed + 1):
        total += scale * (-1) ** number * transform(complex(rounding / (2 * time), number * pi / time)).real
        if number >= terms:
            sums.append(total)
    return sum(comb(weighed, place) * 2.0**-weighed * part for place, part in enumerate(sums))
