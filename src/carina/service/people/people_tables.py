"""The tables of people: accounts and how they log in, the verdicts that they give, the settings that they change."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from carina.service.database.base import Base, JsonValue
from carina.service.database.study_tables import one_of

Role = Literal["reader", "administrator", "auditor"]
VerdictKind = Literal["agree", "other", "cannot-tell"]
Scope = Literal["submit", "status", "result", "worklist", "verdicts", "metrics"]


class Account(Base):
    """A person who may log in.

    Attributes
    ----------
    name
        As it is typed to log in, in lower case.
    password_hash
        Argon2id, with its parameters and salt.
    subject
        SHA-256 of issuer and subject of whoever logs in by an identity provider; null with a password.
    """

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    role: Mapped[Role] = mapped_column(one_of(Role, "role"))
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    subject: Mapped[str | None] = mapped_column(String(64), unique=True)


class OidcLogin(Base):
    """A login that a browser has begun at an identity provider. It is used once.

    Attributes
    ----------
    state_hash, browser_hash
        SHA-256 of what the provider gives back, and of the browser's cookie.
    nonce, verifier
        What the provider's token must hold, and by which the code is exchanged (PKCE).
    to
        The path that is shown afterwards.
    """

    __tablename__ = "oidc_login"
    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    browser_hash: Mapped[str] = mapped_column(String(64))
    nonce: Mapped[str] = mapped_column(String(128))
    verifier: Mapped[str] = mapped_column(String(128))
    to: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[datetime] = mapped_column(index=True)


class LoginSession(Base):
    """A browser that is logged in.

    Attributes
    ----------
    token_hash
        SHA-256 of what the cookie holds: who reads the database cannot use it.
    expires_at
        When it ends however much it is used.
    csrf
        What every form of this session must send along.
    """

    __tablename__ = "session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    csrf: Mapped[str] = mapped_column(String(64))

    account: Mapped[Account] = relationship(lazy="joined")


class LoginAttempt(Base):
    """A login that failed. Names and addresses are kept as hashes: people type passwords into the wrong field."""

    __tablename__ = "login_attempt"
    id: Mapped[int] = mapped_column(primary_key=True)
    name_hash: Mapped[str] = mapped_column(String(64))
    address_hash: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (
        Index("ix_login_attempt_by_address", "address_hash", "at"),
        Index("ix_login_attempt_by_name", "name_hash", "at"),
    )


class Token(Base):
    """What a program shows instead of a password."""

    __tablename__ = "token"
    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    scopes: Mapped[list[str]] = mapped_column(JsonValue)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    account: Mapped[Account] = relationship(lazy="joined")


class Verdict(Base):
    """What a reader says of a study. None is ever changed: a reader who changes their mind gives another one.

    Attributes
    ----------
    kind
        Whether the reader agrees with the model, names another finding, or cannot tell. In silent mode the reader names
        a finding without having seen the model's answer, and the kind follows from it.
    finding
        What the reader sees; null where they cannot tell.
    model_id, image_id
        Whose answer it is set against, and to which image; null where none had judged the study yet. An image that
        comes later may be more urgent: the answer to that one is not what the reader was asked about.
    blind
        Whether the model's answer was hidden until the verdict was given.
    seconds
        From opening the study to the verdict.
    """

    __tablename__ = "verdict"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    kind: Mapped[VerdictKind] = mapped_column(one_of(VerdictKind, "kind"))
    finding: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text, default="")
    model_id: Mapped[int | None] = mapped_column(ForeignKey("model.id"))
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id"))
    blind: Mapped[bool]
    seconds: Mapped[float | None]


class Setting(Base):
    """A setting that people change while the site runs. The audit log holds what it was before."""

    __tablename__ = "setting"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JsonValue)
    changed_at: Mapped[datetime]
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
