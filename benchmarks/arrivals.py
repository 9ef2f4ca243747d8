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
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
from served_site import (
    Reader,
    database_of,
    film,
    parser_of,
    running_site,
    shares_of,
    wait_until_judged,
    write_told,
)
from sqlalchemy import func, select

from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Judgement, Study
from carina.service.site_folder import Site
from dicom_network import association

_ENDS_S = 300.0
_DRAWN = 64
_PAUSE_S = 0.2
# Of the pages, after how many a reader opens a study.
_OPENS = 0.3


def judged_in_a_second() -> float:
    """Return how many images ``carina bench --quick`` judges in a second now, of the kind that takes longest."""
    command = [str(Path(sys.executable).parent / "carina"), "bench", "--quick", "--json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_ENDS_S)
    rows = json.loads(said.stdout)["rows"]
    whole = [row for row in rows if row["measured"] == "file to decision" and row["unit"] == "images/s"]
    return min(float(row["figure"]["value"]) for row in whole)


def send(port: int, numbers: list[int], each_s: float, due: dict[str, float], refused: list[int], ends: float) -> None:
    """Send films at a steady rate over one association, and note by their UIDs when each was due.

    Parameters
    ----------
    ends
        When to give up (`time.monotonic`).
    """
    films = {drawn: film(drawn) for drawn in {number % _DRAWN for number in numbers}}
    first = time.time()
    waiting = list(enumerate(numbers))
    while waiting and time.monotonic() < ends:
        with contextlib.suppress(RuntimeError, OSError), association(port) as peer:
            while waiting and peer.is_established and time.monotonic() < ends:
                place, number = waiting[0]
                image = films[number % _DRAWN]
                # Another object each time, of a study of its own.
                image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
                image.StudyInstanceUID, image.PatientID = f"1.2.4.{number}", f"P{number}"
                at = due.setdefault(str(image.SOPInstanceUID), first + place * each_s)
                time.sleep(max(0.0, at - time.time()))
                if getattr(peer.send_c_store(image), "Status", None) != 0:
                    refused.append(number)
                    break
                waiting.pop(0)
        if waiting:
            time.sleep(_PAUSE_S)


def read(reader: Reader, seed: int, stop: threading.Event, pages: list[float], failed: list[str]) -> None:
    """Turn pages, open studies and give verdicts until told to stop; note how long a page took, and what failed."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    while not stop.wait(dice.uniform(0.5, 1.5)):
        try:
            started = time.perf_counter()
            page = reader.post("/worklist", state="unread")
            page.raise_for_status()
            pages.append(1000 * (time.perf_counter() - started))
            lines = [each.partition('"')[0] for each in page.text.split('class="open" href="/studies/')[1:]]
            if lines and dice.random() < _OPENS:
                study = dice.choice(lines[:10])
                reader.client.get(f"/studies/{study}").raise_for_status()
                given = reader.post(f"/studies/{study}/verdict", finding="Normal")
                if given.status_code != 303:
                    failed.append(f"verdict: HTTP {given.status_code}")
        except httpx2.HTTPStatusError as error:
            failed.append(f"page: HTTP {error.response.status_code}")
        except httpx2.HTTPError as error:
            failed.append(f"page: {type(error).__name__}")


def measure(folder: Path, database: str | None, given: Any) -> dict[str, Any]:
    """Return what was measured."""
    judges = None if given.rate else judged_in_a_second()
    rate = given.rate or given.load * (judges or 0.0)
    count = round(60 * given.minutes * rate)
    due, refused, took, failed = dict[str, float](), list[int](), list[float](), list[str]()
    with running_site(folder, database, readers=given.readers) as run:
        stop, ends = threading.Event(), time.monotonic() + 60 * given.minutes + _ENDS_S
        readers = [
            threading.Thread(target=read, args=(each, place, stop, took, failed))
            for place, each in enumerate(run.readers)
        ]
        senders = [
            threading.Thread(
                target=send,
                args=(
                    *(run.port, list(range(place, count, given.associations)), given.associations / rate),
                    *(due, refused, ends),
                ),
            )
            for place in range(given.associations)
        ]
        started = time.monotonic()
        for thread in (*readers, *senders):
            thread.start()
        for thread in senders:
            thread.join()
        sent_s = time.monotonic() - started
        wait_until_judged(run.site, _ENDS_S)
        stop.set()
        for thread in readers:
            thread.join(60)
        found = counted(run.site, due)
    return {
        "minutes": given.minutes,
        "associations": given.associations,
        "readers": given.readers,
        "carina_bench_images_per_second": judges,
        "images_per_second_asked": round(rate, 2),
        "images_per_second_sent": round(len(due) / sent_s, 2),
        "to_send": count,
        **found,
        "refused_for_now": len(refused),
        "pages": len(took),
        "page_ms": shares_of(took, 0.5, 0.95),
        "pages_failed": dict(Counter(failed)),
    }


def counted(site: Site, due: dict[str, float]) -> dict[str, Any]:
    """Return how many films were judged, and how long each took from its sender to its priority, in seconds."""
    with reading(site.engine) as session:
        rows = session.execute(
            select(Image.sop_instance_uid, Image.received_at, Image.state, Study.judged_at).join(Study)
        ).all()
        judgements = session.scalar(select(func.count(Judgement.id)))
    judged = [row for row in rows if row.state == "judged" and row.judged_at is not None]
    whole = [row.judged_at.timestamp() - due[row.sop_instance_uid] for row in judged]
    inside = [(row.judged_at - row.received_at).total_seconds() for row in judged]
    return {
        "sent": len(due),
        "taken": len(rows),
        "judged": len(judged),
        "judgements": judgements,
        "due_to_priority_s": shares_of(whole, 0.5, 0.95, 0.99),
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
