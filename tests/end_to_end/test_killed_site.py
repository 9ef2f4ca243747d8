"""Parts of a site are killed at random moments: nothing that was acknowledged is lost, and nothing is there twice.

``benchmarks/killed_site.py`` does the same to the whole of ``carina serve``, as often as one likes.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

import site_stand_in
from amount import sampled
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Arrival, Image, Judgement, Model, Study
from carina.service.site_folder import Site, open_site
from commands import Forked
from postgresql import running_postgresql

IMAGES = 60
KILLS = sampled(10)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "-"
    else:
        with running_postgresql() as cluster:
            yield cluster.new_database()


@pytest.mark.sampled
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(database: str, tmp_path: Path) -> None:
    site = open_site(tmp_path / "site", database=None if database == "-" else database, make=True)
    with writing(site.engine) as session:
        session.add(
            Model(name="m", version="1", sha256="m" * 64, folder="m", flag_finding="f", role="in-use", added_at=now())
        )
    dice = random.Random(5)
    noted = [tmp_path / f"noted-{number}" for number in range(2)]
    commands = [
        *(["work", site.folder, database] for _ in range(2)),
        *(["send", site.folder, database, path, number, IMAGES] for number, path in enumerate(noted)),
    ]
    running = [start(command, tmp_path) for command in commands]
    in_the_middle = 0
    for kill in range(KILLS):
        if kill % 2:
            time.sleep(dice.uniform(0.02, 0.4))
            victims = [dice.choice((2, 3))]
        else:
            # In the middle of their work.
            in_the_middle += wait_until(site, Image.claimed_by.is_not(None), Image.state == "received", seconds=3)
            victims = [0, 1]
        for victim in victims:
            running[victim].kill()
        for victim in victims:
            running[victim].wait(60)
            running[victim] = start(commands[victim], tmp_path)
    for sender in running[2:]:
        assert sender.wait(120) == 0, (tmp_path / "log").read_text()
    assert wait_until(site, Image.state == "received", none=True)
    assert in_the_middle
    for worker in running[:2]:
        worker.terminate()
        assert worker.wait(60) == 0

    acknowledged = {line for path in noted for line in path.read_text().split()}
    assert len(acknowledged) == IMAGES
    with reading(site.engine) as session:
        digests = list(session.scalars(select(Image.digest)))
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Study, Judgement)]
        assert session.scalar(select(func.count()).where(Study.priority == "routine")) == IMAGES
        assert (session.scalar(select(func.count(Arrival.id))) or 0) >= 2 * IMAGES
    assert sorted(digests) == sorted(acknowledged)
    assert counts == [IMAGES, IMAGES]
    assert all(site.store.object_path(digest).is_file() for digest in acknowledged)
    site.close()


def start(command: list[object], folder: Path) -> Forked:
    return Forked(site_stand_in.main, command, stdout=folder / "log")


def wait_until(site: Site, *conditions: Any, none: bool = False, seconds: float = 60) -> bool:
    """Return whether there is an image of which all conditions hold, or none any more, within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with reading(site.engine) as session:
            found = session.scalar(select(func.count(Image.id)).where(*conditions))
        if bool(found) is not none:
            return True
        time.sleep(0.01)
    return False
