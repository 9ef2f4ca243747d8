"""A copy of a site, and a site from a copy. The copy does not depend on the database: it can move to another one.

::

    OUT/rows.jsonl.gz   every row: one line with the name of the table and its columns
    OUT/images/         every image, by its digest
    OUT/folder/         what else the site's folder holds: settings, evidence, models
    OUT/complete        written last: what has none is half a copy
"""

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Date, Table, func, select, text

from carina.dicom.transport.settings import read_toml
from carina.errors import ConfigurationError
from carina.service.database.all_tables import METADATA
from carina.service.database.base import DATABASE_FILE, UtcTime
from carina.service.database.migrate import revision_of
from carina.service.database.study_tables import Image
from carina.service.site_folder import FITTING_CACHE, LOCKS_FOLDER, STORE_FOLDER, Site, open_site
from carina.service.site_settings import SETTINGS_FILE
from carina.storage.atomic import require_absent, whole_folder

_ROWS, _IMAGES, _REST, _COMPLETE = "rows.jsonl.gz", "images", "folder", "complete"
# Copied in their own way, or made again by themselves.
_NOT_THE_REST = frozenset({STORE_FOLDER, LOCKS_FOLDER, FITTING_CACHE, "thumbnails"})
_TOGETHER = 500
_NAMES_DATABASE = re.compile(r"""\s*(database|"database"|'database')\s*=""")


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows and images a copy has, and how many images had no file.

    `named_database` tells whether the settings named a database, which was taken out of them.
    """

    rows: int
    images: int
    missing: int
    named_database: bool = False


def backup(site: Site, out: Path) -> Copied:
    """Write a copy of a site into a new folder. The site may be served meanwhile: the copy is of one moment.

    Raises
    ------
    ConfigurationError
        If the folder holds something already.
    OSError
        If the disk is full. Then nothing is left.
    """
    if out.absolute().is_relative_to(site.folder.absolute()):
        msg = f"{out} lies in the site's own folder, which is copied. Name a folder elsewhere, best on another disk."
        raise ConfigurationError(msg)
    with whole_folder(out, what="copy") as folder:
        # It holds names, and the hashes of passwords.
        folder.chmod(0o700)
        rows, digests = _write_rows(site, folder / _ROWS)
        target = _Images(folder / _IMAGES)
        copied = sum(target.copy(site.store.object_path(digest), digest) for digest in digests)
        _copy_rest(site.folder, folder / _REST)
        (folder / _COMPLETE).write_text(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n", encoding="utf-8")
    return Copied(rows, copied, len(digests) - copied)


def restore(saved: Path, folder: Path, *, database: str | None = None) -> Copied:
    """Make a site from a copy, in a new folder and an empty database.

    The database that the copied settings name is that of the site which was copied: it is taken out of them.

    Parameters
    ----------
    saved, folder
        The copy, and the folder to make.
    database
        To fill; by default a file of SQLite in the folder. The new settings do not name it: an address may hold a
        password.

    Raises
    ------
    ConfigurationError
        If there is no whole copy, it is one of another version, or the folder or the database holds something already.
    """
    if not (saved / _COMPLETE).is_file():
        msg = f"{saved} is no whole copy of a site: it has no file {_COMPLETE}. Name a folder of carina serve backup."
        raise ConfigurationError(msg)
    require_absent(folder, what="site")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy_rest(saved / _REST, folder)
    names_database = _take_database_out(folder / SETTINGS_FILE)
    site = open_site(folder, database=database)
    try:
        with site.engine.execution_options(writing=True).begin() as connection:
            rows, digests = _read_rows(connection, saved / _ROWS)
        copied = 0
        for digest in digests:
            source = saved / _IMAGES / digest[:2] / digest
            if source.is_file():
                site.store.write_object(digest, (source.read_bytes(),))
                copied += 1
    finally:
        site.close()
    return Copied(rows, copied, len(digests) - copied, named_database=names_database)


def _take_database_out(settings: Path) -> bool:
    """Turn the line of a settings file that names a database into a comment; return whether there was one."""
    if not settings.is_file() or "database" not in read_toml(settings):
        return False
    lines = settings.read_text(encoding="utf-8").splitlines()
    place = next((number for number, line in enumerate(lines) if _NAMES_DATABASE.match(line)), None)
    if place is not None:
        # Without the address, which may hold a password.
        lines[place] = "# database: taken out by carina serve restore; it was that of the site which was copied"
        settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if "database" in read_toml(settings):
        msg = f"{settings} names a database in a way that is not understood. Take it out of the copy, and try again."
        raise ConfigurationError(msg)
    return True


def _copy_rest(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.name in _NOT_THE_REST or path.name.startswith(DATABASE_FILE):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, copy_function=_copy_if_there)
        elif path.is_file():
            shutil.copyfile(path, target / path.name)


def _copy_if_there(source: str, target: str) -> None:
    # What a judge is just writing has another name a moment later.
    with suppress(FileNotFoundError):
        shutil.copyfile(source, target)


class _Images:
    """The images of a copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def copy(self, source: Path, digest: str) -> bool:
        """Copy an image, if it is there; return whether it is."""
        place = self._folder / digest[:2]
        place.mkdir(exist_ok=True)
        try:
            shutil.copyfile(source, place / digest)
        except FileNotFoundError:
            return False
        return True


def _write_rows(site: Site, path: Path) -> tuple[int, list[str]]:
    count, digests = 0, list[str]()
    engine = site.engine
    if engine.dialect.name == "postgresql":
        # All tables as of one moment; SQLite reads so by itself.
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection, gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"carina-site": 1, "tables": revision_of(connection)}) + "\n")
        for table in METADATA.sorted_tables:
            for row in connection.execute(select(table)).yield_per(_TOGETHER).mappings():
                stream.write(json.dumps({"table": table.name, "row": _plain(row)}, ensure_ascii=False) + "\n")
                count += 1
                if table.name == Image.__tablename__:
                    digests.append(row["digest"])
    return count, digests


def _read_rows(connection: Connection, path: Path) -> tuple[int, list[str]]:
    count, digests = 0, list[str]()
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        head = json.loads(stream.readline())
        if head.get("carina-site") != 1 or head.get("tables") != revision_of(connection):
            msg = "The copy is of another version of Carina. Restore it with that version, and update then."
            raise ConfigurationError(msg)
        for table in METADATA.sorted_tables:
            if connection.execute(select(func.count()).select_from(table)).scalar_one():
                msg = f"The database is not empty: its table {table.name} has rows. Name an empty one."
                raise ConfigurationError(msg)
        for table, rows in _groups(stream):
            connection.execute(table.insert(), rows)
            count += len(rows)
            if table.name == Image.__tablename__:
                digests += [str(row["digest"]) for row in rows]
    if connection.dialect.name == "postgresql":
        _set_sequences(connection)
    return count, digests


def _groups(lines: Any) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Yield rows of one table together, some hundred at a time."""
    name, rows = "", list[dict[str, Any]]()
    for line in lines:
        said = json.loads(line)
        if rows and (said["table"] != name or len(rows) == _TOGETHER):
            yield METADATA.tables[name], rows
            rows = []
        name = said["table"]
        rows.append(_values(METADATA.tables[name], said["row"]))
    if rows:
        yield METADATA.tables[name], rows


def _plain(row: Any) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in row.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _values(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(table, name, value) for name, value in row.items()}


def _value(table: Table, name: str, value: Any) -> Any:
    kind = table.columns[name].type
    if value is None:
        return None
    if isinstance(kind, UtcTime):
        return datetime.fromisoformat(value)
    if isinstance(kind, Date):
        return date.fromisoformat(value)
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) and set(value) == {"hex"} else value


def _set_sequences(connection: Connection) -> None:
    """Let PostgreSQL number new rows after those that were restored."""
    for table in METADATA.sorted_tables:
        for column in table.primary_key.columns:
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
            ).scalar()
            if sequence is not None:
                largest = connection.execute(select(func.max(column))).scalar()
                connection.execute(
                    text("SELECT setval(:sequence, :value, :used)"),
                    {"sequence": sequence, "value": largest or 1, "used": largest is not None},
                )
