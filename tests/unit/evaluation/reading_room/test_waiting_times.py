"""The formulas of the reading room against textbooks, a solved Markov chain, conservation, and simulation."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from amount import sampled
from carina.errors import ConfigurationError
from carina.evaluation.reading_room.waiting_times import (
    Priorities,
    ReadingRoom,
    expected_turnaround,
    mean_waits,
    mix_at,
    overload_note,
)
from queueing import flag_priorities

quick = settings(deadline=None, database=None, max_examples=sampled(60))


def waits(
    utilisation: float, shares: NDArray[np.float64] | list[float], readers: int = 1, reading_times: str = "exponential"
) -> tuple[Any, ...]:
    """Return mean waits in reading times."""
    room = ReadingRoom(60 * utilisation * readers, 1.0, readers, reading_times)
    return mean_waits(room, shares)


def test_textbook_queues() -> None:
    # M/M/1: utilisation / (1 - utilisation). M/D/1: half of it.
    assert waits(0.5, [1.0]) == pytest.approx((1.0,))
    assert waits(0.8, [1.0]) == pytest.approx((4.0,))
    assert waits(0.8, [1.0], reading_times="fixed") == pytest.approx((2.0,))
    # M/M/2 with one Erlang: the chance of a wait is 1/3, the wait 1/3 of a reading.
    assert waits(0.5, [1.0], readers=2) == pytest.approx((1 / 3,))
    # M/M/3 with two Erlangs: chance 4/9.
    assert waits(2 / 3, [1.0], readers=3) == pytest.approx((4 / 9,))
    # Cobham: W = 0.8; half of the arrivals first: 0.8 / (1 - 0.4) and 0.8 / (0.6 x 0.2).
    assert waits(0.8, [0.5, 0.5]) == pytest.approx((4 / 3, 20 / 3))
    assert waits(0.8, [0.5, 0.5], reading_times="fixed") == pytest.approx((2 / 3, 10 / 3))


def markov_waits(first: float, second: float, readers: int, most: Any = (40, 120)) -> tuple[np.float64, np.float64]:
    """Return the mean waits of two priorities in reading times, from the stationary state of the Markov chain.

    States: how many are being read where nobody waits, or how many of each priority wait while all readers are busy.
    """
    states = [("busy", busy, 0) for busy in range(readers)]
    states += [("wait", *queue) for queue in product(range(most[0] + 1), range(most[1] + 1))]
    place = {state: i for i, state in enumerate(states)}
    rates = sparse.lil_array((len(states), len(states)))

    def moves(state: Any) -> Iterator[Any]:
        kind, a, b = state
        if kind == "busy":
            yield (("busy", a + 1, 0) if a + 1 < readers else ("wait", 0, 0)), first + second
            if a:
                yield ("busy", a - 1, 0), a
            return
        if a < most[0]:
            yield ("wait", a + 1, b), first
        if b < most[1]:
            yield ("wait", a, b + 1), second
        if a or b:
            yield (("wait", a - 1, b) if a else ("wait", a, b - 1)), readers
        else:
            yield ("busy", readers - 1, 0), readers

    for state in states:
        for target, rate in moves(state):
            rates[place[state], place[target]] += rate
            rates[place[state], place[state]] -= rate
    balance = rates.T.tolil()
    balance[0, :] = 1
    stationary = spsolve(balance.tocsc(), np.eye(1, len(states))[0])
    queues = np.array([state[1:] if state[0] == "wait" else (0, 0) for state in states])
    # Little: mean wait = mean queue / arrivals.
    return tuple((stationary @ queues) / (first, second))


@pytest.mark.parametrize(("readers", "first", "second"), [(1, 0.2, 0.5), (2, 0.5, 0.9), (3, 0.3, 1.8)])
def test_two_priorities_agree_with_the_solved_markov_chain(readers: int, first: float, second: float) -> None:
    expected = markov_waits(first, second, readers)
    share = first / (first + second)
    assert waits((first + second) / readers, [share, 1 - share], readers) == pytest.approx(expected, rel=2e-4)


@quick
@given(
    st.floats(0.05, 0.97),
    st.integers(1, 6),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=5),
    st.sampled_from(["exponential", "fixed"]),
)
def test_priorities_only_pass_waiting_on(utilisation: float, readers: int, weights: Any, times: Any) -> None:
    shares = np.array(weights) / sum(weights)
    (alone,) = waits(utilisation, [1.0], readers, times)
    by_priority = waits(utilisation, shares, readers, times)
    assert np.dot(shares, by_priority) == pytest.approx(alone)
    assert list(by_priority) == sorted(by_priority)
    assert by_priority[0] <= alone + 1e-9


@quick
@given(st.floats(0.1, 0.95), st.integers(1, 4), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.9))
def test_a_flag_for_each_finding(
    utilisation: float, readers: int, sensitivity: float, alarms: float, prevalence: Any
) -> None:
    room = ReadingRoom(20 * utilisation * readers, 3.0, readers)
    flag = flag_priorities(
        {"COVID-19": prevalence, "Normal": 1 - prevalence}, {"COVID-19": sensitivity, "Normal": alarms}
    )
    answer = expected_turnaround(room, flag)
    covid, normal = answer.findings
    first, last = answer.minutes
    assert covid.with_flag == pytest.approx(sensitivity * first + (1 - sensitivity) * last)
    assert normal.with_flag == pytest.approx(alarms * first + (1 - alarms) * last)
    # The missed wait with the true normals, the false alarms go with the found.
    assert covid.not_flagged == (None if sensitivity == 1 else pytest.approx(last))
    assert normal.flagged == (None if alarms == 0 else pytest.approx(first))
    mixed = prevalence * covid.with_flag + (1 - prevalence) * normal.with_flag
    assert mixed == pytest.approx(answer.without_flag)
    if sensitivity > alarms + 1e-9:
        assert covid.with_flag <= answer.without_flag + 1e-9 <= normal.with_flag + 2e-9


def test_a_flag_that_tells_nothing_changes_nothing_and_reading_is_counted() -> None:
    room = ReadingRoom(arrivals_per_hour=16, reading_minutes=3)
    answer = expected_turnaround(room, flag_priorities({"C": 0.1, "N": 0.9}, {"C": 0.3, "N": 0.3}))
    # M/M/1: 3 / (1 - 0.8).
    assert answer.without_flag == pytest.approx(15)
    assert answer.findings[0].with_flag == pytest.approx(15)
    assert (answer.utilisation, answer.exact, answer.note) == (pytest.approx(0.8), True, None)
    assert not expected_turnaround(
        ReadingRoom(16, 3, 2, "fixed"), flag_priorities({"C": 0.1, "N": 0.9}, {"C": 1, "N": 0})
    ).exact


def test_overload_has_a_clear_answer() -> None:
    room = ReadingRoom(arrivals_per_hour=30, reading_minutes=3, readers=1)
    answer = expected_turnaround(room, flag_priorities({"C": 0.2, "N": 0.8}, {"C": 0.9, "N": 0.05}))
    assert answer.note == (
        "Overloaded: 30 radiographs arrive an hour and 20 at most can be read, so that waits grow without end. "
        "It takes at least 2 readers."
    )
    assert answer.without_flag is None
    # 22 % are flagged and need a third of the reader: behind whatever is being read, 3 / (1 - 0.33), and 3 to be read.
    assert answer.minutes == (pytest.approx(3 / 0.67 + 3), None)
    covid = answer.findings[0]
    assert (covid.with_flag, covid.flagged, covid.not_flagged) == (None, pytest.approx(3 / 0.67 + 3), None)
    # Exactly full is too full, and one more reader is enough.
    assert overload_note(ReadingRoom(20, 3)).endswith("at least 2 readers.")
    assert overload_note(ReadingRoom(19.9, 3)) is None
    assert waits(1.0, [0.5, 0.5]) == (pytest.approx(2.0), None)


def test_bands_make_four_priorities() -> None:
    bands = Priorities(
        ("COVID-19", "Normal"),
        np.array([0.1, 0.9]),
        ("fast-track", "expedite", "secondary-review", "routine"),
        np.array([[0.5, 0.3, 0.15, 0.05], [0.0, 0.1, 0.2, 0.7]]),
        flagged=2,
    )
    answer = expected_turnaround(ReadingRoom(16, 3), bands)
    assert list(answer.minutes) == sorted(answer.minutes)
    covid, normal = answer.findings
    assert covid.share_flagged == pytest.approx(0.8)
    assert covid.flagged == pytest.approx((0.5 * answer.minutes[0] + 0.3 * answer.minutes[1]) / 0.8)
    assert normal.not_flagged == pytest.approx((0.2 * answer.minutes[2] + 0.7 * answer.minutes[3]) / 0.9)


def test_a_mix_moves_to_a_prevalence_and_the_others_keep_their_proportions() -> None:
    assert mix_at(np.array([20, 60, 20]), 0, None).tolist() == pytest.approx([0.2, 0.6, 0.2])
    assert mix_at(np.array([20, 60, 20]), 0, 0.6).tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert mix_at(np.array([20, 60, 20]), 0, 0.0).tolist() == pytest.approx([0, 0.75, 0.25])
    assert mix_at(np.array([0, 60, 20]), 0, None).tolist() == pytest.approx([0, 0.75, 0.25])
    for images, prevalence in (([0, 60], 0.1), ([60, 0], 0.1), ([0, 0], None)):
        with pytest.raises(ConfigurationError, match="holds no image"):
            mix_at(np.array(images), 0, prevalence)
    with pytest.raises(ConfigurationError, match=r"prevalence is 1\.2"):
        mix_at(np.array([1, 1]), 0, 1.2)


def test_refuses_what_is_no_room_and_no_priorities() -> None:
    with pytest.raises(ConfigurationError, match="no reading room"):
        ReadingRoom(0, 3)
    with pytest.raises(ConfigurationError, match="no reading room"):
        ReadingRoom(10, float("nan"))
    with pytest.raises(ConfigurationError, match="0 readers"):
        ReadingRoom(10, 3, 0)
    with pytest.raises(ConfigurationError, match="reading_times is 'normal'"):
        ReadingRoom(10, 3, 1, "normal")
    with pytest.raises(ConfigurationError, match="need a mix of shape"):
        Priorities(("a",), np.array([0.5, 0.5]), ("x",), np.array([[1.0]]))
    with pytest.raises(ConfigurationError, match="sum to 1"):
        flag_priorities({"a": 0.5, "b": 0.6}, {"a": 1, "b": 0})
    with pytest.raises(ConfigurationError, match="sum to 1"):
        flag_priorities({"a": 0.5, "b": 0.5}, {"a": float("nan"), "b": 0})
