"""A DICOMweb server is asked again and again for new radiographs; what it finds is taken in.

It is the search and the fetch of ``carina dicom query``. A series of which the site has every image is not fetched.
"""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from carina.dicom.fetching.dicomweb import WebArchive
from carina.dicom.fetching.query import Archive, Delivery, Series, what_lacks
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.transport.log import EventLog
from carina.errors import ArchiveUnusableError, PeerError
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Study
from carina.service.intake.take import NotTakenError, Taken, take
from carina.service.parts import POLLED, Presence
from carina.service.people.people_tables import Setting
from carina.service.site_folder import Site
from carina.service.site_settings import PollSettings

_KEY = "dicomweb"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking: how many series were found and fetched, how many images were new, what is in the way."""

    series: int = 0
    fetched: int = 0
    new: int = 0
    lacking: int = 0
    problem: str | None = None


def poll(site: Site, settings: PollSettings, log: EventLog, stop: threading.Event) -> None:
    """Ask until `stop` is set."""
    poller = Poller(site, settings, log)
    presence = Presence(site, POLLED)
    while not stop.is_set():
        asked = poller.ask(stop)
        until = settings.every_s
        while not stop.is_set() and until > 0:
            presence.say(asked.problem)
            stop.wait(min(until, 20))
            until -= 20
    presence.leave()


class Poller:
    """Asks a DICOMweb server.

    Parameters
    ----------
    site
        That takes in what is found.
    settings
        Whom to ask, and what for.
    log
        Is told of numbers, without a UID.
    archive
        Instead of the server of the settings.
    """

    def __init__(self, site: Site, settings: PollSettings, log: EventLog, archive: Archive | None = None) -> None:
        self._site, self._settings, self._log = site, settings, log
        self._archive = archive or WebArchive(settings.web, site.settings.limits.object_bytes)
        # What was fetched as far as it can be: it is not fetched again until the server names another number.
        self._done: set[tuple[Series, int | None]] = set()

    def ask(self, stop: threading.Event | None = None) -> Asked:
        """Ask once; what came of it is kept for the page."""
        try:
            asked = self._ask(stop or threading.Event())
        except PeerError as error:
            # Its sentences name the server, and no patient.
            asked = Asked(problem=str(error))
        except NotTakenError as error:
            asked = Asked(problem=str(error))
        except SQLAlchemyError as error:
            return Asked(problem=f"The database does not answer ({type(error).__name__}).")
        self._keep(asked)
        facts = {"series": asked.series, "fetched": asked.fetched, "new": asked.new, "lacking": asked.lacking}
        self._log.tell("archive asked", **facts, problem=None if asked.problem is None else "see-page")
        return asked

    def _ask(self, stop: threading.Event) -> Asked:
        # Study dates are those of the hospital's own clock.
        since = date.today() - timedelta(days=self._settings.days)
        found = self._archive.find(Wanted(f"{since:%Y%m%d}-", self._settings.modalities))
        problems = [missing.message for missing in found.missing]
        fetched = new = lacking = 0
        for number, series in enumerate(self._unknown(found.series), 1):
            if stop.is_set():
                break
            ids: dict[int, bool] = {}

            def keep(parts: Sequence[bytes], ids: dict[int, bool] = ids) -> None:
                said = take(self._site, b"".join(parts), name="", source="dicomweb")
                if isinstance(said, Taken):
                    ids[said.image_id] = ids.get(said.image_id, False) or said.is_new

            said: Delivery | PeerError
            try:
                said = self._archive.fetch(series, keep)
            except ArchiveUnusableError:
                raise
            except PeerError as error:
                said = error
            fetched, new = fetched + 1, new + sum(ids.values())
            missing = what_lacks(series, said, len(ids), f"Series {number} of the new ones")
            if missing is not None:
                lacking += 1
                problems.append(missing.message)
            if not isinstance(said, PeerError):
                self._done.add((series, series.images))
        problem = None
        if problems:
            more = f" ({len(problems) - 1} more of this kind.)" if len(problems) > 1 else ""
            problem = f"{problems[0]}{more}"
        return Asked(len(found.series), fetched, new, lacking, problem)

    def _unknown(self, found: Sequence[Series]) -> list[Series]:
        """Return the series of which the site does not have every image, and that it has not deleted."""
        with reading(self._site.engine) as session:
            return [
                series
                for series in found
                if (series, series.images) not in self._done and not _is_known(session, series)
            ]

    def _keep(self, asked: Asked) -> None:
        value = {"asked_at": now().isoformat(), "series": asked.series, "fetched": asked.fetched, "new": asked.new}
        value |= {"lacking": asked.lacking, "problem": asked.problem}
        with writing(self._site.engine) as session:
            before = session.get(Setting, _KEY)
            kept = {} if before is None else before.value
            # The last error is shown after it has passed, too: it may come again.
            last = {name: kept.get(name) for name in ("last_problem", "last_problem_at")}
            if asked.problem is not None:
                last = {"last_problem": asked.problem, "last_problem_at": value["asked_at"]}
            session.merge(Setting(key=_KEY, value=value | last, changed_at=now(), changed_by=None))


def last_asked(session: Session) -> dict[str, Any] | None:
    """Return what came of asking last, and the last problem; none if nobody was asked yet."""
    kept = session.get(Setting, _KEY)
    return None if kept is None else dict(kept.value)


def _is_known(session: Session, series: Series) -> bool:
    removed = select(Study.removed_at).where(Study.key == hashlib.sha256(series.study.encode()).hexdigest())
    if session.scalar(removed) is not None:
        return True
    have = select(func.count()).select_from(Image).where(Image.series_instance_uid == series.series)
    count = session.scalar(have) or 0
    return count > 0 and series.images is not None and count >= series.images
