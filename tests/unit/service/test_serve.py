"""``carina serve``: which parts run, what is said at the start, and what keeps it from starting."""

import asyncio
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from carina.dicom.transport.log import EventLog
from carina.errors import ConfigurationError
from carina.service import serve as served
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Model
from carina.service.people.accounts import add_account
from carina.service.serve import serve
from carina.service.site_folder import open_site
from carina.service.site_settings import SiteSettings, Targets, read_settings
from carina.service.web.pages import worklist


@pytest.fixture
def site_folder(tmp_path: Path, small_run: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    settings(folder, small_run)
    return folder


def settings(folder: Path, bundle: Path, more: str = "") -> None:
    (folder / "site.toml").write_text(f'port = 0\nbundle = "{bundle}"\n{more}', encoding="utf-8")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return where the names of the parts are noted that a start would run."""
    noted: list[list[str]] = []

    def note(parts: Mapping[str, Callable[[], None]], _log: Any, *, stop_s: float) -> None:
        noted.append(list(parts))

    monkeypatch.setattr(served, "run_group", note)
    return noted


def test_a_new_site_is_made_and_the_first_account_is_explained(site_folder: Path, started: list[list[str]]) -> None:
    said: list[str] = []
    serve(site_folder, tell=said.append)
    assert started == [["web", "worker 1"]]
    assert said[0].startswith("The worklist is at http://127.0.0.1:")
    assert f"carina serve account add NAME --role administrator --folder {site_folder}" in said[1]
    site = open_site(site_folder)
    with reading(site.engine) as session:
        assert session.scalars(select(Model.role)).all() == ["in-use"]
    add_account(site.engine, "anna", "correct horse battery staple", "administrator")
    site.close()
    said.clear()
    serve(site_folder, tell=said.append)
    assert len(said) == 1


PARTS = """\
[listener]
allow = ["PACS"]
[watch]
folder = "drop"
[dicomweb.web]
url = "https://pacs.example/dicom-web"
[limits]
workers = 2
"""


def test_each_role_runs_its_parts(site_folder: Path, small_run: Path, started: list[list[str]]) -> None:
    settings(site_folder, small_run, PARTS)
    for role in ("all", "web", "worker", "listener"):
        serve(site_folder, role, tell=lambda _: None)
    workers = ["worker 1", "worker 2"]
    intake = ["listener", "watched folder", "DICOMweb"]
    assert started == [["web", *workers, *intake], ["web"], workers, intake]


def test_a_listener_without_settings_has_nothing_to_do(site_folder: Path, started: list[list[str]]) -> None:
    with pytest.raises(ConfigurationError, match=r"no \[listener\], \[watch\], \[dicomweb\] or \[destination\]"):
        serve(site_folder, "listener", tell=lambda _: None)
    assert started == []


def test_a_folder_is_served_once(site_folder: Path, started: list[list[str]]) -> None:
    open_site(site_folder).close()
    held = served._hold(site_folder)
    assert held is not None
    with held, pytest.raises(ConfigurationError, match="is served by another process already"):
        serve(site_folder, tell=lambda _: None)
    serve(site_folder, tell=lambda _: None)
    assert len(started) == 1


def test_a_port_that_is_taken_is_said(site_folder: Path, small_run: Path, started: list[list[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = (site_folder / "site.toml").read_text().replace("port = 0", f"port = {port}")
        (site_folder / "site.toml").write_text(text)
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} cannot be used for the pages: Address already"):
            serve(site_folder, tell=lambda _: None)
    assert started == []


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("prot = 1", "There is no setting prot. Check its spelling."),
        ("[limits]\nworker = 1", "There is no setting limits.worker"),
        ("port = 99999", "Setting port: it must be 65535 or less"),
        ('bind = "0.0.0.0"', "need a proxy in front that ends TLS"),
        ('proxies = ["nginx"]', "a proxy is named by its address, or by a network"),
        ('webhooks = ["ftp://x"]', "an address begins with http:// or https://"),
        ('webhooks = ["http://u:secret@x"]', "a password does not belong in an address"),
        ("[listener]\naet = 'X'", "Setting listener.allow is missing"),
        ("metrics = 'all'", "Setting metrics"),
        ("[dicomweb]\nevery_s = 1", "Setting dicomweb"),
        ("[watching]\nfirst_days = 2", "Setting watching.first_days"),
        ("[retention]\ndisk_share = 1.5", "Setting retention.disk_share"),
        ("port = ", "are not valid TOML"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path: Path, toml: str, said: str) -> None:
    (tmp_path / "site.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        read_settings(tmp_path)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("page", ["serve", "watch-a-site"])
def test_settings_that_a_page_of_the_documentation_shows_are_settings(page: str, tmp_path: Path) -> None:
    """Each table is tried; a webhook, a token for metrics and the rest of a page are one file."""
    text = (Path(__file__).parents[3] / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    # Keys without a table come first in TOML.
    for block in blocks:
        (tmp_path / "site.toml").write_text(block, encoding="utf-8")
        read_settings(tmp_path)


def test_every_default_is_one_that_hurts_nobody() -> None:
    settings = SiteSettings()
    assert (settings.bind, settings.listener, settings.watch, settings.database) == ("127.0.0.1", None, None, None)
    assert (settings.retention.days, settings.retention.disk_share, settings.webhooks) == (None, None, ())
    assert (settings.dicomweb, settings.oidc, settings.metrics) == (None, None, "token")
    assert Targets().minutes(None) == Targets().minutes("not-assessable") == Targets().minutes("secondary-review")


def test_paths_in_settings_begin_at_the_folder(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('bundle = "mine"\nsilent = ["other"]\n[watch]\nfolder = "drop"\n')
    settings = read_settings(tmp_path, database="postgresql://x@y/z")
    assert settings.bundle == tmp_path / "mine"
    assert settings.silent == (tmp_path / "other",)
    assert settings.watch is not None
    assert settings.watch.folder == tmp_path / "drop"
    assert settings.database == "postgresql://x@y/z"


def test_a_browsers_address_is_learned_from_the_sites_own_proxy_alone(tmp_path: Path) -> None:
    """Else one who fails to log in locks out all who come through the proxy, or has a new address each time."""
    settings = SiteSettings.model_validate({"behind_proxy": True, "proxies": ["172.16.0.0/12", "::1"]})
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["client"][0])

    behind = ProxyHeadersMiddleware(app, list(settings.proxies))  # type: ignore[arg-type]
    for proxy in ("172.18.0.2", "10.0.0.1"):
        scope = {"type": "http", "client": (proxy, 1), "headers": [(b"x-forwarded-for", b"192.0.2.7")]}
        asyncio.run(behind(scope, None, None))  # type: ignore[arg-type]
    assert seen == ["192.0.2.7", "10.0.0.1"]


def test_a_folder_that_is_not_there_is_made_by_a_start_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="start one with: carina serve --folder"):
        open_site(tmp_path / "none")


def test_pages_that_listen_do_not_hold_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and SIGTERM end the pages in a moment, however many worklists are open."""
    site, stop, took = open_site(tmp_path / "site", make=True), threading.Event(), list[float]()
    address = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(worklist, "person_of", lambda *_, **__: SimpleNamespace(role="reader"))
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def open_and_end() -> None:
        with socket.create_connection(address.getsockname()[:2], timeout=20) as page:
            page.sendall(b"GET /worklist/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while b"retry" not in page.recv(4096):
                pass
            took.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGTERM)
            while page.recv(4096):
                pass

    thread = threading.Thread(target=open_and_end)
    thread.start()
    try:
        served._web(address, site, EventLog(StringIO()), stop)
    finally:
        signal.signal(signal.SIGTERM, before)
        site.close()
    assert stop.is_set()
    assert time.monotonic() - took[0] < 2.5
    thread.join()
