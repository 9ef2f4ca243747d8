"""Deleting a study or a patient: an administrator says what and why, and confirms what nobody has read."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from carina.errors import ConfigurationError
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Study
from carina.service.deletion import delete_by_hand, not_read, studies_to_delete
from carina.service.people.logins import LoginRefusedError, Person, has_password, require_password
from carina.service.verdicts import NoSuchStudyError
from carina.service.web.asking import Administrator, AskedSite, Number, PostingAdministrator, page

router = APIRouter()


@router.get("/studies/{study_id}/delete")
def show_deleting(study_id: Number, request: Request, site: AskedSite, person: Administrator) -> Response:
    """Return the page."""
    return _shown(request, site, person, study_id)


@router.post("/studies/{study_id}/delete")
def delete(
    study_id: Number,
    request: Request,
    site: AskedSite,
    person: PostingAdministrator,
    reason: Annotated[str, Form(max_length=2000)] = "",
    whole: Annotated[bool, Form()] = False,  # a field of the form
    unread: Annotated[bool, Form()] = False,
    own: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Delete it."""
    try:
        require_password(site.engine, person, own)
        delete_by_hand(site, study_id, reason, whole_patient=whole, also_unread=unread, actor=person.actor)
    except NoSuchStudyError:
        raise
    except (ConfigurationError, LoginRefusedError) as error:
        return _shown(request, site, person, study_id, problem=str(error), status=400)
    return RedirectResponse("/worklist", 303)


def _shown(
    request: Request, site: AskedSite, person: Person, study_id: int, *, problem: str = "", status: int = 200
) -> Response:
    with reading(site.engine) as session:
        theirs = studies_to_delete(session, study_id, whole_patient=True)
        study = session.get_one(Study, study_id)
    facts: dict[str, Any] = {"study": study, "theirs": theirs, "unread": not_read(theirs), "problem": problem}
    facts["asks_password"] = has_password(site.engine, person.account_id)
    return page(request, "deleting.html", person, facts, status=status)
