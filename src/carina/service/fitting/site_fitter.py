"""A worker fits the models that administrators asked for, one after the other, in a process of its own."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from carina.bundles.bundle import open_named_model
from carina.dicom.listener.judging import Failure, JudgeProcess
from carina.dicom.transport.log import EventLog
from carina.errors import BundleError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Model, Study
from carina.service.fitting.fit import Film, Fitted, fitter
from carina.service.fitting.fitting_tables import Fitting
from carina.service.judging.models import add_model
from carina.service.site_folder import FITTING_CACHE, Site
from carina.service.truth import image_shown, truth_of

MODELS_FOLDER = "models"
_LOOK_S = 3.0
# Thousands of films take an hour on a small machine.
_LONGEST_S = 12 * 3600.0
_MOST_ATTEMPTS = 2
_BROKEN = (
    "The process that fits ended before it was done. The site was stopped, or the machine may have too little memory. "
    "Ask again."
)


class Fits(Protocol):
    """What fits; see `carina.dicom.listener.judging.JudgeProcess`."""

    def ask(self, *arguments: Any) -> Any:
        """Return a `Fitted` or a `Failure`."""

    def stop(self) -> None:
        """End."""


def fitting_process(site: Site) -> JudgeProcess:
    """Return the process that fits for a site."""
    return JudgeProcess(fitter(site.folder.absolute() / FITTING_CACHE), _LONGEST_S)


class SiteFitter:
    """Fits what was asked for.

    Parameters
    ----------
    site
        Whose verdicts and models.
    name
        Of the worker; no other one has it at the same time.
    log
        Is told of each, without a value of a patient's.
    process
        Makes what fits.
    """

    def __init__(self, site: Site, name: str, log: EventLog, process: Callable[[Site], Fits] = fitting_process) -> None:
        self._site, self._name, self._log, self._new_process = site, name, log, process

    def run(self, stop: threading.Event) -> None:
        """Fit what is asked for until `stop` is set."""
        begun = False
        while not stop.is_set():
            try:
                if not begun:
                    self._free()
                    begun = True
                if not self.fit_one():
                    stop.wait(_LOOK_S)
            except (SQLAlchemyError, OSError) as error:
                self._log.tell("not fitted", kind=type(error).__name__)
                begun = False
                stop.wait(_LOOK_S)

    def fit_one(self) -> bool:
        """Fit a model if one is asked for; return whether there was one."""
        with writing(self._site.engine) as session:
            asked = session.scalar(
                select(Fitting).where(Fitting.state == "waiting").order_by(Fitting.id).limit(1).with_for_update()
            )
            if asked is None:
                return False
            asked.state, asked.claimed_by, asked.attempts = "running", self._name, asked.attempts + 1
            if asked.attempts > _MOST_ATTEMPTS:
                _end(asked, "failed", _BROKEN)
                append(session, "system", "fitting-ended", f"fitting {asked.id}", {"state": "failed"})
                return True
            number, kind, model = asked.id, asked.kind, session.get_one(Model, asked.model_id)
            version, bundle = model.version, self._site.folder / model.folder
        self._log.tell("fitting begins", fitting=number, kind=kind)
        films = self._films()
        out = self._site.folder.absolute() / MODELS_FOLDER / f"{kind}-{number}"
        out.parent.mkdir(mode=0o700, exist_ok=True)
        process = self._new_process(self._site)
        try:
            new_version = f"{version.partition('+')[0]}+{kind}.{number}"
            said = process.ask(kind, bundle.absolute(), films, out, new_version)
        finally:
            process.stop()
        self._keep(number, said, out)
        return True

    def _films(self) -> Sequence[Film]:
        """Return the images whose studies have a verdict; those that were deleted are not among them."""
        with reading(self._site.engine) as session:
            truth, shown = truth_of(session).findings, image_shown()
            rows = session.execute(
                select(Study.id, Study.patient_key, Study.key, Image.digest)
                .join(shown, shown.c.study_id == Study.id)
                .join(Image, Image.id == shown.c.image_id)
                .order_by(Study.id)
            ).all()
        films = [
            Film(self._site.store.object_path(row.digest).absolute(), truth[row.id], row.patient_key or row.key)
            for row in rows
            if row.id in truth
        ]
        return [film for film in films if film.path.is_file()]

    def _keep(self, number: int, said: Fitted | Failure | Any, out: Path) -> None:
        if not isinstance(said, Fitted):
            meaning = said.reason if isinstance(said, Failure) else "no-answer"
            said = Fitted(made=False, message=f"{_BROKEN} ({meaning})", report=None)
            state = "failed"
        else:
            state = "made" if said.made else "refused"
        run = sha256 = None
        if state == "made":
            try:
                run, sha256 = open_named_model(out)
            except BundleError as error:
                state, said = "failed", Fitted(made=False, message=str(error), report=said.report)
        with writing(self._site.engine) as session:
            fitting = session.get_one(Fitting, number)
            details: dict[str, Any] = {"kind": fitting.kind, "state": state}
            if run is not None and sha256 is not None:
                fitting.made_model_id = add_model(session, self._site, out, run, sha256, "silent")
                details["model"] = fitting.made_model_id
            fitting.report = None if said.report is None else said.report.model_dump(mode="json")
            _end(fitting, state, said.message)
            append(session, "system", "fitting-ended", f"fitting {number}", details)
            announce(session)
        self._log.tell("fitting ended", fitting=number, state=state)

    def _free(self) -> None:
        """Let what this worker's name was at, when it was killed, wait again."""
        own = update(Fitting).where(Fitting.claimed_by == self._name, Fitting.state == "running")
        with writing(self._site.engine) as session:
            session.execute(own.values(state="waiting", claimed_by=None))


def _end(fitting: Fitting, state: Any, message: str | None) -> None:
    fitting.state, fitting.message, fitting.finished_at, fitting.claimed_by = state, message, now(), None
