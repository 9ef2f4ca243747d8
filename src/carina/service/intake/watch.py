"""The watched folder: its images are taken in, and its files stay as they are."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from carina.dicom.transport.log import EventLog
from carina.radiographs.file_kind import is_hidden
from carina.service.database.base import now
from carina.service.database.insert import insert_new
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import WatchedFile
from carina.service.intake.files import take_file
from carina.service.intake.take import NotTakenError, Taken
from carina.service.parts import WATCHED_FOLDER, Presence
from carina.service.site_folder import Site
from carina.service.site_settings import WatchSettings

_KEPT_APART = b"\0"
# A file that cannot be read now: a share that was away, or a permission that somebody sets later. Nothing of the file
# itself changes then, so that it would not be looked at again.
_PASSING = frozenset({"unreadable-file", "permission-denied", "not-found"})


def watch(site: Site, settings: WatchSettings, log: EventLog, stop: threading.Event) -> None:
    """Take in what appears in a folder, until `stop` is set."""
    watched = WatchedFolder(site, settings.folder, log)
    presence = Presence(site, WATCHED_FOLDER)
    while not stop.is_set():
        presence.say(watched.look())
        stop.wait(settings.every_s)
    presence.leave()


class WatchedFolder:
    """A folder that is looked at again and again; hidden files, and links to folders, are passed over."""

    def __init__(self, site: Site, folder: Path, log: EventLog) -> None:
        self._site, self._folder, self._log = site, folder, log
        self._known: set[str] | None = None
        self._before: dict[str, str] = {}
        self._told: set[str] = set()

    def look(self) -> str | None:
        """Take what is new and did not change since the look before; return what is in the way, if anything is."""
        if not self._folder.is_dir():
            return "The watched folder is not there. Make it, or change [watch] folder in site.toml."
        try:
            if self._known is None:
                with reading(self._site.engine) as session:
                    self._known = set(session.scalars(select(WatchedFile.key)))
            there = dict(_files(self._folder))
            for path, key in there.items():
                # A file that is still being copied changes from one look to the next.
                if key not in self._known and self._before.get(path) == key:
                    self._take(Path(path), key)
            self._before = there
        except NotTakenError as error:
            return str(error)
        except SQLAlchemyError as error:
            return f"The database does not answer ({type(error).__name__})."
        except OSError as error:
            return f"The watched folder cannot be read: {error.strerror}."
        return None

    def _take(self, path: Path, key: str) -> None:
        name = str(path.relative_to(self._folder))
        is_done = True
        for outcome in take_file(self._site, path, name=name, source="folder"):
            said = outcome.said
            if isinstance(said, NotTakenError):
                # Of an archive, what was taken before is known when it is tried again.
                raise said
            if isinstance(said, Taken):
                self._log.tell("received" if said.is_new else "duplicate", image=said.image_id, source="folder")
            else:
                passes = said.code in _PASSING
                is_done = is_done and not passes
                if not passes or key not in self._told:
                    self._log.tell("left out", source="folder", reason=said.code)
                if passes:
                    self._told.add(key)
        if not is_done:
            # It is looked at again; the log has said so once.
            return
        with writing(self._site.engine) as session:
            insert_new(session, WatchedFile, key=key, at=now())
        if self._known is not None:
            self._known.add(key)


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the path of each file, and what it is known by: path, size and time of change."""
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            if is_hidden(name):
                continue
            path = os.path.join(where, name)  # noqa: PTH118  # a hundred thousand Path objects at each look
            try:
                found = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            parts = (os.fsencode(path), str(found.st_size).encode(), str(found.st_mtime_ns).encode())
            yield path, hashlib.sha256(_KEPT_APART.join(parts)).hexdigest()
