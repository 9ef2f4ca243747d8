"""Login by an identity provider: only who began here ends here, and only with a token of the provider for this site."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey, OctKey
from sqlalchemy import delete, select, update

from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.people import oidc
from carina.service.people.logins import LoginRefusedError, log_in
from carina.service.people.people_tables import Account, LoginSession, OidcLogin
from carina.service.site_folder import Site
from carina.service.site_settings import OidcSettings
from carina.service.web.app import build_app
from clinic import BASE, Clinic
from oidc_provider import CLIENT, SECRET, OidcProvider, oidc_provider


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as made:
        yield made


def settings_of(provider: OidcProvider, folder: Path, **changed: Any) -> OidcSettings:
    secret = folder / "client-secret"
    secret.write_text(SECRET + "\n", encoding="utf-8")
    said = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret_file": secret, "address": BASE}
    said |= {"roles": {"carina-admins": "administrator", "radiology": "reader"}, **changed}
    return OidcSettings.model_validate(said)


@pytest.fixture
def browser(clinic: Clinic, provider: OidcProvider, tmp_path: Path) -> TestClient:
    """Return a browser of a site that knows the provider."""
    with writing(clinic.site.engine) as session:
        session.execute(delete(OidcLogin))
        # Each test has a provider of its own, and new people.
        for account in session.scalars(select(Account).where(Account.subject.is_not(None))):
            account.subject, account.name = None, f"earlier-{account.id}"
    return browser_of(clinic, settings_of(provider, tmp_path))


def browser_of(clinic: Clinic, settings: OidcSettings) -> TestClient:
    site = Site(
        clinic.site.folder,
        clinic.site.settings.model_copy(update={"oidc": settings}),
        clinic.site.engine,
        clinic.site.store,
    )
    return TestClient(build_app(site), base_url=BASE, follow_redirects=False)


def log_in_at(provider: OidcProvider, browser: TestClient, to: str = "", **changed: str) -> Any:
    begun = browser.get("/login/oidc", params={"to": to} if to else {})
    assert begun.status_code == 303, begun.text
    return browser.get("/login/oidc/back", params=provider.consent(begun.headers["location"]) | changed)


def account(clinic: Clinic, name: str) -> Account | None:
    with reading(clinic.site.engine) as session:
        return session.scalar(select(Account).where(Account.name == name))


def last_event(clinic: Clinic) -> tuple[str, str]:
    with reading(clinic.site.engine) as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.seq.desc()).limit(1)).one()
        return event.actor, event.action


def test_whoever_the_provider_knows_logs_in_with_the_role_of_a_claim(
    clinic: Clinic, provider: OidcProvider, browser: TestClient
) -> None:
    assert "Log in with your hospital" in browser.get("/login").text
    begun = browser.get("/login/oidc", params={"to": "/good-enough"})
    cookie = begun.headers["set-cookie"]
    assert "SameSite=lax" in cookie
    assert "HttpOnly" in cookie
    assert "Path=/login/oidc" in cookie
    done = browser.get("/login/oidc/back", params=provider.consent(begun.headers["location"]))
    assert done.status_code == 200
    assert 'content="0; url=/good-enough"' in done.text
    assert any("carina_session" in line and "SameSite=strict" in line for line in done.headers.get_list("set-cookie"))
    assert browser.get("/worklist").status_code == 200
    made = account(clinic, "hanna.reader")
    assert (made.role, made.active) == ("reader", True)
    assert last_event(clinic) == (f"account {made.id}", "login")
    # Nobody has a password of this account.
    with pytest.raises(LoginRefusedError):
        log_in(clinic.site.engine, "hanna.reader", "!", address="1.2.3.4", device=None, old=None)

    # The same subject is the same account, whatever it is called today, with the role of today.
    provider.claims = {"preferred_username": "Hanna.Married", "groups": ["radiology", "carina-admins"]}
    assert log_in_at(provider, browser).status_code == 200
    again = account(clinic, "hanna.reader")
    assert (again.id, again.role) == (made.id, "administrator")
    assert account(clinic, "hanna.married") is None
    assert browser.get("/administration").status_code == 200
    provider.claims = {"groups": ["radiology"]}
    assert log_in_at(provider, browser).status_code == 200
    assert browser.get("/administration").status_code == 403


Change = Callable[[OidcProvider], None]


def _claims(**changed: Any) -> Change:
    return lambda provider: provider.claims.update(changed)


def _signed_by_another(provider: OidcProvider) -> None:
    provider.key = ECKey.generate_key("P-256", {"kid": "one"})


def _signed_by_the_secret(provider: OidcProvider) -> None:
    # What an attacker tries who knows the secret of the client, or a public key: RFC 8725, 2.1.
    provider.key = OctKey.import_key(SECRET, {"kid": "one"})
    provider.published = [provider.key]
    provider.algorithm = "HS256"


@pytest.mark.parametrize(
    "change",
    [
        _claims(nonce="another"),
        _claims(nonce=None),
        _claims(aud="another-site"),
        _claims(aud=[CLIENT, "another"], azp="another"),
        _claims(iss="https://another.example"),
        _claims(exp=int(time.time()) - 3600),
        _claims(exp=None),
        _claims(sub=None),
        _signed_by_another,
        _signed_by_the_secret,
    ],
)
def test_a_token_that_is_not_for_this_login_is_refused(
    clinic: Clinic, provider: OidcProvider, browser: TestClient, change: Change
) -> None:
    provider.claims = {"preferred_username": "mallory", "sub": "s-9"}
    change(provider)
    answer = log_in_at(provider, browser)
    assert answer.status_code == 403
    assert "its answer cannot be used" in answer.text
    assert account(clinic, "mallory") is None
    assert last_event(clinic) == ("somebody", "login-failed")
    assert browser.get("/worklist").status_code == 303


def test_an_unsigned_token_is_refused(provider: OidcProvider, browser: TestClient) -> None:
    def token(form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        status, said = OidcProvider.token(provider, form, authorization)
        head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
        said["id_token"] = f"{head}.{said['id_token'].split('.')[1]}."
        return status, said

    provider.token = token  # type: ignore[method-assign]
    assert log_in_at(provider, browser).status_code == 403


def test_only_the_browser_that_began_can_end_and_once(
    clinic: Clinic, provider: OidcProvider, browser: TestClient, tmp_path: Path
) -> None:
    brought = provider.consent(browser.get("/login/oidc").headers["location"])
    other = browser_of(clinic, settings_of(provider, tmp_path))
    other.get("/login/oidc")
    refused = other.get("/login/oidc/back", params=brought)
    assert refused.status_code == 403
    assert "was not begun in this browser" in refused.text
    # It was used, though in vain: whoever caught the code has it for nothing.
    assert browser.get("/login/oidc/back", params=brought).status_code == 403
    assert log_in_at(provider, browser, state="another").status_code == 403
    assert browser.get("/login/oidc/back").status_code == 403
    brought = provider.consent(browser.get("/login/oidc").headers["location"])
    assert browser.get("/login/oidc/back", params=brought).status_code == 200
    assert browser.get("/login/oidc/back", params=brought).status_code == 403


def test_a_login_that_takes_too_long_an_error_and_another_issuer_are_refused(
    clinic: Clinic, provider: OidcProvider, browser: TestClient
) -> None:
    brought = provider.consent(browser.get("/login/oidc").headers["location"])
    with writing(clinic.site.engine) as session:
        session.execute(update(OidcLogin).values(expires_at=now()))
    assert "too long ago" in browser.get("/login/oidc/back", params=brought).text
    assert "it refused" in log_in_at(provider, browser, error="access_denied").text
    assert "of another provider" in log_in_at(provider, browser, iss="https://another.example").text
    assert log_in_at(provider, browser, code="another").status_code == 403


def test_a_session_that_was_planted_is_not_the_one_that_is_logged_in(
    provider: OidcProvider, browser: TestClient
) -> None:
    begun = browser.get("/login/oidc").headers["location"]
    cookie = f"carina_oidc={browser.cookies['carina_oidc']}; carina_session=planted"
    browser.cookies.clear()
    done = browser.get("/login/oidc/back", params=provider.consent(begun), headers={"Cookie": cookie})
    assert done.status_code == 200
    assert browser.cookies["carina_session"] != "planted"


def test_it_leads_nowhere_but_to_this_site(provider: OidcProvider, browser: TestClient) -> None:
    for to in ("//evil.example", "https://evil.example", "/\\evil.example"):
        assert 'content="0; url=/"' in log_in_at(provider, browser, to=to).text


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"groups": ["cleaning"], "sub": "s-2"}, "has no role here"),
        ({"groups": None, "sub": "s-2"}, "has no role here"),
        ({"preferred_username": "berta", "sub": "s-3"}, "an account of that name here"),
        ({"preferred_username": "<b>", "sub": "s-4"}, "no name that can be used"),
        ({"preferred_username": None, "sub": "s-4"}, "no name that can be used"),
    ],
)
def test_whoever_has_no_role_or_the_name_of_another_does_not_get_in(
    clinic: Clinic, provider: OidcProvider, browser: TestClient, claims: dict[str, Any], said: str
) -> None:
    provider.claims = claims
    answer = log_in_at(provider, browser)
    assert answer.status_code == 403
    assert said in answer.text
    assert account(clinic, "berta").subject is None


def test_an_account_that_rests_does_not_get_in(clinic: Clinic, provider: OidcProvider, browser: TestClient) -> None:
    provider.claims = {"sub": "s-5", "preferred_username": "rests"}
    assert log_in_at(provider, browser).status_code == 200
    with writing(clinic.site.engine) as session:
        session.execute(update(Account).where(Account.name == "rests").values(active=False))
    assert "rests. Ask an administrator" in log_in_at(provider, browser).text


def test_a_key_that_is_new_at_the_provider_is_fetched(provider: OidcProvider, browser: TestClient) -> None:
    assert log_in_at(provider, browser).status_code == 200
    provider.key = ECKey.generate_key("P-256", {"kid": "one"})
    provider.published = [provider.key]
    assert log_in_at(provider, browser).status_code == 200
    assert provider.asked.count("/.well-known/openid-configuration") == 1


def test_a_provider_that_is_away_or_names_itself_otherwise_is_said(
    clinic: Clinic, provider: OidcProvider, browser: TestClient, tmp_path: Path
) -> None:
    away = settings_of(provider, tmp_path, issuer="http://127.0.0.1:9")
    answer = browser_of(clinic, away).get("/login/oidc")
    assert (answer.status_code, "does not answer" in answer.text) == (403, True)
    other = settings_of(provider, tmp_path, issuer=provider.issuer + "/")
    assert "names itself otherwise" in browser_of(clinic, other).get("/login/oidc").text


def test_addresses_without_tls_are_refused(
    clinic: Clinic, provider: OidcProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("issuer", "address"):
        with pytest.raises(ValueError, match="needs https://"):
            settings_of(provider, tmp_path, **{name: "http://hospital.example"})
    said = {"issuer": provider.issuer, "authorization_endpoint": "http://hospital.example/authorize"}
    monkeypatch.setattr(oidc, "_asked", lambda _: said)
    answer = browser_of(clinic, settings_of(provider, tmp_path)).get("/login/oidc")
    assert (answer.status_code, "without https://" in answer.text) == (403, True)


def test_without_the_setting_there_is_no_such_login(clinic: Clinic) -> None:
    browser = clinic.client()
    assert browser.get("/login/oidc").status_code == 404
    assert browser.get("/login/oidc/back").status_code == 404
    assert "/login/oidc" not in browser.get("/login").text


def test_the_last_administrator_keeps_the_role(clinic: Clinic, provider: OidcProvider, browser: TestClient) -> None:
    provider.claims = {"sub": "s-7", "preferred_username": "sole", "groups": ["carina-admins"]}
    assert log_in_at(provider, browser).status_code == 200
    with writing(clinic.site.engine) as session:
        others = update(Account).where(Account.role == "administrator", Account.name != "sole")
        session.execute(others.values(role="auditor"))
    try:
        provider.claims["groups"] = ["radiology"]
        assert "At least one administrator" in log_in_at(provider, browser).text
    finally:
        with writing(clinic.site.engine) as session:
            session.execute(update(Account).where(Account.name == "anna").values(role="administrator"))


def test_an_administrator_without_a_password_changes_accounts_soon_after_a_login(
    clinic: Clinic, provider: OidcProvider, browser: TestClient
) -> None:
    provider.claims = {"sub": "s-8", "preferred_username": "no.password", "groups": ["carina-admins"]}
    assert log_in_at(provider, browser).status_code == 200
    page = browser.get("/administration").text
    assert "Your own password" not in page
    said = {"csrf": clinic.csrf(browser), "password": "words of a new reader", "role": "reader"}
    assert browser.post("/administration/accounts", data=said | {"name": "soon"}).status_code == 303
    with writing(clinic.site.engine) as session:
        session.execute(update(LoginSession).values(created_at=now() - timedelta(minutes=11)))
    late = browser.post("/administration/accounts", data=said | {"name": "late", "own": "!"})
    assert (late.status_code, "log out and in again" in late.text) == (400, True)
    assert account(clinic, "late") is None
