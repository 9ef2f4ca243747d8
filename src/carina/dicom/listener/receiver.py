"""Objects that are sent to Carina: on the disk and in the journal before they are acknowledged."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from carina.dicom.listener.keeper import Keeper
from carina.dicom.listener.store import digest_of
from carina.dicom.transport.log import EventLog, shown
from carina.dicom.transport.settings import IntakeLimits
from carina.dicom.transport.storage_server import OUT_OF_RESOURCES, SUCCESS, file_beginning, refuse


class Receiver:
    """Takes objects in."""

    def __init__(self, keeper: Keeper, log: EventLog, limits: IntakeLimits) -> None:
        self._keeper, self._log, self._limits = keeper, log, limits
        self._counting = threading.Lock()
        self._count = 0

    def take(self, event: Any, content: bytes) -> int:
        """Return the status for a C-STORE request, after everything that it promises was done."""
        started = time.perf_counter()
        request, syntax = event.request, event.context.transfer_syntax
        uids = [str(uid) for uid in (request.AffectedSOPClassUID, request.AffectedSOPInstanceUID, syntax)]
        digest = digest_of(*(uid.encode("utf-8") for uid in uids), content)
        try:
            head = file_beginning(event)
            with self._keeper.turns.of(digest):
                return self._keep(digest, uids[1], (head, content), started)
        except OSError as error:
            return refuse(self._log, OUT_OF_RESOURCES, "disk", object=shown(digest), kind=type(error).__name__)

    def _keep(self, digest: str, uid: str, parts: Sequence[bytes], started: float) -> int:
        """Return the status for an object, once it is kept if it is new."""
        known, own = self._keeper.journal.look_up(digest, uid)
        size = sum(map(len, parts))
        if own:
            # A PACS that forwards whatever it gets sends Carina its own answers, too.
            self._tell("own answer", digest, size, started)
            return SUCCESS
        if known is not None and known.state != "dead":
            self._tell("duplicate", digest, size, started, state=known.state)
            return SUCCESS
        if self._keeper.store.free_bytes() < size + self._limits.keep_free_bytes:
            return refuse(self._log, OUT_OF_RESOURCES, "disk-nearly-full", object=shown(digest))
        if not self._keeper.room.take(size):
            return refuse(self._log, OUT_OF_RESOURCES, "quota", object=shown(digest))
        try:
            self._keeper.store.write_object(digest, parts)
            try:
                self._keeper.journal.receive(digest, size)
            except BaseException:
                self._keeper.store.discard(digest)
                raise
        except BaseException:
            self._keeper.room.give_back(size)
            raise
        if known is not None:
            self._keeper.store.unbury(digest)
        self._keeper.to_judge.put(digest)
        self._tell("received", digest, size, started)
        return SUCCESS

    def _tell(self, event: str, digest: str, size: int, started: float, **facts: str) -> None:
        with self._counting:
            self._count += 1
            count = self._count
        milliseconds = 1000 * (time.perf_counter() - started)
        self._log.tell(event, object=shown(digest), count=count, bytes=size, ms=milliseconds, **facts)
