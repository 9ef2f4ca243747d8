"""Studies are counted once for all pages that listen, and each change is in the counts that follow it."""

from sqlalchemy import event

from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Study
from carina.service.site_folder import Site
from carina.service.web.arrivals import Arrivals
from carina.service.web.state_counts import StateCounts


def test_each_change_is_counted_once(plain_site: Site) -> None:
    engine = plain_site.engine
    arrivals = Arrivals(engine)
    counts = StateCounts(engine, arrivals)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert counts.latest() == counts.latest() == counts.recent() == dict.fromkeys(counts.recent(), 0)
    assert sum("count(" in words for words in asked) == 1
    with writing(engine) as session:
        session.add(Study(key="A", source="upload", arrived_at=now(), changed_at=now()))
    asked.clear()
    arrivals.changes += 1
    # Of two seconds ago is recent enough for a page; whoever was woken by the change is told of it.
    assert counts.recent()["unread"] == 0
    assert counts.latest()["unread"] == counts.latest()["unread"] == counts.recent()["unread"] == 1
    assert sum("count(" in words for words in asked) == 1
