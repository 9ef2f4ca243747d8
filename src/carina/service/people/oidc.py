"""Login by an identity provider (OpenID Connect), with Authlib: authorization code, PKCE, state and nonce.

The browser is led to the provider and comes back with a code. Only a browser that began here can end here: it keeps a
cookie, and what was begun is used once and for ten minutes. The account is known by issuer and subject, never by its
name, so that nobody becomes somebody else by a name at the provider.

Source: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9700 (best practice); RFC 9207 (issuer in the answer).
"""

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

import requests
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from carina.errors import ConfigurationError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.people.accounts import NAME, change_account
from carina.service.people.logins import NO_PASSWORD, LoggedIn, LoginRefusedError, begin_session, token_hash
from carina.service.people.people_tables import Account, OidcLogin, Role
from carina.service.site_settings import OidcSettings, is_private

LASTS = timedelta(minutes=10)
BACK_PATH = "/login/oidc/back"
_TIMEOUT_S = 10.0
_LONGEST = 1_000_000
_KEPT_S = 3600.0
_LEEWAY_S = 60
# With a shared secret, whoever may check a token could make one.
_ALGORITHMS = ("RS256", "PS256", "ES256")
_FAILED = "The login at your hospital's provider did not work"


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser is led, and the cookie by which it is known when it comes back."""

    url: str
    cookie: str


class Provider:
    """An identity provider. What it says of itself is asked for at the first login, and again after an hour."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._said: dict[str, Any] = {}
        self._keys: Any = None
        self._at = 0.0

    def begin(self, engine: Engine, to: str = "") -> Begun:
        """Return where a browser is led that wants to log in.

        Parameters
        ----------
        to
            A path of this site that is shown afterwards.

        Raises
        ------
        LoginRefusedError
            If the provider does not answer.
        """
        said = self._metadata()
        state, nonce, verifier, cookie = (secrets.token_urlsafe(48) for _ in range(4))
        with self._session() as client:
            url, _ = client.create_authorization_url(
                str(said["authorization_endpoint"]), state=state, code_verifier=verifier, nonce=nonce
            )
        with writing(engine) as session:
            session.execute(delete(OidcLogin).where(OidcLogin.expires_at <= now()))
            session.add(
                OidcLogin(
                    state_hash=token_hash(state),
                    browser_hash=token_hash(cookie),
                    nonce=nonce,
                    verifier=verifier,
                    to=to[:200],
                    expires_at=now() + LASTS,
                )
            )
        return Begun(url, cookie)

    def end(
        self, engine: Engine, answer: Mapping[str, str], cookie: str | None, old: str | None
    ) -> tuple[LoggedIn, str]:
        """Return the cookies of a new session, and the path that is shown.

        Parameters
        ----------
        answer
            What the browser brought back: ``code``, ``state`` and ``iss``, or ``error``.
        cookie, old
            The browser's: of the beginning, and of a session, which ends.

        Raises
        ------
        LoginRefusedError
            If any of it does not belong together, or the provider says no, or gives no role.
        """
        try:
            begun = self._begun(engine, answer.get("state", ""), cookie)
            if "error" in answer:
                msg = f"{_FAILED}: it refused. Try again, or ask whoever runs it."
                raise LoginRefusedError(msg)
            if answer.get("iss", self._settings.issuer) != self._settings.issuer:
                msg = f"{_FAILED}: the answer is of another provider."
                raise LoginRefusedError(msg)
            claims = self._claims(answer.get("code", ""), begun)
            account_id = _account(engine, self._settings, claims)
        except LoginRefusedError:
            with writing(engine) as session:
                append(session, "somebody", "login-failed", "", {"by": "oidc"})
            raise
        with writing(engine) as session:
            account = session.get_one(Account, account_id)
            return begin_session(session, account, old), begun.to

    def _begun(self, engine: Engine, state: str, cookie: str | None) -> OidcLogin:
        """Return what was begun in this browser; it can be used this one time."""
        with writing(engine) as session:
            begun = session.get(OidcLogin, token_hash(state)) if state else None
            if begun is not None:
                session.delete(begun)
        if begun is None or now() >= begun.expires_at or begun.browser_hash != token_hash(cookie or ""):
            msg = f"{_FAILED}: it was not begun in this browser, or too long ago. Begin again."
            raise LoginRefusedError(msg)
        return begun

    def _claims(self, code: str, begun: OidcLogin) -> Mapping[str, Any]:
        from authlib.integrations.base_client import OAuthError  # noqa: PLC0415  # of this login alone
        from authlib.oidc.core import CodeIDToken  # noqa: PLC0415
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import JoseError  # noqa: PLC0415

        said = self._metadata()
        try:
            with self._session() as client:
                token = client.fetch_token(
                    str(said["token_endpoint"]),
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=begun.verifier,
                    allow_redirects=False,
                )
            decoded = self._decoded(jwt, str(token.get("id_token", "")))
            options = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
                "exp": {"essential": True},
                "iat": {"essential": True},
            }
            known = {"nonce": begun.nonce, "client_id": self._settings.client_id}
            known["access_token"] = str(token.get("access_token", ""))
            claims = CodeIDToken(decoded.claims, decoded.header, options, known)
            claims.validate(leeway=_LEEWAY_S)
        except (OAuthError, JoseError, requests.RequestException, ValueError, KeyError, TypeError) as error:
            # Its text may hold what the provider said of a person.
            msg = f"{_FAILED}: its answer cannot be used ({type(error).__name__})."
            raise LoginRefusedError(msg) from None
        return dict(claims)

    def _decoded(self, jwt: Any, id_token: str) -> Any:
        from joserfc.errors import JoseError  # noqa: PLC0415  # as above

        try:
            return jwt.decode(id_token, self._key_set(), algorithms=list(_ALGORITHMS))
        except (JoseError, ValueError):
            # The provider may have other keys by now.
            return jwt.decode(id_token, self._key_set(again=True), algorithms=list(_ALGORITHMS))

    def _session(self) -> Any:
        from authlib.integrations.requests_client import OAuth2Session  # noqa: PLC0415  # of this login alone

        settings, secret = self._settings, None
        if settings.client_secret_file is not None:
            try:
                secret = settings.client_secret_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                msg = f"{_FAILED}: the file with the client's secret cannot be read. Tell an administrator."
                raise LoginRefusedError(msg) from None
        return OAuth2Session(
            settings.client_id,
            secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope=" ".join(("openid", *settings.scopes)),
            redirect_uri=settings.address.rstrip("/") + BACK_PATH,
            code_challenge_method="S256",
            default_timeout=_TIMEOUT_S,
        )

    def _metadata(self) -> dict[str, Any]:
        with self._lock:
            if not self._said or time.monotonic() - self._at > _KEPT_S:
                said = _asked(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
                if said.get("issuer") != self._settings.issuer:
                    msg = f"{_FAILED}: it names itself otherwise than the settings do. Tell an administrator."
                    raise LoginRefusedError(msg)
                names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
                if not all(is_private(str(said.get(name, ""))) for name in names):
                    msg = f"{_FAILED}: it gives addresses without https://. Tell an administrator."
                    raise LoginRefusedError(msg)
                self._said, self._keys, self._at = said, None, time.monotonic()
            return self._said

    def _key_set(self, *, again: bool = False) -> Any:
        from joserfc.jwk import KeySet  # noqa: PLC0415  # as above

        said = self._metadata()
        with self._lock:
            if self._keys is None or again:
                self._keys = KeySet.import_key_set(_asked(str(said["jwks_uri"])))  # type: ignore[arg-type]
            return self._keys


def _account(engine: Engine, settings: OidcSettings, claims: Mapping[str, Any]) -> int:
    """Return the number of whoever logs in: a new account, or the one of this subject with the role of today."""
    role = _role(settings, claims)
    subject = sha256(f"{settings.issuer}\0{claims['sub']}".encode()).hexdigest()
    with writing(engine) as session:
        account = session.scalar(select(Account).where(Account.subject == subject))
        if account is None:
            if role is None:
                raise LoginRefusedError(_no_role())
            return _added(session, settings, claims, subject, role)
        number, active, before = account.id, account.active, account.role
    if not active:
        msg = "Your account here rests. Ask an administrator."
        raise LoginRefusedError(msg)
    if role is None:
        raise LoginRefusedError(_no_role())
    if role != before:
        try:
            change_account(engine, number, by="identity provider", role=role)
        except ConfigurationError as error:
            raise LoginRefusedError(str(error)) from None
    return number


def _added(session: Session, settings: OidcSettings, claims: Mapping[str, Any], subject: str, role: Role) -> int:
    name = str(claims.get(settings.name_claim, "")).strip().lower()
    if not NAME.fullmatch(name):
        msg = f"The provider gives no name that can be used: its claim {settings.name_claim}. Tell an administrator."
        raise LoginRefusedError(msg)
    if session.scalar(select(Account.id).where(Account.name == name)) is not None:
        # Whoever has that name at the provider need not be who has it here.
        msg = (
            "There is an account of that name here, with a password. An administrator has to let it rest or rename it."
        )
        raise LoginRefusedError(msg)
    account = Account(name=name, password_hash=NO_PASSWORD, role=role, active=True, created_at=now(), subject=subject)
    session.add(account)
    session.flush()
    append(session, "identity provider", "account-added", f"account {account.id}", {"role": role})
    return account.id


def _role(settings: OidcSettings, claims: Mapping[str, Any]) -> Role | None:
    given = claims.get(settings.role_claim)
    values = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return next((role for value, role in settings.roles.items() if value in values), None)


def _no_role() -> str:
    return "Your account at the provider has no role here. Ask an administrator to be given one."


def _asked(url: str) -> dict[str, Any]:
    try:
        with requests.get(url, timeout=_TIMEOUT_S, allow_redirects=False, stream=True) as answer:
            answer.raise_for_status()
            if answer.status_code != 200:
                raise requests.RequestException
            content = answer.raw.read(_LONGEST, decode_content=True)
        said = json.loads(content)
    except (requests.RequestException, ValueError, OSError):
        msg = f"{_FAILED}: it does not answer. Try again later, or log in with a password."
        raise LoginRefusedError(msg) from None
    if not isinstance(said, dict):
        msg = f"{_FAILED}: its answer cannot be used."
        raise LoginRefusedError(msg)
    return said
