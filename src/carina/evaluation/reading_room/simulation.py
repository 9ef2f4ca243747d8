"""The reading room of `carina.evaluation.reading_room.waiting_times`, radiograph by radiograph.

Many rooms are run side by side, so that each step (the next reading begins, in every room) is a handful of array
operations. Rooms are independent of each other and so give the standard error; images within one are not. All rooms
are run twice on the same arrivals and reading times, with the flag and without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from carina.errors import ConfigurationError
from carina.evaluation.reading_room.waiting_times import Priorities, ReadingRoom, overload_note
from carina.statistics.intervals import BoolArray, Estimate, FloatArray, IntArray, not_applicable
from carina.statistics.proportion import normal_quantile

# Beyond it a room takes tens of thousands of images to forget that it began empty.
_BUSIEST = 0.98
_SETTLED = 5  # relaxation times
_GROUPS = ("with_flag", "flagged", "not_flagged")


@dataclass(frozen=True, slots=True)
class SimulatedGroup:
    """Simulated turnaround of some images in minutes."""

    mean: Estimate  # with the interval that the number of simulated rooms gives
    # Within which half and nine tenths of the images are read; None where there is no mean.
    median: float | None
    nine_of_ten: float | None

    def brought_to(self, mean: float | None) -> SimulatedGroup:
        """Return the same with median and ninth decile as much longer as an exactly known mean is.

        What a run of chance makes longer it makes longer in all: of the deciles' own error more than half goes.
        """
        if mean is None or self.mean.value is None or self.median is None or self.nine_of_ten is None:
            return self
        factor = mean / self.mean.value
        return SimulatedGroup(self.mean, factor * self.median, factor * self.nine_of_ten)


@dataclass(frozen=True, slots=True)
class SimulatedTurnaround:
    """Simulated turnaround."""

    without_flag: SimulatedGroup  # of every image where no flag sorts them
    priorities: dict[str, SimulatedGroup]  # by name, in the order of reading
    # By name: ``with_flag``, ``flagged`` and ``not_flagged``, as in `reading_room.FindingTurnaround`.
    findings: dict[str, dict[str, SimulatedGroup]]


def simulate_turnaround(
    room: ReadingRoom,
    priorities: Priorities,
    *,
    images: int = 1000,
    rooms: int = 200,
    seed: int = 1234,
) -> SimulatedTurnaround:
    """Return the turnaround of simulated images, with and without the flag.

    Rooms begin empty and run until that is forgotten before images are measured, and go on afterwards until the last
    measured one is read. An overloaded room has no answer, and a room above a utilisation of 0.98 would need too long
    for one; the reason is then given instead of each mean.

    Parameters
    ----------
    images
        Measured in each room.
    rooms
        How many; at least 2.

    Raises
    ------
    ConfigurationError
        If there is no image, or less than two rooms.
    """
    if images < 1 or rooms < 2:
        msg = f"images is {images} and rooms {rooms}. Give at least 1 image and 2 rooms."
        raise ConfigurationError(msg)
    reason = overload_note(room)
    if reason is None and room.utilisation > _BUSIEST:
        reason = f"not simulated above a utilisation of {_BUSIEST:g}: it would take too long to settle"
    if reason is not None:
        missing = SimulatedGroup(not_applicable(reason), None, None)
        return SimulatedTurnaround(
            missing,
            dict.fromkeys(priorities.names, missing),
            {finding: dict.fromkeys(_GROUPS, missing) for finding in priorities.findings},
        )
    rng = np.random.default_rng(seed)
    # Arrivals in a relaxation time of the queue, 1 / (readers × reading rate × (1 - √utilisation)²).
    settling = room.utilisation / (1 - math.sqrt(room.utilisation)) ** 2
    around = math.ceil(_SETTLED * settling) + 20 * room.readers
    shape = (rooms, images + 2 * around)
    arrivals = np.cumsum(rng.exponential(60 / room.arrivals_per_hour, shape), axis=1)
    reading = np.full(shape, room.reading_minutes)
    if room.reading_times == "exponential":
        reading = rng.exponential(room.reading_minutes, shape)
    findings = rng.choice(len(priorities.findings), size=shape, p=priorities.mix / priorities.mix.sum())
    edges = np.cumsum(priorities.chances, axis=1)[:, :-1]
    places = (rng.random(shape)[..., None] >= edges[findings]).sum(axis=2)
    measured = slice(around, around + images)
    sorted_out = run_rooms(arrivals, reading, places, len(priorities.names), room.readers)[:, measured]
    alone = run_rooms(arrivals, reading, np.zeros_like(places), 1, room.readers)[:, measured]
    findings, places = findings[:, measured], places[:, measured]
    flagged = places < priorities.flagged
    every = np.ones_like(flagged)
    return SimulatedTurnaround(
        _summary(alone, every),
        {name: _summary(sorted_out, places == i) for i, name in enumerate(priorities.names)},
        {
            finding: {
                name: _summary(sorted_out, (findings == i) & part)
                for name, part in zip(_GROUPS, (every, flagged, ~flagged), strict=True)
            }
            for i, finding in enumerate(priorities.findings)
        },
    )


def run_rooms(
    arrivals: FloatArray, reading: FloatArray, priority: IntArray, priorities: int, readers: int
) -> FloatArray:
    """Return the turnaround of each image in minutes, float64 (rooms, n), rooms being empty at first.

    Parameters
    ----------
    arrivals
        float (rooms, n), minutes, rising in each room.
    reading
        float (rooms, n), minutes that the reading of each image takes.
    priority
        int (rooms, n), range [0, priorities), 0 being read first.
    priorities
        How many there are.
    readers
        How many read at the same time.
    """
    rooms, n = arrivals.shape
    every = np.arange(rooms)
    # The images of one priority are together, by arrival: each queue is a stretch with a head that moves on.
    order = np.argsort(priority, axis=1, kind="stable")
    queued, lasting = (np.take_along_axis(values, order, axis=1) for values in (arrivals, reading))
    ends = np.stack([(priority <= each).sum(axis=1) for each in range(priorities)], axis=1)
    heads = np.concatenate([np.zeros((rooms, 1), dtype=np.int_), ends[:, :-1]], axis=1)
    free = np.zeros((rooms, readers))
    done = np.empty_like(queued)
    for _ in range(n):
        reader = free.argmin(axis=1)
        first = queued[every[:, None], np.minimum(heads, n - 1)]
        first[heads >= ends] = np.inf
        # A free reader waits for the next arrival, whatever its priority.
        now = np.maximum(free[every, reader], first.min(axis=1))
        chosen = (first <= now[:, None]).argmax(axis=1)
        image = heads[every, chosen]
        end = now + lasting[every, image]
        done[every, image] = end
        free[every, reader] = end
        heads[every, chosen] += 1
    turnaround = np.empty_like(done)
    np.put_along_axis(turnaround, order, done - queued, axis=1)
    return turnaround


def _summary(turnaround: FloatArray, taken: BoolArray) -> SimulatedGroup:
    """Return mean, median and ninth decile of some images; the 95 % interval is that of a ratio of rooms' sums."""
    counts = taken.sum(axis=1)
    if not counts.sum():
        return SimulatedGroup(not_applicable("no such image was simulated"), None, None)
    sums = np.where(taken, turnaround, 0.0).sum(axis=1)
    mean = float(sums.sum() / counts.sum())
    rooms = len(counts)
    error = math.sqrt(rooms / (rooms - 1) * float(((sums - mean * counts) ** 2).sum())) / float(counts.sum())
    half = normal_quantile() * error
    median, nine_of_ten = np.quantile(turnaround[taken], (0.5, 0.9)).tolist()
    return SimulatedGroup(Estimate(mean, max(0.0, mean - half), mean + half, "simulation"), median, nine_of_ten)
