"""The journal keeps what it was told, and says so only once it is on the disk."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from carina.dicom.listener.journal import Journal, JournalError
from carina.errors import ConfigurationError
from make import fill_disk, small_disk

ONE, TWO = "1" * 64, "2" * 64


def test_an_object_goes_its_way(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.find(ONE) is None
    journal.receive(ONE, 10)
    journal.receive(TWO, 20)
    assert [record.digest for record in journal.waiting()] == [ONE, TWO]
    assert journal.fail(ONE, 5.0, "too-slow") == 1
    assert journal.fail(ONE, 6.0, "disk", counted=False) == 1
    record = journal.find(ONE)
    assert record is not None
    assert (record.state, record.size, record.attempts, record.due, record.reason) == ("received", 10, 1, 6.0, "disk")
    journal.judge(ONE, ["1.2.3"])
    record = journal.find(ONE)
    assert record is not None
    # Attempts to send are counted from 0 again.
    assert (record.state, record.attempts, record.due, record.reason) == ("judged", 0, 0.0, None)
    journal.refuse(TWO, "animated")
    journal.send([ONE])
    assert journal.states() == {"sent": 1, "refused": 1}
    assert journal.waiting() == []
    journal.close()
    again = Journal(tmp_path)
    assert again.states() == {"sent": 1, "refused": 1}
    assert again.look_up(ONE, "1.2.3")[1]
    assert not again.look_up(ONE, "1.2.4")[1]
    again.close()


def test_what_was_given_up_begins_anew_when_it_comes_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.receive(ONE, 10)
    journal.fail(ONE, 1.0, "crash")
    journal.give_up(ONE, "crash")
    record = journal.find(ONE)
    assert record is not None
    assert (record.state, record.attempts) == ("dead", 1)
    journal.receive(ONE, 10)
    record = journal.find(ONE)
    assert record is not None
    assert (record.state, record.attempts, record.reason) == ("received", 0, None)
    journal.close()


def test_the_long_done_is_forgotten_and_the_undone_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for digest in (ONE, TWO):
        journal.receive(digest, 1)
    journal.judge(ONE, ["1.2.3"])
    journal.send([ONE])
    assert journal.forget(time.time() - 100) == 0
    assert journal.forget(time.time() + 1) == 1
    assert journal.states() == {"received": 1}
    assert not journal.look_up(ONE, "1.2.3")[1]
    journal.close()


def test_no_second_process_writes_to_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    program = (
        f"from pathlib import Path\nfrom carina.dicom.listener.journal import Journal\nJournal(Path({str(tmp_path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "is in use by another process. End it, or name another folder." in done.stderr
    journal.close()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_another_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(ConfigurationError, match=r"journal.sqlite3 cannot be used: .*Name another folder"):
        Journal(tmp_path)


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal._do(lambda connection: connection.execute("PRAGMA user_version = 2"))
    journal.close()
    with pytest.raises(ConfigurationError, match=r"is no journal of this version of Carina"):
        Journal(tmp_path)


def test_what_it_said_is_there_after_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom carina.dicom.listener.journal import Journal\n"
        f"journal = Journal(Path({str(tmp_path)!r}))\n"
        "for number in range(10**9):\n"
        "    journal.receive(f'{number:064x}', 1)\n"
        "    os.write(1, f'{number}\\n'.encode())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    process.kill()
    rest, _ = process.communicate()
    said = 20 + len(rest.split())
    journal = Journal(tmp_path)
    # The last may have been written without a chance to say so.
    assert len(journal.waiting()) in (said, said + 1)
    journal.close()


def test_changes_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    threads = [
        threading.Thread(target=lambda n=n: [journal.receive(f"{1000 * n + m:064x}", 1) for m in range(25)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.states() == {"received": 200}
    journal.close()


def receive_many(journal: Journal) -> None:
    for number in range(10_000):
        journal.receive(f"{number:064x}", 1)


def test_a_full_disk_is_an_error_and_passes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        journal = Journal(disk)
        journal.receive(ONE, 1)
        ballast = fill_disk(disk / "ballast")
        with pytest.raises(JournalError, match="The journal could not be written"):
            receive_many(journal)
        held = journal.states()["received"]
        ballast.unlink()
        journal.receive(TWO, 1)
        assert journal.states()["received"] == held + 1
        journal.close()


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.receive(ONE, 1)
