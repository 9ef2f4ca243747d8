"""What machines ask: whether the process answers, and whether the site can do its work."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from carina.service.parts import Presence
from carina.service.site_folder import Site
from carina.service.web.app import build_app


def test_a_site_is_ready_once_a_worker_is_there(plain_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(build_app(plain_site), base_url="http://127.0.0.1")
    assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"status": "ok"})
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["worker"], answer.json()["database"]) == (503, False, True)
    Presence(plain_site, "worker w").say()
    assert client.get("/readyz").json() == {"status": "ready", "database": True, "worker": True, "disk": True}
    with monkeypatch.context() as patched:
        patched.setattr(type(plain_site.store), "free_bytes", lambda _: 0)
        assert client.get("/readyz").json()["disk"] is False
    with plain_site.engine.begin() as connection:
        connection.execute(text("DROP TABLE part"))
    assert client.get("/readyz").json()["database"] is False
