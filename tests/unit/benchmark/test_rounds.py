"""Rounds: every task in each, forth and back, timed by the clock and by nothing else."""

import pytest

from carina.benchmark import rounds as bench_rounds
from carina.benchmark.rounds import RoundSpread, Task, percentile, rate, spread, time_in_rounds
from carina.errors import ConfigurationError


class Clock:
    """Stands still unless somebody works or waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bench_rounds, "time", clock)
    return clock


def test_each_call_is_timed_alone_and_the_first_round_is_not_counted(clock: Clock) -> None:
    order: list[str] = []
    told: list[tuple[int, int]] = []

    def work(name: str, seconds: float) -> None:
        order.append(name)
        # The first time is the slow one.
        clock.now += 100 if order.count(name) == 1 else seconds

    tasks = {"a": Task(lambda: work("a", 2.0)), "b": Task(lambda: work("b", 0.5), calls=3)}
    timed = time_in_rounds(tasks, rounds=2, pause_s=7.0, progress=lambda done, total: told.append((done, total)))
    assert timed == {"a": [[2.0], [2.0]], "b": [[0.5] * 3, [0.5] * 3]}
    assert "".join(order) == "ab" + "bbba" + "abbb"
    assert told == [(number, 6) for number in range(1, 7)]


def test_no_round_is_no_measurement() -> None:
    with pytest.raises(ConfigurationError, match=r"At least one round is needed\. Received: 0"):
        time_in_rounds({}, rounds=0)


def test_figures_by_hand() -> None:
    assert spread([3.0, 1.0, 2.0]) == RoundSpread(2.0, 1.0, 3.0)
    # 10 images in 2 s, in 5 s, and in 4 s.
    assert rate([[2.0], [5.0], [4.0]], 10) == RoundSpread(2.5, 2.0, 5.0)
    assert rate([[1.0, 3.0]], 10) == RoundSpread(5.0, 5.0, 5.0)
    # The median of all six calls; of the rounds it is 2 and 5.
    assert percentile([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 50) == RoundSpread(3.5, 2.0, 5.0)
    assert percentile([[1.0, 2.0, 3.0]], 100).value == 3.0
