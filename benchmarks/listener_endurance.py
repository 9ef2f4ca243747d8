"""Whether the listener loses or doubles anything when it is killed (SIGKILL) again and again.

    python benchmarks/listener_endurance.py [--objects 2000] [--kills 50] [--folder DIR] [--seed N] [--out FILE.json]

Senders (4 associations) send distinct small images to a listener in a process of its own, repeat what was not
acknowledged, and now and then what was. The listener judges them with the stand-in of the tests and sends the answers
to an archive in this process. It is killed at random moments, also while it starts. At the end every image is sent
until it is acknowledged, and the listener may finish. Then the archive is counted:

lost        images that were acknowledged and have no answer
doubled     images that have two answers, told apart by their UIDs
sent again  answers that the archive was sent more than once, under the same UID: a repetition that it knows as one
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from carina.runtime.machine import describe_machine, library_versions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dicom_network import ListenerProcess, Pacs, association, eventually, network_versions
from dicom_stand_in import make_image

_SENDERS = 4
# Of what was acknowledged, sent once more.
_REPEATED = 0.05
_RETRIES = {"first_s": 0.2, "longest_s": 2.0}


@dataclass(frozen=True)
class Tally:
    """What the archive holds, against what was acknowledged."""

    acknowledged: int
    answered: int
    lost: int
    doubled: int
    sent_again: int
    never_asked_for: int


def tally(acknowledged: Sequence[str], taken: Mapping[str, int], answers_to: Mapping[str, str]) -> Tally:
    """Return the counts.

    Parameters
    ----------
    acknowledged
        UIDs of images.
    taken
        How often the archive was sent an answer, by its UID.
    answers_to
        The UID of the image that an answer refers to, by its own.
    """
    per_image = Counter(answers_to[uid] for uid in taken)
    return Tally(
        acknowledged=len(acknowledged),
        answered=len(per_image),
        lost=sum(per_image[uid] == 0 for uid in acknowledged),
        doubled=sum(count > 1 for count in per_image.values()),
        sent_again=sum(count > 1 for count in taken.values()),
        never_asked_for=len(per_image.keys() - set(acknowledged)),
    )


class Senders:
    """Threads that send until everything was acknowledged."""

    def __init__(self, count: int, seed: int) -> None:
        self.uids = [str(make_image(number).SOPInstanceUID) for number in range(count)]
        self.acknowledged: set[int] = set()
        self.repeated = 0
        self.port = 0
        self._waiting = list(range(count))
        self._chance = random.Random(seed)  # noqa: S311  # for a repeatable trial
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(_SENDERS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until everything was acknowledged."""
        for thread in self._threads:
            thread.join()

    def _next(self) -> tuple[int, bool] | None:
        with self._lock:
            if self.acknowledged and self._chance.random() < _REPEATED:
                return self._chance.choice(tuple(self.acknowledged)), True
            return (self._waiting.pop(0), False) if self._waiting else None

    def _send(self) -> None:
        while (asked := self._next()) is not None or len(self.acknowledged) < len(self.uids):
            if asked is None:
                time.sleep(0.05)
                continue
            port = self.port
            with association(port) as made:
                while asked is not None and made.is_established:
                    asked = self._send_one(made, *asked)
            if asked is not None:
                self._put_back(*asked)
                time.sleep(0.05)

    def _send_one(self, made: object, number: int, repeated: bool) -> tuple[int, bool] | None:
        """Return what is to be sent next on this association; the same again where it was not acknowledged."""
        try:
            status = made.send_c_store(make_image(number)).get("Status")  # type: ignore[attr-defined]
        except (RuntimeError, OSError):
            status = None
        if status != 0:
            return number, repeated
        with self._lock:
            self.acknowledged.add(number)
            self.repeated += repeated
        return self._next()

    def _put_back(self, number: int, repeated: bool) -> None:
        if not repeated:
            with self._lock:
                self._waiting.append(number)


def endure(folder: Path, objects: int, kills: int, seed: int) -> dict[str, object]:
    """Return the tally and how it came about."""
    chance, started = random.Random(seed), time.monotonic()  # noqa: S311
    senders = Senders(objects, seed + 1)
    in_start = 0
    with Pacs() as pacs:
        listener = ListenerProcess(folder / "listener", destination=pacs.destination(), retries=_RETRIES)
        senders.start()
        for done in range(kills):
            # The kills are spread over the objects; one in ten comes while the listener starts.
            goal = objects * (done + chance.random()) / (kills + 1)
            if chance.random() < 0.1:
                listener.start(wait=False)
                time.sleep(chance.uniform(0.0, 3.0))
                in_start += 1
            else:
                listener.start()
                senders.port = listener.port
                eventually(lambda goal=goal: len(senders.acknowledged) >= goal, "nothing is acknowledged")
                time.sleep(chance.uniform(0.0, 0.3))
            listener.kill()
            print(f"killed {done + 1} times, {len(senders.acknowledged)} acknowledged", flush=True)
        listener.start()
        senders.port = listener.port
        senders.join()
        eventually(lambda: len(pacs.taken) >= objects, "answers are missing")
        # What would come twice has its time to come.
        time.sleep(3)
        listener.stop()
        answers_to = {
            uid: str(dataset.SourceImageSequence[0].ReferencedSOPInstanceUID) for uid, dataset in pacs.datasets.items()
        }
        counted = tally([senders.uids[number] for number in sorted(senders.acknowledged)], pacs.taken, answers_to)
    events = Counter(event["event"] for event in listener.events)
    return {
        **asdict(counted),
        "objects": objects,
        "kills": kills,
        "kills_while_starting": in_start,
        "sent_although_acknowledged": senders.repeated,
        "duplicates_told": events["duplicate"],
        "judged": events["judged"],
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    """Kill, count and print."""
    parser = argparse.ArgumentParser(description="Whether kills lose or double anything.")
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="on the disk to try; by default a temporary one")
    parser.add_argument("--seed", type=int, default=20260102)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carina-endurance-", dir=arguments.folder) as temporary:
        counted = endure(Path(temporary), arguments.objects, arguments.kills, arguments.seed)
    for name, value in counted.items():
        print(f"{name.replace('_', ' '):>28}  {value}")
    if arguments.out is not None:
        content = {
            "command": " ".join(["python", "benchmarks/listener_endurance.py", *sys.argv[1:]]),
            "machine": describe_machine(),
            "versions": {**library_versions(), **network_versions()},
            **counted,
        }
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    if counted["lost"] or counted["doubled"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
