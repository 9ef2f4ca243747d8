"""report.html in Debian's Chromium: nothing leaves it, its numbers are Python's, and it can be used without a mouse."""

import html
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from PIL import Image

from browser import CHROMIUM, NO_CHROMIUM, Browser, open_browser
from carina.decisions.operating_point import OperatingPointRule, choose_operating_point
from carina.decisions.triage import choose_triage
from carina.evaluation.priorities import spread_of_bands, spread_of_flag
from carina.evaluation.reading_room.waiting_times import ReadingRoom, expected_turnaround
from carina.reports.evaluated import Evaluated, read_evaluated
from carina.reports.html.open_reports import build_report, write_report
from carina.reports.html.page import read_asset
from carina.reports.written_numbers import full_text
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.decision_curve import decision_curve
from carina.statistics.intervals import BinaryCounts, Estimate, design_effect, predictive_value_at
from queueing import share_read_within
from unit.reports.evaluations import audit_of, write_evaluated, write_pictures

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    return read_evaluated(write_evaluated(tmp_path_factory.mktemp("chromium") / "first", n=500))


@pytest.fixture(scope="module")
def page(evaluated: Evaluated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_pictures(write_evaluated(folder / "first", n=500))
    audit = audit_of(folder / "audit", "ab" * 32)
    return write_report([folder / "first"], folder / "report.html", audits=[audit])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as tab:
        yield tab


def explored(browser: Browser) -> dict:
    return browser.run("JSON.parse(JSON.stringify(globalThis.carinaExplorer))")


def expect_numbers(browser: Browser, evaluated: Evaluated) -> None:
    """Compare everything that the explorer computed with what Python computes at the same state."""
    told = explored(browser)
    state, results = told["state"], told["results"]
    positive = evaluated.truth == state["finding"]
    probability, groups = evaluated.probabilities[:, state["finding"]], evaluated.groups
    called = probability >= state["threshold"]
    reached = at_operating_point(evaluated.truth, evaluated.probabilities, state["finding"], state["threshold"], groups)
    cells = results["cells"]
    assert [cells[key] for key in ("tp", "fn", "fp", "tn")] == [
        *(reached.true_positive, reached.false_negative, reached.false_positive, reached.true_negative),
    ]
    effects = (design_effect(called[positive], groups[positive]), design_effect(~called[~positive], groups[~positive]))
    counts = BinaryCounts(*(cells[key] for key in ("tp", "fn", "fp", "tn")), *effects)
    expected = {
        "sensitivity": reached.sensitivity,
        "specificity": reached.specificity,
        "ppv": predictive_value_at(counts, state["prevalence"], positive_call=True),
        "npv": predictive_value_at(counts, state["prevalence"], positive_call=False),
    }
    for name, estimate in expected.items():
        for part in ("value", "low", "high"):
            assert results[name][part] == pytest.approx(getattr(estimate, part), abs=1e-12), (name, part)
    at = state["alarm"] / (state["alarm"] + state["miss"])
    curve = decision_curve(
        "x",
        positive,
        probability,
        groups,
        prevalence=state["prevalence"],
        operating_point=state["threshold"],
        thresholds=[at],
    )
    assert curve.flag is not None
    for part in ("value", "low", "high"):
        assert results["benefit"][part] == pytest.approx(float(getattr(curve.flag, part)[0]), abs=1e-12)
    assert results["treatAll"] == pytest.approx(float(curve.treat_all[0]), abs=1e-12)
    assert sum(results["thousand"].values()) == pytest.approx(1000)


def expect_triage(browser: Browser, evaluated: Evaluated) -> None:
    told = explored(browser)
    state, triage = told["state"], told["results"]["triage"]
    policy = evaluated.policy
    assert policy is not None
    points = (policy.operating_point.model_copy(update={"threshold": state["threshold"]}), *policy.operating_points[1:])
    moved = policy.model_copy(update={"operating_points": points})
    own = float(np.mean(evaluated.truth == evaluated.findings.index(evaluated.flag)))
    # Where it was not moved, the prevalence is not a stated one.
    stated = None if state["prevalence"] == own else state["prevalence"]
    bands = moved.thresholds_at(stated)
    assert triage["thresholds"]["routine"] == bands.routine
    assert triage["thresholds"]["fast-track"] == bands.fast_track
    counts = {name: np.zeros(3, int) for name in triage["counts"]}
    for row, assessable in enumerate(evaluated.table["assessable"]):
        of_finding = dict(zip(evaluated.findings, evaluated.probabilities[row].tolist(), strict=True))
        refused = None if assessable else "no lungs"
        priority = choose_triage(of_finding, moved, prevalence=stated, refused=refused).priority
        counts[priority][evaluated.truth[row]] += 1
    assert triage["counts"] == {name: row.tolist() for name, row in counts.items()}


def test_it_opens_without_an_error_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.messages == []
    assert [request for request in browser.requests if not request.startswith("data:")] == [page.resolve().as_uri()]


def test_the_policy_lets_nothing_in_or_out(browser: Browser, page: Path) -> None:
    browser.open(page)
    sent = browser.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    assert sent == "refused"
    assert any("Content Security Policy" in message or "connect-src" in message for message in browser.messages)
    assert browser.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'globalThis.ran = 1';"
        "document.body.append(s); return globalThis.ran === undefined; })()"
    )


def test_the_explorer_starts_at_the_shipped_operating_point(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    assert explored(browser)["state"]["threshold"] == evaluated.threshold
    expect_numbers(browser, evaluated)
    expect_triage(browser, evaluated)
    assert "shipped operating point" in browser.text("#x-warning")


def test_without_a_script_the_same_stands_there(browser: Browser, page: Path) -> None:
    written = page.read_text("utf-8")
    browser.open(page)
    for key in ("tp", "fn", "fp", "tn", "sensitivity", "specificity", "ppv", "npv", "npv-interval", "said"):
        (text,) = re.findall(rf'id="x-{key}"[^>]*>([^<]*)<', written)
        assert text, key
        assert html.unescape(text) == browser.text(f"#x-{key}"), key
    (words,) = re.findall(r'id="x-thousand-words"[^>]*>([^<]*)<', written)
    assert html.unescape(words) == browser.text("#x-thousand-words")
    assert written.count('class="drawing"') > 20


def test_the_script_writes_shares_as_python_does(browser: Any) -> None:
    shares = [(0.93, 0.91, 0.95), (0.5, 0.2, 0.9999), (1.0, 0.99996, 1.0), (0.0, 1e-17, 0.03), (1.0, 1 - 2e-9, 1.0)]
    written = browser.run(
        f"(() => {{ {read_asset('drawing.js')}; return {json.dumps(shares)}.map(([value, low, high]) => {{"
        "const write = (share) => percent(share, 1, [value, low, high]);"
        "return `${write(value)} (${range({ low, high }, write)})`; }); })()"
    )
    assert written == [full_text(Estimate(*three, "x")) for three in shares]


@pytest.mark.parametrize("prevalence", [0.1, 3, 17.3, 50])
def test_words_and_signs_of_1000_patients_agree(browser: Browser, page: Path, prevalence: float) -> None:
    browser.open(page)
    change(browser, "#x-prevalence", prevalence)
    signs = [
        int(text)
        for text in browser.run("[...document.querySelectorAll('#x-thousand .keys b')].map((b) => b.textContent)")
    ]
    assert sum(signs) == 1000
    said = [float(number.replace(",", "")) for number in re.findall(r"[\d.,]*\d", browser.text("#x-thousand-words"))]
    # "Of 1,000 patients 238 have COVID-19 (23.8 %): 206 are found, 32 missed; 4.0 false alarms, 758 true negatives."
    having, found, missed, alarms, left = (said[1], *said[-4:])
    for sign, number in zip(signs, (found, missed, alarms, left), strict=True):
        assert sign == number or (number < 10 and abs(sign - number) <= 1)
    assert having == pytest.approx(found + missed, abs=0.11)


def test_numbers_after_a_drag_are_those_of_python(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    browser.run("document.querySelector('#x-histogram').scrollIntoView({block: 'center', behavior: 'instant'})")
    browser.settle()
    box = box_of(browser, "document.querySelector('#x-histogram')")
    before = explored(browser)["state"]["threshold"]
    for share in (0.8, 0.31, 0.55):
        browser.drag((box[0] + 0.5 * box[2], box[1] + 60), (box[0] + share * box[2], box[1] + 60))
        after = explored(browser)["state"]["threshold"]
        assert after != before
        expect_numbers(browser, evaluated)
        expect_triage(browser, evaluated)
        shown = int(browser.text("#x-tp").replace(",", ""))
        assert shown == int(((evaluated.probabilities[:, 0] >= after) & (evaluated.truth == 0)).sum())
        before = after


def box_of(browser: Browser, element: str) -> list[float]:
    """Return left, top, width and height of an element, given as an expression."""
    return browser.run(
        f"(() => {{ const b = ({element}).getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }})()"
    )


def change(browser: Browser, selector: str, value: object) -> None:
    browser.run(
        f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = {json.dumps(str(value))};"
        "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {bubbles: true})); })()"
    )


@pytest.mark.parametrize("prevalence", [0.3, 2, 8, 45, 90])
def test_ppv_and_bands_follow_the_prevalence(
    browser: Browser, page: Path, evaluated: Evaluated, prevalence: float
) -> None:
    browser.open(page)
    change(browser, "#x-prevalence", prevalence)
    assert explored(browser)["state"]["prevalence"] == pytest.approx(prevalence / 100)
    expect_numbers(browser, evaluated)
    expect_triage(browser, evaluated)


def test_bands_are_those_of_python_at_many_prevalences(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    shares = (1 / (1 + np.exp(-np.linspace(-6, 3.5, 90)))).round(6)
    told = browser.run(
        "(() => { const told = []; const field = document.querySelector('#x-prevalence');"
        f"for (const share of {json.dumps((100 * shares).tolist())}) {{ field.value = share;"
        "field.dispatchEvent(new Event('change', {bubbles: true}));"
        "const at = globalThis.carinaExplorer; told.push([at.state.prevalence, at.results.triage.thresholds]); }"
        "return told; })()"
    )
    seen = set()
    for prevalence, thresholds in told:
        bands = evaluated.policy.thresholds_at(prevalence)
        assert (thresholds["routine"], thresholds["fast-track"]) == (bands.routine, bands.fast_track), prevalence
        seen.add((bands.routine, bands.fast_track))
    assert len(seen) > 5


@pytest.mark.parametrize(("what", "target"), [("sensitivity", 0.95), ("specificity", 0.9), ("sensitivity", 1.0)])
def test_a_wished_rate_chooses_the_threshold_that_python_chooses(
    browser: Browser, page: Path, evaluated: Evaluated, what: str, target: float
) -> None:
    browser.open(page)
    change(browser, f"#x-ask-{what}", 100 * target)
    rule = OperatingPointRule(rule=f"{what}-at-least", target=target, finding="COVID-19") if target < 1 else None
    threshold = explored(browser)["state"]["threshold"]
    if rule is not None:
        point = choose_operating_point(evaluated.truth == 0, evaluated.probabilities[:, 0], rule, chosen_on="here")
        assert threshold == pytest.approx(point.threshold, abs=1e-15)
    else:
        assert threshold <= evaluated.probabilities[evaluated.truth == 0, 0].min()
    expect_numbers(browser, evaluated)
    assert "looks a little better here" in browser.text("#x-warning")


def test_the_cheapest_threshold_is_that_of_python(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    change(browser, "#x-cost-miss", 7)
    browser.run("document.querySelector('#x-cheapest').click()")
    state = explored(browser)["state"]
    rule = OperatingPointRule(
        rule="lowest-expected-cost",
        finding="COVID-19",
        prevalence=state["prevalence"],
        cost_missed=7,
        cost_false_alarm=1,
    )
    point = choose_operating_point(evaluated.truth == 0, evaluated.probabilities[:, 0], rule, chosen_on="here")
    assert state["threshold"] == pytest.approx(point.threshold, abs=1e-15)


def test_another_finding_has_its_own_numbers(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    change(browser, "#x-finding", "Viral Pneumonia")
    assert explored(browser)["state"]["finding"] == 2
    expect_numbers(browser, evaluated)
    assert "stay at its shipped operating point" in browser.text("#x-bands-words")


def test_the_link_keeps_the_state(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    change(browser, "#x-threshold", 0.123456)
    change(browser, "#x-prevalence", 7)
    change(browser, "#x-cost-miss", 50)
    link = browser.run("location.hash")
    assert parse_qs(link[1:])["t"] == ["0.123456"]
    kept = explored(browser)
    browser.open(page, link)
    assert explored(browser) == kept
    browser.open(page, "#x=Nothing&t=7&p=abc&m=-1")
    assert explored(browser)["state"]["threshold"] == evaluated.threshold
    assert browser.messages == []


def test_the_explorer_works_by_keyboard_alone(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    browser.run("document.querySelector('#x-slider').focus()")
    start = explored(browser)["state"]["threshold"]
    browser.press("ArrowRight", 39)
    browser.press("ArrowRight", 39)
    moved = explored(browser)["state"]["threshold"]
    assert moved > start
    browser.press("PageDown", 34)
    assert explored(browser)["state"]["threshold"] < start
    expect_numbers(browser, evaluated)
    assert browser.run("document.querySelector('#x-slider').getAttribute('aria-valuetext')").startswith("threshold")


def test_tab_reaches_every_control_and_the_skip_link_is_first(browser: Browser, page: Path) -> None:
    browser.open(page)
    reached = []
    for _ in range(60):
        browser.press("Tab", 9)
        reached.append(browser.run("document.activeElement.id || document.activeElement.textContent.slice(0, 20)"))
    assert reached[0] == "Skip to the report"
    for control in ("theme", "x-finding", "x-slider", "x-threshold", "x-prevalence", "x-cost-miss", "x-reset"):
        assert control in reached


def test_the_reading_room_is_that_of_python(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    for room, prevalence in (
        (ReadingRoom(10, 5, 1), None),
        (ReadingRoom(30, 5, 3, "fixed"), 0.1),
        (ReadingRoom(13, 5, 1), 0.05),
    ):
        change(browser, "#r-arrivals", room.arrivals_per_hour)
        change(browser, "#r-readers", room.readers)
        change(browser, "#r-times", room.reading_times)
        if prevalence is not None:
            change(browser, "#r-prevalence", 100 * prevalence)
        told = browser.run("JSON.parse(JSON.stringify(globalThis.carinaRoom.result))")
        spread = spread_of_flag(evaluated.table, evaluated.flag, evaluated.threshold)
        expected = expected_turnaround(room, spread.arriving(evaluated.flag, prevalence))
        assert told["without"] == (None if expected.without_flag is None else pytest.approx(expected.without_flag))
        for own, item in zip(told["findings"], expected.findings, strict=True):
            for key, value in (
                ("withFlag", item.with_flag),
                ("flagged", item.flagged),
                ("notFlagged", item.not_flagged),
            ):
                assert own[key] == (None if value is None else pytest.approx(value)), (room, key)
    assert "Overloaded" in browser.text("#r-note")


def ranges_of(browser: Browser) -> dict | None:
    """Return what was simulated, once it was."""
    return browser.run(
        "(async () => { while (globalThis.carinaRoom.ranges === undefined) await new Promise((d) => setTimeout(d, 20));"
        "return JSON.parse(JSON.stringify(globalThis.carinaRoom.ranges)); })()"
    )


@pytest.mark.parametrize("readers", [1, 3])
def test_simulated_ranges_are_those_of_the_exact_distribution(
    browser: Browser, page: Path, evaluated: Evaluated, readers: int
) -> None:
    browser.open(page)
    room = ReadingRoom(10 * readers, 5, readers)
    change(browser, "#r-arrivals", room.arrivals_per_hour)
    change(browser, "#r-readers", room.readers)
    told = ranges_of(browser)
    spread = spread_of_flag(evaluated.table, evaluated.flag, evaluated.threshold)
    expected = expected_turnaround(room, spread.arriving(evaluated.flag))
    for key, share in (("median", 0.5), ("nineOfTen", 0.9)):
        assert share_read_within(told["without"][key], room, [1.0], 0) == pytest.approx(share, abs=0.02)
        for own, item in zip(told["findings"], expected.findings, strict=True):
            within = [share_read_within(own["withFlag"][key], room, expected.shares, place) for place in (0, 1)]
            rate = item.share_flagged
            assert rate * within[0] + (1 - rate) * within[1] == pytest.approx(share, abs=0.025), item.finding
            for group, place in (("flagged", 0), ("notFlagged", 1)):
                if own[group] is not None and own[group]["count"] > 3000:
                    reached = share_read_within(own[group][key], room, expected.shares, place)
                    assert reached == pytest.approx(share, abs=0.025), (item.finding, group)
    assert "min" in browser.run("document.querySelector('#r-table tbody tr:nth-child(2) td:nth-child(6)').textContent")


def test_an_overloaded_room_has_no_ranges(browser: Browser, page: Path) -> None:
    browser.open(page)
    change(browser, "#r-arrivals", 30)
    assert ranges_of(browser) is None
    assert "Nothing is simulated where waits grow without end." in browser.text("#r-table")
    change(browser, "#r-arrivals", 11.8)
    assert ranges_of(browser) is None
    assert "more than 95 % of the time" in browser.text("#r-table")


def test_the_reading_room_sorted_by_bands_is_that_of_python(browser: Browser, page: Path, evaluated: Evaluated) -> None:
    browser.open(page)
    change(browser, "#r-sorting", "bands")
    for prevalence in (0.02, 0.25, 0.6):
        change(browser, "#r-prevalence", 100 * prevalence)
        told = browser.run("JSON.parse(JSON.stringify(globalThis.carinaRoom.result))")
        spread = spread_of_bands(evaluated.table, evaluated.policy, prevalence)
        expected = expected_turnaround(ReadingRoom(10, 5, 1), spread.arriving("COVID-19", prevalence))
        assert told["minutes"] == pytest.approx(list(expected.minutes))
        for own, item in zip(told["findings"], expected.findings, strict=True):
            for key, value in (
                ("withFlag", item.with_flag),
                ("flagged", item.flagged),
                ("notFlagged", item.not_flagged),
            ):
                assert own[key] == (None if value is None else pytest.approx(value)), (prevalence, key)


def test_images_are_filtered_and_sorted(browser: Browser, page: Path) -> None:
    browser.open(page)
    shown = "[...document.querySelectorAll('#g-cards > li')].filter((card) => !card.hidden)"
    assert browser.run(f"{shown}.every((card) => card.dataset.why.includes('worst errors'))")
    change(browser, "#g-why", "")
    change(browser, "#g-truth", "Normal")
    assert browser.run(f"{shown}.length > 0 && {shown}.every((card) => card.dataset.truth === 'Normal')")
    change(browser, "#g-order", "uncertain")
    certain = browser.run(f"{shown}.map((card) => Number(card.dataset.certain))")
    assert certain == sorted(certain)
    assert browser.text("#g-said").startswith(f"{len(certain)} of")


def test_an_overlay_lies_on_the_image_under_the_pointer_and_with_the_focus(browser: Browser, page: Path) -> None:
    browser.open(page)
    first = "document.querySelector('.shot:not([hidden]) .picture')"
    browser.run(f"{first}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    browser.settle()
    assert browser.run("document.querySelectorAll('.picture canvas').length") == 0
    box = box_of(browser, first)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] / 2, y=box[1] + box[3] / 2)
    seen = f"getComputedStyle({first}.querySelector('canvas')).opacity"
    faded = "new Promise((done) => setTimeout(() => done(true), 300))"
    browser.run(faded)
    assert browser.run(seen) == "1"
    # It covers what the network was shown: of this image the rows from a quarter to three quarters.
    layer = box_of(browser, f"{first}.querySelector('canvas')")
    assert layer == pytest.approx([box[0], box[1] + box[3] / 4, box[2], box[3] / 2], abs=1.5)
    # Orange where a cell speaks for the call, blue where it speaks against it.
    corners = browser.run(
        f"(() => {{ const c = {first}.querySelector('canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return [[...d.slice(0, 4)], [...d.slice(-4)]]; })()"
    )
    assert corners[0][2] > corners[0][0]
    assert corners[1][0] > corners[1][2]
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    browser.run(faded)
    assert browser.run(seen) == "0"
    browser.run(f"{first}.focus()")
    browser.run(faded)
    assert browser.run(seen) == "1"
    browser.run("document.querySelector('#g-overlay').click()")
    assert browser.run(
        "document.querySelectorAll('.picture canvas').length === document.querySelectorAll('.picture').length"
    )
    assert browser.run(f"{first}.querySelector('img').alt").startswith("Radiograph: true ")
    assert browser.messages == []


def test_no_table_is_cut_off_on_paper(browser: Browser, page: Path) -> None:
    browser.open(page, width=703, height=1000)
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    browser.settle()
    assert browser.run("document.documentElement.scrollWidth") <= 703
    cut = (
        "[...document.querySelectorAll('.scroll, .controls, .card, .explorer-results')]"
        ".filter((part) => part.offsetParent && part.scrollWidth > part.clientWidth + 1)"
        ".map((part) => part.getAttribute('aria-label') || part.className)"
    )
    assert browser.run(cut) == []
    over = (
        "[...document.querySelectorAll('.explorer')]"
        ".map((part) => [...part.children].map((child) => child.getBoundingClientRect()))"
        ".filter(([one, other]) => one.right > other.left && one.bottom > other.top).length"
    )
    assert browser.run(over) == 0


def shows_something(browser: Browser, path: Path) -> bool:
    """Whether the first frame of a page is more than a white box; asked again a little later if not."""
    browser.screenshot(path, selector="iframe")
    with Image.open(path) as picture:
        painted = bool(np.asarray(picture.convert("L")).std() > 10)
    if not painted:
        time.sleep(0.25)
    return painted


@pytest.mark.long
def test_in_a_notebook_nothing_around_the_report_changes(browser: Browser, page: Path, tmp_path: Path) -> None:
    report = build_report(read_evaluated(page.parent / "first"))
    shown = [report, report.table("per_finding"), report.figure("roc")]
    host = tmp_path / "notebook.html"
    host.write_text(
        "<!DOCTYPE html><html lang='en'><head><title>n</title><style>h2 { color: rgb(1, 2, 3); margin: 7px } "
        "text { font-family: serif } .note { color: rgb(4, 5, 6) }</style></head><body><h2 id='mine'>Mine</h2>"
        "<p class='note' id='words'>words</p><svg><text id='drawn'>x</text></svg>"
        + "".join(f"<div class='cell'>{one._repr_html_()}</div>" for one in shown)
        + "</body></html>",
        "utf-8",
    )
    browser.open(host)
    assert browser.messages == []
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert browser.run(style.format("#mine", "color")) == "rgb(1, 2, 3)"
    assert browser.run(style.format("#mine", "marginTop")) == "7px"
    assert browser.run(style.format("#words", "color")) == "rgb(4, 5, 6)"
    assert browser.run(style.format("#drawn", "fontFamily")) == "serif"
    assert browser.run(style.format("body", "backgroundColor")) == "rgba(0, 0, 0, 0)"
    assert browser.run("document.styleSheets.length") == 1
    assert browser.run("document.querySelector('iframe').contentDocument") is None
    # The frame is of another origin: no script tells when it is painted.
    assert any(shows_something(browser, tmp_path / "frame.png") for _ in range(20))
    assert [one for one in browser.requests if not one.startswith(("data:", "about:", "file:"))] == []


@pytest.mark.parametrize("width", [pytest.param(400, marks=pytest.mark.long), 320])
def test_a_phone_does_not_scroll_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width, height=800)
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        (1280, False),
        pytest.param(400, True, marks=pytest.mark.long),
        pytest.param(1280, True, marks=pytest.mark.long),
        pytest.param(400, False, marks=pytest.mark.long),
    ],
)
def test_axe_finds_no_serious_fault(browser: Browser, page: Path, dark: bool, width: int) -> None:
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is a development dependency")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text("utf-8")
    browser.open(page, width=width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    browser.run(f"{script}; true")
    found = browser.run(
        "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) =>"
        "({id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))})))"
    )
    assert [fault for fault in found if fault["impact"] in ("serious", "critical")] == []


def test_the_theme_can_be_chosen(browser: Browser, page: Path) -> None:
    browser.open(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.run(ground) == "rgb(255, 255, 255)"
    browser.run("document.querySelector('#theme').click()")
    assert browser.run(ground) == "rgb(20, 24, 29)"
    browser.open(page, dark=True)
    assert browser.run(ground) == "rgb(20, 24, 29)"


@pytest.mark.long
def test_it_prints(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page, dark=True)
    browser.print_pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes()[:5] == b"%PDF-"


@pytest.mark.parametrize(
    "shown", [pytest.param((1, 2), marks=pytest.mark.long), (0,), pytest.param((1,), marks=pytest.mark.long)]
)
def test_a_set_without_every_finding_opens_without_an_error(
    browser: Browser, tmp_path: Path, shown: tuple[Any, ...]
) -> None:
    folder = write_evaluated(tmp_path / "some", n=90, shown=shown)
    browser.open(write_report([folder]))
    assert browser.messages == []
    seen = browser.run("document.querySelector('main').innerText")
    assert "NaN" not in seen
    assert "Infinity" not in seen


def test_an_evaluation_without_bands_opens_without_an_error(browser: Browser, tmp_path: Path) -> None:
    folder = write_evaluated(tmp_path / "old", n=90)
    content = json.loads((folder / "metrics.json").read_text("utf-8"))
    del content["model"]["policy"]
    (folder / "metrics.json").write_text(json.dumps(content), "utf-8")
    browser.open(write_report([folder]))
    assert browser.messages == []
    assert "No bands" in browser.text("#x-bands-words")


@pytest.mark.long
def test_several_side_by_side_open_without_an_error(browser: Browser, page: Path, tmp_path: Path) -> None:
    folders = [write_evaluated(tmp_path / name, n=200, seed=seed) for name, seed in (("one", 3), ("two", 4))]
    both = write_report(folders, tmp_path / "both.html")
    browser.open(both, width=400)
    assert browser.messages == []
    assert browser.run("document.documentElement.scrollWidth") <= 400
