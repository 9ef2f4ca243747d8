"""The audit log shows whatever was done to it, on both databases."""

import csv
import io

import pytest
from sqlalchemy import delete, text, update

from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.audit_log.chain import append, export, found, verify
from carina.service.database.sessions import reading, writing
from carina.service.site_folder import Site


def fill(site: Site, count: int = 4) -> None:
    for number in range(1, count + 1):
        with writing(site.engine) as session:
            append(session, "account 1", "study-opened", f"study {number}", {"é": 0.1, "b": [1, None]})


def checked(site: Site) -> tuple[int | None, str | None]:
    with reading(site.engine) as session:
        said = verify(session)
    return said.broken_at, said.why


def test_a_log_that_nobody_touched_is_whole(site: Site) -> None:
    fill(site)
    assert checked(site) == (None, None)
    with reading(site.engine) as session:
        assert verify(session).lines == 4
        assert session.scalars(found(search="study 2")).one().seq == 2


@pytest.mark.parametrize("column", ["actor", "subject", "previous", "hash"])
def test_a_changed_line_is_named(plain_site: Site, column: str) -> None:
    fill(plain_site)
    with writing(plain_site.engine) as session:
        session.execute(update(AuditEvent).where(AuditEvent.seq == 3).values({column: "f" * 64}))
    # A hash that was changed may also show at the line that follows.
    assert checked(plain_site)[0] == 3


def test_changed_details_are_named(site: Site) -> None:
    fill(site)
    with writing(site.engine) as session:
        session.execute(update(AuditEvent).where(AuditEvent.seq == 2).values(details={"é": 0.2, "b": [1, None]}))
    assert checked(site) == (2, "its content was changed")


def test_a_missing_line_is_named(plain_site: Site) -> None:
    fill(plain_site)
    with writing(plain_site.engine) as session:
        session.execute(delete(AuditEvent).where(AuditEvent.seq == 2))
    assert checked(plain_site) == (2, "line 2 is missing")


def test_lines_that_were_cut_off_show_in_the_head_alone(plain_site: Site) -> None:
    fill(plain_site)
    with reading(plain_site.engine) as session:
        before = verify(session)
    with writing(plain_site.engine) as session:
        session.execute(delete(AuditEvent).where(AuditEvent.seq == 4))
    with reading(plain_site.engine) as session:
        after = verify(session)
    assert after.whole
    assert (after.lines, after.head) != (before.lines, before.head)


def test_what_did_not_happen_is_not_told(plain_site: Site) -> None:
    fill(plain_site, 1)

    def fail() -> None:
        with writing(plain_site.engine) as session:
            append(session, "account 1", "login")
            session.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(Exception, match="nowhere"):
        fail()
    with reading(plain_site.engine) as session:
        assert verify(session).lines == 1


def test_the_export_holds_every_line(plain_site: Site) -> None:
    fill(plain_site)
    with reading(plain_site.engine) as session:
        rows = list(csv.DictReader(io.StringIO("".join(export(session)))))
    assert [row["subject"] for row in rows] == ["study 1", "study 2", "study 3", "study 4"]
    assert rows[0]["previous"] == "0" * 64
    assert rows[1]["previous"] == rows[0]["hash"]
