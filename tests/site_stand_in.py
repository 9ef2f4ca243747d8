"""Parts of a site in processes of their own, for tests that kill them: a worker without a model, and a sender.

The command is WHAT FOLDER DATABASE, with ``-`` for SQLite. A sender gets more: where it notes what was acknowledged,
the seed of its order, and how many images there are.
"""

import io
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

import numpy as np
from PIL import Image

from carina.dicom.transport.log import EventLog
from carina.service.intake.take import NotTakenError, Taken, take
from carina.service.judging.predicting import Answers, Said
from carina.service.judging.site_worker import Worker
from carina.service.judging.slots import Slot
from carina.service.site_folder import Site, open_site


class QuickJudge:
    """Says of every image that it is normal, after a moment in which it may be killed."""

    def __init__(self, site: Site, models: Mapping[int, Path]) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def ask(self, model_id: int, images: Sequence[Path]) -> Answers:
        time.sleep(0.03 * len(images))
        said = Said("routine", "Normal", 0.1, {"Normal": 0.9}, "normal-in-band", "Why.", True, [], "f32", 1.0, "e" * 64)
        return Answers(tuple(said for path in images if path.read_bytes()))


def main() -> None:
    what, folder, database, *more = sys.argv[1:]
    site = open_site(Path(folder), database=None if database == "-" else database)
    {"work": work, "send": send}[what](site, *more)


def work(site: Site) -> None:
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    slot = Slot(site.folder / "locks")
    Worker(site, slot.name, EventLog(sys.stdout), QuickJudge).run(stop)


def send(site: Site, noted: str, seed: str, count: str) -> None:
    """Send images in an order of its own, each as often as it is started, and note what was acknowledged."""
    order = random.Random(seed).sample(range(int(count)), int(count))
    with Path(noted).open("a", encoding="ascii") as stream:
        for number in order:
            try:
                said = take(site, film(number), name=f"{number}.png", source="c-store")
            except NotTakenError:
                continue
            assert isinstance(said, Taken)
            stream.write(f"{said.digest}\n")
            stream.flush()
            os.fsync(stream.fileno())


def film(number: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
