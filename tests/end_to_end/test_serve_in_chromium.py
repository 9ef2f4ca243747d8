"""The day of a reader, an administrator and an auditor in Debian's Chromium, with the pages as they are served."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from browser import CHROMIUM, NO_CHROMIUM, Browser, open_browser
from clinic import PASSWORD, Clinic, clinic, quick_passwords

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
__all__ = ["clinic", "quick_passwords"]

# What Chromium says of a machine without a graphics card; nothing of ours.
_OF_THIS_MACHINE = ("Automatic fallback to software WebGL", "GPU stall due to ReadPixels")


@pytest.fixture(scope="module")
def address(clinic: Clinic) -> Iterator[str]:
    """Return where the clinic is served, on a free port of this machine."""
    for hours in (3, 2, 1):
        clinic.add_study("fast-track", 0.96, hours=hours, PatientName=f"Early^Bird{hours}", PatientID="Same")
    server = uvicorn.Server(uvicorn.Config(clinic.app, log_level="error", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        clinic.app.state.arrivals.stop()
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as tab:
        yield tab


def enter(browser: Browser, address: str, name: str) -> None:
    browser.send("Network.clearBrowserCookies")
    browser.open(address + "/login")
    for field, value in (("name", name), ("password", PASSWORD)):
        browser.run(f"document.querySelector('#{field}').focus()")
        browser.type(value)
    browser.follow("document.querySelector('form').requestSubmit()")


def expect_quiet(browser: Browser, address: str) -> None:
    """Expect no word in the console, and no request to anywhere else."""
    said = [words for words in browser.messages if not any(known in words for known in _OF_THIS_MACHINE)]
    assert said == []
    elsewhere = [one for one in browser.requests if not one.startswith((address, "about:", f"blob:{address}"))]
    assert elsewhere == []


def expect_accessible(browser: Browser) -> None:
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is a development dependency")
    browser.run(f"{(Path(axe.__file__).parent / 'axe.min.js').read_text('utf-8')}; true")
    found = browser.run(
        "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) =>"
        "({id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))})))"
    )
    assert found == []


def press(browser: Browser, key: str) -> None:
    browser.press(key, ord(key.upper()) if len(key) == 1 and key.isalnum() else {"/": 191, "Enter": 13}[key])


def shown(browser: Browser) -> None:
    browser.wait_for("document.querySelector('.pane[data-ready]') && document.querySelector('.wait').hidden")


def test_a_reader_reads_by_keyboard_and_is_not_led(browser: Browser, address: str) -> None:
    enter(browser, address, "berta")
    assert browser.run("location.pathname") == "/worklist"
    assert "fast-track" not in browser.text("main")
    press(browser, "j")
    press(browser, "j")
    press(browser, "k")
    assert "Early, Bird3" in browser.run("document.activeElement.closest('tr').textContent")
    browser.follow("document.activeElement.click()")
    shown(browser)
    assert browser.run("document.querySelectorAll('[data-do=evidence], .probabilities').length") == 0
    # The radiograph is there: the canvas is not of one colour.
    assert browser.run("document.querySelector('.view canvas').width") > 100
    press(browser, "i")
    assert browser.run("document.querySelector('[data-do=invert]').getAttribute('aria-pressed')") == "true"
    press(browser, "n")
    browser.type("Seen before. a c 2")
    browser.run("document.activeElement.blur()")
    browser.follow("document.querySelector('[data-key=\"2\"]').click()")
    assert "fast-track" in browser.text(".answer")
    assert "Seen before. a c 2" in browser.text(".verdicts")
    shown(browser)
    # An earlier study of the same patient beside this one.
    browser.run("document.querySelector('[data-beside]').click()")
    browser.wait_for("document.querySelectorAll('.pane[data-ready]').length === 2")
    here = browser.run("location.pathname")
    browser.follow("document.querySelector('#next').click()")
    assert browser.run("location.pathname") != here
    expect_quiet(browser, address)


def test_what_arrives_appears_by_itself_and_is_found(browser: Browser, address: str, clinic: Clinic) -> None:
    enter(browser, address, "berta")
    browser.run("document.querySelector('#lines a.open').focus()")
    kept = browser.run("document.activeElement.pathname")
    clinic.add_study(PatientName="Just^Arrived", hours=0)
    browser.wait_for("document.querySelector('#lines').textContent.includes('Just, Arrived')")
    assert browser.run("document.activeElement.pathname") == kept
    press(browser, "/")
    browser.type("just arr")
    browser.wait_for("document.querySelectorAll('#lines a.open').length === 1")
    assert "just" not in browser.run("location.href")
    expect_quiet(browser, address)


def test_a_file_is_dropped_on_the_page(browser: Browser, address: str) -> None:
    enter(browser, address, "berta")
    browser.run(
        "(() => { const data = new DataTransfer(); data.items.add(new File(['no image'], 'letter.txt'));"
        "dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})); })()"
    )
    browser.wait_for("document.querySelector('#uploads').textContent.includes('0 images are stored')")
    assert "letter.txt: This is no image" in browser.text("#uploads")
    # The refusal is an answer with the status 422, which Chromium notes.
    browser.messages[:] = [words for words in browser.messages if "422" not in words]
    expect_quiet(browser, address)


def test_an_administrator_makes_the_site_live_and_silent_again(browser: Browser, address: str) -> None:
    enter(browser, address, "anna")
    for mode in ("live", "silent"):
        browser.open(address + "/good-enough")
        browser.run("document.querySelector('#reason').focus()")
        browser.type("Tried out from end to end.")
        browser.follow("document.querySelector('.switch form').requestSubmit()")
        assert browser.text(".mode") == mode
        browser.open(address + "/worklist")
        assert ("fast-track" in browser.text("#lines")) == (mode == "live")
        if mode == "live":
            expect_accessible(browser)
    expect_quiet(browser, address)


def test_an_auditor_checks_the_chain_and_sees_no_patient(browser: Browser, address: str) -> None:
    enter(browser, address, "carl")
    assert browser.run("location.pathname") == "/audit"
    browser.follow("document.querySelector('[action=\"/audit/verify\"]').requestSubmit()")
    assert "The chain is whole" in browser.text("main")
    assert "Early" not in browser.text("body")
    expect_accessible(browser)
    expect_quiet(browser, address)


@pytest.mark.parametrize(("width", "dark"), [(1400, True), pytest.param(400, False, marks=pytest.mark.long)])
def test_pages_are_accessible_and_fit(browser: Browser, address: str, width: int, dark: bool) -> None:
    enter(browser, address, "anna")
    study = browser.run("document.querySelector('#lines a.open').pathname")
    of_administrators = ("/good-enough", "/watching", "/models", "/administration", "/sessions")
    for path in ("/worklist", study, f"{study}/delete", *of_administrators):
        browser.open(address + path, width=width, height=800, dark=dark)
        if path == study:
            shown(browser)
        browser.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert browser.run("document.documentElement.scrollWidth") <= width, path
        expect_accessible(browser)
        expect_quiet(browser, address)


def test_the_browser_keeps_nothing_of_a_patient(browser: Browser, address: str) -> None:
    enter(browser, address, "berta")
    kept = browser.run("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
    for word in ("Early", "Bird", "Same", "session"):
        assert word not in kept
