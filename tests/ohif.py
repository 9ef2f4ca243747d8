"""OHIF, a viewer that runs in a browser, in front of Orthanc: its prebuilt pages, with the archive behind them.

``make services`` fetches the pages: the package and its hash are in ``ohif.lock``. Pages and archive have one origin,
as behind the reverse proxy of a hospital, so that no browser forbids the one to ask the other.
"""

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from browser import CHROMIUM, NO_CHROMIUM, Browser, open_browser
from dicom_network import eventually
from orthanc import HTTP_PORT, Orthanc

_, VERSION, _ = (Path(__file__).parent / "ohif.lock").read_text("utf-8").split()
PAGES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carina-tests" / f"ohif-app-{VERSION}"
PORT = 3000
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


@contextmanager
def open_ohif(orthanc: Orthanc) -> Iterator[Browser]:
    """Yield a browser within the archive's network, where OHIF is served; skips the test, with the reason."""
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
            yield browser
    finally:
        pages.terminate()
