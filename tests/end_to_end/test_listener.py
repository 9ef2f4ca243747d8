"""The listener in a process of its own: what it acknowledged is answered, whatever happens to it meanwhile."""

import contextlib
import ctypes
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_certificates import make_certificates
from dicom_network import STAND_IN, ListenerProcess, Pacs, association, eventually, renamed, send
from dicom_stand_in import make_image, uid_of
from make import fill_disk, names_in, small_disk

QUICK = {"first_s": 0.1, "longest_s": 0.5}


def answer_uid(seed: int) -> str:
    return uid_of("answer", make_image(seed).SOPInstanceUID, "")


def states(folder: Path) -> dict[str, int]:
    """What a stopped listener's journal says."""
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite3")) as connection:
        return dict(connection.execute("SELECT state, count(*) FROM objects GROUP BY state").fetchall())


def test_an_image_is_stored_judged_answered_and_gone(tmp_path: Path) -> None:
    with Pacs() as pacs, ListenerProcess(tmp_path / "f", destination=pacs.destination()).start() as listener:
        assert send(listener.port, [make_image(seed) for seed in range(4)]) == [0] * 4
        listener.wait_for("sent", 4)
        assert listener.stop() == 0
    assert dict(pacs.taken) == {answer_uid(seed): 1 for seed in range(4)}
    for seed in range(4):
        answer, image = pacs.datasets[answer_uid(seed)], make_image(seed)
        assert answer.StudyInstanceUID == image.StudyInstanceUID
        assert answer.SourceImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert states(tmp_path / "f") == {"sent": 4}
    for part in ("objects", "answers", "incoming", "dead"):
        assert names_in(tmp_path / "f" / part) == []
    assert [event["event"] for event in listener.events][:2] == ["recovered", "listening"]
    assert listener.events[-1]["event"] == "stopped"


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_object_is_kept_as_it_came_in_under_a_hash(tmp_path: Path) -> None:
    # No UID at all, and a path: what the association says is no name of a file.
    image = renamed(make_image(1), "1.2/../../../../x")
    with ListenerProcess(tmp_path / "f", keep=True).start() as listener:
        assert send(listener.port, [image]) == [0]
        listener.wait_for("judged")
        listener.stop()
    (stored,) = (tmp_path / "f" / "objects").iterdir()
    assert re.fullmatch(r"[0-9a-f]{64}\.dcm", stored.name)
    assert stored.name.startswith(listener.wait_for("received")[0]["object"])
    read = dcmread(stored)
    assert (read.PixelData, read.PatientName) == (image.PixelData, image.PatientName)
    assert not list(tmp_path.rglob("x*"))
    # Without a destination the answer stays.
    (answered,) = (tmp_path / "f" / "answers").iterdir()
    assert names_in(answered) == ["answer.dcm"]


def test_who_is_not_allowed_is_rejected(tmp_path: Path) -> None:
    with ListenerProcess(tmp_path / "f").start() as listener:
        for names in ({"calling": "OTHER"}, {"called": "OTHER"}):
            with association(listener.port, **names) as made:
                assert made.is_rejected
        with association(listener.port) as made:
            assert made.send_c_echo().Status == 0
        told = listener.wait_for("association rejected", 2)
        assert [event["reason"] for event in told] == ["calling-title-not-allowed", "called-title-is-another"]


def test_a_duplicate_is_acknowledged_and_not_judged_again(tmp_path: Path) -> None:
    with Pacs() as pacs, ListenerProcess(tmp_path / "f", destination=pacs.destination()).start() as listener:
        images = [make_image(1), make_image(1), make_image(2)]
        assert send(listener.port, images) == [0] * 3
        listener.wait_for("sent", 2)
        # And after it is done with, in this process and the next.
        assert send(listener.port, images) == [0] * 3
        listener.stop()
        listener.start()
        assert send(listener.port, images) == [0] * 3
        listener.stop()
        assert listener.count("judged") == listener.count("sent") == 2
        assert listener.count("duplicate") == 7
    assert dict(pacs.taken) == {answer_uid(1): 1, answer_uid(2): 1}


def test_the_same_at_the_same_time_is_judged_once(tmp_path: Path) -> None:
    with ListenerProcess(tmp_path / "f").start() as listener:
        threads = [threading.Thread(target=send, args=(listener.port, [make_image(1)] * 5)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        listener.wait_for("judged")
        listener.stop()
    assert (listener.count("received"), listener.count("judged"), listener.count("duplicate")) == (1, 1, 19)


def test_its_own_answer_is_not_judged(tmp_path: Path) -> None:
    with Pacs() as pacs, ListenerProcess(tmp_path / "f", destination=pacs.destination()).start() as listener:
        send(listener.port, [make_image(1)])
        listener.wait_for("sent")
        # As a PACS would that forwards whatever it gets. Only UIDs count: to this peer it is a CR.
        back = make_image(2, SOPInstanceUID=answer_uid(1))
        assert send(listener.port, [back]) == [0]
        listener.wait_for("own answer")
        listener.stop()
    assert listener.count("received") == 1


@pytest.mark.long
def test_what_cannot_be_judged_is_refused_or_given_up_and_the_rest_goes_on(tmp_path: Path) -> None:
    limits = {"judging_s": 2.0}
    with (
        Pacs() as pacs,
        ListenerProcess(
            tmp_path / "f", destination=pacs.destination(), limits=limits, retries={**QUICK, "judging": 2}
        ).start() as listener,
    ):
        wishes = ("refuse", "crash", "fail", "hang", "")
        images = [make_image(seed, comments=wish) for seed, wish in enumerate(wishes)]
        assert send(listener.port, images) == [0] * 5
        listener.wait_for("given up", 3)
        listener.wait_for("sent", 1)
        (refused,) = listener.wait_for("not judged")
        assert refused["reason"] == "unsupported-format"
        listener.stop()
        assert states(tmp_path / "f") == {"refused": 1, "dead": 3, "sent": 1}
        assert {event["reason"] for event in listener.wait_for("given up", 3)} == {
            "process-ended",
            "ValueError",
            "too-slow",
        }
        for grave in (tmp_path / "f" / "dead").iterdir():
            assert names_in(grave) == ["object.dcm", "reason.json"]
            assert '"attempts": 2' in (grave / "reason.json").read_text()
        # Sent once more, the dead are tried once more.
        listener.start()
        assert send(listener.port, [images[2]]) == [0]
        listener.wait_for("given up", 4)
        listener.stop()
    assert len(names_in(tmp_path / "f" / "dead")) == 3
    assert dict(pacs.taken) == {answer_uid(4): 1}


def test_a_peer_that_comes_back_gets_its_answers(tmp_path: Path) -> None:
    pacs = Pacs().start()
    pacs.stop()
    with ListenerProcess(tmp_path / "f", destination=pacs.destination(), retries=QUICK).start() as listener:
        assert send(listener.port, [make_image(seed) for seed in range(3)]) == [0] * 3
        listener.wait_for("not sent", 6, reason="no-connection")
        # Its answers wait over a restart, too.
        listener.stop()
        listener.start()
        pacs.start()
        listener.wait_for("sent", 3)
        listener.stop()
    pacs.stop()
    assert dict(pacs.taken) == {answer_uid(seed): 1 for seed in range(3)}


def test_answers_that_are_never_taken_go_to_the_dead_letters(tmp_path: Path) -> None:
    with (
        Pacs() as pacs,
        ListenerProcess(
            tmp_path / "f", destination=pacs.destination(), retries={**QUICK, "sending": 3}
        ).start() as listener,
    ):
        for _ in range(3):
            pacs.statuses.put(0xA700)
        assert send(listener.port, [make_image(1)]) == [0]
        (told,) = listener.wait_for("given up")
        assert told["reason"] == "status-0xA700"
        assert listener.count("not sent") == 2
        assert send(listener.port, [make_image(2)]) == [0]
        listener.wait_for("sent")
        listener.stop()
    (grave,) = (tmp_path / "f" / "dead").iterdir()
    assert names_in(grave) == ["answers", "object.dcm", "reason.json"]
    assert dcmread(grave / "answers" / "answer.dcm").SOPInstanceUID == answer_uid(1)
    assert states(tmp_path / "f") == {"dead": 1, "sent": 1}


@pytest.mark.long
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    """A few kills at random; benchmarks/listener_endurance.py does fifty, with 2,000 objects."""
    chance = random.Random(20260102)
    images = [make_image(seed) for seed in range(40)]
    acknowledged: set[int] = set()
    with Pacs() as pacs, ListenerProcess(tmp_path / "f", destination=pacs.destination(), retries=QUICK) as listener:
        for _ in range(4):
            listener.start()
            killer = threading.Timer(chance.uniform(0.05, 0.6), listener.kill)
            killer.start()
            while killer.is_alive():
                for seed, image in enumerate(images):
                    if seed not in acknowledged and killer.is_alive() and send(listener.port, [image]) == [0]:
                        acknowledged.add(seed)
                time.sleep(0.01)
            killer.join()
        listener.start()
        for seed in sorted(set(range(40)) - acknowledged):
            assert send(listener.port, [images[seed]]) == [0]
        eventually(lambda: len(pacs.taken) == 40, "answers are missing")
        listener.stop()
    assert len(acknowledged) > 0
    assert set(pacs.taken) == {answer_uid(seed) for seed in range(40)}
    assert states(tmp_path / "f") == {"sent": 40}


def test_on_a_full_disk_it_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4000) as disk:
        ballast = disk / "ballast"
        with ListenerProcess(disk / "f", limits={"keep_free_mb": 0}, retries=QUICK).start() as listener:
            assert send(listener.port, [make_image(1)]) == [0]
            listener.wait_for("judged")
            fill_disk(ballast)
            assert send(listener.port, [make_image(2), make_image(3)]) == [0xA700, 0xA700]
            with association(listener.port) as made:
                assert made.send_c_echo().Status == 0
            ballast.unlink()
            assert send(listener.port, [make_image(2)]) == [0]
            listener.wait_for("judged", 2)
            listener.stop()
        assert states(disk / "f") == {"judged": 2}
        assert names_in(disk / "f" / "incoming") == names_in(disk / "f" / "objects") == []


def test_below_its_reserve_and_beyond_its_quota_it_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4000) as disk:
        limits = {"keep_free_mb": 1.0, "quota_mb": 0.025, "object_mb": 0.5}
        pacs = Pacs().start()
        pacs.stop()
        with ListenerProcess(disk / "f", destination=pacs.destination(), limits=limits, retries=QUICK) as listener:
            listener.start()
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(3_200_000))
            assert send(listener.port, [make_image(1)]) == [0xA700]
            assert listener.wait_for("refused to store")[-1]["reason"] == "disk-nearly-full"
            ballast.unlink()
            # Two of nine kilobytes have room, a third one not before an answer was taken.
            assert send(listener.port, [make_image(1), make_image(2), make_image(3)]) == [0, 0, 0xA700]
            assert listener.wait_for("refused to store", 2)[-1]["reason"] == "quota"
            pacs.start()
            listener.wait_for("sent", 2)
            assert send(listener.port, [make_image(3)]) == [0]
            # One that is too large is refused for good.
            assert send(listener.port, [make_image(4, side=600)]) == [0xC000]
            assert listener.wait_for("refused to store", 3)[-1]["reason"] == "too-large"
            listener.stop()
        pacs.stop()


@pytest.mark.long
def test_stopping_finishes_what_is_under_way_and_leaves_the_rest(tmp_path: Path) -> None:
    images = [make_image(1, comments="slow 1.5"), make_image(2, comments="slow 60")]
    with ListenerProcess(tmp_path / "f", limits={"stop_s": 5.0}).start() as listener:
        assert send(listener.port, images[:1]) == [0]
        time.sleep(0.3)
        assert listener.stop() == 0
        assert listener.count("judged") == 1
        listener.start()
        assert send(listener.port, images[1:]) == [0]
        started = time.monotonic()
        assert listener.stop() == 0
        assert time.monotonic() < started + 15
    assert states(tmp_path / "f") == {"judged": 1, "received": 1}
    assert listener.events[-1] == {"time": listener.events[-1]["time"], "event": "stopped", "waiting": 2}


@pytest.mark.long
def test_a_signal_that_another_thread_gets_stops_it_too(tmp_path: Path) -> None:
    """On a busy machine the system hands a process's signal to any of its threads, and the main one sleeps on."""
    tgkill = getattr(ctypes.CDLL(None), "tgkill", None)
    if tgkill is None or not Path("/proc/self/task").is_dir():
        pytest.skip("this system cannot send a signal to a thread of another process")
    with ListenerProcess(tmp_path / "f").start() as listener:
        others = [
            int(task.name) for task in Path(f"/proc/{listener.pid}/task").iterdir() if int(task.name) != listener.pid
        ]
        # By then the main thread waits.
        time.sleep(1.5)
        assert tgkill(listener.pid, max(others), signal.SIGTERM) == 0
        assert listener.wait() == 0
    assert listener.count("stopped") == 1


def test_a_second_listener_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with ListenerProcess(tmp_path / "f").start() as listener:
        second = subprocess.run(
            [sys.executable, STAND_IN, listener.settings], capture_output=True, text=True, check=False, timeout=120
        )
        assert second.returncode != 0
        assert "is in use by another process" in second.stderr
        assert send(listener.port, [make_image(1)]) == [0]


def test_tls(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    tls = {
        "certificate": str(certificates.path("server")),
        "key": str(certificates.key("server")),
        "client_ca": str(certificates.path("authority")),
    }
    with ListenerProcess(tmp_path / "f", tls=tls).start() as listener:
        known = (certificates.client_context("client"), "localhost")
        assert send(listener.port, [make_image(1)], tls_args=known) == [0]
        for unknown in ({"tls_args": (certificates.client_context(), "localhost")}, {}):
            with association(listener.port, **unknown) as made:
                assert not made.is_established
        listener.wait_for("connection refused", reason="tls-handshake-failed")
        assert send(listener.port, [make_image(2)], tls_args=known) == [0]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_no_log_line_holds_a_value(tmp_path: Path) -> None:
    """Identifiers in tags, UIDs and AE titles, in all that can go wrong, and none in the output."""
    planted: dict[str, Any] = {
        "PatientName": "PLANTED^NAME",
        "PatientID": "PLANTED-ID",
        "PatientBirthDate": "19120623",
        "AccessionNumber": "PLANTED-ACC",
        "StudyDescription": "PLANTED STUDY",
        "StudyInstanceUID": "1.2.826.0.1.777.1",
        "InstitutionName": "PLANTED HOSPITAL",
    }
    pacs = Pacs().start()
    for status in (0xA700, 0xC000, 0x0110):
        pacs.statuses.put(status)
    with ListenerProcess(
        tmp_path / "f",
        destination=pacs.destination(),
        limits={"judging_s": 3.0, "object_mb": 0.1},
        retries={**QUICK, "judging": 1, "sending": 2},
    ) as listener:
        listener.start()
        for seed, wish in enumerate(("", "", "refuse", "crash", "fail", "hang")):
            uid = f"1.2.826.0.1.777.{seed}" if seed else "PLANTED.UID^NAME"
            send(listener.port, [renamed(make_image(seed, comments=wish, **planted), uid)])
        send(listener.port, [make_image(9, side=600, **planted)])
        with association(listener.port, calling="PLANTED^AET"):
            pass
        # A data set that ends in the middle of a name.
        with association(listener.port) as made:
            made.send_c_store(renamed(make_image(10, **planted), "1.2.826.0.1.777.10"))
        listener.wait_for("given up", 4)
        pacs.stop()
        send(listener.port, [make_image(11, **planted)])
        listener.wait_for("not sent", reason="no-connection")
        listener.kill()
        listener.start()
        listener.stop()
    assert "given up" in listener.output
    for value in ("PLANTED", "19120623", "1.2.826.0.1.777"):
        assert value not in listener.output
    with contextlib.closing(sqlite3.connect(tmp_path / "f" / "journal.sqlite3")) as connection:
        dump = "\n".join(connection.iterdump())
    for value in ("PLANTED", "19120623", "1.2.826.0.1.777"):
        assert value not in dump
        assert not any(value in str(path) for path in tmp_path.rglob("*"))


def test_a_listener_without_its_objects_does_not_fail(tmp_path: Path) -> None:
    """Somebody deletes files that are none of theirs; what is lost is told."""
    pacs = Pacs().start()
    pacs.stop()
    with ListenerProcess(tmp_path / "f", destination=pacs.destination(), retries=QUICK).start() as listener:
        assert send(listener.port, [make_image(1), make_image(2), make_image(3)]) == [0] * 3
        listener.wait_for("judged", 3)
        listener.stop()
        folder = tmp_path / "f"
        one, two, _ = sorted(path.stem for path in (folder / "objects").iterdir())
        # Of one the answers are gone, of another both.
        for digest in (one, two):
            shutil.rmtree(folder / "answers" / digest)
        (folder / "objects" / f"{two}.dcm").unlink()
        listener.start()
        (told,) = listener.wait_for("given up")
        assert told["reason"] == "answers-lost"
        pacs.start()
        listener.wait_for("sent", 2)
        listener.stop()
    pacs.stop()
    assert states(tmp_path / "f") == {"sent": 2, "dead": 1}
