"""The database: its migration makes the tables of this version, on both; transactions and times do what they say."""

import ast
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from carina.errors import ConfigurationError
from carina.service.database.all_tables import METADATA
from carina.service.database.base import database_url
from carina.service.database.changes import Changes, announce
from carina.service.database.migrate import migrate
from carina.service.database.revise import INITIAL, write_initial
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Study
from carina.service.site_folder import Site


def study(key: str = "k", at: datetime | None = None) -> Study:
    time = at or datetime.now(UTC)
    return Study(key=key, source="upload", arrived_at=time, changed_at=time)


def test_the_migration_makes_the_tables_that_the_code_has(site: Site) -> None:
    with site.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_the_migration_is_the_one_that_the_tables_give() -> None:
    # Checks of words (one_of) are seen by no comparison of databases.
    written = INITIAL.read_text(encoding="utf-8")
    same = ast.dump(ast.parse(written)) == ast.dump(ast.parse(write_initial()))
    assert same, "Run: python -m carina.service.database.revise"


def test_a_database_of_a_later_version_is_refused(site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of-tomorrow'"))
    with pytest.raises(ConfigurationError, match="a later version of Carina"):
        migrate(site.engine)


def test_words_that_a_column_does_not_know_are_refused(site: Site) -> None:
    with writing(site.engine) as session:
        session.add(study())
    with pytest.raises(IntegrityError), writing(site.engine) as session:
        session.execute(text("UPDATE study SET state = 'gone'"))


def test_times_come_back_with_their_zone_and_none_goes_in_without(site: Site) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    with writing(site.engine) as session:
        session.add(study(at=at))
    with reading(site.engine) as session:
        found = session.get_one(Study, 1).arrived_at
        assert (found, found.tzinfo) == (at, UTC)
    with pytest.raises(Exception, match="without a zone"), writing(site.engine) as session:
        session.add(study("other", at=at.replace(tzinfo=None)))


def test_two_who_read_and_then_write_take_turns(plain_site: Site) -> None:
    begun = threading.Barrier(2)
    counts: list[int] = []

    def add(key: str) -> None:
        begun.wait()
        with writing(plain_site.engine) as session:
            counts.append(session.query(Study).count())
            time.sleep(0.05)
            session.add(study(key))

    threads = [threading.Thread(target=add, args=(key,)) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 1]


def test_what_raises_leaves_nothing(site: Site) -> None:
    with pytest.raises(KeyError):
        add_and_raise(site)
    with reading(site.engine) as session:
        assert session.query(Study).count() == 0


def add_and_raise(site: Site) -> None:
    with writing(site.engine) as session:
        session.add(study())
        session.flush()
        raise KeyError


def test_who_waits_is_woken_by_what_another_process_writes(new_site: Callable[[], Site]) -> None:
    waiting, other = new_site(), new_site()
    with Changes(waiting.engine) as changes:
        assert changes.wait(0)
        assert not changes.wait(0.05)
        started = time.monotonic()
        thread = threading.Timer(0.1, write_and_tell, (other,))
        thread.start()
        assert changes.wait(30)
        assert time.monotonic() - started < 15
        thread.join()
        assert not changes.wait(0.05)


def write_and_tell(site: Site) -> None:
    with writing(site.engine) as session:
        session.add(study())
        announce(session)


@pytest.mark.parametrize("database", ["mysql://u:secret@h/d", "nonsense", "sqlite:///x"])
def test_another_database_is_refused_without_its_password(database: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://USER@HOST/NAME") as error:
        database_url(Path(), database)
    assert "secret" not in str(error.value)
