"""A part that ends is started again with growing pauses, and SIGTERM ends the whole group."""

import os
import signal
import threading
import time
from functools import partial
from io import StringIO

import pytest

from carina.dicom.transport.log import EventLog
from carina.service import process_group
from carina.service.process_group import run_group, set_from_signal


def test_a_part_that_ends_is_started_again_and_a_signal_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "_FIRST_PAUSE_S", 0.125)
    text = StringIO()

    def end_later() -> None:
        deadline = time.monotonic() + 60
        while text.getvalue().count("part ended") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    killer = threading.Thread(target=end_later)
    killer.start()
    parts = {"ends": partial(os._exit, 3), "sleeps": partial(time.sleep, 600)}
    run_group(parts, EventLog(text), stop_s=30)
    killer.join()

    told = [line.split(" ", 1)[1] for line in text.getvalue().splitlines()]
    ended = [line for line in told if line.startswith("part ended")]
    assert ended[:2] == ["part ended part=ends code=3 again_s=0.1", "part ended part=ends code=3 again_s=0.2"]
    started = [line.partition("process=") for line in told if line.startswith("part started")]
    assert [words for words, *_ in started[:2]] == ["part started part=ends ", "part started part=sleeps "]
    assert len({int(process) for *_, process in started}) == len(started) >= 3
    assert told[-2:] == ["stopping", "stopped"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_wait_for_the_first() -> None:
    """Ctrl-C and SIGTERM come together: the handler of the one interrupts that of the other."""
    event = threading.Event()

    def interrupted() -> None:
        with event._cond:
            set_from_signal(event)

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert event.wait(5)
