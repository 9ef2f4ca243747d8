"""Debian's Chromium, driven through a pair of pipes by the DevTools protocol: no driver, no package, no port.

Chromium with ``--remote-debugging-pipe`` reads commands from file descriptor 3 and answers on 4, JSON ended by a zero.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
NO_CHROMIUM = "Chromium is not installed (Debian: apt-get install chromium)"


# Chromium wants these very numbers, which subprocess cannot give.
_PIPES_TO_3_AND_4 = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
for number, pipe in enumerate(pipes, start=3):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One tab.

    Attributes
    ----------
    messages
        What the console, the log and uncaught errors said.
    requests
        Every address that was asked for.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._last = read, write, 0
        self._buffer = b""
        self.messages: list[str] = []
        self.requests: list[str] = []
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return what a command of the tab answers."""
        return self._call(method, session=self._session, **parameters)

    def visit(self, address: str) -> None:
        """Open an address, and wait until its page is loaded, which may still be filling itself."""
        self.send("Page.navigate", url="about:blank")
        self._wait_for("Page.loadEventFired")
        self.messages.clear()
        self.requests.clear()
        self._events.clear()
        self.send("Page.navigate", url=address)
        self._wait_for("Page.loadEventFired")

    def wait_for(self, script: str, seconds: float = 60.0) -> Any:
        """Wait until a JavaScript expression is true, and return its value."""
        until = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < until, f"never true: {script}"
            time.sleep(0.05)
        return value

    def open(
        self, place: Path | str, fragment: str = "", *, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        """Open a file, or an address of this machine, at a size of the window, and wait until it is drawn."""
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", media="", features=scheme)
        self.visit((place if isinstance(place, str) else place.resolve().as_uri()) + fragment)
        self.settle()

    def resize(self, width: int, height: int) -> None:
        """Give the window's inside a size in pixels."""
        mobile = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def follow(self, script: str) -> None:
        """Do what leads to another page, and wait until that is drawn."""
        self._events.clear()
        self.run(f"{script}; true")
        self._wait_for("Page.loadEventFired")
        self.settle()

    def settle(self) -> None:
        """Wait for two frames."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; of a promise what it becomes."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", answer["exceptionDetails"]))
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """Return what an element says."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
        self.settle()

    def type(self, text: str) -> None:
        """Type text where the focus is."""
        self.send("Input.insertText", text=text)

    def click(self, x: float, y: float, times: int = 1) -> None:
        """Click with the mouse, in pixels of the window; two times make a double click."""
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)
        self.settle()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse, in pixels of the window."""
        steps = [("mousePressed", start), ("mouseMoved", ((start[0] + end[0]) / 2, start[1])), ("mouseMoved", end)]
        for kind, (x, y) in [*steps, ("mouseReleased", end)]:
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        self.settle()

    def screenshot(self, path: Path, *, selector: str | None = None) -> None:
        """Write a picture of the window, or of an element however long it is."""
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": selector is not None}
        if selector is not None:
            box = self.run(
                f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1}; })()"
            )
            options["clip"] = box
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **options)["data"]))

    def print_pdf(self, path: Path) -> None:
        """Write what a printer would get."""
        answer = self.send(
            "Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next(60.0)
            if answer.get("id") == self._last:
                if "error" in answer:
                    msg = f"{method}: {answer['error']}"
                    raise AssertionError(msg)
                return dict(answer["result"])
            self._note(answer)

    def _wait_for(self, method: str) -> None:
        until = time.monotonic() + 60
        while not any(event["method"] == method for event in self._events):
            self._note(self._next(until - time.monotonic()))
        self._events = [event for event in self._events if event["method"] != method]

    def _note(self, event: dict[str, Any]) -> None:
        method, told = event.get("method", ""), event.get("params", {})
        if method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.messages.append(str([value.get("value") for value in told["args"]]))
        elif method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.messages.append(str(details.get("exception", {}).get("description", details["text"])))
        elif method == "Log.entryAdded":
            self.messages.append(str(told["entry"]["text"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(str(told["request"]["url"]))
        elif method == "Page.loadEventFired":
            self._events.append(event)

    def _next(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                msg = "Chromium does not answer."
                raise AssertionError(msg)
            data = os.read(self._read, 1 << 20)
            if not data:
                msg = "Chromium has ended."
                raise AssertionError(msg)
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))


@contextmanager
def open_browser(inside: Sequence[str] = (), *, draws_in_3d: bool = False) -> Iterator[Browser]:
    """Yield a tab of a Chromium of its own, with no network but the loopback; it is ended afterwards.

    Parameters
    ----------
    inside
        A command that runs another one, such as in a network of its own.
    draws_in_3d
        Draw WebGL, by the processor.
    """
    if CHROMIUM is None:
        raise AssertionError(NO_CHROMIUM)
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        drawing = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
        command = [
            *inside,
            *(sys.executable, "-S", "-c", _PIPES_TO_3_AND_4, str(theirs_in), str(theirs_out), CHROMIUM),
            *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-dev-shm-usage"),
            *(drawing if draws_in_3d else ("--disable-gpu",)),
            *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars"),
            *("--proxy-server=127.0.0.1:9", f"--user-data-dir={profile}", "about:blank"),
        ]
        process = subprocess.Popen(
            command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(ours_in, ours_out)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(ours_in)
            os.close(ours_out)
