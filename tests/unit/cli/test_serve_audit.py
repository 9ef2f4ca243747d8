"""``carina serve audit verify`` says that the log is whole, or which line is not."""

import os
from pathlib import Path

from sqlalchemy import update

from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.audit_log.chain import append
from carina.service.database.sessions import writing
from carina.service.site_folder import open_site
from unit.cli.conftest import Typed


def test_a_changed_line_is_named(tmp_path: Path, carina: Typed) -> None:
    folder = tmp_path / "site"
    site = open_site(folder, make=True)
    with writing(site.engine) as session:
        append(session, "account 1", "login")
        append(session, "account 1", "study-opened", "study 12")
    code, out, _ = carina("serve", "audit", "verify", "--folder", str(folder))
    assert (code, out.split(". ")[0]) == (0, "2 lines, none changed or missing")
    with writing(site.engine) as session:
        session.execute(update(AuditEvent).where(AuditEvent.seq == 2).values(subject="study 13"))
    site.close()
    code, out, err = carina("serve", "audit", "verify", "--folder", str(folder))
    assert (code, out) == (1, "")
    assert "The audit log is not whole: line 2: its content was changed." in " ".join(err.split())


def test_what_a_site_writes_is_its_owners_alone(tmp_path: Path, carina: Typed) -> None:
    folder = tmp_path / "site"
    # Made by hand, so that others may look into it.
    folder.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        assert carina("serve", "audit", "verify", "--folder", str(folder))[0] == 0
    finally:
        left = os.umask(before)
    # What else this process writes is not the site's.
    assert left == 0o022
    assert (folder / "site.sqlite3").stat().st_mode & 0o077 == 0
