"""The simulated reading room against one that is run event by event, and against the formulas."""

import heapq
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amount import sampled
from carina.errors import ConfigurationError
from carina.evaluation.reading_room.simulation import run_rooms, simulate_turnaround
from carina.evaluation.reading_room.waiting_times import (
    FindingTurnaround,
    Priorities,
    ReadingRoom,
    expected_turnaround,
)
from queueing import chance_of_a_wait, flag_priorities, share_read_within

quick = settings(deadline=None, database=None, max_examples=sampled(60))
BANDS = Priorities(
    ("COVID-19", "Normal", "Viral Pneumonia"),
    np.array([0.1, 0.8, 0.1]),
    ("fast-track", "expedite", "secondary-review", "routine"),
    np.array([[0.6, 0.2, 0.1, 0.1], [0.01, 0.04, 0.25, 0.7], [0.1, 0.6, 0.2, 0.1]]),
    flagged=2,
)


def by_events(
    arrivals: NDArray[np.float64], reading: NDArray[np.float64], priority: NDArray[np.int64], readers: int
) -> NDArray[np.float64]:
    """Return the turnaround in one room, by an event list of arrivals and ends of readings."""
    events = [(time, 1, image) for image, time in enumerate(arrivals)]
    heapq.heapify(events)
    waiting, idle, done = [], readers, np.zeros(len(arrivals))
    while events:
        time, arrives, image = heapq.heappop(events)
        if arrives:
            heapq.heappush(waiting, (priority[image], image))
        else:
            idle += 1
            done[image] = time - arrivals[image]
        # An end and an arrival at one moment: the end comes first, and who has arrived by then is seen.
        while idle and waiting and not (events and events[0][0] == time):
            _, following = heapq.heappop(waiting)
            idle -= 1
            heapq.heappush(events, (time + reading[following], 0, following))
    return done


@quick
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 40), st.integers(0, 10_000))
def test_rooms_are_those_of_an_event_list(readers: int, priorities: Any, images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1, (3, images)), axis=1)
    reading = rng.exponential(0.9 * readers, (3, images))
    priority = rng.integers(0, priorities, (3, images))
    got = run_rooms(arrivals, reading, priority, priorities, readers)
    for room in range(3):
        assert got[room] == pytest.approx(by_events(arrivals[room], reading[room], priority[room], readers))


def test_by_hand() -> None:
    # One reader, 10 minutes each. At 0 a routine begins; 1: routine, 2: urgent, 3: urgent; 25: routine.
    arrivals, priority = np.array([[0.0, 1, 2, 3, 25]]), np.array([[1, 1, 0, 0, 1]])
    reading = np.full((1, 5), 10.0)
    assert run_rooms(arrivals, reading, priority, 2, 1).tolist() == [[10, 39, 18, 27, 25]]
    assert run_rooms(arrivals, reading, np.zeros_like(priority), 1, 1).tolist() == [[10, 19, 28, 37, 25]]


@pytest.mark.parametrize(
    ("utilisation", "readers", "times"),
    [(0.5, 1, "exponential"), (0.85, 1, "fixed"), (0.8, 2, "exponential"), (0.9, 3, "exponential")],
)
def test_means_agree_with_the_formulas_within_their_standard_error(
    utilisation: float, readers: int, times: str
) -> None:
    room = ReadingRoom(20 * utilisation * readers, 3.0, readers, times)
    formula = expected_turnaround(room, BANDS)
    assert formula.exact
    simulated = simulate_turnaround(room, BANDS, images=1000, rooms=150, seed=11)
    pairs = [(simulated.without_flag, formula.without_flag)]
    pairs += list(zip(simulated.priorities.values(), formula.minutes, strict=True))
    for item in formula.findings:
        groups = simulated.findings[item.finding]
        assert set(groups) <= {field.name for field in fields(FindingTurnaround)}
        pairs += [(groups[name], getattr(item, name)) for name in groups]
    z = [(group.mean.value - minutes) / ((group.mean.high - group.mean.value) / 1.96) for group, minutes in pairs]
    # 14 figures that go together: 3.5 standard errors leave one chance in some hundred.
    assert np.abs(z).max() < 3.5
    assert np.median(np.abs(z)) < 1.7
    # And the standard error says something.
    error = (simulated.without_flag.mean.high - simulated.without_flag.mean.value) / 1.96
    assert error < 0.06 * formula.without_flag


def test_the_exact_distribution_is_that_of_textbooks() -> None:
    # M/M/1: turnaround is exponential. M/M/2 with one Erlang: a third waits, for an exponential time of half a reading.
    room = ReadingRoom(10, 3)
    for minutes in (1.0, 6.0, 30.0):
        assert share_read_within(minutes, room, [1.0], 0) == pytest.approx(1 - np.exp(-minutes / 6), abs=1e-7)
    assert chance_of_a_wait(1.0, 2) == pytest.approx(1 / 3)
    # Reading at rate 1, waits end at rate 1: the sum of both is a gamma of shape 2.
    expected = 1 - np.exp(-2.0) - 1 / 3 * 2.0 * np.exp(-2.0)
    assert share_read_within(2.0, ReadingRoom(60, 1, 2), [1.0], 0) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("utilisation", "readers"), [(0.6, 1), (0.8, 1), (0.85, 3)])
def test_half_and_nine_of_ten_are_those_of_the_exact_distribution(utilisation: float, readers: int) -> None:
    room = ReadingRoom(20 * utilisation * readers, 3.0, readers)
    simulated = simulate_turnaround(room, BANDS, seed=5)
    told = [(simulated.without_flag, [1.0], 0)]
    told += [(group, BANDS.shares, place) for place, group in enumerate(simulated.priorities.values())]
    for group, shares, place in told:
        assert share_read_within(group.median, room, shares, place) == pytest.approx(0.5, abs=0.025)
        assert share_read_within(group.nine_of_ten, room, shares, place) == pytest.approx(0.9, abs=0.015)
    # A finding's images are a mixture of priorities.
    found, row = simulated.findings["COVID-19"]["with_flag"], BANDS.chances[0]
    parts = [share_read_within(found.nine_of_ten, room, BANDS.shares, place) for place in range(len(row))]
    assert np.dot(row, parts) == pytest.approx(0.9, abs=0.015)


def test_several_readers_with_fixed_times_are_within_what_the_formulas_claim() -> None:
    room = ReadingRoom(20 * 0.8 * 3, 3.0, 3, "fixed")
    formula = expected_turnaround(room, BANDS)
    assert not formula.exact
    simulated = simulate_turnaround(room, BANDS, images=1000, rooms=100)
    for group, minutes in zip(simulated.priorities.values(), formula.minutes, strict=True):
        assert minutes == pytest.approx(group.mean.value, rel=0.05)


def test_in_an_overloaded_room_the_first_priority_is_still_read() -> None:
    rng = np.random.default_rng(3)
    room = ReadingRoom(arrivals_per_hour=52, reading_minutes=3, readers=2)
    formula = expected_turnaround(room, flag_priorities({"C": 0.4, "N": 0.6}, {"C": 1, "N": 0}))
    arrivals = np.cumsum(rng.exponential(60 / 52, (60, 2500)), axis=1)
    reading = rng.exponential(3, (60, 2500))
    priority = (rng.random((60, 2500)) >= 0.4).astype(int)
    turnaround = run_rooms(arrivals, reading, priority, 2, 2)[:, 500:1900]
    first = np.array(
        [row[flags] for row, flags in zip(turnaround, priority[:, 500:1900] == 0, strict=True)], dtype=object
    )
    means = np.array([row.mean() for row in first])
    assert formula.minutes[0] == pytest.approx(means.mean(), abs=3.5 * means.std() / np.sqrt(60))
    assert formula.minutes[1] is None
    assert turnaround[:, -200:][priority[:, 1700:1900] == 1].mean() > 200


def test_nine_of_ten_of_a_queue_whose_turnaround_is_exponential() -> None:
    # M/M/1: turnaround is exponential with mean 3 / (1 - 0.5), its ninth decile is the mean times ln 10.
    simulated = simulate_turnaround(ReadingRoom(10, 3), BANDS, images=2000, rooms=100)
    assert simulated.without_flag.nine_of_ten == pytest.approx(6 * np.log(10), rel=0.03)
    assert simulated.without_flag.median == pytest.approx(6 * np.log(2), rel=0.03)


def test_the_same_seed_gives_the_same_answer_as_json() -> None:
    room = ReadingRoom(16, 3)
    first, again, other = (simulate_turnaround(room, BANDS, images=100, rooms=20, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert list(first.findings["Normal"]) == ["with_flag", "flagged", "not_flagged"]


def test_where_there_is_no_answer_the_reason_stands() -> None:
    overloaded = simulate_turnaround(ReadingRoom(30, 3), BANDS)
    assert overloaded.without_flag.mean.note.startswith("Overloaded: 30 radiographs")
    assert overloaded.findings["Normal"]["flagged"].nine_of_ten is None
    busy = simulate_turnaround(ReadingRoom(19.8, 3), BANDS)
    assert busy.priorities["routine"].mean.note == (
        "not simulated above a utilisation of 0.98: it would take too long to settle"
    )
    nobody = simulate_turnaround(
        ReadingRoom(10, 3), flag_priorities({"C": 0.0, "N": 1.0}, {"C": 1, "N": 0}), images=20, rooms=2
    )
    assert nobody.findings["C"]["with_flag"].mean.note == "no such image was simulated"
    with pytest.raises(ConfigurationError, match="images is 0 and rooms 200"):
        simulate_turnaround(ReadingRoom(10, 3), BANDS, images=0)
