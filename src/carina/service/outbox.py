"""The outbox: what a live site says of an image goes to its destination; a silent site sends nothing.

An answer has the same UIDs whenever it is made. If the site is killed between sending and noting it, the destination is
sent the same object once more, and knows it as one.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from carina.dicom.answers.answering_judge import judge_factory
from carina.dicom.listener.judging import AnswerFiles, Failure, JudgeProcess, Refusal
from carina.dicom.sending.outcome import name_of
from carina.dicom.sending.sending import Sender, build_sender
from carina.dicom.transport.log import EventLog, shown
from carina.dicom.transport.settings import Destination
from carina.errors import ConfigurationError
from carina.service.database.base import now
from carina.service.database.changes import Changes
from carina.service.database.insert import insert_new
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import AT_ONCE, Delivery, Image, Model
from carina.service.mode import mode_of
from carina.service.parts import OUTBOX, Presence
from carina.service.site_folder import Site

# Images whose answers share an association.
_TOGETHER = 16
_LOOK_S = 1.0
_PAUSE_S = 5.0

Answering = Callable[[Path, Path], AnswerFiles | Refusal | Failure]
"""Writes the answers to an image into a folder; see `carina.dicom.listener.judging.JudgeProcess.judge`."""


def enqueue(session: Session, site: Site, image_id: int, model_id: int) -> None:
    """Let the answer to an image wait to be sent, if the site is live, has a destination, and the image is DICOM."""
    destination = site.settings.destination
    if destination is None or mode_of(session) != "live":
        return
    if session.execute(select(Image.kind).where(Image.id == image_id)).scalar_one() == "dicom":
        named = name_of(destination.other)[:64]
        insert_new(session, Delivery, image_id=image_id, model_id=model_id, destination=named, due_at=AT_ONCE)


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: int
    digest: str
    model_id: int
    folder: Path
    attempts: int


class Outbox:
    """Sends what waits, until it is told to stop. One for each site.

    Parameters
    ----------
    site
        Whose answers are sent.
    log
        Is told of each, without a value of a patient's.
    sender, answering
        What sends, and what makes the answers of the model in a folder; by default what the settings say.

    Raises
    ------
    ConfigurationError
        If the site has no destination, or its certificates cannot be used.
    """

    def __init__(
        self,
        site: Site,
        log: EventLog,
        *,
        sender: Sender | None = None,
        answering: Callable[[Path], Answering] | None = None,
    ) -> None:
        self._site, self._log = site, log
        self._destination = _destination(site)
        self._sender = sender or build_sender(self._destination)
        self._answering = answering or self._process_of
        self._made: dict[int, Answering] = {}
        self._processes: list[JudgeProcess] = []

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        presence = Presence(self._site, OUTBOX)
        self._log.tell("ready to send")
        with Changes(self._site.engine) as changes:
            while not stop.is_set():
                try:
                    presence.say()
                    if not self.send_some():
                        changes.wait(_LOOK_S)
                except (SQLAlchemyError, OSError) as error:
                    self._log.tell("not sent", kind=type(error).__name__)
                    stop.wait(_PAUSE_S)
        for process in self._processes:
            process.stop()
        presence.leave()

    def send_some(self) -> bool:
        """Send some answers that are due; return whether there were any. While the site is silent there are none."""
        time = now()
        # A time further ahead was written before the clock was set back.
        ahead = time + timedelta(seconds=2 * self._site.settings.retries.longest_s)
        with reading(self._site.engine) as session:
            if mode_of(session) != "live":
                return False
            rows = session.execute(
                select(Delivery.id, Image.digest, Delivery.model_id, Model.folder, Delivery.attempts)
                .join(Image, Image.id == Delivery.image_id)
                .join(Model, Model.id == Delivery.model_id)
                .where(Delivery.state == "waiting", (Delivery.due_at <= time) | (Delivery.due_at > ahead))
                .order_by(Delivery.due_at, Delivery.id)
                .limit(_TOGETHER)
            ).all()
        waiting = [
            _Waiting(row.id, row.digest, row.model_id, self._site.folder / row.folder, row.attempts) for row in rows
        ]
        ready = [(one, paths) for one in waiting if (paths := self._answers(one))]
        if ready:
            self._send(ready)
        return bool(waiting)

    def _send(self, ready: Sequence[tuple[_Waiting, Sequence[Path]]]) -> None:
        outcomes = iter(self._sender.send([path for _, paths in ready for path in paths]))
        for one, paths in ready:
            found = [next(outcomes) for _ in paths]
            failed = [outcome for outcome in found if not outcome.sent]
            if not failed:
                self._note(one, state="sent", reason=None)
                self._site.store.discard_answers(one.digest)
                self._log.tell("sent", object=shown(one.digest), answers=len(paths))
            elif any(outcome.lasting for outcome in failed):
                self._give_up(one, failed[0].reason or "refused")
            else:
                self._put_off(one, failed[0].reason or "unknown")

    def _answers(self, one: _Waiting) -> list[Path]:
        """Return the answers to an image, which are made if they are not there; none where there cannot be any now."""
        store = self._site.store
        if not one.attempts:
            # These answers are of another model, which was in use before.
            store.discard_answers(one.digest)
        elif files := store.answer_files(one.digest):
            return files
        if not store.object_path(one.digest).is_file():
            self._give_up(one, "object-lost")
            return []
        if one.model_id not in self._made:
            self._made[one.model_id] = self._answering(one.folder)
        work = store.new_work_folder()
        try:
            said = self._made[one.model_id](store.object_path(one.digest), work)
            if isinstance(said, AnswerFiles):
                store.place_answers(one.digest, work)
                return store.answer_files(one.digest)
        finally:
            store.remove_work_folder(work)
        if isinstance(said, Refusal):
            # Nothing is said about the image, or no kind of answer fits it.
            self._give_up(one, said.code)
        else:
            self._put_off(one, said.reason)
        return []

    def _process_of(self, folder: Path) -> Answering:
        settings = self._site.settings
        factory = judge_factory(folder, settings.answers, settings.prevalence)
        self._processes.append(JudgeProcess(factory, settings.limits.judging_s))
        return self._processes[-1].judge

    def _put_off(self, one: _Waiting, reason: str) -> None:
        retries, attempts = self._site.settings.retries, one.attempts + 1
        if attempts >= retries.sending:
            self._give_up(one, reason)
            return
        pause_s = retries.pause_s(attempts)
        self._note(one, attempts=attempts, due_at=now() + timedelta(seconds=pause_s), reason=reason)
        self._log.tell("not sent", object=shown(one.digest), attempts=attempts, again_s=pause_s, reason=reason)

    def _give_up(self, one: _Waiting, reason: str) -> None:
        self._note(one, state="dead", attempts=one.attempts + 1, reason=reason)
        self._site.store.discard_answers(one.digest)
        self._log.tell("given up", object=shown(one.digest), reason=reason)

    def _note(self, one: _Waiting, **values: object) -> None:
        with writing(self._site.engine) as session:
            session.execute(update(Delivery).where(Delivery.id == one.id).values(**values))


def _destination(site: Site) -> Destination:
    if site.settings.destination is None:
        msg = f"{site.folder / 'site.toml'} has no [destination]: there is nowhere to send answers to."
        raise ConfigurationError(msg)
    return site.settings.destination
