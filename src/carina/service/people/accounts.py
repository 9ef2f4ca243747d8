"""Accounts are added and changed. Each change is a line of the audit log."""

import re
from typing import get_args

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from carina.errors import ConfigurationError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.people.passwords import hash_password
from carina.service.people.people_tables import Account, LoginSession, Role, Token

ROLES: tuple[Role, ...] = get_args(Role)
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")


def add_account(engine: Engine, name: str, password: str, role: Role, *, by: str = "system") -> int:
    """Return the number of a new account.

    Parameters
    ----------
    name
        Letters of the English alphabet, digits, ``. _ - @``; upper case counts as lower case.
    by
        Who adds it, for the audit log.

    Raises
    ------
    ConfigurationError
        If the name or the role cannot be used, the name is taken, or the password is too weak.
    """
    name = name.strip().lower()
    if not NAME.fullmatch(name):
        msg = (
            "The name of an account begins with a letter or a digit, and has at most 63 letters (a to z), digits and "
            f". _ - @. Received: {name!r}."
        )
        raise ConfigurationError(msg)
    if role not in ROLES:
        msg = f"There is no role {role!r}. Choose one of: {', '.join(ROLES)}."
        raise ConfigurationError(msg)
    kept = hash_password(password, name)
    with writing(engine) as session:
        if session.scalar(select(Account.id).where(Account.name == name)) is not None:
            msg = f"There is an account {name} already. Choose another name, or change that account."
            raise ConfigurationError(msg)
        account = Account(name=name, password_hash=kept, role=role, active=True, created_at=now())
        session.add(account)
        session.flush()
        append(session, by, "account-added", f"account {account.id}", {"role": role})
        return account.id


def change_account(
    engine: Engine,
    account_id: int,
    *,
    by: str,
    role: Role | None = None,
    active: bool | None = None,
    password: str | None = None,
) -> None:
    """Change what is given of an account, and end its sessions: what it may do has changed.

    Raises
    ------
    ConfigurationError
        If there is no such account or role, the password is too weak, or no administrator would be left.
    """
    if role is not None and role not in ROLES:
        msg = f"There is no role {role!r}. Choose one of: {', '.join(ROLES)}."
        raise ConfigurationError(msg)
    kept = None if password is None else hash_password(password)
    with writing(engine) as session:
        account = session.get(Account, account_id)
        if account is None:
            msg = f"There is no account {account_id}."
            raise ConfigurationError(msg)
        was = {"role": account.role, "active": account.active}
        account.role = role or account.role
        account.active = account.active if active is None else active
        account.password_hash = kept or account.password_hash
        session.flush()
        _require_administrator(session)
        session.execute(delete(LoginSession).where(LoginSession.account_id == account_id))
        if not account.active:
            for token in session.scalars(select(Token).where(Token.account_id == account_id, Token.ended_at.is_(None))):
                token.ended_at = now()
        is_now = {"role": account.role, "active": account.active}
        append(
            *(session, by, "account-changed", f"account {account_id}"),
            {"was": was, "is": is_now, "new_password": kept is not None},
        )


def _require_administrator(session: Session) -> None:
    left = session.scalar(select(Account.id).where(Account.role == "administrator", Account.active).limit(1))
    if left is None:
        msg = "At least one administrator must stay active. Make another account an administrator first."
        raise ConfigurationError(msg)
