"""What a flag does to the time until a radiograph is read: a reading room as a queue with priorities.

Radiographs arrive at random (Poisson) and are read by some readers who are all alike; nobody puts a begun reading
aside. Whoever is free takes the oldest radiograph of the first priority that has one. *Turnaround* is wait plus
reading. Without a flag all radiographs have one priority, and the oldest is next.

A flag makes nobody read faster. What it gives to flagged radiographs it takes from the others, in total minute for
minute, and a missed finding waits with those that are put last: `FindingTurnaround.not_flagged` says how long.

**Formulas** (`expected_turnaround`). The mean wait of priority k is ``W / ((1 - s[k-1]) (1 - s[k]))``, where s[k] is
the share of all readers' time that priorities 1 to k need, and W what an arrival of the first priority would wait if no
other of its kind was before it: the chance that all readers are busy, times the mean time until the first is free.
Exact with one reader, for exponential and for fixed reading times, and with several for exponential ones. With several
and fixed times W is taken as half of that with exponential ones. Simulated turnarounds of flagged images were up to 5 %
longer, at utilisations of 0.3 to 0.95 with 2 to 6 readers; those of all images agreed within 3 %.

**Overload**: where more arrives than can be read, waits grow without end. Only priorities that need less than all
readers' time by themselves, with those before them, keep a mean wait, and it is given.

**Simulation** (`simulate_turnaround`) of the same room says what these formulas cannot: within what time half of the
images are read, and nine of ten.

Source: Cobham 1954, doi:10.1287/opre.2.1.70 (one reader; several with exponential times); Kella and Yechiali 1985,
Waiting times in the non-preemptive priority M/M/c queue, Stochastic Models 1:257-262; Davis 1966,
doi:10.1287/opre.14.1.133. For triage devices in radiology: Thompson et al. 2024, doi:10.1007/s11134-024-09927-w.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from carina.errors import ConfigurationError
from carina.statistics.intervals import FloatArray, IntArray

ReadingTimes = Literal["exponential", "fixed"]


@dataclass(frozen=True, slots=True)
class ReadingRoom:
    """A reading room.

    Raises
    ------
    ConfigurationError
        If a number is out of range.
    """

    arrivals_per_hour: float  # radiographs that arrive, on average; more than 0
    reading_minutes: float  # mean time that a reading takes; more than 0
    readers: int = 1  # how many read at the same time; at least 1
    # Whether single readings vary (``exponential``: often short, at times long) or all take the mean (``fixed``).
    reading_times: ReadingTimes = "exponential"

    def __post_init__(self) -> None:
        numbers = (self.arrivals_per_hour, self.reading_minutes)
        if not all(math.isfinite(number) and number > 0 for number in numbers) or self.readers < 1:
            msg = (
                f"{self.arrivals_per_hour} arrivals an hour, {self.reading_minutes} minutes a reading and "
                f"{self.readers} readers are no reading room. Give numbers above 0, and at least one reader."
            )
            raise ConfigurationError(msg)
        if self.reading_times not in ("exponential", "fixed"):
            msg = f"reading_times is {self.reading_times!r}. Give 'exponential' or 'fixed'."
            raise ConfigurationError(msg)

    @property
    def utilisation(self) -> float:
        """Return the share of all readers' time that readings need; at 1 or more the room is overloaded."""
        return self.arrivals_per_hour * self.reading_minutes / (60 * self.readers)


@dataclass(frozen=True, slots=True, eq=False)
class Priorities:
    """How the findings among the arrivals spread over priorities.

    Raises
    ------
    ConfigurationError
        If shapes do not fit, a share leaves [0, 1], or shares do not sum to 1 within 1e-6.
    """

    findings: tuple[str, ...]
    mix: FloatArray  # float (k,), share of each among the arrivals, summing to 1
    names: tuple[str, ...]  # of the priorities, the one that is read first in front
    chances: FloatArray  # float (k, c), which share of each finding's images has each priority; rows sum to 1
    flagged: int = 1  # how many of the first priorities count as flagged, 0 to c

    def __post_init__(self) -> None:
        shape = (len(self.findings), len(self.names))
        fits = np.shape(self.chances) == shape and np.shape(self.mix) == shape[:1] and 0 not in shape
        if not fits or not 0 <= self.flagged <= shape[1]:
            msg = (
                f"{shape[0]} findings and {shape[1]} priorities ({self.flagged} flagged) need a mix of shape "
                f"{shape[:1]} and chances of shape {shape}. "
                f"Received: {np.shape(self.mix)} and {np.shape(self.chances)}."
            )
            raise ConfigurationError(msg)
        for shares in (self.mix, *self.chances):
            # Written so that NaN is refused too.
            if not ((shares >= 0) & (shares <= 1)).all() or abs(float(np.sum(shares)) - 1) > 1e-6:
                msg = f"The shares {np.asarray(shares).tolist()} do not lie in [0, 1] and sum to 1."
                raise ConfigurationError(msg)

    @property
    def shares(self) -> FloatArray:
        """Share of each priority among the arrivals, float64 (c,)."""
        return np.asarray(self.mix @ self.chances, dtype=np.float64)


def mean_waits(room: ReadingRoom, shares: Sequence[float] | FloatArray) -> tuple[float | None, ...]:
    """Return the mean wait of each priority in minutes, without the reading; None where it grows without end.

    Parameters
    ----------
    shares
        float (c,), share of each priority among the arrivals, the one that is read first in front, summing to 1.
    """
    utilisation, load = room.utilisation, room.utilisation * room.readers
    all_busy = 1.0
    if utilisation < 1:
        # Erlang's loss formula, reader by reader, and from it the chance of a wait.
        blocked = 1.0
        for readers in range(1, room.readers + 1):
            blocked = load * blocked / (readers + load * blocked)
        all_busy = blocked / (1 - utilisation * (1 - blocked))
    until_free = room.reading_minutes / room.readers * (1.0 if room.reading_times == "exponential" else 0.5)
    needed = np.minimum(np.cumsum(shares), 1.0) * utilisation
    before = np.append(0.0, needed[:-1])
    return tuple(
        float(all_busy * until_free / ((1 - earlier) * (1 - own))) if own < 1 else None
        for earlier, own in zip(before, needed, strict=True)
    )


@dataclass(frozen=True, slots=True)
class FindingTurnaround:
    """Mean turnaround of one finding's images in minutes; None where it grows without end or there is no such image."""

    finding: str
    share: float  # of the arrivals, range [0, 1]
    share_flagged: float  # of the finding's images, range [0, 1]
    with_flag: float | None  # of all of its images
    # Of those that are flagged, and of those that are not: for the finding that the flag is for these are the found and
    # the missed, for Normal the false alarms and the true normals.
    flagged: float | None
    not_flagged: float | None


@dataclass(frozen=True, slots=True)
class Turnaround:
    """Mean turnaround in a reading room, in minutes."""

    utilisation: float  # share of all readers' time that readings need
    exact: bool  # whether the formulas are exact for this room
    note: str | None  # what is to be said of an overloaded room, or None
    without_flag: float | None  # of every image where no flag sorts them; None where it grows without end
    # Name, share of the arrivals and mean turnaround of each priority; None where it grows without end.
    priorities: tuple[str, ...]
    shares: tuple[float, ...]
    minutes: tuple[float | None, ...]
    findings: tuple[FindingTurnaround, ...]  # one per finding


def expected_turnaround(room: ReadingRoom, priorities: Priorities) -> Turnaround:
    """Return the mean turnaround of each priority and each finding by the formulas, with and without the flag."""
    read = room.reading_minutes
    (alone,) = mean_waits(room, [1.0])
    minutes = tuple(None if wait is None else wait + read for wait in mean_waits(room, priorities.shares))
    places = np.arange(len(priorities.names))
    findings = tuple(
        FindingTurnaround(
            finding,
            float(share),
            float(chances[: priorities.flagged].sum()),
            _mean_over(minutes, chances),
            _mean_over(minutes, np.where(places < priorities.flagged, chances, 0.0)),
            _mean_over(minutes, np.where(places >= priorities.flagged, chances, 0.0)),
        )
        for finding, share, chances in zip(priorities.findings, priorities.mix, priorities.chances, strict=True)
    )
    return Turnaround(
        utilisation=room.utilisation,
        exact=room.readers == 1 or room.reading_times == "exponential",
        note=overload_note(room),
        without_flag=None if alone is None else alone + read,
        priorities=priorities.names,
        shares=tuple(priorities.shares.tolist()),
        minutes=minutes,
        findings=findings,
    )


def overload_note(room: ReadingRoom) -> str | None:
    """Return what is to be said of a room in which more arrives than can be read; None of any other."""
    if room.utilisation < 1:
        return None
    most = 60 * room.readers / room.reading_minutes
    needed = math.floor(room.arrivals_per_hour * room.reading_minutes / 60) + 1
    return (
        f"Overloaded: {room.arrivals_per_hour:g} radiographs arrive an hour and {most:g} at most can be read, so that "
        f"waits grow without end. It takes at least {needed} readers."
    )


def _mean_over(minutes: Sequence[float | None], weights: FloatArray) -> float | None:
    """Return the weighted mean of what has a weight; None where that is nothing or grows without end."""
    total = float(weights.sum())
    if total == 0:
        return None
    mean = 0.0
    for time, weight in zip(minutes, weights, strict=True):
        if weight > 0 and time is None:
            return None
        mean += float(weight / total) * (time or 0.0)
    return mean


def mix_at(images: IntArray, finding: int, prevalence: float | None) -> FloatArray:
    """Return the mix of counted images, or the same moved to a prevalence of one finding: float64 (k,), summing to 1.

    The others keep their proportions, as in `carina.decisions.bands`.

    Parameters
    ----------
    images
        int (k,), images of each finding.
    prevalence
        Range [0, 1]; by default that of the images.

    Raises
    ------
    ConfigurationError
        If the prevalence leaves [0, 1], or no image is left for a share that is not 0.
    """
    mix = np.asarray(images, dtype=np.float64)
    if prevalence is None:
        shares = np.array([mix[finding], mix.sum() - mix[finding]])
    elif 0 <= prevalence <= 1:
        shares = np.array([prevalence, 1 - prevalence])
    else:
        msg = f"The prevalence is {prevalence}. Give a share between 0 and 1, such as 0.05."
        raise ConfigurationError(msg)
    others = mix.sum() - mix[finding]
    if shares.sum() == 0 or (shares[0] > 0 and mix[finding] == 0) or (shares[1] > 0 and others == 0):
        msg = "The set holds no image of a finding that is to arrive. Give another prevalence."
        raise ConfigurationError(msg)
    out = mix * (shares[1] / others if others else 0.0)
    out[finding] = shares[0]
    return np.asarray(out / out.sum())
