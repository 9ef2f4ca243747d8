"""What tests of the service share: sites on both databases."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carina.service.site_folder import Site, open_site
from postgresql import PostgreSql, running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    with running_postgresql() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def new_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Return what opens one and the same site, on each database in turn; each call as another process would."""
    database = None
    if request.param == "postgresql":
        database = request.getfixturevalue("postgresql").new_database()
    opened: list[Site] = []

    def open_it() -> Site:
        opened.append(open_site(tmp_path / "site", database=database, make=True))
        return opened[-1]

    yield open_it
    for site in opened:
        site.close()


@pytest.fixture
def site(new_site: Callable[[], Site]) -> Site:
    """Return a new site, on each database in turn."""
    return new_site()


@pytest.fixture
def plain_site(tmp_path: Path) -> Iterator[Site]:
    """Return a new site on SQLite, where the database does not matter."""
    site = open_site(tmp_path / "site", make=True)
    yield site
    site.close()


# What two databases could do differently is tried on both each time; the rest on PostgreSQL among the long tests.
_ON_BOTH = ("test_database", "test_take", "test_worker", "test_chain")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave PostgreSQL to the long tests where the database matters little."""
    for item in items:
        if "[postgresql" in item.name and "service" in item.path.parts and item.path.stem not in _ON_BOTH:
            item.add_marker(pytest.mark.long)
