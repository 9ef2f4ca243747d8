"""The worker: takes images that wait, has them judged in a process of its own, and keeps what the models say."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from carina.dicom.listener.judging import Failure, JudgeProcess
from carina.dicom.transport.log import EventLog, shown
from carina.errors import CarinaError
from carina.service.database.changes import Changes, announce
from carina.service.database.claims import Claimed, behind, claim, next_due_s, put_off, release, renew
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image
from carina.service.intake.take import LOST
from carina.service.judging.models import ActiveModel, active_models, is_still_in_use
from carina.service.judging.predicting import Answers, Said, Unreadable, judge_maker
from carina.service.judging.records import give_up, hold_studies, record
from carina.service.judging.switching import follow_switch, is_switching
from carina.service.mode import mode_of
from carina.service.notices.queue import queue_notice
from carina.service.outbox import enqueue
from carina.service.parts import SILENT_MODELS, WORKER, Presence
from carina.service.site_folder import Site

# As many as the networks take at once; more would let the first ones wait for the last.
_TOGETHER = 8
_LONGEST_WAIT_S = 10.0
_LOOK_S = 0.2
# What no other part tells of: models that judge in silence and have images to catch up on.
_CATCH_UP_S = 60.0
_PAUSE_S = 5.0
_BETWEEN_PIECES_S = 0.02
_FIRST_RETRY_S = 1.0
# A claim is renewed while its worker is at work. Whoever misses it for so long may take the images: a container that
# was killed comes back under another name, and nobody else ends its claims.
_LEASE_S = 60.0
_RENEWED_EVERY_S = 15.0


class Judging(Protocol):
    """What judges; see `carina.dicom.listener.judging.JudgeProcess`."""

    def start(self) -> None:
        """Get ready."""

    def ask(self, *arguments: Any) -> Any:
        """Return `Answers`, or a `Failure`, for a model's ID and images."""

    def stop(self) -> None:
        """End."""


def judge_process(site: Site, models: Mapping[int, Path]) -> JudgeProcess:
    """Return the process that judges with some models; see `carina.service.judging.predicting.judge_maker`."""
    settings = site.settings
    return JudgeProcess(judge_maker(models, settings.prevalence, site.folder), settings.limits.judging_s)


class Worker:
    """Judges until it is told to stop; see `run`.

    Parameters
    ----------
    site
        Whose images are judged.
    name
        Of the worker; no other one has it at the same time.
    log
        Is told of each image, without a value of a patient's.
    process
        Makes what judges for a site, of the models' folders by ID.
    """

    def __init__(
        self,
        site: Site,
        name: str,
        log: EventLog,
        process: Callable[[Site, Mapping[int, Path]], Judging] = judge_process,
    ) -> None:
        self._site, self._name, self._log, self._new_process = site, name, log, process
        self._presence = Presence(site, f"{WORKER}{name}")
        self._process: Judging | None = None
        self._trouble: str | None = None
        self._wanted: list[ActiveModel] = []
        self._models: list[ActiveModel] = []
        self._silent_presence = Presence(site, SILENT_MODELS)
        self._silent_problem: str | None = None
        self._silent: deque[tuple[ActiveModel, Claimed]] = deque()
        self._caught_up = 0.0

    def run(self, stop: threading.Event) -> None:
        """Judge until `stop` is set. A claim that this worker's name had before is ended first."""
        with Changes(self._site.engine) as changes:
            started = False
            while not stop.is_set():
                try:
                    if not started:
                        with writing(self._site.engine) as session:
                            release(session, self._name)
                        started = True
                    if self._is_ready():
                        self._presence.say(self._trouble)
                        if self._silent_problem is not None:
                            self._silent_presence.say(self._silent_problem)
                        if self._judge_some() or self._follow() or self._judge_in_silence():
                            continue
                        self._sleep(changes, stop)
                    else:
                        stop.wait(_PAUSE_S)
                except SQLAlchemyError as error:
                    kind = type(getattr(error, "orig", None) or error).__name__
                    self._log.tell("database unavailable", part="worker", kind=kind)
                    # What it has claimed would wait for the claim to end: its answers were not kept.
                    started = False
                    stop.wait(_PAUSE_S)
        self._presence.leave()
        if self._process is not None:
            self._process.stop()

    def _is_ready(self) -> bool:
        """Return whether the models that judge now are loaded; they are loaded again when they have changed."""
        with reading(self._site.engine) as session:
            models = active_models(session, self._site)
        if models == self._wanted and self._process is not None:
            return True
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._silent.clear()
        self._caught_up = 0.0
        if not models or not models[0].in_use:
            self._presence.say("No model is in use. Name a bundle in site.toml, and start carina serve again.")
            return False
        problem = self._load(models)
        silent_problem: str | None = None
        if problem is not None and len(models) > 1:
            # A model that judges in silence keeps nobody from the answers of the one in use.
            silent_problem, problem = problem, self._load(models[:1])
        if problem is not None:
            self._presence.say(f"The model cannot be loaded: {problem}")
            return False
        if self._silent_problem is not None and silent_problem is None:
            self._silent_presence.leave()
        self._wanted = models
        self._silent_problem = silent_problem and f"A model that judges in silence cannot be loaded: {silent_problem}"
        self._log.tell("ready to judge", worker=self._name, models=len(self._models))
        return True

    def _load(self, models: list[ActiveModel]) -> str | None:
        """Start a process that judges with some models; return why it cannot be, if it cannot."""
        process = self._new_process(self._site, {model.id: model.folder for model in models})
        try:
            process.start()
        except CarinaError as error:
            self._log.tell("no judge", kind=type(error).__name__)
            return str(error)
        self._models, self._process = models, process
        return None

    def _sleep(self, changes: Changes, stop: threading.Event) -> None:
        """Wait until something is written, an image is due that was put off, or the worker is to stop."""
        with reading(self._site.engine) as session:
            due = next_due_s(session)
        until = time.monotonic() + (_LONGEST_WAIT_S if due is None else min(_LONGEST_WAIT_S, due + 0.01))
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if changes.wait(min(_LOOK_S, left)):
                return

    def _judge_some(self) -> bool:
        """Judge images that wait, with the model in use; return whether there were any."""
        with writing(self._site.engine) as session:
            claimed = claim(session, self._name, most=_TOGETHER, lease_s=_LEASE_S)
        if not claimed:
            return False
        with self._claims_renewed():
            self._judge_claimed(claimed)
        return True

    @contextmanager
    def _claims_renewed(self) -> Iterator[None]:
        """Keep the claims of this worker, by a thread that ends with the block."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(_RENEWED_EVERY_S):
                # While the database is away nobody else can take the images either.
                with suppress(SQLAlchemyError), writing(self._site.engine) as session:
                    renew(session, self._name)

        thread = threading.Thread(target=keep, name="claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _judge_claimed(self, claimed: Sequence[Claimed]) -> None:
        # What has failed before is judged alone, so that it takes no other with it.
        fresh = [one for one in claimed if not one.attempts]
        for group in (fresh, *([one] for one in claimed if one.attempts)):
            try:
                self._judge_together(group, self._models[0])
            except SQLAlchemyError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the others are still to be judged
                self._log.tell("internal error", part="worker", kind=type(error).__name__)
                for one in group:
                    self._failed(Failure(type(error).__name__), one, self._models[0])

    def _judge_together(self, claimed: Sequence[Claimed], model: ActiveModel) -> None:
        there = [one for one in claimed if self._path(one).is_file()]
        for lost in (one for one in claimed if one not in there):
            self._give_up(lost, model, LOST, "its file is gone from the store. Send the image again.")
        answers = list(zip(there, self._ask(model, there), strict=True))
        self._keep([(one, said) for one, said in answers if not isinstance(said, Failure)], model)
        for one, said in answers:
            if isinstance(said, Failure):
                self._failed(said, one, model)

    def _keep(self, answers: Sequence[tuple[Claimed, Said | Unreadable]], model: ActiveModel) -> None:
        """Keep what the model in use says, all of it with one write to the disk."""
        if not answers:
            return
        self._trouble = None
        with writing(self._site.engine) as session:
            ids = [one.image_id for one, _ in answers]
            in_use = is_still_in_use(session, model.id)
            hold_studies(session, ids)
            for one, said in answers:
                record(session, one.image_id, model.id, said, in_use=in_use)
                if not in_use:
                    # Another model was taken into use meanwhile: the image waits for that one.
                    put_off(session, one.image_id, 0, attempts=one.attempts)
                elif isinstance(said, Said):
                    enqueue(session, self._site, one.image_id, model.id)
            if in_use:
                _tell_judged(session, answers)
            announce(session)
            rows = session.execute(select(Image.id, Image.received_at).where(Image.id.in_(ids))).all()
        received = {row.id: row.received_at for row in rows}
        for one, said in answers:
            since_s = time.time() - received[one.image_id].timestamp()
            told: dict[str, Any] = {"image": one.image_id, "object": shown(one.digest), "after_s": since_s}
            if isinstance(said, Said):
                self._log.tell("judged", **told, ms=said.elapsed_ms)
                self._silent.extend((silent, one) for silent in self._models if not silent.in_use)
            else:
                self._log.tell("not judged", **told, reason=said.code)

    def _failed(self, failure: Failure, one: Claimed, model: ActiveModel) -> None:
        """Try again, or list the image with its reason once it has broken the process often enough."""
        if failure.later:
            # No fault of the image's: it waits, and the page must say for what.
            self._trouble = f"Images wait to be judged: {_MEANINGS.get(failure.reason, failure.meaning)}"
        failed = one.attempts + (not failure.later)
        if failed >= self._site.settings.limits.attempts:
            self._give_up(one, model, failure.reason, _MEANINGS.get(failure.reason, failure.meaning))
            return
        pause_s = _PAUSE_S if failure.later else _FIRST_RETRY_S
        with writing(self._site.engine) as session:
            put_off(session, one.image_id, pause_s, attempts=failed)
        self._log.tell("judging failed", image=one.image_id, attempts=failed, again_s=pause_s, reason=failure.reason)

    def _give_up(self, one: Claimed, model: ActiveModel, code: str, message: str) -> None:
        with writing(self._site.engine) as session:
            give_up(session, one.image_id, model.id, code, message)
            announce(session)
        self._log.tell("given up", image=one.image_id, object=shown(one.digest), reason=code)

    def _follow(self) -> bool:
        """Let a piece of the worklist follow a model that was taken into use; return whether there was any left."""
        with reading(self._site.engine) as session:
            if not is_switching(session):
                return False
        with writing(self._site.engine) as session:
            is_left = follow_switch(session)
        # Else those who wait for the right to write would hardly ever get it.
        time.sleep(_BETWEEN_PIECES_S)
        return is_left

    def _judge_in_silence(self) -> bool:
        """Let a model that judges in silence look at some images; return whether there were any."""
        if not self._silent:
            if time.monotonic() < self._caught_up:
                return False
            with reading(self._site.engine) as session:
                for model in self._models[1:]:
                    self._silent.extend((model, one) for one in behind(session, model.id, most=4 * _TOGETHER))
            if not self._silent:
                self._caught_up = time.monotonic() + _CATCH_UP_S
                return False
        model = self._silent[0][0]
        some = [self._silent.popleft()[1] for _ in range(_run_of(self._silent, model, _TOGETHER))]
        there = [one for one in some if self._path(one).is_file()]
        answers = list(zip(there, self._ask(model, there), strict=True))
        with writing(self._site.engine) as session:
            for one in some:
                said: Said | Unreadable | Failure = dict(answers).get(one, _LOST)
                if not isinstance(said, Said):
                    said = _nothing_said(said)
                record(session, one.image_id, model.id, said, in_use=False)
        return True

    def _ask(self, model: ActiveModel, images: Sequence[Claimed]) -> list[Said | Unreadable | Failure]:
        """Return what a model says of each image; one that breaks the process takes no other with it."""
        if not images or self._process is None:
            return []
        answer = self._process.ask(model.id, [self._path(one) for one in images])
        if isinstance(answer, Answers):
            return list(answer.each)
        if len(images) > 1:
            return [said for one in images for said in self._ask(model, [one])]
        return [answer if isinstance(answer, Failure) else Failure("no-answer")]

    def _path(self, one: Claimed) -> Path:
        return self._site.store.object_path(one.digest)


# What `carina.dicom.listener.judging.Failure` says of them, for a person who reads a worklist.
_MEANINGS: Mapping[str, str] = {
    "too-slow": "judging it took too long and was ended.",
    "process-ended": "the process that judges ended each time that it judged this image. The file may be damaged, or "
    "the machine may have too little memory.",
    "no-answer": "the process that judges gave no answer.",
    "no-judge": "the process that judges could not be started again. The machine may have too little memory.",
}
_LOST = Unreadable(LOST, "its file is gone from the store.")


def _tell_judged(session: Session, answers: Sequence[tuple[Claimed, Said | Unreadable]]) -> None:
    """Queue notices of what was judged. A silent site tells nobody what its model says."""
    if mode_of(session) != "live":
        return
    ids = [one.image_id for one, _ in answers]
    rows = session.execute(select(Image.id, Image.study_id).where(Image.id.in_(ids))).all()
    studies = {row.id: row.study_id for row in rows}
    for one, said in answers:
        priority = said.priority if isinstance(said, Said) else "not-assessable"
        facts = {"study": studies[one.image_id], "image": one.image_id, "priority": priority, "code": said.code}
        queue_notice(session, "study.judged", facts)


def _run_of(waiting: deque[tuple[ActiveModel, Claimed]], model: ActiveModel, most: int) -> int:
    """Return how many of those who wait first, at most so many, wait for one model."""
    count = 0
    for other, _ in waiting:
        if other != model or count == most:
            break
        count += 1
    return count


def _nothing_said(why: Unreadable | Failure) -> Said:
    """Return what is kept of a model that judges in silence where it could not judge, so that it is not asked again."""
    code, message = (why.code, why.message) if isinstance(why, Unreadable) else (why.reason, why.meaning)
    return Said("not-assessable", None, None, {}, code, f"Not judged: {message}", None, [], "", 0.0, "")
