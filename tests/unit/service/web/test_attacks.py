"""What somebody may try against the pages, each as a test: it must fail, and must not show in a 500."""

import asyncio
import io
import logging
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from sqlalchemy import select, update

from carina.dicom.listener.store import ObjectStore
from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Study
from carina.service.people.people_tables import Account, LoginSession
from carina.service.site_settings import SiteSettings
from carina.service.web import guard
from carina.service.web.app import build_app
from carina.service.web.viewers import viewer_links
from clinic import BASE, PASSWORD, Clinic
from make import make_grey
from make_dicom import encode_dicom

SCRIPT = "<script>alert(1)</script>"


def upload(clinic: Clinic, client: Any, content: bytes, name: str = "a.dcm", **headers: str) -> Any:
    sent = {"X-CSRF-Token": clinic.csrf(client), "X-File-Name": name, **headers}
    return client.post("/upload", content=content, headers=sent)


@pytest.fixture(scope="module")
def study(clinic: Clinic) -> int:
    return clinic.add_study()


def test_path_traversal_in_addresses(clinic: Clinic) -> None:
    client = clinic.client("berta")
    for path in (
        "/static/../../../site.toml",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
    ):
        answer = client.get(path)
        assert answer.status_code in (404, 400), path
        assert "carina" not in answer.headers.get("content-type", "")
        assert b"def build_app" not in answer.content
    # No list of a folder, and no echo of what was sent.
    for path in ("/static/", "/static/vendor/"):
        assert client.get(path).status_code == 404
    assert client.request("TRACE", "/login").status_code in (400, 405)


def test_path_traversal_in_names_and_uids(clinic: Clinic) -> None:
    before = {path for path in clinic.site.folder.parent.rglob("*") if path.is_file()}
    uid = "../../../../tmp/owned"
    content = encode_dicom(make_grey(3, depth=12), stored=12, StudyInstanceUID=uid, PatientID="../x")
    answer = upload(clinic, clinic.client("berta"), content, "..%2F..%2Fowned.dcm")
    assert answer.json()["taken"] == 1
    added = {path for path in clinic.site.folder.parent.rglob("*") if path.is_file()} - before
    folders = {path.relative_to(clinic.site.folder).parts[0] for path in added}
    assert folders <= {"images", "thumbnails", "site.sqlite3-wal", "site.sqlite3-shm"}
    assert not Path("/tmp/owned").exists()  # noqa: S108
    assert not any("owned" in str(path) for path in added)


def test_stored_xss_through_headers_and_notes(clinic: Clinic) -> None:
    header = dict.fromkeys(
        ("PatientName", "PatientID", "AccessionNumber", "StudyDescription", "Manufacturer"), SCRIPT[:60]
    )
    number = clinic.add_study(**header)
    client = clinic.client("berta")
    csrf = clinic.csrf(client)
    sent = {"finding": "Normal", "note": SCRIPT + "\"'><img src=x onerror=alert(1)>", "csrf": csrf}
    assert client.post(f"/studies/{number}/verdict", data=sent).status_code == 303
    pages = [client.get(path).text for path in ("/worklist?state=", f"/studies/{number}")]
    for page in pages:
        assert "&lt;script&gt;" in page
        assert SCRIPT not in page
        assert "<img src=x" not in page


def test_reflected_xss(clinic: Clinic) -> None:
    client = clinic.client("berta")
    for path in (
        f"/worklist?state={SCRIPT}",
        f"/{SCRIPT}",
        f"/studies/{SCRIPT}",
        f"/login?to={SCRIPT}",
    ):
        answer = client.get(path)
        assert SCRIPT not in answer.text, path
        assert answer.status_code < 500
    assert SCRIPT not in client.post("/login", data={"name": SCRIPT, "password": "x"}).text


def test_forged_forms(clinic: Clinic, study: int) -> None:
    client, other = clinic.client("berta"), clinic.client("boris")
    path, right = f"/studies/{study}/verdict", clinic.csrf(client)
    for csrf in ("", "x", clinic.csrf(other)):
        assert client.post(path, data={"finding": "Normal", "csrf": csrf}).status_code == 403
        assert client.post("/logout", data={"csrf": csrf}).status_code == 403
        assert client.post("/upload", content=b"x", headers={"X-CSRF-Token": csrf}).status_code == 403
    for header in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert client.post(path, data={"finding": "Normal", "csrf": right}, headers=header).status_code == 403
        assert client.post("/login", data={"name": "berta", "password": PASSWORD}, headers=header).status_code == 403
    assert client.post(path, data={"finding": "Normal", "csrf": right}, headers={"Origin": BASE}).status_code == 303


def test_session_fixation(clinic: Clinic) -> None:
    client = clinic.client()
    client.cookies.set("carina_session", "planted", domain="127.0.0.1")
    answer = client.post("/login", data={"name": "berta", "password": PASSWORD})
    assert "carina_session=planted" not in answer.headers["set-cookie"]
    stranger = clinic.client()
    stranger.cookies.set("carina_session", "planted", domain="127.0.0.1")
    assert stranger.get("/worklist").status_code == 303


def test_cookies_are_out_of_reach(clinic: Clinic) -> None:
    sent = {"name": "berta", "password": PASSWORD}
    for cookie in clinic.client().post("/login", data=sent).headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "domain=" not in cookie.lower()


def test_others_pages(clinic: Clinic, study: int) -> None:
    image = clinic.image_of(study).id
    of_patients = [
        f"/studies/{study}",
        f"/images/{image}/pixels",
        f"/images/{image}/thumbnail",
        f"/images/{image}/evidence",
    ]
    auditor, reader, administrator = (clinic.client(name) for name in ("carl", "berta", "anna"))
    for path in ("/worklist", "/good-enough", "/watching", "/models", "/administration", *of_patients):
        assert auditor.get(path).status_code == 403, path
    for path in ("/administration", "/models", "/audit"):
        assert reader.get(path).status_code == 403, path
    assert administrator.get("/audit").status_code == 403
    csrf = clinic.csrf(reader)
    new = {"csrf": csrf, "name": "mallory", "password": PASSWORD, "role": "administrator"}
    assert reader.post("/administration/accounts", data=new).status_code == 403
    assert reader.post(f"/administration/accounts/{clinic.numbers['berta']}", data=new).status_code == 403
    assert reader.post("/administration/tokens", data={**new, "account": "1", "label": "x"}).status_code == 403
    assert reader.post("/mode", data={"csrf": csrf, "mode": "live", "reason": "because I want it"}).status_code == 403
    assert reader.post("/audit/export", data={"csrf": csrf}).status_code == 403
    fitted = {"csrf": csrf, "kind": "adapt", "model": "1", "reason": "because I want it"}
    for path in ("/models/fit", "/models/1/use", "/models/1/retire", "/watching/alerts/1/seen"):
        assert reader.post(path, data=fitted).status_code == 403, path
        assert administrator.post(path, data={**fitted, "csrf": "x"}).status_code == 403, path
    with reading(clinic.site.engine) as session:
        assert session.scalar(select(Account).where(Account.name == "mallory")) is None


def test_strangers_see_nothing(clinic: Clinic, study: int) -> None:
    stranger = clinic.client()
    open_to_all = {"/", "/login", "/api/v1/openapi.json"}
    paths = [
        "/worklist",
        "/worklist/events",
        f"/studies/{study}",
        f"/images/{study}/pixels",
        "/good-enough",
        "/watching",
        "/models",
        "/metrics",
        "/administration",
        "/audit",
    ]
    documented = clinic.app.openapi()["paths"]
    for path in [*paths, *(each.replace("{study_id}", "1").replace("{image_id}", "1") for each in documented)]:
        answer = stranger.get(path)
        assert answer.status_code in (204, 303, 401, 405), path
    for path in open_to_all:
        assert stranger.get(path).status_code in (200, 303)
    # A browser's session is no program's token, and the other way round.
    assert clinic.client("berta").get("/api/v1/studies").status_code == 401
    assert clinic.client("", **clinic.token("worklist")).get("/worklist").status_code == 303


def test_what_is_refused_at_the_door_is_counted_in_the_log(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(build_app(clinic.site), base_url=BASE, follow_redirects=False)
    sent = [("GET", {"Host": "Planted.example"}), ("POST", {"Origin": "http://evil.example"}), ("GET", {"Host": "x"})]
    for method, headers in sent:
        assert client.request(method, "/login", headers=headers).status_code in (400, 403)
    monkeypatch.setattr(guard.time, "monotonic", lambda: float("inf"))
    client.get("/login", headers={"Host": "x"})
    told = [record.getMessage().partition(": ")[2] for record in caplog.records if "refused" in record.getMessage()]
    # At most once a minute, and then with all that was not told before.
    assert told == ["unknown-host 1.", "from-elsewhere 1, unknown-host 2."]


def test_foreign_hosts(clinic: Clinic) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example"):
        answer = clinic.client().get("/login", headers={"Host": host})
        assert answer.status_code == 400, host
        assert "evil" not in answer.text


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/%2f%2fevil",
        "javascript:alert(1)",
        "/x\r\nSet-Cookie: a=b",
    ],
)
def test_open_redirects(clinic: Clinic, to: str) -> None:
    answer = clinic.client().post("/login", data={"name": "berta", "password": PASSWORD, "to": to})
    assert answer.headers["location"] == "/worklist"
    client = clinic.client("berta")
    assert client.post("/privacy", data={"csrf": clinic.csrf(client), "to": to}).headers["location"] == "/"


def test_bodies_that_are_too_large(clinic: Clinic) -> None:
    client = clinic.client("berta")
    for path in ("/login", "/mode", "/studies/1/verdict"):
        answer = client.post(path, content=b"x" * 70_000, headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status_code == 413, path

    def parts() -> Any:
        for _ in range(20):
            yield b"name=" + b"x" * 8_000

    # Without a length, it is stopped while it comes.
    answer = client.post("/login", content=parts(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code in (400, 413)
    assert client.post("/login", content=b"", headers={"Content-Length": "-5"}).status_code in (400, 413)


def test_archives_that_grow_or_lead_out(clinic: Clinic, tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.png", b"\x89PNG\r\n\x1a\n" + bytes(130_000_000))
        archive.writestr("../../evil.png", encode_dicom(make_grey(1, depth=12), stored=12))
    answer = upload(clinic, clinic.client("berta"), bomb.getvalue(), "a.zip")
    assert answer.status_code in (200, 422)
    assert any("error" in outcome for outcome in answer.json()["files"])
    assert not (clinic.site.folder.parent / "evil.png").exists()
    assert not any("upload-" in path.name for path in clinic.site.store.incoming.iterdir())


def test_uploads_that_are_no_images(clinic: Clinic) -> None:
    client = clinic.client("berta")
    for content in (b"<html><script>alert(1)</script></html>", b"MZ\x90\x00" + bytes(100), b"#!/bin/sh\nrm -rf /", b""):
        answer = upload(clinic, client, content, "a.png").json()
        # By its name it may be a damaged image, which is listed with its reason, and never shown as anything else.
        for image in (file["image"] for file in answer["files"] if "image" in file):
            for part in ("thumbnail", "pixels"):
                shown = client.get(f"/images/{image}/{part}")
                assert shown.status_code in (404, 422)
                assert b"alert" not in shown.content
        assert answer["taken"] + answer["left_out"] == 1


def test_slow_senders_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_IDLE_S", 0.01)

    async def never() -> Any:
        await asyncio.sleep(60)

    async def received() -> Any:
        return await guard._bounded(never, 100)()

    assert asyncio.run(received())["type"] == "http.disconnect"


def test_viewers_addresses_lead_nowhere_else(clinic: Clinic) -> None:
    evil = Study(study_instance_uid="1.2/../../admin?x=1#y", accession_number="@evil.example\r\nX: y")
    links = dict(
        viewer_links({"A": "https://v.example/s/{StudyInstanceUID}", "B": "https://v.example/{AccessionNumber}"}, evil)
    )
    assert links["A"] == "https://v.example/s/1.2%2F..%2F..%2Fadmin%3Fx%3D1%23y"
    assert links["B"].startswith("https://v.example/%40evil")
    for address in ("javascript:alert(1)", "file:///etc/passwd", "https://user:secret@v.example/"):
        with pytest.raises(ValidationError):
            SiteSettings(viewers={"x": address})


def test_injection_through_search_and_positions(clinic: Clinic) -> None:
    clinic.add_study(PatientName="O'Hara^Ann")
    client = clinic.client("berta")
    csrf = clinic.csrf(client)
    for words in ("' OR 1=1 --", "%", "_", "\\", "'; DROP TABLE study; --", "zqx\x00", "#99999999999999999999"):
        answer = client.post("/worklist", data={"csrf": csrf, "q": words})
        assert answer.status_code == 200, words
        assert "No study fits" in answer.text, words
    assert "O&#39;Hara, Ann" in client.post("/worklist", data={"csrf": csrf, "q": "o'hara"}).text
    for after in ("x", "eyJ9", "W10", "WzEsMiwzLDRd", "%00", "A" * 128, "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwgMV0"):
        assert client.post("/worklist", data={"csrf": csrf, "after": after}).status_code == 200, after


def test_forms_set_nothing_else(clinic: Clinic, study: int) -> None:
    client = clinic.client("berta")
    sent = {
        "csrf": clinic.csrf(client),
        "finding": "Normal",
        "account_id": "1",
        "state": "unread",
        "blind": "false",
        "kind": "agree",
    }
    client.post(f"/studies/{study}/verdict", data=sent)
    program = clinic.client("", **clinic.token("verdicts"))
    given = program.get(f"/api/v1/studies/{study}/verdicts").json()
    assert given[0]["blind"] is True
    assert program.post(f"/api/v1/studies/{study}/verdicts", json={"finding": None, "account_id": 1}).status_code == 422
    assert client.post(f"/studies/{study}/verdict", data={**sent, "finding": "Made up"}).status_code == 400


def test_every_answer_is_protected(clinic: Clinic, study: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client = clinic.client("berta")
    paths = ["/login", "/worklist", f"/studies/{study}", "/nothing", "/static/frame.css", "/api/v1/studies", "/audit"]
    answers = [client.get(path) for path in paths] + [client.get("/login", headers={"Host": "x"})]
    monkeypatch.setattr("carina.service.web.pages.worklist.page_of", lambda *_: 1 / 0)
    answers.append(client.get("/worklist"))
    assert answers[-1].status_code == 500
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        if "/static/" not in str(answer.url):
            assert answer.headers["cache-control"] == "no-store"


def test_pages_have_no_inline_script_or_style(clinic: Clinic, study: int) -> None:
    pages = [
        clinic.client("anna").get(path).text
        for path in ("/worklist", f"/studies/{study}", "/good-enough", "/watching", "/models", "/administration")
    ]
    pages += [clinic.client("carl").get("/audit").text, clinic.client().get("/login").text]
    for page in pages:
        assert "style=" not in page
        assert "<style" not in page
        assert "<script>" not in page
        assert " onclick=" not in page
        assert "http://" not in page.replace("http://www.w3.org", "")


def test_planted_identifiers_show_nowhere_else(
    clinic: Clinic, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    planted = {
        name: f"Planted{place}Zz"
        for place, name in enumerate(("PatientName", "PatientID", "AccessionNumber", "StudyDescription"))
    }
    number = clinic.add_study(**planted)
    client = clinic.client("berta")
    assert "Planted0Zz" in client.get(f"/studies/{number}").text
    csrf = clinic.csrf(client)
    found = client.post("/worklist", data={"csrf": csrf, "q": "Planted1Zz"})
    assert "Planted0Zz" in found.text
    assert "Planted" not in found.headers["hx-push-url"]
    note = {"finding": "Normal", "note": "Planted9Zz", "csrf": csrf}
    assert client.post(f"/studies/{number}/verdict", data=note).status_code == 303
    refused = client.post(f"/studies/{number}/verdict", data={**note, "finding": "Planted9Zz"}).text
    program = clinic.client("", **clinic.token("verdicts"))
    unknown = program.post(f"/api/v1/studies/{number}/verdicts", json={"finding": None, "Planted9Zz": "Planted9Zz"})
    assert "a field that is not known" in unknown.text
    refused += unknown.text

    def fail(*_: Any) -> None:
        msg = "Planted0Zz cannot be shown"
        raise ValueError(msg)

    monkeypatch.setattr("carina.service.web.pages.reading.viewer_links", fail)
    broken = client.get(f"/studies/{number}").text
    auditor = clinic.client("carl")
    log = auditor.post("/audit/export", data={"csrf": clinic.csrf(auditor)}).text
    sent = " ".join(record.getMessage() + str(record.exc_text) for record in caplog.records)
    for place in (refused, broken, log, sent):
        assert "Planted" not in place
    assert "Something went wrong here" in broken


def test_names_are_hidden_on_request(clinic: Clinic) -> None:
    number = clinic.add_study(PatientName="Hidden^Name", PatientID="HiddenId", AccessionNumber="HiddenAcc")
    client = clinic.client("berta")
    client.post("/privacy", data={"csrf": clinic.csrf(client), "to": "/worklist"})
    for path in ("/worklist?state=", f"/studies/{number}"):
        page = client.get(path).text
        assert "Hidden" not in page
        assert f"Study {number}" in page


def test_a_deleted_image_is_said(clinic: Clinic) -> None:
    image = clinic.image_of(clinic.add_study())
    clinic.site.store.object_path(image.digest).unlink()
    answer = clinic.client("berta").get(f"/images/{image.id}/pixels", headers={"Accept": "application/json"})
    assert answer.json()["error"]["code"] == "image-gone"
    with reading(clinic.site.engine) as session:
        assert session.get(Image, image.id) is not None


def test_numbers_that_no_database_holds(clinic: Clinic, study: int) -> None:
    client = clinic.client("anna")
    form = {"csrf": clinic.csrf(client), "label": "x", "scopes": "status", "finding": "Normal", "reason": "A reason."}
    for huge in (str(2**31), str(2**63), str(10**30), "9" * 5000, "-1", "0"):
        for path in (
            f"/administration/accounts/{huge}",
            f"/administration/tokens/{huge}/end",
            f"/models/{huge}/use",
            f"/studies/{huge}/verdict",
        ):
            assert client.post(path, data=form).status_code in (404, 414), path[:60]
        for path, name in (
            ("/administration/tokens", "account"),
            ("/administration/tokens", "days"),
            (f"/studies/{study}/verdict", "newest"),
        ):
            assert client.post(path, data={"account": "1", **form, name: huge}).status_code in (400, 422), (path, name)
        for path in (
            f"/studies/{huge}",
            f"/images/{huge}/pixels",
            f"/good-enough?model={huge}",
            f"/audit?before={huge}",
        ):
            assert client.get(path).status_code in (200, 403, 404, 422), path[:60]
    nobody = client.post("/administration/tokens", data={**form, "account": "4711"})
    assert (nobody.status_code, "no active account 4711" in nobody.text) == (400, True)


def test_what_is_refused_is_in_the_audit_log(clinic: Clinic, study: int) -> None:
    reader = clinic.client("boris")
    reader.get("/administration")
    reader.post(f"/studies/{study}/verdict", data={"finding": "Normal", "csrf": "x"})
    clinic.client("", **clinic.token("status")).get(f"/api/v1/studies/{study}/verdicts")
    clinic.client("carl").post("/upload", content=b"x")
    with reading(clinic.site.engine) as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.action == "refused").order_by(AuditEvent.seq))
        told = [(event.actor.split()[0], event.details["code"], event.details["address"]) for event in events]
    assert told[-4:] == [
        ("account", "not-allowed", "/administration"),
        ("account", "stale-page", "/studies/{study_id}/verdict"),
        ("token", "scope-missing", "/studies/{study_id}/verdicts"),
        ("account", "not-allowed", "/upload"),
    ]


def test_behind_a_proxy_nothing_goes_without_tls(clinic: Clinic) -> None:
    site = replace(clinic.site, settings=clinic.site.settings.model_copy(update={"behind_proxy": True}))
    client = TestClient(build_app(site), base_url=BASE, follow_redirects=False)
    sent = {"name": "berta", "password": PASSWORD}
    for answer in (client.get("/login"), client.post("/login", data=sent), client.get("/api/v1/mode")):
        assert answer.status_code == 403
        assert "by https only" in answer.text
    assert client.get("/healthz").status_code == 200
    through = client.post("/login", data=sent, headers={"X-Forwarded-Proto": "https"})
    assert through.status_code == 303
    assert "__Host-carina_session" in through.headers["set-cookie"]
    assert "Secure" in through.headers["set-cookie"]


def test_an_upload_leaves_room_for_verdicts(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    client, room = clinic.client("berta"), 3_000_000
    monkeypatch.setattr(ObjectStore, "free_bytes", lambda _: room + clinic.site.settings.limits.keep_free_bytes)
    assert upload(clinic, client, encode_dicom(make_grey(5, depth=12), stored=12)).json()["taken"] == 1
    room = -10
    assert "has less than 512 MB left" in client.get("/worklist").text
    room = 10
    assert "has less than 512 MB left" not in client.get("/worklist").text
    answer = upload(clinic, client, b"PK" + bytes(1000), Accept="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disk-full")
    assert not any(clinic.site.store.incoming.iterdir())


def test_a_page_that_nobody_uses_does_not_keep_a_session(clinic: Clinic) -> None:
    client = clinic.client("berta")
    image = clinic.image_of(clinic.add_study()).id

    def used() -> bool:
        with writing(clinic.site.engine) as session:
            was = now() - timedelta(minutes=20)
            session.execute(update(LoginSession).values(last_seen_at=was))
        yield_to()
        with reading(clinic.site.engine) as session:
            return any(each.last_seen_at > was for each in session.scalars(select(LoginSession)))

    csrf = clinic.csrf(client)
    yield_to = lambda: client.post("/worklist", data={"csrf": csrf}, headers={"X-By-Itself": "1"})  # noqa: E731
    assert not used()
    yield_to = lambda: client.get(f"/images/{image}/thumbnail")  # noqa: E731
    assert not used()
    yield_to = lambda: client.post("/worklist", data={"csrf": csrf})  # noqa: E731
    assert used()


def test_half_an_answer_is_not_followed_by_another(clinic: Clinic) -> None:
    sent: list[Any] = []

    async def breaks(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "path": "/", "method": "GET", "scheme": "http", "headers": [(b"host", b"127.0.0.1")]}
    asyncio.run(guard.Guard(breaks, clinic.site)(scope, None, send))
    assert sent == ["http.response.start"]
