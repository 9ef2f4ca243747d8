"""Tokens: what a program shows instead of a password, each for some scopes and some time."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import get_args

from sqlalchemy import Engine, select

from carina.errors import ConfigurationError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.people.logins import Person, token_hash
from carina.service.people.people_tables import Account, Scope, Token

SCOPES: tuple[str, ...] = get_args(Scope)
PREFIX = "carina_"
LONGEST_DAYS = 366


def add_token(engine: Engine, account_id: int, label: str, scopes: Sequence[str], days: int, *, by: str) -> str:
    """Return a new token. It is shown once: only its hash is kept.

    Raises
    ------
    ConfigurationError
        If there are no such scopes, no label, no such account, or it would last too long.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        msg = f"A token has some of these scopes: {', '.join(SCOPES)}. Received: {', '.join(scopes) or 'none'}."
        raise ConfigurationError(msg)
    if not 1 <= days <= LONGEST_DAYS:
        msg = f"A token lasts from 1 to {LONGEST_DAYS} days. Received: {days}."
        raise ConfigurationError(msg)
    if not label.strip() or len(label) > 64:
        msg = "Say in at most 64 characters what the token is for, such as: PACS worklist."
        raise ConfigurationError(msg)
    secret = PREFIX + secrets.token_urlsafe(32)
    with writing(engine) as session:
        account = session.get(Account, account_id)
        if account is None or not account.active:
            msg = f"There is no active account {account_id}. A token belongs to an account that may log in."
            raise ConfigurationError(msg)
        token = Token(
            token_hash=token_hash(secret),
            label=label.strip(),
            account_id=account_id,
            scopes=sorted(set(scopes)),
            created_at=now(),
            expires_at=now() + timedelta(days=days),
        )
        session.add(token)
        session.flush()
        append(session, by, "token-added", f"token {token.id}", {"scopes": token.scopes, "days": days})
    return secret


def end_token(engine: Engine, token_id: int, *, by: str) -> None:
    """End a token now."""
    with writing(engine) as session:
        token = session.get(Token, token_id)
        if token is not None and token.ended_at is None:
            token.ended_at = now()
            append(session, by, "token-ended", f"token {token_id}")


def person_of_token(engine: Engine, secret: str) -> Person | None:
    """Return whose token it is and what it may do; none if it has ended or never was."""
    if not secret.startswith(PREFIX) or len(secret) > 128:
        return None
    with reading(engine) as session:
        token = session.scalar(select(Token).where(Token.token_hash == token_hash(secret)))
        if token is None or token.ended_at is not None or now() >= token.expires_at or not token.account.active:
            return None
        account = token.account
        return Person(account.id, account.name, account.role, scopes=frozenset(token.scopes), token_id=token.id)
