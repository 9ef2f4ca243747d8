"""Whether ``carina serve`` loses or doubles anything when its processes are killed (SIGKILL) again and again.

    python benchmarks/killed_site.py [--objects 5000] [--kills 200] [--database sqlite|postgresql] [--out FILE.json]

The whole of ``carina serve`` runs: pages, worker, listener, and the processes that these start. Senders send distinct
small images over 4 associations and repeat what was not acknowledged. A reader gives verdicts by the API meanwhile. One
process of the tree, or all of it, is killed at each of many random moments; all of it is then started again. At the end
every image is sent until it is acknowledged, and the worker may finish. Then rows and files are counted:

lost              images that were acknowledged and have no row, or no file
doubled           images with two rows, or two judgements by one model
not judged        images that have none
verdicts lost     verdicts that the API acknowledged and the database does not have
chain broken at   the first line of the audit log that is not as it was written; none where it is whole
"""

import contextlib
import random
import secrets
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
from served_site import TIMEOUT_S, Served, database_of, free_port, new_site, parser_of, write_told
from sqlalchemy import func, select

from carina.service.audit_log.chain import verify
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Judgement, Study
from carina.service.people.accounts import add_account
from carina.service.people.people_tables import Verdict
from carina.service.people.tokens import add_token
from carina.service.site_folder import Site
from dicom_network import association
from dicom_stand_in import make_image

_SENDERS = 4
# Where it stands: killed and not yet started again, everything fails at once.
_PAUSE_S = 0.1
# Of the kills, how many wait until it listens. The others also meet a site that is just starting.
_RUNNING = 0.8


def wait_for_listener(port: int) -> None:
    """Wait until somebody listens, or for a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)


def send(port: int, numbers: list[int], acknowledged: set[int]) -> None:
    """Send images until each was acknowledged."""
    waiting = list(numbers)
    while waiting:
        with contextlib.suppress(Exception), association(port) as peer:
            while waiting and peer.is_established:
                status = getattr(peer.send_c_store(make_image(waiting[0])), "Status", None)
                if status != 0:
                    break
                acknowledged.add(waiting.pop(0))
        time.sleep(_PAUSE_S)


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


def counted(site: Site, acknowledged: set[int], verdicts: list[int]) -> dict[str, Any]:
    """Return what is lost and doubled."""
    uids = {str(make_image(number).SOPInstanceUID) for number in acknowledged}
    with reading(site.engine) as session:
        rows = session.execute(select(Image.sop_instance_uid, Image.digest)).all()
        by_image = select(func.count(Judgement.id)).group_by(Judgement.image_id, Judgement.model_id)
        kept = set(session.scalars(select(Verdict.id)))
        return {
            "acknowledged": len(uids),
            "lost": len(uids - {row.sop_instance_uid for row in rows if site.store.object_path(row.digest).is_file()}),
            "doubled": len(rows)
            - len({row.sop_instance_uid for row in rows})
            + sum(count > 1 for count in session.scalars(by_image)),
            "not judged": len(rows) - (session.scalar(select(func.count()).where(Study.judged_at.is_not(None))) or 0),
            "verdicts": len(verdicts),
            "verdicts lost": len(set(verdicts) - kept),
            "chain broken at": verify(session).broken_at,
        }


def run(folder: Path, database: str | None, objects: int, kills: int, seed: int, between_s: float) -> dict[str, Any]:
    """Return what a run found."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    port, pages = free_port(), free_port()
    site = new_site(folder / "site", database, pages=pages, listener=port)
    account = add_account(site.engine, "reader", secrets.token_urlsafe(20), "reader")
    token = add_token(site.engine, account, "kills", ["worklist", "verdicts"], 1, by="system")
    served, acknowledged, verdicts, stop = (
        Served(site.folder, database, "--json"),
        set[int](),
        list[int](),
        threading.Event(),
    )
    served.start()
    senders = [
        threading.Thread(target=send, args=(port, list(range(first, objects, _SENDERS)), acknowledged), daemon=True)
        for first in range(_SENDERS)
    ]
    reader = threading.Thread(
        target=give_verdicts, args=(f"http://127.0.0.1:{pages}/api/v1", token, verdicts, stop), daemon=True
    )
    for thread in (*senders, reader):
        thread.start()
    started, killed = time.monotonic(), dict.fromkeys(("all", "part", "none"), 0)
    for _ in range(kills):
        if dice.random() < _RUNNING:
            wait_for_listener(port)
        time.sleep(dice.uniform(0, 2 * between_s))
        killed[served.kill_one(dice)] += 1
    for thread in senders:
        thread.join()
    while True:
        with reading(site.engine) as session:
            if not session.scalar(select(func.count(Image.id)).where(Image.state == "received")):
                break
        time.sleep(1)
    stop.set()
    reader.join()
    served.stop()
    found = {"kills": killed, "seconds": round(time.monotonic() - started), **counted(site, acknowledged, verdicts)}
    site.close()
    return found


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
