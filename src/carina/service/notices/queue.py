"""Events are queued for each webhook, in the transaction in which they happen: what is undone is not told."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.database.study_tables import AT_ONCE
from carina.service.notices.notice_tables import Event, Notice
from carina.service.people.people_tables import Setting

_ADDRESSES, _KEY = "webhooks", "webhook-key"
_PREFIX = "whsec_"


def keep_addresses(engine: Engine, addresses: Sequence[str]) -> None:
    """Let the database know which webhooks there are; a new site gets the key by which notices are signed."""
    with writing(engine) as session:
        kept = session.get(Setting, _ADDRESSES)
        if kept is None and not addresses:
            return
        session.merge(Setting(key=_ADDRESSES, value=list(addresses), changed_at=now(), changed_by=None))
        if session.get(Setting, _KEY) is None:
            key = _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
            session.add(Setting(key=_KEY, value=key, changed_at=now(), changed_by=None))


def webhook_key(session: Session) -> str | None:
    """Return the key by which notices are signed, as the receiver has to know it; none without webhooks."""
    kept = session.get(Setting, _KEY)
    return None if kept is None else str(kept.value)


def queue_notice(session: Session, event: Event, data: Mapping[str, Any]) -> None:
    """Queue a notice for each webhook.

    Parameters
    ----------
    session
        To write with.
    data
        Numbers and words of Carina's own; never a word of a header, a name or a UID.
    """
    kept = session.get(Setting, _ADDRESSES)
    for address in () if kept is None else kept.value:
        session.add(Notice(event=event, data=dict(data), address=str(address), at=now(), due_at=AT_ONCE))
