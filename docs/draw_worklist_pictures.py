"""Take the documentation's pictures of the worklist: python docs/draw_worklist_pictures.py demo, after carina demo.

Chromium shows the pages as they are served. The images are phantoms and the patients invented; the model is the demo's.
"""

import argparse
import io
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from PIL import Image
from sqlalchemy import select

from carina.datasets.manifest import open_dataset
from carina.dicom.transport.log import EventLog
from carina.service.database.sessions import reading
from carina.service.database.study_tables import WAITING, Study
from carina.service.database.study_tables import Image as ImageRow
from carina.service.demo_site import ACCOUNT, make_demo_site
from carina.service.judging.models import register_models
from carina.service.judging.site_worker import Worker
from carina.service.mode import change_mode
from carina.service.site_folder import Site, open_site
from carina.service.verdicts import give_verdict
from carina.service.web.app import build_app

PICTURES = Path(__file__).parent / "pictures"
_SHOWN = 40
_READ = 22

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import Browser, open_browser  # noqa: E402  # a part of the tests, which are no package


def judge(site: Site) -> None:
    """Judge all images that wait."""
    register_models(site)
    stop = threading.Event()
    thread = threading.Thread(target=Worker(site, "pictures", EventLog(io.StringIO())).run, args=(stop,))
    thread.start()
    while True:
        with reading(site.engine) as session:
            if session.scalar(select(ImageRow.id).where(WAITING).limit(1)) is None:
                break
        time.sleep(0.2)
    stop.set()
    thread.join()


def read_some(site: Site) -> None:
    """Give the model's own finding as verdict on some studies, and another one on every fifth."""
    with reading(site.engine) as session:
        found = session.execute(select(Study.id, Study.finding).order_by(Study.arrived_at).limit(_READ)).all()
    for place, (study, finding) in enumerate(found):
        said = "Normal" if place % 5 == 4 or finding is None else finding
        names = ("COVID-19", "Normal", "Viral Pneumonia")
        give_verdict(site.engine, study, account_id=1, actor="account 1", finding=said, findings=names)


@contextmanager
def served(site: Site) -> Iterator[str]:
    """Yield the address of a site's pages."""
    app = build_app(site)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        app.state.arrivals.stop()
        server.should_exit = True
        thread.join(10)


def take(browser: Browser, name: str, height: int) -> None:
    """Write a picture of the page, as far down as is said."""
    # Until the last small picture is there.
    time.sleep(1.5)
    with tempfile.TemporaryDirectory() as folder:
        browser.screenshot(Path(folder) / "page.png")
        with Image.open(Path(folder) / "page.png") as page:
            part = page.convert("RGB").crop((0, 0, page.width, min(height, page.height)))
    part.thumbnail((1100, 900), Image.Resampling.LANCZOS)
    part.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        PICTURES / f"worklist-{name}.png", optimize=True
    )


def main() -> None:
    """Write docs/pictures/worklist-list.png, -study and -figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder that carina demo wrote")
    demo = parser.parse_args().demo
    rows = open_dataset(demo / "dataset").rows("test")
    images = rows.sample(min(_SHOWN, rows.height), shuffle=True, seed=0)["path"]
    with tempfile.TemporaryDirectory() as folder:
        password = make_demo_site(Path(folder) / "site", demo / "run", [Path(path) for path in images])
        site = open_site(Path(folder) / "site")
        # Verdicts count that are given before the model's answer is shown.
        change_mode(site.engine, "silent", "Verdicts for the pictures", account_id=1)
        judge(site)
        read_some(site)
        change_mode(site.engine, "live", "As the demo is", account_id=1)
        with served(site) as address, open_browser(draws_in_3d=True) as browser:
            browser.open(address + "/login", width=1360, height=860)
            for field, value in (("name", ACCOUNT), ("password", password)):
                browser.run(f"document.querySelector('#{field}').focus()")
                browser.type(value)
            browser.follow("document.querySelector('form').requestSubmit()")
            take(browser, "list", 560)
            first = browser.run("document.querySelector('a.open').getAttribute('href')")
            browser.open(address + str(first), width=1360, height=860)
            browser.wait_for("document.querySelector('.pane[data-ready]') && document.querySelector('.wait').hidden")
            browser.wait_for("!document.querySelector('[data-do=evidence]').disabled")
            browser.run("document.querySelector('[data-do=evidence]').click()")
            take(browser, "study", 860)
            browser.open(address + "/good-enough", width=1360, height=1100)
            take(browser, "figures", 900)
        site.close()
        shutil.rmtree(site.folder)


if __name__ == "__main__":
    main()
