"""Logging in and out: a browser gets a cookie, and the cookie is somebody for a while.

A session ends after half an hour without use and after twelve hours in any case. A new login gives a new cookie, so
that a cookie which somebody planted in a browser is never logged in.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from carina.errors import CarinaError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.people.passwords import matches
from carina.service.people.people_tables import Account, LoginSession, Role
from carina.service.people.throttle import (
    WINDOW,
    device_cookie,
    forget_failures,
    is_news,
    known_device,
    must_wait,
    note_failure,
)

# Of an account that logs in by an identity provider alone: no password has this hash.
NO_PASSWORD = "!"  # noqa: S105
# So long after a login at the provider something weighty may be done.
FRESH = timedelta(minutes=10)
IDLE, ABSOLUTE = timedelta(minutes=30), timedelta(hours=12)
# Writing on every request would make readers wait for each other.
_NOTED_EVERY = timedelta(minutes=1)
_TOO_MANY = f"Too many logins failed. Wait {round(WINDOW.total_seconds() / 60)} minutes, or ask an administrator."
# Instead of a browser that the account knows.
_IN_SESSION = "session"


class LoginRefusedError(CarinaError):
    """Name and password do not belong together, or there were too many attempts."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks.

    Attributes
    ----------
    scopes
        What a program with a token may do; none for a person in a browser.
    csrf
        What the forms of this session send along; empty for a program.
    """

    account_id: int
    name: str
    role: Role
    csrf: str = ""
    scopes: frozenset[str] | None = None
    token_id: int | None = None

    @property
    def actor(self) -> str:
        """Return who it is for the audit log."""
        return f"account {self.account_id}" if self.token_id is None else f"token {self.token_id}"


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What a browser keeps after a login: the session's cookie, and the one by which the account knows it again."""

    cookie: str
    device: str
    account_id: int


def log_in(engine: Engine, name: str, password: str, *, address: str, device: str | None, old: str | None) -> LoggedIn:
    """Return the cookies of a new session.

    Parameters
    ----------
    address
        Where the browser is.
    device, old
        The cookies that it has: of an earlier login, and of a session, which ends.

    Raises
    ------
    LoginRefusedError
        If name and password do not belong together, the account is not active, or there were too many attempts.
    """
    name = name.strip().lower()[:64]
    # The password is checked outside any transaction that others wait for: that takes a tenth of a second.
    with writing(engine) as session:
        known = known_device(session, name, device)
        waits = must_wait(session, name, address, known)
        if not waits:
            # Counted before it is looked at: many attempts at the same moment do not all slip through.
            note_failure(session, name, address, known)
        elif is_news(name, address):
            account_id = session.scalar(select(Account.id).where(Account.name == name))
            append(session, "somebody", "login-throttled", "" if account_id is None else f"account {account_id}")
    if waits:
        raise LoginRefusedError(_TOO_MANY)
    with reading(engine) as session:
        account = session.scalar(select(Account).where(Account.name == name))
        kept = account.password_hash if account is not None and account.active else None
        tried = "" if account is None else f"account {account.id}"
    right = matches(kept, password)
    with writing(engine) as session:
        account = session.scalar(select(Account).where(Account.name == name, Account.active)) if right else None
        # It may have been changed in between.
        if account is None or account.password_hash != kept:
            append(session, "somebody", "login-failed", tried)
            refused = True
        else:
            refused = False
            forget_failures(session, name, address, known)
            logged_in = begin_session(session, account, old)
    if refused:
        msg = "Name and password do not belong together, or the account is not active."
        raise LoginRefusedError(msg)
    return logged_in


def begin_session(session: Session, account: Account, old: str | None) -> LoggedIn:
    """Return the cookies of a new session of an account; the session that the browser had, `old`, ends."""
    if old:
        session.execute(delete(LoginSession).where(LoginSession.token_hash == token_hash(old)))
    session.execute(delete(LoginSession).where(LoginSession.expires_at <= now()))
    cookie = secrets.token_urlsafe(32)
    session.add(
        LoginSession(
            token_hash=token_hash(cookie),
            account_id=account.id,
            created_at=now(),
            last_seen_at=now(),
            expires_at=now() + ABSOLUTE,
            csrf=secrets.token_urlsafe(32),
        )
    )
    append(session, f"account {account.id}", "login")
    return LoggedIn(cookie, device_cookie(session, account.name), account.id)


def person_of(engine: Engine, cookie: str | None, *, noted: bool = True) -> Person | None:
    """Return who a session's cookie is; none if it has ended or never was.

    Parameters
    ----------
    noted
        Whether this counts as a use of the session, so that it lasts longer.
    """
    if not cookie or len(cookie) > 128:
        return None
    with reading(engine) as session:
        found = session.get(LoginSession, token_hash(cookie))
        if found is None or not _lasts(found):
            return None
        account = found.account
        person = Person(account.id, account.name, account.role, found.csrf)
        stale = noted and now() - found.last_seen_at > _NOTED_EVERY
    if stale:
        with writing(engine) as session:
            again = session.get(LoginSession, token_hash(cookie))
            if again is not None:
                again.last_seen_at = now()
    return person


def log_out(engine: Engine, cookie: str, person: Person) -> None:
    """End a session."""
    with writing(engine) as session:
        session.execute(delete(LoginSession).where(LoginSession.token_hash == token_hash(cookie)))
        append(session, person.actor, "logout")


def same_csrf(person: Person, sent: str | None) -> bool:
    """Return whether a form was sent from a page of this very session."""
    return bool(person.csrf) and hmac.compare_digest(person.csrf.encode(), (sent or "").encode())


def require_password(engine: Engine, person: Person, password: str) -> None:
    """Ask somebody who is logged in for their password, as before something weighty; failures count as at a login.

    Who logs in by an identity provider has no password here, and must have logged in within the last minutes.

    Raises
    ------
    LoginRefusedError
        If it is another one, there were too many attempts, or the login at the provider is too long ago.
    """
    if not has_password(engine, person.account_id):
        _require_fresh(engine, person)
        return
    # Counted by the account alone: whoever sits at the open page is in its own browser.
    with writing(engine) as session:
        waits = must_wait(session, person.name, "", _IN_SESSION)
        if not waits:
            note_failure(session, person.name, "", _IN_SESSION)
    if waits:
        raise LoginRefusedError(_TOO_MANY)
    with reading(engine) as session:
        account = session.get(Account, person.account_id)
        kept = None if account is None else account.password_hash
    if not matches(kept, password):
        with writing(engine) as session:
            append(session, person.actor, "password-wrong")
        msg = "This is not your own password. Nothing was changed. Type the password that you log in with."
        raise LoginRefusedError(msg)
    with writing(engine) as session:
        forget_failures(session, person.name, "", _IN_SESSION)


def has_password(engine: Engine, account_id: int) -> bool:
    """Return whether an account has a password, and is not one of an identity provider alone."""
    with reading(engine) as session:
        account = session.get(Account, account_id)
        return account is not None and account.password_hash != NO_PASSWORD


def _require_fresh(engine: Engine, person: Person) -> None:
    with reading(engine) as session:
        begun = session.scalar(select(LoginSession.created_at).where(LoginSession.csrf == person.csrf))
    if begun is None or not timedelta(0) <= now() - begun <= FRESH:
        minutes = round(FRESH.total_seconds() / 60)
        msg = (
            "Nothing was changed. You log in by an identity provider: log out and in again. Then you have "
            f"{minutes} minutes for this."
        )
        raise LoginRefusedError(msg)


def token_hash(secret: str) -> str:
    """Return what is kept of a cookie or a token."""
    return hashlib.sha256(secret.encode("utf-8", "backslashreplace")).hexdigest()


def _lasts(session: LoginSession) -> bool:
    time = now()
    # A clock that was set back makes no session older than it is.
    return session.account.active and time < session.expires_at and time - session.last_seen_at < IDLE
