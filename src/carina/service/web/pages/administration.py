"""Accounts and tokens."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from sqlalchemy import func, select
from starlette.responses import RedirectResponse, Response

from carina.errors import ConfigurationError
from carina.service.database.base import now
from carina.service.database.sessions import reading
from carina.service.intake.poll import last_asked
from carina.service.notices.notice_tables import Notice
from carina.service.notices.queue import webhook_key
from carina.service.people.accounts import ROLES, add_account, change_account
from carina.service.people.logins import LoginRefusedError, Person, has_password, require_password
from carina.service.people.people_tables import Account, Role, Token
from carina.service.people.tokens import LONGEST_DAYS, SCOPES, add_token, end_token
from carina.service.web.asking import Administrator, AskedSite, FormNumber, Number, PostingAdministrator, page

router = APIRouter()


@router.get("/administration")
def show_administration(request: Request, site: AskedSite, person: Administrator) -> Response:
    """Return the page."""
    return _shown(request, site, person)


@router.post("/administration/accounts")
def new_account(
    request: Request,
    site: AskedSite,
    person: PostingAdministrator,
    name: Annotated[str, Form(max_length=100)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    role: Annotated[str, Form(max_length=20)] = "",
    own: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Add an account."""
    try:
        require_password(site.engine, person, own)
        add_account(site.engine, name, password, role, by=person.actor)  # type: ignore[arg-type]  # it checks the role
    except (ConfigurationError, LoginRefusedError) as error:
        return _shown(request, site, person, problem=str(error), status=400)
    return RedirectResponse("/administration", 303)


@router.post("/administration/accounts/{account_id}")
def other_account(
    account_id: Number,
    request: Request,
    site: AskedSite,
    person: PostingAdministrator,
    role: Annotated[Role | None, Form()] = None,
    active: Annotated[bool | None, Form()] = None,
    password: Annotated[str, Form(max_length=1000)] = "",
    own: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Change the role of an account, let it rest, or give it another password. Its sessions end."""
    try:
        require_password(site.engine, person, own)
        change_account(site.engine, account_id, by=person.actor, role=role, active=active, password=password or None)
    except (ConfigurationError, LoginRefusedError) as error:
        return _shown(request, site, person, problem=str(error), status=400)
    return RedirectResponse("/administration", 303)


@router.post("/administration/tokens")
def new_token(
    request: Request,
    site: AskedSite,
    person: PostingAdministrator,
    account: FormNumber,
    label: Annotated[str, Form(max_length=200)] = "",
    scopes: Annotated[list[str] | None, Form()] = None,
    days: FormNumber = 90,
) -> Response:
    """Make a token and show it, this one time."""
    try:
        token = add_token(site.engine, account, label, scopes or [], days, by=person.actor)
    except ConfigurationError as error:
        return _shown(request, site, person, problem=str(error), status=400)
    return _shown(request, site, person, token=token)


@router.post("/administration/tokens/{token_id}/end")
def ended_token(token_id: Number, site: AskedSite, person: PostingAdministrator) -> Response:
    """End a token."""
    end_token(site.engine, token_id, by=person.actor)
    return RedirectResponse("/administration", 303)


def _shown(
    request: Request, site: AskedSite, person: Person, *, problem: str = "", token: str = "", status: int = 200
) -> Response:
    with reading(site.engine) as session:
        facts: dict[str, Any] = {
            "accounts": session.scalars(select(Account).order_by(Account.name)).all(),
            "tokens": session.scalars(select(Token).order_by(Token.id.desc()).limit(200)).all(),
            "asked": last_asked(session),
            "webhook_key": webhook_key(session),
            "notices": dict(list(session.execute(select(Notice.state, func.count()).group_by(Notice.state)))),
        }
    facts |= {"roles": ROLES, "scopes": SCOPES, "longest_days": LONGEST_DAYS, "at": now(), "settings": site.settings}
    facts["asks_password"] = has_password(site.engine, person.account_id)
    return page(request, "administration.html", person, {**facts, "problem": problem, "token": token}, status=status)
