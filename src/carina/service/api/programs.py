"""Which program asks, and what its token allows."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from carina.service.people.logins import Person
from carina.service.people.people_tables import Scope
from carina.service.people.tokens import person_of_token
from carina.service.web.asking import AskedSite, note_refusal
from carina.service.web.problems import ProblemError

_bearer = HTTPBearer(auto_error=False, description="A token from the page *Administration*.")


def program(site: AskedSite, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Person:
    """Return whose token was sent.

    Raises
    ------
    ProblemError
        If none was, or it has ended.
    """
    person = None if sent is None else person_of_token(site.engine, sent.credentials)
    if person is None:
        raise ProblemError(401, "token-needed", "Send a token that has not ended: Authorization: Bearer carina_...")
    return person


def scope(wanted: Scope) -> Callable[..., Person]:
    """Return what gives the program that asks, if its token has a scope."""

    def asking(request: Request, person: Annotated[Person, Depends(program)]) -> Person:
        if person.scopes is None or wanted not in person.scopes or person.role == "auditor":
            note_refusal(request, person, "scope-missing")
            raise ProblemError(403, "scope-missing", f"This token does not have the scope {wanted}.")
        return person

    return asking
