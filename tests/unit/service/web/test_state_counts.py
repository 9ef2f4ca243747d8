"""Studies are counted once for all pages that listen, and each change is in the counts that follow it."""

from sqlalchemy import event

from carina.service.database.sessions import writing
from carina.service.database.study_tables import Study
from carina.service.web.arrivals import Arrivals
from carina.service.web.state_counts import StateCounts
from clinic import Clinic


def test_each_change_is_counted_once(clinic: Clinic) -> None:
    engine = clinic.site.engine
    arrivals = Arrivals(engine)
    counts = StateCounts(engine, arrivals)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: "count(" in given[2] and asked.append(given[2]))
    before = counts.latest()
    assert counts.latest() == counts.recent() == before
    assert len(asked) == 1
    with writing(engine) as session:
        session.get_one(Study, next(iter(clinic.numbers.values()))).state = "disputed"
    asked.clear()
    arrivals.changes += 1
    # Of two seconds ago is recent enough for a page; whoever was woken by the change is told it.
    assert counts.recent() == before
    after = counts.latest()
    assert after == counts.latest() == counts.recent()
    assert after["disputed"] == before["disputed"] + 1
    assert len(asked) == 1
