"""Accounts, passwords, sessions, the limits on logins, and tokens."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from carina.errors import ConfigurationError
from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.audit_log.chain import verify
from carina.service.database import base
from carina.service.database.sessions import reading
from carina.service.people import logins, throttle, tokens
from carina.service.people.accounts import add_account, change_account
from carina.service.people.logins import LoginRefusedError, log_in, log_out, person_of, require_password
from carina.service.people.passwords import hash_password, matches
from carina.service.people.people_tables import Account, LoginSession
from carina.service.people.tokens import add_token, end_token, person_of_token
from clinic import PASSWORD, Clinic


def enter(clinic: Clinic, name: str = "berta", password: str = PASSWORD, **other: str | None) -> logins.LoggedIn:
    return log_in(clinic.site.engine, name, password, **{"address": "10.0.0.1", "device": None, "old": None, **other})


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Return what lets time pass."""

    def pass_by(span: timedelta) -> None:
        shifted = base.now() + span
        for module in (logins, throttle, tokens):
            monkeypatch.setattr(module, "now", lambda: shifted)

    return pass_by


def test_passwords_are_kept_by_argon2id(quick_passwords: None) -> None:
    kept = hash_password(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert matches(kept, PASSWORD)
    assert not matches(kept, PASSWORD + "x")
    assert not matches(None, PASSWORD)
    assert not matches(kept, "x" * 10_000)


def test_the_parameters_are_those_of_rfc_9106() -> None:
    from argon2 import PasswordHasher
    from argon2.profiles import RFC_9106_LOW_MEMORY

    # As the module makes it when it is imported, without the weak one of these tests.
    strong = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
    assert strong.memory_cost >= RFC_9106_LOW_MEMORY.memory_cost
    assert strong.time_cost >= RFC_9106_LOW_MEMORY.time_cost


@pytest.mark.parametrize(
    ("password", "said"),
    [("short", "12 to 128"), ("x" * 129, "12 to 128"), ("aaaaaaaaaaaaaaa", "guessed"), ("password12345!", "guessed")],
)
def test_weak_passwords_are_refused(clinic: Clinic, password: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        add_account(clinic.site.engine, "weak", password, "reader")


def test_names_are_unique_and_plain(clinic: Clinic) -> None:
    with pytest.raises(ConfigurationError, match="an account berta already"):
        add_account(clinic.site.engine, "BERTA", PASSWORD, "reader")
    for name in ("", "a b", "<b>", "../x", "é"):
        with pytest.raises(ConfigurationError, match="begins with a letter"):
            add_account(clinic.site.engine, name, PASSWORD, "reader")
    with pytest.raises(ConfigurationError, match="no role 'root'"):
        add_account(clinic.site.engine, "dora", PASSWORD, "root")  # type: ignore[arg-type]


def test_the_last_administrator_stays(clinic: Clinic) -> None:
    with pytest.raises(ConfigurationError, match="At least one administrator"):
        change_account(clinic.site.engine, clinic.numbers["anna"], by="account 1", role="reader")
    with pytest.raises(ConfigurationError, match="At least one administrator"):
        change_account(clinic.site.engine, clinic.numbers["anna"], by="account 1", active=False)


def test_a_login_gives_a_new_session_and_ends_the_one_before(clinic: Clinic) -> None:
    first = enter(clinic)
    assert person_of(clinic.site.engine, first.cookie).name == "berta"
    second = enter(clinic, old=first.cookie)
    assert second.cookie != first.cookie
    assert person_of(clinic.site.engine, first.cookie) is None
    log_out(clinic.site.engine, second.cookie, person_of(clinic.site.engine, second.cookie))
    assert person_of(clinic.site.engine, second.cookie) is None


def test_the_database_holds_no_cookie(clinic: Clinic) -> None:
    cookie = enter(clinic).cookie
    with reading(clinic.site.engine) as session:
        kept = {row.token_hash for row in session.scalars(select(LoginSession))}
        hashes = {row.password_hash for row in session.scalars(select(Account))}
    assert cookie not in kept
    assert PASSWORD not in "".join(hashes)


def test_sessions_end_when_they_are_idle_and_when_they_are_old(
    clinic: Clinic, later: Callable[[timedelta], None]
) -> None:
    cookie = enter(clinic).cookie
    later(timedelta(minutes=29))
    assert person_of(clinic.site.engine, cookie) is not None
    # Used at 29 minutes, it lasts 30 more.
    later(timedelta(minutes=58))
    assert person_of(clinic.site.engine, cookie) is not None
    later(timedelta(minutes=58 + 31))
    assert person_of(clinic.site.engine, cookie) is None
    cookie = enter(clinic).cookie
    for minutes in range(0, 12 * 60 + 89 + 1, 25):
        later(timedelta(minutes=89 + minutes))
        lasted = person_of(clinic.site.engine, cookie)
    assert lasted is None


def test_who_guesses_the_password_at_an_open_page_is_stopped(clinic: Clinic) -> None:
    person = person_of(clinic.site.engine, enter(clinic, "boris", address="10.8.8.8").cookie)
    assert person is not None
    require_password(clinic.site.engine, person, PASSWORD)
    for _ in range(throttle.FOR_PAIR):
        with pytest.raises(LoginRefusedError, match="not your own password"):
            require_password(clinic.site.engine, person, PASSWORD + "x")
    with pytest.raises(LoginRefusedError, match="Too many"):
        require_password(clinic.site.engine, person, PASSWORD)


def test_cookies_cannot_be_guessed(clinic: Clinic) -> None:
    cookies = {enter(clinic, address="10.7.7.7").cookie for _ in range(3)}
    assert len(cookies) == 3
    # 128 bits would be 22 letters of base64.
    assert min(map(len, cookies)) >= 43


def test_a_changed_account_is_logged_out(clinic: Clinic) -> None:
    cookie = enter(clinic, "boris").cookie
    change_account(clinic.site.engine, clinic.numbers["boris"], by="account 1", password=PASSWORD)
    assert person_of(clinic.site.engine, cookie) is None
    cookie = enter(clinic, "boris").cookie
    change_account(clinic.site.engine, clinic.numbers["boris"], by="account 1", active=False)
    assert person_of(clinic.site.engine, cookie) is None
    with pytest.raises(LoginRefusedError, match="do not belong together"):
        enter(clinic, "boris")
    change_account(clinic.site.engine, clinic.numbers["boris"], by="account 1", active=True)
    assert enter(clinic, "boris", address="10.0.0.77").cookie


def test_guessing_is_stopped_and_locks_nobody_out(clinic: Clinic, later: Callable[[timedelta], None]) -> None:
    known = enter(clinic, address="10.1.1.1").device
    for _ in range(throttle.FOR_PAIR):
        with pytest.raises(LoginRefusedError, match="do not belong together"):
            enter(clinic, password=PASSWORD + "x", address="10.1.1.1")
    with pytest.raises(LoginRefusedError, match="Too many"):
        enter(clinic, address="10.1.1.1")
    # The browser that the account knows goes on, and so do other accounts and other addresses.
    assert enter(clinic, address="10.1.1.1", device=known).cookie
    assert enter(clinic, "anna", address="10.1.1.1").cookie
    assert enter(clinic, address="10.1.1.2").cookie
    later(throttle.WINDOW + timedelta(seconds=1))
    assert enter(clinic, address="10.1.1.1").cookie


def test_attempts_from_many_addresses_stop_strangers_and_not_the_known(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = enter(clinic, address="10.4.0.1").device
    monkeypatch.setattr(throttle, "FOR_NAME", 3)
    for number in range(4):
        with pytest.raises(LoginRefusedError):
            enter(clinic, password=PASSWORD + "x", address=f"10.4.1.{number}")
    with pytest.raises(LoginRefusedError, match="Too many"):
        enter(clinic, address="10.4.2.2")
    assert enter(clinic, address="10.4.2.2", device=known).cookie


def test_one_address_cannot_try_every_name(clinic: Clinic) -> None:
    for number in range(throttle.FOR_ADDRESS):
        with pytest.raises(LoginRefusedError, match="do not belong together"):
            enter(clinic, f"nobody{number}", address="10.2.2.2")
    with pytest.raises(LoginRefusedError, match="Too many"):
        enter(clinic, "nobody", address="10.2.2.2")


def test_a_device_cookie_is_of_one_account_and_cannot_be_made_up(clinic: Clinic) -> None:
    device = enter(clinic, address="10.3.3.3").device
    with reading(clinic.site.engine) as session:
        assert throttle.known_device(session, "berta", device) is not None
        assert throttle.known_device(session, "anna", device) is None
        for made_up in ("", ".", "x.", "x." + "0" * 64, device[:-1], None):
            assert throttle.known_device(session, "berta", made_up) is None


def test_tokens_have_scopes_and_an_end(clinic: Clinic, later: Callable[[timedelta], None]) -> None:
    engine = clinic.site.engine
    secret = add_token(engine, clinic.numbers["berta"], "PACS", ["status", "submit"], 2, by="account 1")
    person = person_of_token(engine, secret)
    assert person.scopes == {"status", "submit"}
    assert person.actor == f"token {person.token_id}"
    later(timedelta(days=2, seconds=1))
    assert person_of_token(engine, secret) is None
    secret = add_token(engine, clinic.numbers["berta"], "PACS", ["status"], 5, by="account 1")
    end_token(engine, person_of_token(engine, secret).token_id, by="account 1")
    assert person_of_token(engine, secret) is None
    assert person_of_token(engine, "carina_nothing") is None


@pytest.mark.parametrize(
    ("scopes", "days", "label", "said"),
    [
        ([], 1, "x", "some of these scopes"),
        (["root"], 1, "x", "root"),
        (["status"], 0, "x", "1 to 366"),
        (["status"], 1, " ", "what the token is for"),
    ],
)
def test_tokens_without_sense_are_refused(clinic: Clinic, scopes: list[str], days: int, label: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        add_token(clinic.site.engine, clinic.numbers["berta"], label, scopes, days, by="account 1")


def test_attempts_that_are_not_looked_at_are_told_once_a_minute(clinic: Clinic) -> None:
    def told() -> list[str]:
        with reading(clinic.site.engine) as session:
            throttled = select(AuditEvent.subject).where(AuditEvent.action == "login-throttled")
            return list(session.scalars(throttled.order_by(AuditEvent.seq)))

    before = len(told())
    for _ in range(throttle.FOR_PAIR + 3):
        with pytest.raises(LoginRefusedError):
            enter(clinic, "anna", password=PASSWORD + "x", address="10.9.9.9")
    assert told()[before:] == [f"account {clinic.numbers['anna']}"]


def test_all_of_it_is_in_the_audit_log_without_a_name(clinic: Clinic) -> None:
    with reading(clinic.site.engine) as session:
        assert verify(session).whole
        events = session.scalars(select(AuditEvent)).all()
    told = {event.action for event in events}
    assert {"account-added", "account-changed", "login", "login-failed", "logout", "token-added", "token-ended"} <= told
    assert not any("berta" in f"{event.actor} {event.subject} {event.details}" for event in events)
