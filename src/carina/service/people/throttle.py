"""Logins that failed are counted, so that nobody can guess passwords, and nobody can lock others out.

A browser in which an account has logged in before keeps a cookie that says so, and has a count of its own: what others
try, from the same address or elsewhere, never stops it. All other browsers share the counts of their address and of the
account.

Source: OWASP, "Slow Down Online Guessing Attacks with Device Cookies".
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from carina.service.database.base import now
from carina.service.people.people_tables import LoginAttempt, Setting

WINDOW = timedelta(minutes=15)
# Of one account in one browser or at one address; of one address; of one account everywhere.
FOR_PAIR, FOR_ADDRESS, FOR_NAME = 5, 30, 100
_TOLD_EVERY = timedelta(minutes=1)
# Of names and addresses in a minute; many more are one attack.
_MOST_TOLD = 1000
_told: dict[tuple[str, str], datetime] = {}
_SECRET = "device-secret"  # noqa: S105  # the name under which it is kept


def must_wait(session: Session, name: str, address: str, device: str | None) -> bool:
    """Return whether no further login is looked at for now.

    Parameters
    ----------
    device
        What `known_device` returned: of a browser that the account knows; none of any other.
    """
    of_name = LoginAttempt.name_hash == _hashed(name)
    of_place = LoginAttempt.address_hash == _hashed(device or address)

    def count(*which: Any) -> int:
        query = select(func.count()).select_from(LoginAttempt).where(LoginAttempt.at > now() - WINDOW, *which)
        return session.scalar(query) or 0

    if count(of_name, of_place) >= FOR_PAIR:
        return True
    return device is None and (count(of_place) >= FOR_ADDRESS or count(of_name) >= FOR_NAME)


def is_news(name: str, address: str) -> bool:
    """Return whether the audit log is to be told that a login was not looked at: once a minute for a name and address.

    Else whoever tries a thousand times a second would fill the disk with lines.
    """
    time, key = now(), (_hashed(name), _hashed(address))
    for old in [each for each, at in _told.items() if not timedelta(0) <= time - at < _TOLD_EVERY]:
        del _told[old]
    if key in _told or len(_told) >= _MOST_TOLD:
        return False
    _told[key] = time
    return True


def note_failure(session: Session, name: str, address: str, device: str | None) -> None:
    """Count a login that failed, and forget those that no longer count."""
    session.execute(delete(LoginAttempt).where(LoginAttempt.at <= now() - WINDOW))
    session.add(LoginAttempt(name_hash=_hashed(name), address_hash=_hashed(device or address), at=now()))


def forget_failures(session: Session, name: str, address: str, device: str | None) -> None:
    """Forget the failures of an account in a browser or at an address: it has logged in there."""
    session.execute(
        delete(LoginAttempt).where(
            LoginAttempt.name_hash == _hashed(name), LoginAttempt.address_hash == _hashed(device or address)
        )
    )


def device_cookie(session: Session, name: str) -> str:
    """Return what a browser keeps in which an account has logged in."""
    number = secrets.token_urlsafe(18)
    return f"{number}.{_signed(session, name, number)}"


def known_device(session: Session, name: str, cookie: str | None) -> str | None:
    """Return by what the failures of this browser are counted; none if the account has not logged in with it."""
    number, _, signature = (cookie or "").partition(".")
    if not number or not hmac.compare_digest(signature.encode(), _signed(session, name, number).encode()):
        return None
    return f"device {number}"


def _signed(session: Session, name: str, number: str) -> str:
    kept = session.get(Setting, _SECRET)
    if kept is None:
        kept = Setting(key=_SECRET, value=secrets.token_hex(32), changed_at=now(), changed_by=None)
        session.add(kept)
        session.flush()
    return hmac.new(bytes.fromhex(kept.value), f"{_hashed(name)} {number}".encode(), "sha256").hexdigest()


def _hashed(word: str) -> str:
    return hashlib.sha256(word.strip().lower().encode("utf-8", "backslashreplace")).hexdigest()
