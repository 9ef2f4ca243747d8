"""DICOMweb polling: what is new is taken once, what is known is not fetched, and what is in the way is said."""

from collections.abc import Callable
from io import StringIO

import pytest
from sqlalchemy import select, update

from carina.dicom.fetching.query import Archive, Delivery, Found, Keep, Series
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.transport.log import EventLog
from carina.errors import ArchiveUnusableError, PeerError
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Study
from carina.service.intake.poll import Asked, Poller, last_asked
from carina.service.intake.take import NotTakenError
from carina.service.site_folder import Site
from carina.service.site_settings import PollSettings
from dicom_archives import Answer, web_server
from unit.service.test_take import film

SETTINGS = PollSettings(web={"url": "http://127.0.0.1:1/dicom-web"})


class StandIn:
    """An archive with some series of some images each."""

    def __init__(self, images: dict[str, list[bytes]], *, says: bool = True) -> None:
        self.images, self.says, self.fetched = images, says, list[str]()
        self.wanted: Wanted | None = None

    def find(self, wanted: Wanted) -> Found:
        self.wanted = wanted
        return Found(tuple(Series("1.2", uid, len(of) if self.says else None) for uid, of in self.images.items()))

    def fetch(self, series: Series, keep: Keep) -> Delivery:
        self.fetched.append(series.series)
        for content in self.images[series.series]:
            keep([content[:100], content[100:]])
        return Delivery()


def image(series: str, number: int) -> bytes:
    return film(StudyInstanceUID="1.2", SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}")


def poller(site: Site, archive: Archive, log: StringIO | None = None) -> Poller:
    return Poller(site, SETTINGS, EventLog(log or StringIO()), archive)


def test_what_is_new_is_taken_once_and_what_is_known_is_not_fetched(site: Site) -> None:
    archive, log = StandIn({"1.2.1": [image("1.2.1", 1), image("1.2.1", 2)], "1.2.2": [image("1.2.2", 1)]}), StringIO()
    first = poller(site, archive, log).ask()
    assert (first.series, first.fetched, first.new, first.problem) == (2, 2, 3, None)
    # Another process, which remembers nothing.
    again = poller(site, archive).ask()
    assert (again.fetched, again.new) == (0, 0)
    archive.images["1.2.1"].append(image("1.2.1", 3))
    more = poller(site, archive).ask()
    assert (more.fetched, more.new) == (1, 1)
    with reading(site.engine) as session:
        assert {study.source for study in session.scalars(select(Study))} == {"dicomweb"}
        assert len(session.scalars(select(Image.id)).all()) == 4
        kept = last_asked(session)
    assert (kept["series"], kept["fetched"], kept["problem"]) == (2, 1, None)
    assert "1.2" not in log.getvalue().split(" ", 1)[1]
    assert archive.wanted.dates.endswith("-")
    assert archive.wanted.modalities == ("CR", "DX")


def test_an_archive_that_does_not_say_how_many_is_fetched_once_by_a_process(plain_site: Site) -> None:
    archive = StandIn({"1.2.1": [image("1.2.1", 1)]}, says=False)
    asking = poller(plain_site, archive)
    assert [asking.ask().fetched for _ in range(3)] == [1, 0, 0]


def test_a_study_that_was_deleted_does_not_come_back(plain_site: Site) -> None:
    archive = StandIn({"1.2.1": [image("1.2.1", 1)]})
    poller(plain_site, archive).ask()
    with writing(plain_site.engine) as session:
        session.execute(update(Study).values(removed_at=now()))
        session.execute(update(Image).values(series_instance_uid=None))
    assert poller(plain_site, archive).ask().fetched == 0


def _raises(error: Exception) -> Callable[..., Delivery]:
    def fetch(_: Series, keep: Keep) -> Delivery:
        keep([image("1.2.1", 1)])
        raise error

    return fetch


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PeerError("It gives nothing."), "Series 1 of the new ones: It gives nothing."),
        (ArchiveUnusableError("It does not let Carina in."), "It does not let Carina in."),
        (NotTakenError("The disk is nearly full.", "disk-full"), "The disk is nearly full."),
    ],
)
def test_what_is_in_the_way_is_kept_for_the_page_also_after_it_has_passed(
    plain_site: Site, error: Exception, said: str
) -> None:
    archive = StandIn({"1.2.1": [image("1.2.1", 1), image("1.2.1", 2)]})
    fetch = archive.fetch
    archive.fetch = _raises(error)  # type: ignore[method-assign]
    asking = poller(plain_site, archive)
    assert asking.ask().problem == said
    archive.fetch = fetch  # type: ignore[method-assign]
    assert asking.ask().problem is None
    with reading(plain_site.engine) as session:
        kept = last_asked(session)
        assert len(session.scalars(select(Image.id)).all()) == 2
    assert (kept["problem"], kept["last_problem"]) == (None, said)


def test_a_server_is_asked_by_qido_and_wado_and_its_failure_is_said_without_a_uid(plain_site: Site) -> None:
    with web_server() as server:
        settings = PollSettings(web={"url": server.url}, modalities=("CR",))
        asking = Poller(plain_site, settings, EventLog(StringIO()))
        assert asking.ask() == Asked(series=3, fetched=3, new=3)
        assert asking.ask() == Asked(series=3)
        server.found = lambda _: Answer(status=500)
        problem = asking.ask().problem
    assert problem.startswith(server.url)
    assert "1.2" not in problem.replace("127", "")
