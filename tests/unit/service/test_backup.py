"""A copy of a site becomes the same site again, on either database."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from carina.errors import ConfigurationError
from carina.service.backup import backup, restore
from carina.service.database.all_tables import METADATA
from carina.service.database.sessions import writing
from carina.service.intake.take import Taken, take
from carina.service.judging.records import record
from carina.service.people.accounts import add_account
from carina.service.site_folder import Site, open_site
from carina.service.site_settings import read_settings
from postgresql import PostgreSql
from unit.service.test_take import film
from unit.service.test_worker import SAID, add_model, send


def contents(site: Site) -> dict[str, list[tuple[Any, ...]]]:
    with site.engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=str)
            for table in METADATA.sorted_tables
        }


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_copy_becomes_the_same_site(site: Site, target: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    model = add_model(site)
    sent = send(site, 3)
    with writing(site.engine) as session:
        record(session, sent[0].image_id, model, SAID, in_use=True)
    add_account(site.engine, "anna", "correct horse battery staple", "reader")
    (site.folder / "models" / "mine").mkdir(parents=True)
    (site.folder / "models" / "mine" / "bundle.json").write_text("{}")
    site.store.object_path(sent[2].digest).unlink()

    saved = backup(site, tmp_path / "saved")
    assert (saved.images, saved.missing) == (2, 1)
    database = None
    if target == "postgresql":
        cluster: PostgreSql = request.getfixturevalue("postgresql")
        database = cluster.new_database()
    done = restore(tmp_path / "saved", tmp_path / "restored", database=database)

    assert (done.rows, done.images, done.missing) == (saved.rows, 2, 1)
    again = open_site(tmp_path / "restored", database=database)
    assert contents(again) == contents(site)
    assert again.store.object_path(sent[0].digest).read_bytes() == film_of(site, sent[0])
    assert (again.folder / "models" / "mine" / "bundle.json").is_file()
    # New rows are numbered after the restored ones.
    new = take(again, film(StudyInstanceUID="9.9", SOPInstanceUID="9.9.9"), name="n", source="upload")
    assert isinstance(new, Taken)
    assert new.image_id > max(one.image_id for one in sent)
    again.close()


def film_of(site: Site, taken: Taken) -> bytes:
    return site.store.object_path(taken.digest).read_bytes()


def test_what_is_no_whole_copy_or_would_be_overwritten_is_refused(plain_site: Site, tmp_path: Path) -> None:
    send(plain_site, 1)
    backup(plain_site, tmp_path / "saved")
    with pytest.raises(ConfigurationError, match="already exists"):
        backup(plain_site, tmp_path / "saved")
    with pytest.raises(ConfigurationError, match="already exists"):
        restore(tmp_path / "saved", plain_site.folder)
    half = tmp_path / "half"
    shutil.copytree(tmp_path / "saved", half)
    (half / "complete").unlink()
    with pytest.raises(ConfigurationError, match="no whole copy"):
        restore(half, tmp_path / "new")


def test_a_database_that_holds_something_is_not_filled(
    plain_site: Site, tmp_path: Path, postgresql: PostgreSql
) -> None:
    send(plain_site, 1)
    backup(plain_site, tmp_path / "saved")
    database = postgresql.new_database()
    restore(tmp_path / "saved", tmp_path / "one", database=database)
    with pytest.raises(ConfigurationError, match="The database is not empty: its table"):
        restore(tmp_path / "saved", tmp_path / "two", database=database)


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
def test_a_copy_does_not_fill_the_database_that_its_settings_name(
    to: str, tmp_path: Path, postgresql: PostgreSql
) -> None:
    folder, old = tmp_path / "site", postgresql.new_database()
    folder.mkdir()
    (folder / "site.toml").write_text(f'port = 0\ndatabase = "{old}"\n[watch]\nfolder = "drop"\n')
    site = open_site(folder)
    send(site, 1)
    backup(site, tmp_path / "saved")
    site.close()
    # The old server was set up again, and its database is empty.
    named = old if to == "postgresql" else postgresql.new_database()
    new = postgresql.new_database() if to == "postgresql" else None
    done = restore(tmp_path / "saved", tmp_path / "new", database=new)
    assert (done.images, done.named_database) == (1, True)
    settings = (tmp_path / "new" / "site.toml").read_text()
    assert named not in settings
    assert read_settings(tmp_path / "new").database is None
    assert read_settings(tmp_path / "new").watch is not None
    again = open_site(tmp_path / "new", database=new)
    assert len(contents(again)["image"]) == 1
    again.close()


def test_a_file_that_goes_while_the_site_is_copied_stops_nothing(plain_site: Site, tmp_path: Path) -> None:
    send(plain_site, 1)
    (plain_site.folder / "evidence").mkdir()
    # As a judge's temporary file: listed, and gone when it is to be copied.
    (plain_site.folder / "evidence" / ".partial-1.json").symlink_to(tmp_path / "gone")
    (plain_site.folder / "evidence" / "kept.json").write_text("{}")
    backup(plain_site, tmp_path / "saved")
    assert [path.name for path in (tmp_path / "saved" / "folder" / "evidence").iterdir()] == ["kept.json"]
    assert (tmp_path / "saved").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match="lies in the site's own folder"):
        backup(plain_site, plain_site.folder / "saved")
