"""The audit log's table."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from carina.service.database.base import Base, JsonValue


class AuditEvent(Base):
    """A line of the audit log.

    Attributes
    ----------
    seq
        1, 2, 3 and so on without a gap: a line that is missing in between shows.
    actor
        ``account 3``, ``token 2``, ``system``, or ``somebody`` before a login. No names: they are in the accounts.
    action
        A word from `carina.service.audit_log.chain.ACTIONS`.
    subject
        Of which thing, by its number: ``study 12``. Empty where there is none. Never patient data.
    details
        What else is to be known, without patient data.
    previous, hash
        SHA-256 of the line before, and of this one with `previous` in it.
    """

    __tablename__ = "audit_event"
    seq: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False
    )
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(64), index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    subject: Mapped[str] = mapped_column(Text, index=True)
    details: Mapped[dict[str, Any]] = mapped_column(JsonValue)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
