"""*Models*: which judge here, two of them side by side, and models that are fitted to the site's own verdicts."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy import select
from starlette.responses import RedirectResponse, Response

from carina.errors import ConfigurationError
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Model
from carina.service.described import describe
from carina.service.fitting.fitting_orders import KINDS, ask_for_fitting, fittings
from carina.service.fitting.fitting_report import FittingReport
from carina.service.mode import change_model, retire_model
from carina.service.people.logins import Person
from carina.service.verdicts import reader_names
from carina.service.web.asking import LARGEST, Administrator, AskedSite, Number, PostingAdministrator, page

if TYPE_CHECKING:
    from carina.service.comparing import SideBySide

router = APIRouter()
Reason = Annotated[str, Form(max_length=2000)]


@router.get("/models")
def show_models(
    request: Request,
    site: AskedSite,
    person: Administrator,
    challenger: Annotated[int | None, Query(gt=0, le=LARGEST)] = None,
) -> Response:
    """Return the page; with a challenger it is set beside the model in use."""
    return _shown(request, site, person, challenger=challenger)


@router.post("/models/fit")
def ask_to_fit(
    request: Request,
    site: AskedSite,
    person: PostingAdministrator,
    kind: Annotated[str, Form(max_length=20)] = "",
    model: Annotated[int, Form(ge=0, le=LARGEST)] = 0,
    reason: Reason = "",
) -> Response:
    """Ask for a model that is fitted to the site's verdicts; a worker does it."""
    ask = partial(ask_for_fitting, site.engine, kind, reason, model_id=model, account_id=person.account_id)
    return _changed(request, site, person, ask, to="/models#fittings")


@router.post("/models/{model_id}/{change}")
def change(
    model_id: Number,
    change: Literal["use", "retire"],
    request: Request,
    site: AskedSite,
    person: PostingAdministrator,
    reason: Reason = "",
) -> Response:
    """Take a model that judged in silence into use, the one before judges on in silence; or let it judge no more."""
    do = change_model if change == "use" else retire_model
    then = partial(do, site.engine, model_id, reason, account_id=person.account_id)
    return _changed(request, site, person, then, challenger=model_id)


def _changed(
    request: Request,
    site: AskedSite,
    person: Person,
    change: Callable[[], object],
    *,
    to: str = "/models",
    challenger: int | None = None,
) -> Response:
    """Make a change, and lead to the page; or show the page with why it was refused."""
    try:
        change()
    except ConfigurationError as error:
        return _shown(request, site, person, challenger=challenger, problem=str(error), status=400)
    return RedirectResponse(to, 303)


def _shown(
    request: Request,
    site: AskedSite,
    person: Person,
    *,
    challenger: int | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    side: SideBySide | None = None
    with reading(site.engine) as session:
        models = session.scalars(select(Model).order_by(Model.role, Model.id)).all()
        in_use = next((model for model in models if model.role == "in-use"), None)
        other = next((model for model in models if model.id == challenger and model.role == "silent"), None)
        if in_use is not None and other is not None:
            # Here, for it brings SciPy; see `good_enough_page`.
            from carina.service.comparing import compare_models  # noqa: PLC0415

            side = compare_models(session, describe(site, in_use), describe(site, other))
        asked = fittings(session)
        names = reader_names(session)
    reports = {one.id: FittingReport.model_validate(one.report) for one in asked if one.report is not None}
    facts: dict[str, Any] = {"models": models, "in_use": in_use, "challenger": other, "side": side, "kinds": KINDS}
    facts |= {"fittings": asked, "reports": reports, "names": names, "problem": problem}
    facts["by_number"] = {model.id: model for model in models}
    return page(request, "models.html", person, facts, status=status)
