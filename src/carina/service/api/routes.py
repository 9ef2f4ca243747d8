"""Images are submitted, and studies, results and verdicts are asked for, by programs."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from carina.decisions.triage import Priority
from carina.service.api.programs import program, scope
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, ImageState, Judgement, Model, Source, Study, StudyState
from carina.service.described import described_in_use
from carina.service.mode import Mode, mode_of
from carina.service.people.logins import Person
from carina.service.people.people_tables import Verdict, VerdictKind
from carina.service.people.tokens import person_of_token
from carina.service.site_folder import Site
from carina.service.studies import Sort, Wanted, page_of
from carina.service.verdicts import LONGEST_NOTE, give_verdict, most_probable
from carina.service.web.asking import AskedSite, Number
from carina.service.web.pages.image_parts import has_verdict
from carina.service.web.pages.upload import take_body
from carina.service.web.problems import ProblemError

router = APIRouter(tags=["api"])


class Answer(BaseModel):
    """A JSON object of the API."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Answer):
    """What an error says."""

    code: str
    message: str


class ProblemAnswer(Answer):
    """The one shape of every error."""

    error: Problem


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemAnswer} for status in (400, 401, 403, 404, 409, 413, 422, 503)
}


class StudyLine(Answer):
    """A study without anything that names the patient. In silent mode nothing of the model's answer is in it."""

    id: int
    state: StudyState
    source: Source
    arrived_at: datetime
    waited_minutes: float
    priority: Priority | None = None
    target_minutes: float | None = None
    finding: str | None = None
    probability: float | None = Field(None, description="Of the finding that the model flags, calibrated.")
    code: str | None = None
    judged_at: datetime | None = None


class Worklist(Answer):
    """Some lines of the worklist, and what to send as `after` to get the next ones."""

    mode: Mode
    studies: list[StudyLine]
    after: str


class ImageStatus(Answer):
    """What became of an image."""

    id: int
    study: int
    state: ImageState
    received_at: datetime
    error: Problem | None = None


class Result(Answer):
    """What the model in use says of an image."""

    image: int
    study: int
    priority: Priority
    code: str
    reason: str
    finding: str | None
    probabilities: dict[str, float]
    gate_accepted: bool | None
    reservations: list[str]
    model: str
    model_version: str
    judged_at: datetime


class NewVerdict(Answer):
    """A verdict: the finding that is seen, or null where nobody can tell."""

    finding: str | None = Field(max_length=200)
    note: str = Field("", max_length=LONGEST_NOTE)


class GivenVerdict(Answer):
    """A verdict as it was kept; notes stay with the site."""

    id: int
    study: int
    kind: VerdictKind
    finding: str | None
    blind: bool
    at: datetime


@router.post(
    "/images",
    responses=ERRORS,
    summary="Submit an image or a ZIP archive",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def submit(request: Request, site: AskedSite) -> Response:
    """Take the file that is the body. Scope: submit. Whatever is told as taken is on the disk."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    # Asked before the body is read, so that nobody fills the disk who may not.
    person = await run_in_threadpool(person_of_token, site.engine, secret) if kind.lower() == "bearer" else None
    if person is None:
        raise ProblemError(401, "token-needed", "Send a token that has not ended: Authorization: Bearer carina_...")
    await run_in_threadpool(scope("submit"), request, person)
    return await take_body(request, site, person, source="api")


@router.get("/images/{image_id}", responses=ERRORS, summary="What became of an image")
def status_of(image_id: Number, site: AskedSite, person: Annotated[Person, Depends(scope("status"))]) -> ImageStatus:  # noqa: ARG001
    """Return the state of an image. Scope: status."""
    with reading(site.engine) as session:
        image = _existing(session, Image, image_id)
        error = None
        if image.error_code:
            error = Problem(code=image.error_code, message=image.error_message or "")
        return ImageStatus(
            id=image.id, study=image.study_id, state=image.state, received_at=image.received_at, error=error
        )


@router.get("/images/{image_id}/result", responses=ERRORS, summary="What the model says of an image")
def result_of(image_id: Number, site: AskedSite, person: Annotated[Person, Depends(scope("result"))]) -> Result:
    """Return the answer of the model in use. Scope: result. A silent site gives none."""
    with writing(site.engine) as session:
        image = _existing(session, Image, image_id)
        _require_live(session)
        query = select(Judgement).join(Model).where(Judgement.image_id == image_id, Model.role == "in-use")
        judgement = session.scalar(query)
        if judgement is None:
            raise ProblemError(404, "not-judged", "The model in use has not judged this image yet. Ask again later.")
        append(session, person.actor, "study-result-read", f"study {image.study_id}")
        return Result(
            image=image_id,
            study=image.study_id,
            priority=judgement.priority,
            code=judgement.code,
            reason=judgement.reason,
            finding=most_probable(judgement),
            probabilities=judgement.probabilities,
            gate_accepted=judgement.gate_accepted,
            reservations=judgement.reservations,
            model=judgement.model.name,
            model_version=judgement.model.version,
            judged_at=judgement.at,
        )


@router.get("/studies", responses=ERRORS, summary="The worklist")
def worklist(
    site: AskedSite,
    person: Annotated[Person, Depends(scope("worklist"))],  # noqa: ARG001
    state: StudyState | None = None,
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Worklist:
    """Return studies in the order in which they are to be read. Scope: worklist."""
    with reading(site.engine) as session:
        mode = mode_of(session)
        order: Sort = "priority" if mode == "live" else "oldest"
        studies, following = page_of(session, Wanted(state=state or "", sort=order, after=after), count=limit)
        return Worklist(mode=mode, studies=[_line(site, study, mode) for study in studies], after=following)


@router.get("/studies/{study_id}/verdicts", responses=ERRORS, summary="The verdicts on a study")
def verdicts_of(
    study_id: Number,
    site: AskedSite,
    person: Annotated[Person, Depends(scope("verdicts"))],
) -> list[GivenVerdict]:
    """Return the verdicts on a study, oldest first. Scope: verdicts.

    In silence a reader's token gets them after the reader's own verdict; an administrator's gets them at once.
    """
    with reading(site.engine) as session:
        _existing(session, Study, study_id)
        # Whether others agree with the model tells what it says. Who runs the site sees all verdicts in any case.
        told = person.role == "administrator" or mode_of(session) == "live" or has_verdict(session, study_id, person)
        if not told:
            raise ProblemError(409, "silent", "The site is silent: verdicts are told after the account's own verdict.")
        query = select(Verdict).where(Verdict.study_id == study_id).order_by(Verdict.id)
        return [_given(verdict) for verdict in session.scalars(query)]


@router.get("/verdicts", responses=ERRORS, summary="All verdicts")
def all_verdicts(
    site: AskedSite,
    person: Annotated[Person, Depends(scope("verdicts"))],
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> list[GivenVerdict]:
    """Return all verdicts, oldest first, after the one with a number. Scope: verdicts.

    It needs a token of an administrator: in silence, readers are not told what others decided.
    """
    if person.role != "administrator":
        raise ProblemError(403, "not-allowed", "All verdicts are told to an administrator's token only.")
    with reading(site.engine) as session:
        query = select(Verdict).where(Verdict.id > after).order_by(Verdict.id).limit(limit)
        return [_given(verdict) for verdict in session.scalars(query)]


@router.post("/studies/{study_id}/verdicts", responses=ERRORS, status_code=201, summary="Give a verdict")
def new_verdict(
    study_id: Number, new: NewVerdict, site: AskedSite, person: Annotated[Person, Depends(scope("verdicts"))]
) -> GivenVerdict:
    """Keep a verdict of the token's account. Scope: verdicts."""
    with reading(site.engine) as session:
        _existing(session, Study, study_id)
        described = described_in_use(site, session)
    verdict = give_verdict(
        site.engine,
        study_id,
        account_id=person.account_id,
        actor=person.actor,
        finding=new.finding,
        note=new.note,
        findings=() if described is None else described.findings,
    )
    return _given(verdict)


@router.get("/mode", responses=ERRORS, summary="Silent or live")
def mode(site: AskedSite, person: Annotated[Person, Depends(program)]) -> dict[str, Mode]:  # noqa: ARG001
    """Return the mode of the site. Any token will do."""
    with reading(site.engine) as session:
        return {"mode": mode_of(session)}


def _line(site: Site, study: Study, mode: Mode) -> StudyLine:
    always: dict[str, Any] = {
        "id": study.id,
        "state": study.state,
        "source": study.source,
        "arrived_at": study.arrived_at,
        "waited_minutes": round(max(0.0, (now() - study.arrived_at).total_seconds() / 60), 2),
    }
    if mode == "silent":
        return StudyLine(**always)
    return StudyLine(
        **always,
        priority=study.priority,
        target_minutes=site.settings.targets.minutes(study.priority),
        finding=study.finding,
        probability=study.probability,
        code=study.code,
        judged_at=study.judged_at,
    )


def _given(verdict: Verdict) -> GivenVerdict:
    return GivenVerdict(
        id=verdict.id,
        study=verdict.study_id,
        kind=verdict.kind,
        finding=verdict.finding,
        blind=verdict.blind,
        at=verdict.at,
    )


def _require_live(session: Session) -> None:
    if mode_of(session) == "silent":
        raise ProblemError(409, "silent", "The site is silent: answers are shown on its pages, after a verdict.")


def _existing(session: Session, table: type[Any], number: int) -> Any:
    row = session.get(table, number)
    if row is None:
        raise ProblemError(404, "not-found", f"There is no such {table.__tablename__}.")
    return row
