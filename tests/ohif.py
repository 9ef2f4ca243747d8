"""OHIF, a viewer that runs in a browser, in front of Orthanc: its prebuilt pages, with the archive behind them.

``make services`` fetches the pages: the package and its hash are in ``ohif.lock``. Pages and archive have one origin,
as behind the reverse proxy of a hospital, so that no browser forbids the one to ask the other.
"""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from browser import CHROMIUM, NO_CHROMIUM, Browser, open_browser
from dicom_network import eventually
from orthanc import HTTP_PORT, Orthanc

_, VERSION, _ = (Path(__file__).parent / "ohif.lock").read_text("utf-8").split()
PAGES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carina-tests" / f"ohif-app-{VERSION}"
PORT = 3000
_PATIENCE_S = 60.0
_SERIES = "[...document.querySelectorAll('[data-cy^=study-browser-thumbnail]')]"
_SOURCE = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
    "sourceName": "orthanc",
    "configuration": {
        "friendlyName": "Orthanc",
        "name": "orthanc",
        **dict.fromkeys(("qidoRoot", "wadoRoot", "wadoUriRoot"), f"http://127.0.0.1:{PORT}/dicom-web"),
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "supportsWildcard": True,
        "omitQuotationForMultipartRequest": True,
        "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
    },
}
_SETTINGS = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 1,
    "showWarningMessageForCrossOrigin": False,
    "showErrorDetails": "always",
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "orthanc",
    "dataSources": [_SOURCE],
}


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/dicom-web"):
            archive = http.client.HTTPConnection("127.0.0.1", HTTP_PORT)
            archive.request("GET", self.path, headers={"Accept": self.headers["Accept"], "Host": self.headers["Host"]})
            answer = archive.getresponse()
            self._answer(answer.read(), answer.getheader("Content-Type", ""), answer.status)
        elif path == "/app-config.js":
            self._answer(f"window.config = {json.dumps(_SETTINGS)};".encode(), "text/javascript")
        else:
            # Every address that is no file is a place within the one page.
            file = PAGES / path.lstrip("/")
            file = file if file.is_file() else PAGES / "index.html"
            self._answer(file.read_bytes(), guess_type(file.name)[0] or "application/octet-stream")

    def _answer(self, content: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Embedder-Policy", "require-corp"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve_pages() -> None:
    """Serve until the process is ended; a line says when it begins."""
    server = ThreadingHTTPServer(("127.0.0.1", PORT), _Pages)
    print("serving", flush=True)  # noqa: T201
    server.serve_forever()


class Ohif:
    """OHIF in a browser: what a radiologist does there, and what is seen then."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    @property
    def text(self) -> str:
        """Return all that is written on the page."""
        return str(self.browser.run("document.body.innerText"))

    def open_list(self, patient: str) -> None:
        """Open the list of studies and choose that of a patient, so that its series are listed beside."""
        self.browser.visit(f"http://127.0.0.1:{PORT}/")
        self._click(_with_text(patient))
        self.browser.wait_for(f"!!{_with_text('Launch workflow')}")

    def open_study(self, uid: str) -> None:
        """Open a study and wait until its first image is drawn."""
        self.browser.visit(f"http://127.0.0.1:{PORT}/viewer?StudyInstanceUIDs={uid}")
        self.browser.wait_for(f"{_SERIES}.length > 1")
        self.wait_until(lambda picture: _bright(picture) > 0.1)

    def series(self) -> list[str]:
        """Return the names of the series as the list shows them: what is cut is missing."""
        # A name is cut by three dots where its letters need more room than its box has.
        return list(
            self.browser.run(
                f"{_SERIES}.map(box => {{"
                "const label = [...box.querySelectorAll('*')].filter(e => !e.children.length && e.textContent"
                ".trim().length > 5).at(0); const range = document.createRange(); const end = label"
                ".getBoundingClientRect().right; const letters = label.firstChild; let n = letters.length;"
                "for (; n > 0; n--) { range.setStart(letters, n - 1); range.setEnd(letters, n);"
                "if (range.getBoundingClientRect().right <= end) break; }"
                "return letters.textContent.slice(0, n); })"
            )
        )

    def open_series(self, name: str) -> None:
        """Open a series by a part of its name, by a double click, as a radiologist does."""
        box = f"{_SERIES}.find(e => e.textContent.includes({json.dumps(name)}))"
        self._click(box, times=2)

    def load_regions(self) -> None:
        """Say yes to OHIF's question whether to open a segmentation, and open its panel."""
        self._click(_with_text("Yes"))
        self._click("document.querySelector('[data-cy=panelSegmentation-btn]')")
        self.browser.wait_for("document.querySelectorAll('[data-cy=data-row]').length")

    def regions(self) -> list[str]:
        """Return the names of the regions in the panel."""
        titles = "[...document.querySelectorAll('[data-cy=data-row-title]')]"
        return list(self.browser.run(f"{titles}.map(e => e.innerText)"))

    def switch_region(self, number: int) -> None:
        """Press the eye of a region, the first being 0. The eye appears under the mouse."""
        row = f"document.querySelectorAll('[data-cy=data-row]')[{number}]"
        x, y = self._middle(row)
        self.browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self._click(f"{row}.querySelector('[data-cy=data-row-visibility-toggle]')")
        # A card of numbers lies over the picture while the mouse is there.
        self.browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)

    def picture(self) -> NDArray[np.uint8]:
        """Return what the viewport shows: uint8 ``(height, width, 3)``."""
        self.browser.wait_for("!!document.querySelector('[data-cy=viewport-pane]')")
        x, y, width, height = self.browser.run(
            "(() => { const b = document.querySelector('[data-cy=viewport-pane]').getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height].map(Math.round); })()"
        )
        with TemporaryDirectory() as folder:
            self.browser.screenshot(Path(folder) / "page.png")
            with Image.open(Path(folder) / "page.png") as page:
                return np.asarray(page.convert("RGB"))[y : y + height, x : x + width]

    def wait_until(self, condition: Callable[[NDArray[np.uint8]], bool]) -> None:
        """Wait until the viewport's picture is as it should be."""
        until = time.monotonic() + _PATIENCE_S
        while not condition(self.picture()):
            assert time.monotonic() < until, f"the picture is never so; the page says:\n{self.text}"
            time.sleep(0.1)

    def _middle(self, element: str) -> tuple[float, float]:
        self.browser.wait_for(f"!!({element})")
        x, y = self.browser.run(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'nearest'}});"
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return x, y

    def _click(self, element: str, times: int = 1) -> None:
        self.browser.click(*self._middle(element), times)


def _with_text(text: str) -> str:
    leaves = "[...document.querySelectorAll('*')].filter(e => !e.children.length)"
    return f"{leaves}.filter(e => e.textContent.includes({json.dumps(text)})).at(-1)"


def _bright(picture: NDArray[np.uint8]) -> float:
    return float((picture.min(axis=-1) > 100).mean())


def share_of_colour(picture: NDArray[np.uint8], rgb: tuple[int, int, int]) -> float:
    """Return which share of a picture has a colour's hue, whatever lies under it."""
    whole = picture.astype(np.float32)
    chroma = whole - whole.mean(axis=-1, keepdims=True)
    wanted = np.float32(rgb) - np.mean(rgb)
    size = np.linalg.norm(chroma, axis=-1)
    like = (chroma @ wanted) / np.maximum(size * np.linalg.norm(wanted), 1e-6)
    return float(((like > 0.97) & (size > 25)).mean())


@contextmanager
def open_ohif(orthanc: Orthanc, width: int = 1000, height: int = 700) -> Iterator[Ohif]:
    """Yield OHIF in a browser within the archive's network; skips the test, with the reason, where it is not there."""
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    if not (PAGES / "index.html").exists():
        pytest.skip(f"OHIF {VERSION} is not there (make services fetches it with npm)")
    log = orthanc.folder / "pages.log"
    log.touch()
    pages = orthanc.start([serve_pages], stdout=log)
    try:
        eventually(lambda: "serving" in log.read_text(), "OHIF's pages are not served")
        with open_browser(orthanc.inside([]), draws_in_3d=True) as browser:
            # Its tour for beginners would lie over everything.
            toured = "if (location.protocol === 'http:') localStorage.setItem('shownTours', '[\"basicViewerTour\"]')"
            browser.send("Page.addScriptToEvaluateOnNewDocument", source=toured)
            browser.resize(width, height)
            yield Ohif(browser)
    finally:
        pages.terminate()
