"""A line tells counts, hashes and times, and nothing that came from elsewhere as it came."""

import io
import json
import logging
import threading
import warnings

import pytest

from carina.dicom.transport.log import EventLog, ToEvents, quiet_libraries, shown


def test_lines_for_programs_and_for_people() -> None:
    stream = io.StringIO()
    EventLog(stream, as_json=True).tell("received", object=shown("ab" * 32), count=3, ms=1.26, reason=None)
    told = json.loads(stream.getvalue())
    assert told.pop("time").endswith("Z")
    assert told == {"event": "received", "object": "abababababab", "count": 3, "ms": 1.3}
    stream = io.StringIO()
    EventLog(stream).tell("sent", object="abc", ms=2.0)
    assert stream.getvalue().split(" ", 1)[1] == "sent object=abc ms=2.0\n"


def test_what_looks_like_a_value_is_not_shown() -> None:
    stream = io.StringIO()
    EventLog(stream).tell("sent", reason="Doe^Jane", kind="two\nlines")
    assert "Doe" not in stream.getvalue()
    assert stream.getvalue().endswith("reason=(not shown) kind=(not shown)\n")


def test_a_stream_that_is_gone_does_not_end_the_work() -> None:
    stream = io.StringIO()
    stream.close()
    EventLog(stream).tell("sent")


def test_libraries_are_silent_and_speak_again(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    library = logging.getLogger("pynetdicom.acse")
    handler = logging.StreamHandler()
    logging.getLogger("pynetdicom").addHandler(handler)
    try:
        with quiet_libraries(EventLog(stream)):
            library.error("Doe^Jane")
            warnings.warn("Invalid value for VR UI: Doe^Jane", stacklevel=1)
            thread = threading.Thread(target=lambda: int("Doe^Jane"))
            thread.start()
            thread.join()
        captured = capsys.readouterr()
        assert "Doe" not in captured.out + captured.err + stream.getvalue()
        assert "internal error kind=ValueError" in stream.getvalue()
        library.error("once more")
        assert "once more" in capsys.readouterr().err
    finally:
        logging.getLogger("pynetdicom").removeHandler(handler)


def test_what_a_logger_says_becomes_an_event_of_the_same_form() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("carina.test.events")
    logger.addHandler(ToEvents(EventLog(stream, as_json=True), "page failed"))
    logger.propagate = False
    logger.error("Error %s: %s at %s", "ab12", "KeyError", "carina.service.web:7")
    logger.error("Of a patient: %s", "Müller")
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in said] == ["page failed"] * 2
    assert [line["what"] for line in said] == ["Error ab12: KeyError at carina.service.web:7", "(not shown)"]
