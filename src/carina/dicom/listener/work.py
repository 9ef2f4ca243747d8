"""The threads between the lines: one judges what was received, one sends what was judged."""

import threading
import time
from pathlib import Path

from carina.dicom.listener.judging import AnswerFiles, JudgeProcess, Refusal
from carina.dicom.listener.keeper import Keeper
from carina.dicom.sending.outcome import Outcome
from carina.dicom.sending.sending import Sender
from carina.dicom.transport.log import EventLog, shown
from carina.dicom.transport.settings import Retries

# Objects whose answers share an association.
_TOGETHER = 32


class Judging(threading.Thread):
    """Has one process judge, until the line of those who wait is closed."""

    def __init__(self, process: JudgeProcess, keeper: Keeper, log: EventLog, retries: Retries) -> None:
        super().__init__(name="judging", daemon=True)
        self.process = process
        self._keeper, self._log, self._retries = keeper, log, retries
        self._ended = threading.Event()

    def run(self) -> None:
        """Judge."""
        line = self._keeper.to_judge
        while digests := line.take():
            try:
                self._judge(digests[0])
            except Exception as error:  # noqa: BLE001  # whatever it is, the others are still to be judged
                # The disk is full, mostly.
                if not self._ended.is_set():
                    self._log.tell("not noted", object=shown(digests[0]), kind=type(error).__name__)
                line.put(digests[0], time.time() + self._retries.first_s)

    def end(self, seconds: float) -> None:
        """Wait so long for the object under way, then end the process; that object is judged at the next start."""
        self.join(max(0.1, seconds))
        self._ended.set()
        if self.is_alive():
            self.process.end()
            self.join(1)
        else:
            self.process.stop()

    def _judge(self, digest: str) -> None:
        started, keeper = time.perf_counter(), self._keeper
        if not keeper.waits_for("received", digest):
            return
        stored = keeper.store.object_path(digest)
        if not stored.is_file():
            keeper.give_up(digest, "object-lost")
            return
        work = keeper.store.new_work_folder()
        try:
            self._judge_into(work, digest, stored, started)
        finally:
            keeper.store.remove_work_folder(work)

    def _judge_into(self, work: Path, digest: str, stored: Path, started: float) -> None:
        said = self.process.judge(stored, work)
        milliseconds = 1000 * (time.perf_counter() - started)
        if isinstance(said, AnswerFiles):
            self._keeper.judged(digest, work, said.uids)
            self._log.tell("judged", object=shown(digest), answers=len(said.uids), ms=milliseconds)
        elif isinstance(said, Refusal):
            self._keeper.refused(digest, f"{said.code}: {said.message}")
            self._log.tell("not judged", object=shown(digest), reason=said.code, ms=milliseconds)
        elif not self._ended.is_set():
            most, line = self._retries.judging, self._keeper.to_judge
            self._keeper.put_off(line, digest, said.reason, most=most, counted=not said.later)


class DeliveryThread(threading.Thread):
    """Sends answers, until the line of those who wait is closed."""

    def __init__(self, sender: Sender, keeper: Keeper, log: EventLog, retries: Retries) -> None:
        super().__init__(name="delivery", daemon=True)
        self._sender, self._keeper, self._log, self._retries = sender, keeper, log, retries

    def run(self) -> None:
        """Send."""
        line = self._keeper.to_send
        while digests := line.take(_TOGETHER):
            try:
                self._deliver(digests)
            except Exception as error:  # noqa: BLE001  # whatever it is, the others' answers are still to be sent
                # The journal could not be written, mostly. To send again does no harm: the UIDs are the same.
                self._log.tell("not noted", count=len(digests), kind=type(error).__name__)
                for digest in digests:
                    line.put(digest, time.time() + self._retries.first_s)

    def _deliver(self, digests: list[str]) -> None:
        started, keeper = time.perf_counter(), self._keeper
        files: dict[str, list[Path]] = {}
        for digest in digests:
            if keeper.waits_for("judged", digest):
                if paths := keeper.store.answer_files(digest):
                    files[digest] = paths
                else:
                    keeper.judge_again(digest)
        if not files:
            return
        outcomes = iter(self._sender.send([path for paths in files.values() for path in paths]))
        failed: dict[str, Outcome] = {}
        remarks: dict[str, str | None] = {}
        for digest, paths in files.items():
            for outcome in [next(outcomes) for _ in paths]:
                if not outcome.sent:
                    failed.setdefault(digest, outcome)
                elif outcome.reason is not None:
                    remarks[digest] = outcome.reason
        sent = [digest for digest in files if digest not in failed]
        keeper.sent(sent)
        milliseconds = 1000 * (time.perf_counter() - started) / len(files)
        for digest in sent:
            told = {"answers": len(files[digest]), "ms": milliseconds, "remark": remarks.get(digest)}
            self._log.tell("sent", object=shown(digest), **told)
        for digest, outcome in failed.items():
            keeper.put_off(keeper.to_send, digest, outcome.reason or "unknown", most=self._retries.sending)
