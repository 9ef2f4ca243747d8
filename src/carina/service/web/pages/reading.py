"""The reading page: a radiograph, what the model says of it, and the reader's verdict."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Judgement, Study
from carina.service.described import Described, described_in_use
from carina.service.mode import Mode, mode_of
from carina.service.studies import next_study, priors_of
from carina.service.verdicts import (
    ANOTHER_FINDING,
    LONGEST_NOTE,
    answer_of,
    give_verdict,
    latest_verdicts,
    most_probable,
    open_study,
    reader_names,
)
from carina.service.web.asking import LARGEST, AskedSite, Number, PostingReader, Reader, page
from carina.service.web.pages.image_parts import has_verdict
from carina.service.web.viewers import viewer_links

router = APIRouter()


@router.get("/studies/{study_id}")
def show_study(study_id: Number, request: Request, site: AskedSite, person: Reader) -> Response:
    """Return the page of a study, and note who opened it."""
    open_study(site.engine, study_id, account_id=person.account_id)
    with reading(site.engine) as session:
        study = session.get_one(Study, study_id)
        mode = mode_of(session)
        described = described_in_use(site, session)
        facts: dict[str, Any] = {
            "study": study,
            "images": _shown_first(study, by_model=mode == "live"),
            "priors": _priors(session, study, by_model=mode == "live"),
            "described": described,
            "answer": None,
            "another": ANOTHER_FINDING,
            "verdicts": latest_verdicts(session, study_id),
            "names": reader_names(session),
            "links": viewer_links(site.settings.viewers, study),
            "longest": LONGEST_NOTE,
            "following": _following(session, mode, study_id),
            "given": has_verdict(session, study_id, person),
        }
        facts["hidden"] = mode == "silent" and not facts["given"]
        if not facts["hidden"]:
            facts["answer"] = _answer(answer_of(session, study), described)
        # A reader who has not decided yet is not told what others decided.
        if not facts["given"]:
            facts["verdicts"] = ()
        return page(request, "reading.html", person, facts)


@router.post("/studies/{study_id}/verdict")
def take_verdict(
    study_id: Number,
    site: AskedSite,
    person: PostingReader,
    finding: Annotated[str, Form(max_length=200)],
    note: Annotated[str, Form()] = "",
    newest: Annotated[int | None, Form(gt=0, le=LARGEST)] = None,
) -> Response:
    """Keep a verdict. Live, the next study follows at once; in silent mode the model's answer comes first."""
    with reading(site.engine) as session:
        described = described_in_use(site, session)
        mode = mode_of(session)
    give_verdict(
        site.engine,
        study_id,
        account_id=person.account_id,
        actor=person.actor,
        finding=finding or None,
        note=note,
        findings=() if described is None else described.findings,
        newest=newest,
    )
    if mode == "silent":
        return RedirectResponse(f"/studies/{study_id}", 303)
    with reading(site.engine) as session:
        following = _following(session, mode, study_id)
    return RedirectResponse("/worklist" if following is None else f"/studies/{following}", 303)


def _following(session: Session, mode: Mode, study_id: int) -> int | None:
    return next_study(session, "priority" if mode == "live" else "oldest", but=study_id)


def _shown_first(study: Study, *, by_model: bool) -> list[Image]:
    """Return the images of a study, the one that gave its priority first; in silence by arrival alone."""
    first = study.image_id if by_model else None
    return sorted(study.images, key=lambda image: (image.id != first, image.id))


def _priors(session: Session, study: Study, *, by_model: bool) -> list[tuple[Study, list[Image]]]:
    return [(prior, _shown_first(prior, by_model=by_model)) for prior in priors_of(session, study)]


def _answer(judgement: Judgement | None, described: Described | None) -> dict[str, Any] | None:
    if judgement is None:
        return None
    flag, threshold = "", None
    if described is not None and described.run is not None:
        flag, threshold = described.run.policy.flag_finding, described.run.operating_point.threshold
    return {"judgement": judgement, "finding": most_probable(judgement), "flag": flag, "threshold": threshold}
