"""How soon after a film arrives ``carina serve`` has its priority, while readers read.

    python benchmarks/arrivals.py [--minutes 30] [--associations 4] [--readers 10] [--load 0.5] [--out FILE.json]

The whole of ``carina serve`` runs with the released model. Senders send phantoms of 512² pixels by C-STORE, each over
an association of its own, at a rate that is a share (``--load``) of what this machine can judge: of what ``carina
bench`` measured beforehand, in the same state of the machine. Readers turn the pages of the worklist meanwhile, open
studies and give verdicts. A film's time is that from the moment when its sender begins to send it to the moment in
which its priority is in the database.
"""

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
from served_site import (
    Reader,
    Served,
    add_people,
    database_of,
    film,
    free_port,
    new_site,
    parser_of,
    shares_of,
    wait_for_pages,
    write_told,
)
from sqlalchemy import func, select

from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Judgement, Study
from carina.service.site_folder import Site
from dicom_network import association

_ENDS_S = 300.0
_DRAWN = 64


def judged_in_a_second() -> float:
    """Return how many images ``carina bench --quick`` judges in a second now, of the kind that takes longest."""
    command = [str(Path(sys.executable).parent / "carina"), "bench", "--quick", "--json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_ENDS_S)
    rows = json.loads(said.stdout)["rows"]
    whole = [row for row in rows if row["measured"] == "file to decision" and row["unit"] == "images/s"]
    return min(float(row["figure"]["value"]) for row in whole)


def send(port: int, numbers: list[int], each_s: float, began: dict[str, float], refused: list[int]) -> None:
    """Send films at a steady rate over one association, and note when each was begun."""
    films = {number % _DRAWN: film(number % _DRAWN) for number in numbers[:_DRAWN]}
    due = time.monotonic()
    waiting = list(numbers)
    while waiting:
        with contextlib.suppress(RuntimeError, OSError), association(port) as peer:
            while waiting and peer.is_established:
                time.sleep(max(0.0, due - time.monotonic()))
                due += each_s
                number = waiting[0]
                image = films[number % _DRAWN]
                # Another object each time, of a study of its own.
                image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
                image.StudyInstanceUID, image.PatientID = f"1.2.4.{number}", f"P{number}"
                began.setdefault(str(image.SOPInstanceUID), time.time())
                status = getattr(peer.send_c_store(image), "Status", None)
                if status != 0:
                    refused.append(number)
                    break
                waiting.pop(0)


def read(reader: Reader, seed: int, stop: threading.Event, pages: list[float]) -> None:
    """Turn pages, open studies and give verdicts until told to stop."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    while not stop.wait(dice.uniform(0.5, 1.5)):
        with contextlib.suppress(httpx2.HTTPError):
            started = time.perf_counter()
            page = reader.post("/worklist", state="unread").text
            pages.append(1000 * (time.perf_counter() - started))
            lines = [each.partition('"')[0] for each in page.split('class="open" href="/studies/')[1:]]
            if lines and dice.random() < 0.3:
                study = dice.choice(lines[:10])
                reader.client.get(f"/studies/{study}")
                reader.post(f"/studies/{study}/verdict", finding="Normal")


def measure(folder: Path, database: str | None, given: Any) -> dict[str, Any]:
    """Return what was measured."""
    rate = given.rate or given.load * judged_in_a_second()
    port, pages = free_port(), free_port()
    site = new_site(folder / "site", database, pages=pages, listener=port)
    people = add_people(site, given.readers)
    served, stop = Served(site.folder, database), threading.Event()
    served.start()
    address = f"http://127.0.0.1:{pages}"
    wait_for_pages(address, "/readyz")
    count = round(60 * given.minutes * rate)
    began, refused, took = dict[str, float](), list[int](), list[float]()
    readers = [
        threading.Thread(target=read, args=(Reader(address, *person), place, stop, took))
        for place, person in enumerate(people)
    ]
    senders = [
        threading.Thread(
            target=send,
            args=(port, list(range(place, count, given.associations)), given.associations / rate, began, refused),
        )
        for place in range(given.associations)
    ]
    started = time.monotonic()
    for thread in (*readers, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    sent_s = time.monotonic() - started
    _wait_until_judged(site)
    stop.set()
    for thread in readers:
        thread.join(60)
    served.stop()
    found = counted(site, began)
    site.close()
    return {
        "minutes": given.minutes,
        "associations": given.associations,
        "readers": given.readers,
        "images_per_second_asked": round(rate, 2),
        "images_per_second_sent": round(len(began) / sent_s, 2),
        **found,
        "refused_for_now": len(refused),
        "page_ms": shares_of(took, 0.5, 0.95),
    }


def _wait_until_judged(site: Site) -> None:
    until = time.monotonic() + _ENDS_S
    while time.monotonic() < until:
        with reading(site.engine) as session:
            if not session.scalar(select(func.count(Image.id)).where(Image.state == "received")):
                return
        time.sleep(0.5)


def counted(site: Site, began: dict[str, float]) -> dict[str, Any]:
    """Return how many films were judged, and how long each took from its sender to its priority, in seconds."""
    with reading(site.engine) as session:
        rows = session.execute(
            select(Image.sop_instance_uid, Image.received_at, Image.state, Study.judged_at).join(Study)
        ).all()
        judgements = session.scalar(select(func.count(Judgement.id)))
    judged = [row for row in rows if row.state == "judged" and row.judged_at is not None]
    whole = [row.judged_at.timestamp() - began[row.sop_instance_uid] for row in judged]
    inside = [(row.judged_at - row.received_at).total_seconds() for row in judged]
    return {
        "sent": len(began),
        "judged": len(judged),
        "judgements": judgements,
        "sent_to_priority_s": shares_of(whole, 0.5, 0.95, 0.99),
        "received_to_priority_s": shares_of(inside, 0.5, 0.95, 0.99),
    }


def main() -> None:
    """Run it."""
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--readers", type=int, default=10)
    parser.add_argument("--load", type=float, default=0.5, help="share of what carina bench measures")
    parser.add_argument("--rate", type=float, help="images in a second, instead of --load")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database_of(given.database) as database:
        found = measure(Path(folder), database, given)
    write_told({"database": given.database, **found}, given.out)


if __name__ == "__main__":
    main()
