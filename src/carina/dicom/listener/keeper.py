"""What becomes of an object: the files in the store, the journal and the lines of those who wait, kept in step."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carina.dicom.listener.journal import Journal
from carina.dicom.listener.line import Line
from carina.dicom.listener.store import ObjectStore
from carina.dicom.transport.log import EventLog, shown
from carina.dicom.transport.settings import ListenSettings


class Room:
    """How many bytes all waiting objects may take together, and how many they have `taken`."""

    def __init__(self, quota: int) -> None:
        self._quota = quota
        self.taken = 0
        self._lock = threading.Lock()

    def take(self, size: int, *, forced: bool = False) -> bool:
        """Take room for an object, if there is any; `forced` takes it anyhow."""
        with self._lock:
            if not forced and self.taken + size > self._quota:
                return False
            self.taken += size
            return True

    def give_back(self, size: int) -> None:
        """Give room back."""
        with self._lock:
            self.taken = max(0, self.taken - size)


class Turns:
    """One at a time for each digest."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, digest: str) -> Iterator[None]:
        """Wait until nobody else works on a digest, and keep others waiting meanwhile."""
        with self._changed:
            while digest in self._held:
                self._changed.wait()
            self._held.add(digest)
        try:
            yield
        finally:
            with self._changed:
                self._held.discard(digest)
                self._changed.notify_all()


class Keeper:
    """Store, journal and lines of a folder; `delivers` says whether answers are sent anywhere.

    Everything here may raise `OSError` where the disk takes nothing more. What was asked for can be asked for again
    then, and a start after a kill at any point finds either the old state or the new one.

    Raises
    ------
    ConfigurationError
        If the folder cannot be used, or another process uses it.
    """

    def __init__(self, settings: ListenSettings, log: EventLog, *, delivers: bool) -> None:
        self.store = ObjectStore(settings.folder)
        self.journal = Journal(settings.folder)
        self.room, self.turns = Room(settings.limits.quota_bytes), Turns()
        self.to_judge, self.to_send = Line(), Line()
        self._retries, self._keep, self._delivers, self._log = settings.retries, settings.keep, delivers, log

    def recover(self) -> None:
        """Let what is on the disk be what the journal says, and let wait what is not done."""
        self.store.empty_incoming()
        waiting = {record.digest: record for record in self.journal.waiting()}
        orphans = 0
        for digest in {*self.store.stored_digests(), *self.store.answered_digests()} - waiting.keys():
            known = self.journal.find(digest)
            if known is not None and known.state == "dead":
                self.store.bury(digest, known.reason or "unknown", known.attempts)
            else:
                # Done with; or killed before the journal knew: it was never acknowledged. (Or kept, and forgotten.)
                orphans += known is None
                self.store.discard(digest, keep=self._keep)
        for digest in self.store.dead_digests():
            known = self.journal.find(digest)
            if known is not None and known.state != "dead":
                self.store.unbury(digest)
        for record in waiting.values():
            if self.store.object_path(record.digest).is_file():
                self.room.take(record.size, forced=True)
            if record.state == "received":
                self.to_judge.put(record.digest, record.due)
            elif self._delivers:
                self.to_send.put(record.digest, record.due)
        self._log.tell("recovered", to_judge=len(self.to_judge), to_send=len(self.to_send), never_acknowledged=orphans)

    def waits_for(self, state: str, digest: str) -> bool:
        """Tell whether an object is in a state; it is not if it came to a line twice."""
        known = self.journal.find(digest)
        return known is not None and known.state == state

    def judged(self, digest: str, work: Path, uids: tuple[str, ...]) -> None:
        """Take over the answers to an object."""
        self.store.place_answers(digest, work)
        self.journal.judge(digest, uids)
        if self._delivers:
            self.to_send.put(digest)
        else:
            self._clear(digest)

    def refused(self, digest: str, reason: str) -> None:
        """Be done with an object that cannot be judged."""
        self.journal.refuse(digest, reason)
        self._clear(digest)

    def sent(self, digests: list[str]) -> None:
        """Be done with objects whose answers were taken."""
        self.journal.send(digests)
        for digest in digests:
            self._clear(digest)

    def put_off(self, line: Line, digest: str, reason: str, *, most: int, counted: bool = True) -> None:
        """Try again later, or give up after as many failed attempts as are made at most."""
        known = self.journal.find(digest)
        failed = (0 if known is None else known.attempts) + counted
        pause_s = self._retries.pause_s(max(1, failed))
        self.journal.fail(digest, time.time() + pause_s, reason, counted=counted)
        if failed >= most:
            self.give_up(digest, reason)
            return
        event = "not sent" if line is self.to_send else "judging failed"
        self._log.tell(event, object=shown(digest), attempts=failed, again_s=pause_s, reason=reason)
        line.put(digest, time.time() + pause_s)

    def give_up(self, digest: str, reason: str) -> None:
        """Move an object into the dead-letter folder."""
        self.journal.give_up(digest, reason)
        self._log.tell("given up", object=shown(digest), reason=reason)
        with self.turns.of(digest):
            known = self.journal.find(digest)
            # Unless it came again meanwhile.
            if known is not None and known.state == "dead":
                self.store.bury(digest, reason, known.attempts)
                self.room.give_back(known.size)

    def judge_again(self, digest: str) -> None:
        """Judge an object again whose answers are gone, or give it up if it is gone as well."""
        known = self.journal.find(digest)
        if known is not None and self.store.object_path(digest).is_file():
            self.journal.receive(digest, known.size)
            self.to_judge.put(digest)
        else:
            self.give_up(digest, "answers-lost")

    def _clear(self, digest: str) -> None:
        """Delete what is not needed any more; answers that are sent nowhere stay."""
        with self.turns.of(digest):
            known = self.journal.find(digest)
            if known is None:
                return
            if known.state == "judged" and not self._keep:
                self.store.object_path(digest).unlink(missing_ok=True)
            elif known.state != "judged":
                self.store.discard(digest, keep=self._keep)
            self.room.give_back(known.size)
