"""A site: its folder with settings, database and images, as every part of ``carina serve`` opens it."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select

from carina.dicom.listener.store import ObjectStore
from carina.errors import ConfigurationError
from carina.service.database.base import database_url, open_engine
from carina.service.database.migrate import migrate
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image
from carina.service.site_settings import SETTINGS_FILE, SiteSettings, read_settings

STORE_FOLDER = "images"
LOCKS_FOLDER = "locks"
# What the network gives for films that a model was fitted to; it can be computed again.
FITTING_CACHE = "fitting-cache"
# What is younger may still be on its way into the database.
_ORPHAN_S = 3600.0
_TOGETHER = 500

_NEW_SETTINGS = """\
# What this site needs to know. Every line may be left out; docs/how-to/serve.md says what there is.
# Changes count when carina serve is started again.
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A site that is open.

    Attributes
    ----------
    folder, settings, engine
        Where it lies, what ``site.toml`` says, and its database.
    store
        Where its images lie, by their digests: ``store.object_path(digest)``.
    """

    folder: Path
    settings: SiteSettings
    engine: Engine
    store: ObjectStore

    def close(self) -> None:
        """Close the connections to the database."""
        self.engine.dispose()

    def has_room_for(self, size: int) -> bool:
        """Return whether so many bytes may be written."""
        return self.store.free_bytes() >= size + self.settings.limits.keep_free_bytes

    def clean(self) -> int:
        """Delete files that no row knows, which were never acknowledged; return how many images were among them."""
        before = time.time() - _ORPHAN_S
        for left in self.store.incoming.iterdir():
            if left.stat().st_mtime < before:
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        old = [digest for digest in self.store.stored_digests() if self._written(digest) < before]
        deleted = 0
        for start in range(0, len(old), _TOGETHER):
            group = old[start : start + _TOGETHER]
            with reading(self.engine) as session:
                known = set(session.scalars(select(Image.digest).where(Image.digest.in_(group))))
            for digest in set(group) - known:
                # It may have come again since, and have its row by now.
                if self._written(digest) < before:
                    self.store.object_path(digest).unlink(missing_ok=True)
                    deleted += 1
        return deleted

    def _written(self, digest: str) -> float:
        try:
            return self.store.object_path(digest).stat().st_mtime
        except FileNotFoundError:
            return time.time()


def open_site(folder: Path, *, database: str | None = None, make: bool = False) -> Site:
    """Return a site, its database brought to this version's tables.

    Parameters
    ----------
    folder
        Of the site, on a disk of this machine, or one that all machines of the site share.
    database
        Instead of what its settings say; see `carina.service.site_settings.SiteSettings`.
    make
        Make the folder if it is not there.

    Raises
    ------
    ConfigurationError
        If the folder is not there, its settings are wrong, or the database cannot be used.
    """
    if not folder.is_dir():
        if not make:
            msg = f"{folder} is no folder. Name the folder of a site, or start one with: carina serve --folder {folder}"
            raise ConfigurationError(msg)
        try:
            folder.mkdir(mode=0o700, parents=True)
            (folder / SETTINGS_FILE).write_text(_NEW_SETTINGS, encoding="utf-8")
        except OSError as error:
            msg = f"The folder {folder} cannot be made: {error.strerror}. Name one that can be written."
            raise ConfigurationError(msg) from None
    settings = read_settings(folder, database=database)
    engine = open_engine(database_url(folder, settings.database))
    try:
        migrate(engine)
        return Site(folder, settings, engine, ObjectStore(folder / STORE_FOLDER, ending=""))
    except BaseException:
        engine.dispose()
        raise
