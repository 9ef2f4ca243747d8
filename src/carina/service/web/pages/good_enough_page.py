"""*Is it good enough here?* The model against the site's own readers, and the switch between silent and live."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from carina.errors import ConfigurationError
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Judgement, Model
from carina.service.described import describe
from carina.service.mode import Mode, change_mode
from carina.service.people.people_tables import Setting, Verdict
from carina.service.verdicts import reader_names
from carina.service.web.asking import AskedSite, PostingAdministrator, Reader, page

if TYPE_CHECKING:
    from carina.service.good_enough import SiteFigures

router = APIRouter()
_KEPT = 16


@router.get("/good-enough")
def show_figures(request: Request, site: AskedSite, person: Reader, model: int | None = None) -> Response:
    """Return the page: of the model in use, or of one that judges in silence."""
    return _shown(request, site, person, model=model)


@router.post("/mode")
def switch_mode(
    request: Request,
    site: AskedSite,
    person: PostingAdministrator,
    mode: Annotated[Mode, Form()],
    reason: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Make the site live, or silent again."""
    try:
        change_mode(site.engine, mode, reason, account_id=person.account_id)
    except ConfigurationError as error:
        return _shown(request, site, person, problem=str(error), status=400)
    return RedirectResponse("/good-enough", 303)


def _shown(
    request: Request, site: AskedSite, person: Reader, *, model: int | None = None, problem: str = "", status: int = 200
) -> Response:
    with reading(site.engine) as session:
        models = session.scalars(select(Model).where(Model.role != "retired").order_by(Model.role, Model.id)).all()
        chosen = next((each for each in models if each.id == model), models[0] if models else None)
        described = None if chosen is None else describe(site, chosen)
        figures: SiteFigures | None = None
        if described is not None and described.run is not None:
            asked = _asked(session, described.model_id)
            kept: dict[tuple[int, ...], SiteFigures] = getattr(request.app.state, "figures", {})
            figures = kept.get(asked)
            if figures is None:
                # Here, for it brings SciPy and Polars: 85 MB that the process of a reading room need not have.
                from carina.service.good_enough import measure_site  # noqa: PLC0415

                figures = measure_site(session, described.model_id, described.run.policy, described.learned)
                latest = [*kept.items()][-_KEPT:]
                request.app.state.figures = {**dict(latest), asked: figures}
        mode_set = session.get(Setting, "mode")
        names = reader_names(session)
    facts = {"models": models, "chosen": chosen, "figures": figures, "described": described, "problem": problem}
    return page(request, "good_enough.html", person, {**facts, "mode_set": mode_set, "names": names}, status=status)


def _asked(session: Session, model_id: int) -> tuple[int, ...]:
    """Return what figures depend on: the model, the verdicts, and its judgements of the studies that have one."""
    last = session.scalar(select(func.max(Verdict.id))) or 0
    judged = (
        select(func.count(), func.coalesce(func.sum(Judgement.id), 0))
        .join(Image, Image.id == Judgement.image_id)
        .where(Judgement.model_id == model_id, Image.study_id.in_(select(Verdict.study_id)))
    )
    count, numbers = session.execute(judged).one()
    return model_id, last, int(count), int(numbers)
