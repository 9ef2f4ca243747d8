"""The reading room as a picture and a table: mean turnaround of each finding, and within what time most are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from carina.evaluation.reading_room.simulation import SimulatedGroup, SimulatedTurnaround, simulate_turnaround
from carina.evaluation.reading_room.waiting_times import (
    FindingTurnaround,
    Priorities,
    ReadingRoom,
    Turnaround,
    expected_turnaround,
)
from carina.findings import NORMAL
from carina.reports.drawing.drawing import Drawing, Ink
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.text_measure import TEXT, fit_lines, text_width
from carina.reports.report_tables import Cell, ReportTable

_GROUPS = ("with_flag", "flagged", "not_flagged")
BAND_NAMES = ("fast-track or expedited", "read later")


def simulate_room(room: ReadingRoom, arriving: Priorities) -> tuple[Turnaround, SimulatedTurnaround]:
    """Return turnaround by formula, and simulated; where the formulas are exact the simulated times keep to them."""
    by_formula, simulated = expected_turnaround(room, arriving), simulate_turnaround(room, arriving)
    if not by_formula.exact:
        return by_formula, simulated
    findings = {
        item.finding: {
            key: group.brought_to(getattr(item, key)) for key, group in simulated.findings[item.finding].items()
        }
        for item in by_formula.findings
    }
    alone = simulated.without_flag.brought_to(by_formula.without_flag)
    return by_formula, replace(simulated, without_flag=alone, findings=findings)


def draw_room(
    name: str,
    title: str,
    turnaround: Turnaround,
    simulated: SimulatedTurnaround,
    flag: str | None,
    *,
    bands: bool = False,
) -> Drawing:
    """Return bars of mean turnaround, with a line to the time within which nine of ten are read.

    Parameters
    ----------
    flag
        The finding that is flagged; None where the set has none of it.
    bands
        Whether triage bands sort the list, and not the flag alone.
    """
    titles = fit_lines(title, WIDTH - 8, TEXT, bold=True)
    groups = {item.finding: _groups(item, flag, bands) for item in turnaround.findings}
    bars = sum(len(rows) for rows in groups.values())
    top = 16.0 + 17 * len(titles) + 20
    drawing = Drawing(name, title, _said(turnaround), WIDTH, top + 24 * len(groups) + 27 * bars + 22)
    drawing.lines(4, 18, titles, step=17, size=TEXT, bold=True)
    ends = [turnaround.without_flag or 0.0]
    for item in turnaround.findings:
        ends += [getattr(item, key) or 0.0 for key in _GROUPS]
        ends += [group.nine_of_ten or 0.0 for group in simulated.findings[item.finding].values()]
    most = max(*ends, 1.0) * 1.02
    wide = WIDTH - 12

    def across(minutes: float) -> float:
        return 6 + min(minutes / most, 1.0) * wide

    alone = turnaround.without_flag
    if alone is not None:
        at = across(alone)
        drawing.line([(at, top - 8), (at, drawing.height - 26)], "muted", width=1.3, dash=(4, 3))
        anchor = "end" if at > WIDTH / 2 else "start"
        drawing.words(at, top - 12, f"mean without flag {minutes_text(alone)}", ink="muted", anchor=anchor)  # type: ignore[arg-type]
    y = top
    for finding, rows in groups.items():
        drawing.box(2, y + 2, text_width(finding, bold=True) + 6, 14, "paper")
        drawing.words(4, y + 13, finding, bold=True)
        y += 20
        for words, key, ink, share in rows:
            item = next(item for item in turnaround.findings if item.finding == finding)
            _draw_bar(drawing, y, words, share, getattr(item, key), simulated.findings[finding][key], ink, across)
            y += 27
        y += 4
    drawing.words(4, drawing.height - 8, "bar: mean; line: nine of ten are read within", ink="muted")
    return drawing


def _groups(item: FindingTurnaround, flag: str | None, bands: bool) -> list[tuple[str, str, Ink, float]]:
    """Return words, attribute, colour and share of the groups of one finding's images."""
    own = item.finding == flag
    early, late = ("found", "missed") if own else ("false alarms", "not flagged")
    if bands:
        early, late = BAND_NAMES
    elif item.finding == NORMAL and not own:
        late = "true normals"
    rows: list[tuple[str, str, Ink, float]] = [
        ("all of them", "with_flag", "ink", 1.0),
        (early, "flagged", "s1" if own or bands else "s5", item.share_flagged),
        (late, "not_flagged", "s2" if own else "muted", 1 - item.share_flagged),
    ]
    return [row for row in rows if row[3] > 0]


def _draw_bar(
    drawing: Drawing,
    y: float,
    words: str,
    share: float,
    mean: float | None,
    simulated: SimulatedGroup,
    ink: Ink,
    across: Callable[[float], float],
) -> None:
    part = "" if share == 1 else f", {100 * share:.3g}\u00a0%"
    said = f"{words}{part}: {minutes_text(mean)}"
    # A paper-coloured strip keeps the dashed line from running through the words.
    drawing.box(4, y + 1, text_width(said) + 4, 13, "paper")
    drawing.words(6, y + 11, said)
    long = (WIDTH - 12) if mean is None else max(1.0, across(mean) - 6)
    drawing.box(6, y + 14, long, 8, ink)
    if simulated.nine_of_ten is not None:
        end = across(simulated.nine_of_ten)
        drawing.line([(6 + long, y + 18), (end, y + 18)], ink, width=1.5)
        drawing.line([(end, y + 14), (end, y + 22)], ink, width=1.5)


def _said(turnaround: Turnaround) -> str:
    return "; ".join(
        f"{item.finding}: {minutes_text(item.with_flag)} with the flag, of those flagged {minutes_text(item.flagged)}, "
        f"of those not {minutes_text(item.not_flagged)}"
        for item in turnaround.findings
    )


def minutes_text(minutes: float | None) -> str:
    """Return minutes as they are written: "13.5 min", "without end"."""
    if minutes is None:
        return "without end"
    return (
        f"{minutes:.1f} min" if minutes < 100 else f"{minutes:.0f} min" if minutes < 1000 else f"{minutes / 60:.0f} h"
    )


def room_table(
    name: str, caption: str, turnaround: Turnaround, simulated: SimulatedTurnaround, *, bands: bool = False
) -> ReportTable:
    """Return minutes of each finding's images, of all of them and by whether they were flagged (or sorted early)."""
    early, late = BAND_NAMES if bands else ("those flagged", "those not flagged")
    rows: list[tuple[Cell, ...]] = [
        ("any", "all, unsorted", "100", _number(turnaround.without_flag), *_within(simulated.without_flag))
    ]
    for item in turnaround.findings:
        of = {"with_flag": 1.0, "flagged": item.share_flagged, "not_flagged": 1 - item.share_flagged}
        names = {"with_flag": "all, sorted", "flagged": early, "not_flagged": late}
        rows += [
            (
                item.finding,
                names[key],
                f"{100 * item.share * of[key]:.2f}",
                _number(getattr(item, key)),
                *_within(simulated.findings[item.finding][key]),
            )
            for key in _GROUPS
            if of[key] > 0
        ]
    head = (
        *("True finding", "Which images", "Of all arrivals, %"),
        *("Mean, minutes", "Half are read within", "Nine of ten within"),
    )
    return ReportTable(name, caption, head, tuple(rows))


def _within(group: SimulatedGroup) -> tuple[str, str]:
    return _number(group.median), _number(group.nine_of_ten)


def _number(minutes: float | None) -> str:
    return "without end" if minutes is None else f"{minutes:.1f}"


def room_words(room: ReadingRoom) -> str:
    """Return a description of a room."""
    readers = "1 reader" if room.readers == 1 else f"{room.readers} readers"
    return f"{room.arrivals_per_hour:g} arrivals per hour, {room.reading_minutes:g} minutes per reading, {readers}"
