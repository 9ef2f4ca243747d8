"""What a log file gets of long work, with a clock that the test turns."""

import time

import pytest

from carina.cli import log_progress
from carina.cli.log_progress import FIRST_LINE_S, NEXT_LINE_S, LogProgress, beating, duration


class Work:
    """A log, a clock, and what is in the log."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lines: list[str] = []
        self.log = LogProgress(self.lines.append, lambda: self.now)

    def wait(self, seconds: float) -> list[str]:
        """Let time pass in seconds, each with its beat, and return the lines that came."""
        before = len(self.lines)
        for _ in range(round(seconds)):
            self.now += 1
            self.log.beat()
        return self.lines[before:]


@pytest.fixture
def work() -> Work:
    return Work()


def test_the_first_line_comes_soon_and_then_one_every_half_minute(work: Work) -> None:
    tell = work.log.stage("Reading images")
    tell(0, 10_000)
    assert work.wait(FIRST_LINE_S - 1) == []
    tell(500, 10_000)
    assert work.wait(1) == ["Reading images: 500 of 10,000, 50.0 per second, about 3 min 10 s left."]
    for minute in range(1, 4):
        tell(500 + 1000 * minute, 10_000)
        assert work.wait(NEXT_LINE_S - 1) == []
        (line,) = work.wait(1)
        assert line.startswith(f"Reading images: {500 + 1000 * minute:,} of 10,000, ")
    tell(10_000, 10_000)
    assert work.lines[-1] == "Reading images: 10,000 of 10,000 in 1 min 40 s."


def test_a_short_stage_has_one_line(work: Work) -> None:
    tell = work.log.stage("Judging images")
    for done in range(4):
        tell(done, 3)
        work.wait(1)
    assert work.lines == ["Judging images: 3 of 3 in 3 s."]


def test_a_step_that_takes_long_is_no_silence(work: Work) -> None:
    assert work.wait(FIRST_LINE_S) == ["Still working after 10 s."]
    tell = work.log.stage("Training")
    tell(0, 6)
    assert work.wait(FIRST_LINE_S) == ["Training: 0 of 6, time left unknown."]
    work.wait(NEXT_LINE_S - 10)
    tell(1, 6)
    assert work.wait(10) == ["Training: 1 of 6, 1.5 per minute, about 3 min 20 s left."]
    tell(6, 6)
    assert work.wait(NEXT_LINE_S) == ["Training: done. Still working after 1 min 20 s."]


def test_what_was_done_before_is_not_counted_in_the_rate(work: Work) -> None:
    tell = work.log.stage("Training")
    tell(900, 1000)
    tell(910, 1000)
    assert work.wait(FIRST_LINE_S) == ["Training: 910 of 1,000, 1.0 per second, about 1 min 30 s left."]


def test_a_stage_that_stops_early_is_told_in_the_end(work: Work) -> None:
    tell = work.log.stage("Training")
    tell(0, 600)
    work.wait(5)
    tell(400, 600)
    work.wait(4)
    other = work.log.stage("Judging images")
    other(0, 10)
    assert work.lines == ["Training: stopped at 400 of 600 in 5 s."]
    work.log.close()
    assert work.lines[1:] == ["Judging images: stopped at 0 of 10 in 0 s."]


def test_a_stage_that_comes_again_has_its_own_time(work: Work) -> None:
    tell = work.log.stage("Embedding images")
    for total in (100, 20):
        tell(0, total)
        work.wait(5)
        tell(total, total)
        tell(total, total)
    work.log.stage("Nothing")(0, 0)
    assert work.lines == ["Embedding images: 100 of 100 in 5 s.", "Embedding images: 20 of 20 in 5 s."]


def test_a_count_without_an_end(work: Work) -> None:
    work.log.count(120, "judged")
    assert work.wait(FIRST_LINE_S) == ["120 judged, 12.0 per second."]
    work.log.count(121, "judged")
    work.log.close()
    assert len(work.lines) == 1


def test_lines_come_by_themselves_until_the_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_progress, "_BEAT_S", 0.001)
    monkeypatch.setattr(log_progress, "FIRST_LINE_S", 0.0)
    lines: list[str] = []
    with beating(LogProgress(lines.append)):
        deadline = time.monotonic() + 30
        while not lines and time.monotonic() < deadline:
            time.sleep(0.001)
    assert lines == ["Still working after 0 s."]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
