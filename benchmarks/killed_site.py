"""Whether ``carina serve`` loses or doubles anything when its processes are killed (SIGKILL) again and again.

    python benchmarks/killed_site.py [--objects 5000] [--kills 200] [--database sqlite|postgresql] [--out FILE.json]

The whole of ``carina serve`` runs live, with the released model: pages, worker, listener, outbox, and the processes
that these start. Senders send distinct phantoms over 4 associations, spread over the whole time of the kills, and
repeat what was not acknowledged. A reader gives verdicts by the API, and a PACS takes the answers. Before nine of ten
kills all parts have said that they work; the tenth may meet a site that is just starting. The kinds of process are
killed in turn; killing the first one ends all of them, and all is started again. At the end every image is sent until
it is acknowledged, and the worker and the outbox may finish. Then rows, files and answers are counted:

lost              images that were acknowledged and have no row, or no file
doubled           images with two rows, or two judgements by one model
not judged        images that have none
verdicts lost     verdicts that the API acknowledged and the database does not have
answered twice    images of which the PACS has two answers (objects with UIDs of their own)
answers lost      answers that are noted as sent and that the PACS does not have
not answered      images that have no answer in the outbox, or one that still waits
given up          images whose answer was given up; it cannot be while the PACS takes all
sent again        answers that the PACS was sent twice as one and the same object, since the first time was not noted
chain broken at   the first line of the audit log that is not as it was written; none where it is whole
"""

import contextlib
import random
import secrets
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
from pydicom import Dataset
from served_site import (
    TIMEOUT_S,
    Running,
    database_of,
    film,
    parser_of,
    running_site,
    wait_until_judged,
    write_told,
)
from sqlalchemy import func, select

from carina.service.audit_log.chain import verify
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Delivery, Image, Judgement, Study
from carina.service.mode import change_mode
from carina.service.people.accounts import add_account
from carina.service.people.people_tables import Verdict
from carina.service.people.tokens import add_token
from carina.service.site_folder import Site
from dicom_network import Pacs, association
from dicom_stand_in import uid_of

_SENDERS = 4
# Where it stands: killed and not yet started again, everything fails at once.
_PAUSE_S = 0.1
# Of the kills, how many wait until all parts work.
_WORKING = 0.9
_READY_S = 120.0
_NOTICED_S = 0.5
_ENDS_S = 1800.0
_SIDE = 256


class Course:
    """How far the kills are: so many of the objects are sent by then, so that each kill meets work.

    Parameters
    ----------
    objects, kills
        How many there are.
    """

    def __init__(self, objects: int, kills: int) -> None:
        self._objects, self._kills = objects, kills
        self.done = 0
        self.ends = float("inf")

    def may_send(self, place: int) -> bool:
        """Return whether the object at a place may be sent already."""
        return place * self._kills <= (self.done + 1) * self._objects


def wait_until_working(run: Running) -> bool:
    """Wait until all parts of a site work; return whether they do."""
    # The first process has to notice what was killed before.
    time.sleep(_NOTICED_S)
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        if not run.served.tree():
            # It could not begin while a part of the one before still had its address.
            run.served.start()
        if run.served.works():
            return True
        time.sleep(0.2)
    return False


def send(port: int, numbers: list[int], course: Course, acknowledged: set[int]) -> None:
    """Send images until each was acknowledged."""
    waiting = list(numbers)
    while waiting and time.monotonic() < course.ends:
        with contextlib.suppress(Exception), association(port) as peer:
            while waiting and peer.is_established and course.may_send(waiting[0]):
                status = getattr(peer.send_c_store(numbered(waiting[0])), "Status", None)
                if status != 0:
                    break
                acknowledged.add(waiting.pop(0))
        time.sleep(_PAUSE_S)


def numbered(number: int) -> Dataset:
    """Return the image of a number."""
    return film(number, _SIDE, PatientID=f"P{number}")


def give_verdicts(address: str, token: str, given: list[int], stop: threading.Event) -> None:
    """Give verdicts on what the worklist shows, and note the number of each that was acknowledged."""
    headers, after = {"Authorization": f"Bearer {token}"}, ""
    while not stop.wait(_PAUSE_S):
        with contextlib.suppress(httpx2.HTTPError, KeyError, ValueError):
            page = httpx2.get(
                f"{address}/studies", params={"after": after, "limit": 5}, headers=headers, timeout=TIMEOUT_S
            ).json()
            for study in page["studies"]:
                answer = httpx2.post(
                    f"{address}/studies/{study['id']}/verdicts",
                    json={"finding": "Normal", "note": ""},
                    headers=headers,
                    timeout=TIMEOUT_S,
                )
                if answer.status_code == 201:
                    given.append(int(answer.json()["id"]))
            after = page["after"] or ""


def counted(site: Site, acknowledged: set[int], verdicts: list[int], pacs: Pacs) -> dict[str, Any]:
    """Return what is lost and doubled."""
    answers = Counter(answered(each) for each in pacs.datasets.values())
    uids = {uid_of("image", str(number)) for number in acknowledged}
    with reading(site.engine) as session:
        rows = session.execute(select(Image.sop_instance_uid, Image.digest)).all()
        by_image = select(func.count(Judgement.id)).group_by(Judgement.image_id, Judgement.model_id)
        kept = set(session.scalars(select(Verdict.id)))
        deliveries = select(Image.sop_instance_uid, Delivery.state).outerjoin(Delivery, Delivery.image_id == Image.id)
        states: dict[str | None, set[str]] = {}
        for uid, state in session.execute(deliveries):
            states.setdefault(state, set()).add(uid)
        return {
            "acknowledged": len(uids),
            "lost": len(uids - {row.sop_instance_uid for row in rows if site.store.object_path(row.digest).is_file()}),
            "doubled": len(rows)
            - len({row.sop_instance_uid for row in rows})
            + sum(count > 1 for count in session.scalars(by_image)),
            "not judged": len(rows) - (session.scalar(select(func.count()).where(Study.judged_at.is_not(None))) or 0),
            "verdicts": len(verdicts),
            "verdicts lost": len(set(verdicts) - kept),
            "answers": len(answers),
            "answered twice": sum(count > 1 for count in answers.values()),
            "answers lost": len(states.get("sent", set()) - set(answers)),
            "not answered": len(states.get(None, set()) | states.get("waiting", set())),
            "given up": len(states.get("dead", set())),
            "sent again": sum(pacs.taken.values()) - len(pacs.taken),
            "chain broken at": verify(session).broken_at,
        }


def answered(answer: Dataset) -> str:
    """Return the UID of the image to which an object is the answer."""
    evidence = answer.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    return str(evidence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def kill_many(run: Running, course: Course, kills: int, dice: random.Random, between_s: float) -> dict[str, Any]:
    """Kill processes of all kinds; return how many of each, and how many kills met a site that worked."""
    killed, working = Counter[str](), 0
    while course.done < kills:
        works = dice.random() < _WORKING and wait_until_working(run)
        time.sleep(dice.uniform(0, 2 * between_s))
        kinds = run.served.by_kind()
        if not kinds:
            run.served.start()
            continue
        # Of the kinds that are there, one that was killed least.
        kind = min(kinds, key=lambda each: (killed[each], dice.random()))
        run.served.kill(dice.choice(kinds[kind]))
        killed[kind] += 1
        working += works
        course.done += 1
    return {"kills": dict(killed), "kills while all parts worked": working}


def run(folder: Path, database: str | None, objects: int, kills: int, seed: int, between_s: float) -> dict[str, Any]:
    """Return what a run found."""
    dice, course = random.Random(seed), Course(objects, kills)  # noqa: S311  # no secret
    acknowledged, verdicts, tokens = set[int](), list[int](), list[str]()

    def go_live(site: Site) -> None:
        account = add_account(site.engine, "reader", secrets.token_urlsafe(20), "reader")
        tokens.append(add_token(site.engine, account, "kills", ["worklist", "verdicts"], 1, by="system"))
        change_mode(site.engine, "live", "A benchmark with phantoms.", account_id=account)

    with Pacs() as pacs:
        settings = f'answers = ["sr"]\n[destination.dicom]\nhost = "127.0.0.1"\nport = {pacs.port}\ncalled = "PACS"\n'
        settings += "[retries]\nsending = 1000\nfirst_s = 1\nlongest_s = 5\n"
        with running_site(folder, database, "--json", settings=settings, fill=go_live) as site:
            stop = threading.Event()
            senders = [
                threading.Thread(target=send, args=(site.port, numbers, course, acknowledged), daemon=True)
                for numbers in (list(range(first, objects, _SENDERS)) for first in range(_SENDERS))
            ]
            reader = threading.Thread(
                target=give_verdicts, args=(f"{site.address}/api/v1", tokens[0], verdicts, stop), daemon=True
            )
            started = time.monotonic()
            for thread in (*senders, reader):
                thread.start()
            found = kill_many(site, course, kills, dice, between_s)
            course.done, course.ends = kills, time.monotonic() + _ENDS_S
            for thread in senders:
                thread.join()
            waiting = wait_until_judged(site.site, _ENDS_S)
            stop.set()
            reader.join()
            unsent = _wait_until_sent(site.site)
            found |= {"seconds": round(time.monotonic() - started), "still waiting": waiting, "not sent yet": unsent}
            return found | counted(site.site, acknowledged, verdicts, pacs)


def _wait_until_sent(site: Site) -> int:
    until = time.monotonic() + _ENDS_S
    while True:
        with reading(site.engine) as session:
            left = session.scalar(select(func.count(Delivery.id)).where(Delivery.state == "waiting")) or 0
        if not left or time.monotonic() > until:
            return left
        time.sleep(1)


def main() -> None:
    """Run it."""
    parser = parser_of(__doc__)
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--between", type=float, default=4.0, help="seconds between two kills, on average")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database_of(given.database) as database:
        found = run(Path(folder), database, given.objects, given.kills, given.seed, given.between)
    write_told({"database": given.database, **found}, given.out)


if __name__ == "__main__":
    main()
