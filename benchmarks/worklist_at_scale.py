"""How fast ``carina serve`` shows its worklist when it is long, and how much memory its web process takes.

    python benchmarks/worklist_at_scale.py [--studies 100000] [--readers 10] [--minutes 5] [--out FILE.json]

A site with that many judged studies is served (``--role web``). Readers are logged in; each asks for a page of the
worklist, of all kinds in turn: the first page by priority, by age, of another state, a page further down, and a search,
then waits a second, like a hand that reads. Each also listens to the page's own news. One image arrives a second
(``--arrivals``), by the one function by which all images come in. What is measured is the time from the request to the
whole answer, in the reader's process, so that what is told is no less than the server's own time; and the memory of
every process of the site, once a second.
"""

import random
import tempfile
import threading
import time
from contextlib import suppress
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import psutil
from pydicom import dcmwrite
from served_site import (
    Reader,
    Served,
    database_of,
    film,
    parser_of,
    running_site,
    shares_of,
    write_told,
)
from sqlalchemy import insert

from carina.decisions.triage import READING_PLACES, Priority
from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Image, Study
from carina.service.intake.take import take
from carina.service.mode import change_mode
from carina.service.people.accounts import add_account
from carina.service.site_folder import Site

_TOGETHER = 5000
_THINKS_S = 1.0
_PRIORITIES: tuple[Priority, ...] = ("fast-track", "expedite", "secondary-review", "routine", "not-assessable")
_FAMILIES = ("Adler", "Brook", "Cedar", "Dale", "Elm", "Field", "Grove", "Heath", "Iris", "Juniper")


def fill(site: Site, count: int) -> None:
    """Add judged studies, each with an image; nine in ten are unread."""
    dice, came = random.Random(1), now()  # noqa: S311  # no secret
    for start in range(0, count, _TOGETHER):
        numbers = range(start + 1, min(start + _TOGETHER, count) + 1)
        studies = [_study(number, dice, came) for number in numbers]
        images = [
            {
                "id": number,
                "digest": f"{number:064x}",
                "study_id": number,
                "name": "",
                "kind": "dicom",
                "bytes": 1,
                "received_at": came,
                "state": "judged",
            }
            for number in numbers
        ]
        with writing(site.engine) as session:
            session.execute(insert(Study), studies)
            session.execute(insert(Image), images)


def _study(number: int, dice: random.Random, came: Any) -> dict[str, Any]:
    priority = dice.choice(_PRIORITIES)
    probability = dice.random()
    return {
        "id": number,
        "key": f"{number:064d}",
        "patient_name": f"{dice.choice(_FAMILIES)}^{number}",
        "patient_id": f"P{number:06d}",
        "accession_number": f"A{number:06d}",
        "modality": "CR",
        "manufacturer": "Phantom",
        "view": "PA",
        "source": "c-store",
        "arrived_at": came - timedelta(seconds=dice.randrange(30 * 86_400)),
        "changed_at": came,
        "state": "unread" if number % 10 else "read",
        "priority": priority,
        "place": READING_PLACES[priority],
        "finding": "Normal",
        "probability": probability,
        "finding_probability": probability,
        "code": "normal-below-band",
        "reason": "A reason with figures, about as long as those that the model gives for its decisions.",
        "gate_accepted": True,
        "judged_at": came,
        "image_id": number,
    }


def read(reader: Reader, seed: int, stop: threading.Event, took: dict[str, list[float]]) -> None:
    """Ask for pages until told to stop, and note how long each took in milliseconds."""
    dice, after = random.Random(seed), ""  # noqa: S311
    while not stop.is_set():
        for kind in ("first", "oldest", "read", "further", "search", "further"):
            values = {"state": "unread", "sort": "priority"}
            if kind == "oldest":
                values["sort"] = "oldest"
            elif kind == "read":
                values["state"] = "read"
            elif kind == "further":
                values["after"] = after
            elif kind == "search":
                values |= {"state": "", "q": f"{dice.choice(_FAMILIES)}^{dice.randrange(1000)}"}
            started = time.perf_counter()
            answer = reader.post("/worklist", **values)
            took[kind].append(1000 * (time.perf_counter() - started))
            answer.raise_for_status()
            after = answer.text.partition('name="after" value="')[2].partition('"')[0]
            if stop.wait(_THINKS_S * dice.uniform(0.5, 1.5)):
                return


def listen(reader: Reader, stop: threading.Event) -> None:
    """Listen to the worklist's news, as its page does."""
    while not stop.is_set():
        with suppress(httpx2.HTTPError), reader.client.stream("GET", "/worklist/events", timeout=20) as news:
            for _ in news.iter_lines():
                if stop.is_set():
                    return


def arrive(site: Site, each_s: float, first: int, stop: threading.Event, arrived: list[int]) -> None:
    """Let images come in, until told to stop."""
    number = first
    while not stop.wait(each_s):
        content = BytesIO()
        dcmwrite(content, film(number, 256), enforce_file_format=True)
        take(site, content.getvalue(), name=f"{number}.dcm", source="c-store")
        arrived.append(number)
        number += 1


def weigh(served: Served, stop: threading.Event, largest: dict[str, float], course: list[float]) -> None:
    """Note the largest memory of each process in MB: all (RSS), and its own with its share of what is shared (PSS).

    `course` gets the PSS of the web process, second by second.
    """
    while not stop.wait(1):
        for place, process in enumerate(served.tree()):
            with suppress(psutil.Error):
                name = "the one that starts the others" if place == 0 else _name_of(process)
                memory = process.memory_full_info()
                if name == "web":
                    course.append(round(memory.pss / 1e6, 1))
                for kind in ("rss", "pss"):
                    key = f"{name}, {kind}"
                    largest[key] = max(largest.get(key, 0.0), round(getattr(memory, kind) / 1e6, 1))


def _name_of(process: psutil.Process) -> str:
    if any(connection.status == psutil.CONN_LISTEN for connection in process.net_connections(kind="tcp")):
        return "web"
    return "resource tracker" if "resource_tracker" in " ".join(process.cmdline()) else "decoder"


def measure(folder: Path, database: str | None, studies: int, readers: int, minutes: float, each_s: float) -> Any:
    """Return what was measured."""

    def fill_live(site: Site) -> None:
        fill(site, studies)
        account = add_account(site.engine, "anna", "four words that stay", "administrator")
        change_mode(site.engine, "live", "A benchmark with phantoms.", account_id=account)

    took: dict[str, list[float]] = {kind: [] for kind in ("first", "oldest", "read", "further", "search")}
    largest: dict[str, float] = {}
    course: list[float] = []
    arrived: list[int] = []
    with running_site(folder, database, "--role", "web", readers=readers, listens=False, fill=fill_live) as run:
        stop = threading.Event()
        threads = [
            *(threading.Thread(target=read, args=(each, place, stop, took)) for place, each in enumerate(run.readers)),
            *(threading.Thread(target=listen, args=(each, stop), daemon=True) for each in run.readers),
            threading.Thread(target=arrive, args=(run.site, each_s, 10_000_000, stop, arrived)),
            threading.Thread(target=weigh, args=(run.served, stop, largest, course)),
        ]
        for thread in threads:
            thread.start()
        time.sleep(60 * minutes)
        stop.set()
        for thread in threads:
            thread.join(30)
    every = [one for kind in took.values() for one in kind]
    return {
        "studies": studies,
        "readers": readers,
        "minutes": minutes,
        "arrived": len(arrived),
        "pages": len(every),
        "page_ms": shares_of(every, 0.5, 0.95, 0.99),
        "page_ms_by_kind": {kind: shares_of(times, 0.5, 0.95) for kind, times in took.items()},
        "memory_mb": largest,
        # Whether it grows on and on.
        "web_pss_mb_in_quarters": [course[place * (len(course) - 1) // 4] for place in range(5)] if course else [],
    }


def main() -> None:
    """Run it."""
    parser = parser_of(__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--arrivals", type=float, default=1.0, help="images that arrive in a second")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database_of(given.database) as database:
        found = measure(Path(folder), database, given.studies, given.readers, given.minutes, 1 / given.arrivals)
    write_told({"database": given.database, **found}, given.out)


if __name__ == "__main__":
    main()
