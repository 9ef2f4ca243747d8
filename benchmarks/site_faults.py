"""What becomes of a site when its disk is full, its database is lost, its judge dies, or its clock is set back.

    python benchmarks/site_faults.py [--out FILE.json]

The whole of ``carina serve`` runs with the released model; films come by C-STORE. Each trial is a site of its own:

full disk       the site lies on a small disk (tmpfs; only root can make one), which a file fills to the last block
lost database   PostgreSQL is stopped at once, as if it had crashed, and started again
dying judge     the process that judges is killed (SIGKILL) whenever one certain film is with it
clock set back  every process of the site is told a time that is an hour earlier (``moved_clock.c``; needs a C compiler)

Of each it is told what the worklist's page said in the middle of it, what a sender was answered, how soon all was well
again by itself, and whether every film that was acknowledged was judged.
"""

import contextlib
import html
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
from served_site import TIMEOUT_S, Running, Served, film, running_site, write_told
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Study
from carina.service.site_folder import Site
from dicom_network import send
from make import fill_disk
from postgresql import running_postgresql

_WAIT_S = 90.0
_DISK_KB = 60_000
# Pixels to a side of a film that takes long enough to be killed over.
_LARGE = 1024
_MOVED_CLOCK = Path(__file__).parent / "moved_clock.c"
_TAGS = re.compile(r"<[^>]+>")


class Trial:
    """A site that is served, with a reader in a browser and a sender."""

    def __init__(self, running: Running) -> None:
        self.site, self.served, self.port = running.site, running.served, running.port
        (self.reader,) = running.readers
        self.acknowledged: set[str] = set()
        self._next = 0

    def send(self, count: int = 1, *, side: int = 512) -> list[int | None]:
        """Send films and return what they were answered; a film that was not acknowledged is sent again next time."""
        answers: list[int | None] = []
        for number in range(self._next, self._next + count):
            image = film(number, side)
            answer = (send(self.port, [image]) or [None])[0]
            answers.append(answer)
            if answer == 0:
                self.acknowledged.add(str(image.SOPInstanceUID))
                self._next = number + 1
        return answers

    def words(self) -> list[str]:
        """Return what the worklist's page says of troubles, or what it says instead of itself."""
        try:
            page = self.reader.client.get("/worklist", timeout=TIMEOUT_S)
        except httpx2.HTTPError as error:
            return [f"no page ({type(error).__name__})"]
        troubles = re.findall(r'<p class="troubles"[^>]*>(.*?)</p>', page.text, re.DOTALL)
        if page.status_code != 200:
            troubles = re.findall(r"<main[^>]*>(.*?)</main>", page.text, re.DOTALL)
        return [" ".join(html.unescape(_TAGS.sub(" ", words)).split()) for words in troubles]

    def words_when(self, wanted: Callable[[list[str]], bool]) -> tuple[list[str], float]:
        """Return the page's words as soon as they are as wanted, and after how many seconds."""
        started = time.monotonic()
        while True:
            words, took = self.words(), time.monotonic() - started
            if wanted(words) or took > _WAIT_S:
                return words, round(took, 1)
            time.sleep(0.5)

    def judged(self) -> bool:
        """Return whether every film that was acknowledged is done with."""
        with contextlib.suppress(SQLAlchemyError), reading(self.site.engine) as session:
            waiting = session.scalar(select(func.count(Image.id)).where(Image.state == "received"))
            known = set(session.scalars(select(Image.sop_instance_uid)))
            return not waiting and self.acknowledged <= known
        return False

    def well_again(self) -> dict[str, Any]:
        """Return how soon a film is taken and all are judged, and the page says nothing more."""
        started = time.monotonic()
        while time.monotonic() < started + _WAIT_S:
            if self.send() == [0] and _within(self.judged):
                break
            time.sleep(0.5)
        words, _ = self.words_when(lambda words: not words)
        return {
            "well_again_after_s": round(time.monotonic() - started, 1),
            "acknowledged": len(self.acknowledged),
            "all_judged": self.judged(),
            "words_afterwards": words,
        }


def _within(holds: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


@contextmanager
def trial(folder: Path, database: str | None = None, settings: str = "", **environment: str) -> Iterator[Trial]:
    """Yield a trial, which is ended afterwards, with three films that were judged before."""
    with running_site(folder, database, readers=1, settings=settings, environment=environment) as running:
        made = Trial(running)
        made.send(3)
        _within(made.judged)
        yield made


def full_disk(folder: Path) -> dict[str, Any]:
    """Fill the disk, and free it."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={_DISK_KB}k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        return {"not tried": "only root can mount a small disk"}
    try:
        with trial(disk, settings="[limits]\nkeep_free_mb = 8\n") as tried:
            ballast = fill_disk(disk / "ballast")
            answers = tried.send(2)
            words, _ = tried.words_when(bool)
            ballast.unlink()
            return {"words": words, "senders_were_answered": _statuses(answers), **tried.well_again()}
    finally:
        subprocess.run(["/bin/umount", "-l", disk], check=False)


def lost_database(folder: Path) -> dict[str, Any]:
    """Stop PostgreSQL as a crash does, and start it again."""
    with running_postgresql() as cluster, trial(folder, cluster.new_database()) as tried:
        cluster.stop()
        answers = tried.send(2)
        words, _ = tried.words_when(bool)
        cluster.start()
        return {"words": words, "senders_were_answered": _statuses(answers), **tried.well_again()}


def dying_judge(folder: Path) -> dict[str, Any]:
    """Kill the judge whenever one film is with it; others come meanwhile."""
    with trial(folder) as tried:
        stop, killed = threading.Event(), [0]
        with reading(tried.site.engine) as session:
            before = session.scalar(select(func.max(Image.id))) or 0

        def kill() -> None:
            # Asking the database each time would be slower than a judging.
            while not stop.wait(0.002):
                for judge in _judges(tried.served):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        judge.send_signal(signal.SIGKILL)
                        killed[0] += 1

        thread = threading.Thread(target=kill)
        thread.start()
        answers = tried.send(1, side=_LARGE)
        _within(lambda: _state(tried.site, before + 1) == "failed", _WAIT_S)
        stop.set()
        thread.join()
        answers += tried.send(3)
        _within(tried.judged)
        with reading(tried.site.engine) as session:
            image = session.get_one(Image, before + 1)
            state, why = image.state, image.error_message
            reason = session.get_one(Study, image.study_id).reason
        # The site is silent: that an image cannot be judged is no answer of the model, and is said all the same.
        listed = why is not None and why in html.unescape(_page_of(tried, before + 1))
        found = {"state": state, "its_line_says": reason, "its_page_says_so": listed, "judges_killed": killed[0]}
        return {"words": tried.words(), "senders_were_answered": _statuses(answers), **found, **tried.well_again()}


def _judges(served: Served) -> list[psutil.Process]:
    """Return the processes that judge, once they decode: children of a part that have decoders of their own."""
    found: list[psutil.Process] = []
    for part in served.tree()[:1]:
        with contextlib.suppress(psutil.Error):
            judges = [judge for each in part.children() for judge in each.children()]
            found += [judge for judge in judges if any(map(_decodes, judge.children()))]
    return found


def _decodes(process: psutil.Process) -> bool:
    return "carina.radiographs.dicom.worker" in " ".join(process.cmdline())


def _state(site: Site, image_id: int) -> str | None:
    with reading(site.engine) as session:
        return session.scalar(select(Image.state).where(Image.id == image_id))


def _page_of(tried: Trial, image_id: int) -> str:
    with reading(tried.site.engine) as session:
        study = session.scalar(select(Image.study_id).where(Image.id == image_id))
    return str(tried.reader.client.get(f"/studies/{study}").text)


def clock_set_back(folder: Path) -> dict[str, Any]:
    """Set the clock of all processes of the site back by an hour, and forward again."""
    library, clock = folder / "moved_clock.so", folder / "clock"
    compiler = shutil.which("cc")
    if compiler is None:
        return {"not tried": "there is no C compiler (cc)"}
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, _MOVED_CLOCK, "-ldl"], check=True)
    clock.write_text("0\n")
    with trial(folder, LD_PRELOAD=str(library), MOVED_CLOCK=str(clock)) as tried:
        clock.write_text("-3600\n")
        answers = tried.send(3)
        went_on = _within(tried.judged)
        words, _ = tried.words_when(bool)
        clock.write_text("0\n")
        found = {"went_on_judging": went_on, "senders_were_answered": _statuses(answers)}
        return {"words": words, **found, **tried.well_again()}


def _statuses(answers: list[int | None]) -> list[str]:
    return ["no answer" if answer is None else f"0x{answer:04X}" for answer in answers]


_TRIALS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "full disk": full_disk,
    "lost database": lost_database,
    "dying judge": dying_judge,
    "clock set back": clock_set_back,
}


def main() -> None:
    """Run it."""
    import argparse  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(_TRIALS), help="one of the trials")
    parser.add_argument("--out", type=Path, help="also write what is printed to this file")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for name, run in _TRIALS.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                found[name] = run(Path(folder))
            # What was tried is kept, whatever becomes of the next one.
            write_told({"trials": found}, given.out)


if __name__ == "__main__":
    main()
