"""Every study is on exactly one page of the worklist, on both databases, and a page of very many comes at once."""

import base64
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import insert

from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Study
from carina.service.site_folder import Site
from carina.service.studies import Sort, Wanted, counts_by_state, next_study, page_of

START = datetime(2026, 1, 1, tzinfo=UTC)
PRIORITIES = ("fast-track", "expedite", "secondary-review", "routine", None)
PLACES = (0, 1, 2, 3, 2)


def fill(site: Site, count: int) -> None:
    rng = np.random.default_rng(1)
    kinds, minutes = rng.integers(0, 5, count).tolist(), rng.integers(0, count // 2, count).tolist()
    rows = [
        {
            "key": f"{number:064d}",
            "patient_name": f"Name{number % 97}^One",
            "patient_id": f"ID{number}",
            "source": "c-store",
            # Many at the same moment.
            "arrived_at": START + timedelta(minutes=minute),
            "changed_at": START,
            "state": "unread" if number % 10 else "read",
            "priority": PRIORITIES[kind],
            "place": PLACES[kind],
        }
        for number, (kind, minute) in enumerate(zip(kinds, minutes, strict=True))
    ]
    with writing(site.engine) as session:
        session.execute(insert(Study), rows)


def every(site: Site, wanted: Wanted) -> list[Study]:
    found: list[Study] = []
    with reading(site.engine) as session:
        while True:
            page, after = page_of(session, wanted, count=7)
            found += page
            if not after:
                return found
            wanted = Wanted(wanted.state, wanted.source, wanted.priority, wanted.search, wanted.sort, after)


def test_pages_hold_every_study_once_in_order(site: Site) -> None:
    fill(site, 60)
    keys = {
        "priority": lambda study: (study.place, study.arrived_at, study.id),
        "oldest": lambda study: (study.arrived_at, study.id),
        "newest": lambda study: (-study.arrived_at.timestamp(), -study.id),
    }
    sorts: tuple[Sort, ...] = ("priority", "oldest", "newest")
    for sort in sorts:
        found = every(site, Wanted(sort=sort))
        assert len(found) == 60
        assert found == sorted(found, key=keys[sort])
    assert {study.state for study in every(site, Wanted(state="read"))} == {"read"}
    assert {study.priority for study in every(site, Wanted(priority="routine"))} == {"routine"}
    assert [study.patient_id for study in every(site, Wanted(search="id59"))] == ["ID59"]
    assert [study.id for study in every(site, Wanted(search="#12"))] == [12]
    assert {study.patient_name for study in every(site, Wanted(search="name1 id1"))} >= {"Name1^One", "Name13^One"}
    with reading(site.engine) as session:
        assert counts_by_state(session) == {"unread": 54, "open": 0, "read": 6, "disputed": 0, "deleted": 0}
        first = next_study(session, "priority", but=0)
        assert first == page_of(session, Wanted(state="unread", sort="priority"))[0][0].id
        assert next_study(session, "priority", but=first or 0) != first


def test_a_search_finds_the_same_on_both_databases(site: Site) -> None:
    with writing(site.engine) as session:
        for key, name, number in (
            ("A", "Müller^Anna=山田^太郎", "X7"),
            ("B", "Straße 100%^Bo", "Y8"),
            ("C", "öztürk^a_b", "Z9"),
        ):
            values = {"patient_name": name, "accession_number": number, "source": "upload"}
            session.add(Study(key=key, arrived_at=START, changed_at=START, **values))
    for search, expected in {
        "MULLER": "A",
        "müller, anna": "A",
        "Müller^Anna": "A",
        "anna mül": "A",
        "strasse": "B",
        "ÖZTÜRK": "C",
        "100%": "B",
        "a_b": "C",
        "axb": "",
        "7\0": "A",
        "山田": "A",
        "^": "ABC",
    }.items():
        assert "".join(study.key for study in every(site, Wanted(search=search))) == expected, search


def test_a_header_of_any_length_fits_into_the_index(site: Site) -> None:
    rng = np.random.default_rng(1)
    # Four bytes each, and nothing that could be compressed.
    long = ["".join(map(chr, rng.integers(0x20000, 0x2A6D0, 256))) for _ in range(3)]
    with writing(site.engine) as session:
        names = dict(zip(("patient_name", "patient_id", "accession_number"), long, strict=True))
        session.add(Study(key="A", source="upload", arrived_at=START, changed_at=START, **names))
    assert [study.key for study in every(site, Wanted(search=long[2][:20]))] == ["A"]


@pytest.mark.long
def test_a_page_of_100_000_comes_within_100_milliseconds(plain_site: Site) -> None:
    fill(plain_site, 100_000)
    medians = []
    with reading(plain_site.engine) as session:
        for wanted in (
            Wanted(state="unread", sort="priority"),
            Wanted(sort="oldest"),
            Wanted(state="read", sort="newest"),
            Wanted(state="unread", search="name13", sort="priority"),
        ):
            after, times = "", []
            for _ in range(5):
                started = time.perf_counter()
                _, after = page_of(session, Wanted(wanted.state, "", "", wanted.search, wanted.sort, after))
                times.append(time.perf_counter() - started)
            medians.append(sorted(times)[2])
    assert max(medians) < 0.1


@pytest.mark.parametrize(
    "content",
    ['[99, "2026-01-01T00:00:00+00:00", 1]', '[1, "0001-01-01T00:00:00+23:00", 1]', '[1, "x", Infinity]', "5"],
)
def test_a_place_that_nobody_gave_shows_the_first_page(site: Site, content: str) -> None:
    fill(site, 2)
    after = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    with reading(site.engine) as session:
        assert len(page_of(session, Wanted(sort="priority", after=after))[0]) == 2
