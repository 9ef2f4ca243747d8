"""Who is due is taken, in order; who is not waits."""

import threading
import time

from carina.dicom.listener.line import Line


def test_the_earliest_first_and_of_equals_the_first_come() -> None:
    line = Line()
    for digest, due in (("c", 30.0), ("a", 10.0), ("b", 10.0), ("later", time.time() + 1000)):
        line.put(digest, due)
    assert line.take() == ["a"]
    assert line.take(10) == ["b", "c"]
    assert len(line) == 1


def test_a_waiting_thread_is_woken_when_something_is_due() -> None:
    line, taken = Line(), []
    thread = threading.Thread(target=lambda: taken.extend(line.take()))
    thread.start()
    line.put("later", time.time() + 0.2)
    thread.join(10)
    assert taken == ["later"]


def test_nobody_waits_for_a_closed_line() -> None:
    line, taken = Line(), []
    line.put("later", time.time() + 1000)
    thread = threading.Thread(target=lambda: taken.append(line.take()))
    thread.start()
    line.close()
    thread.join(10)
    assert taken == [[]]
