"""Section 8: what the flag does to the time until a radiograph is read, in a reading room as a queue."""

from __future__ import annotations

from typing import Any

import numpy as np

from carina.evaluation.intervals import proportion_interval
from carina.evaluation.reading_room import (
    ReadingRoom,
    Turnaround,
    expected_turnaround,
    flag_priorities,
    mix_at,
)
from carina.reports.page.content import Evaluated
from carina.reports.page.html import Child, Html, element
from carina.reports.page.section import Section
from carina.reports.page.tables import Cell, Table

# What the page begins with: a room that is busy and not overloaded.
ROOM = ReadingRoom(arrivals_per_hour=10, reading_minutes=5, readers=1)


def build_reading_room(evaluated: Evaluated) -> Section:
    """Return the eighth section."""
    section = Section("room", "Reading-room simulation", "Reading room")
    section.paragraph(
        f"Radiographs arrive at random and wait for a free reader; those flagged for {evaluated.flag} are read first, "
        "the oldest first otherwise. A flag makes nobody read faster: what it gives to flagged radiographs it takes "
        "from the others, and a missed finding waits with those that are put last. With the triage bands fast-track is "
        "read first, then what is expedited, then second readings (with what cannot be assessed), then routine."
    )
    section.add(element("div", _controls(), _results(), class_="explorer"))
    table = _table(evaluated, turnaround_at(evaluated, ROOM))
    section.tables.append(table)
    section.add(element("noscript", element("p", "The settings need JavaScript.", class_="note"), table.to_html()))
    section.paragraph(
        "Mean turnaround (wait and reading) by the formulas for a queue with priorities (Cobham 1954, "
        "doi:10.1287/opre.2.1.70): exact for one reader and for exponential reading times; for several readers of "
        "fixed reading times an approximation, within 6 % where it was simulated. Arrivals without rush hours; what "
        "shifts, interruptions and urgent requests do is not in it. Ranges in brackets: over the 95 % intervals of how "
        "often the flag is raised for each finding.",
        class_="note",
    )
    return section


def flag_rates(evaluated: Evaluated) -> dict[str, Any]:
    """Return for each finding how many images there are and which share of them is flagged, with its interval."""
    index = evaluated.findings.index(evaluated.flag)
    called = evaluated.probabilities[:, index] >= evaluated.threshold
    rates = []
    for place in range(len(evaluated.findings)):
        among = evaluated.truth == place
        share = proportion_interval(called[among], evaluated.groups[among])
        rates.append({"n": int(among.sum()), "value": share.value, "low": share.low, "high": share.high})
    return {"findings": list(evaluated.findings), "flag": index, "rates": rates, "room": _room_data()}


def turnaround_at(evaluated: Evaluated, room: ReadingRoom, prevalence: float | None = None) -> Turnaround:
    """Return the turnaround of each finding's images at the shipped threshold and a prevalence of the flagged one."""
    told = flag_rates(evaluated)
    present = [place for place, rate in enumerate(told["rates"]) if rate["n"]]
    images = np.array([told["rates"][place]["n"] for place in present])
    names = [evaluated.findings[place] for place in present]
    flag = present.index(told["flag"]) if told["flag"] in present else 0
    mix = mix_at(images, flag, prevalence if told["flag"] in present else None)
    flagged = {name: float(told["rates"][place]["value"]) for name, place in zip(names, present, strict=True)}
    return expected_turnaround(room, flag_priorities(dict(zip(names, mix.tolist(), strict=True)), flagged))


def _room_data() -> dict[str, Any]:
    return {
        "arrivals": ROOM.arrivals_per_hour,
        "minutes": ROOM.reading_minutes,
        "readers": ROOM.readers,
        "times": ROOM.reading_times,
    }


def _table(evaluated: Evaluated, turnaround: Turnaround) -> Table:
    def minutes(value: float | None, *, base: bool = True) -> str:
        if value is None:
            return "without end" if turnaround.note else "–"
        more = None if turnaround.without_flag is None or not base else value - turnaround.without_flag
        return f"{value:.1f} min" + ("" if more is None else f" ({more:+.1f})".replace("-", "−"))

    rows: list[tuple[Cell, ...]] = [
        (
            item.finding,
            f"{100 * item.share:.1f}\u00a0%",
            f"{100 * item.share_flagged:.1f}\u00a0%",
            minutes(turnaround.without_flag, base=False),
            minutes(item.with_flag),
            minutes(item.flagged),
            minutes(item.not_flagged),
        )
        for item in turnaround.findings
    ]
    caption = (
        f"Mean turnaround for {ROOM.arrivals_per_hour:g} arrivals an hour, {ROOM.reading_minutes:g} minutes a reading, "
        f"{ROOM.readers} reader, at this set's own mix, with the shipped flag for {evaluated.flag}"
    )
    head = ("True finding", "Of arrivals", "Flagged", "Without flag", "With flag", "Those flagged", "Those not flagged")
    return Table("reading_room", caption, head, tuple(rows))


def _controls() -> Html:
    def field(key: str, name: str, low: str, high: str, step: str) -> Html:
        control = element("input", id=key, type="number", min=low, max=high, step=step, inputmode="decimal")
        return _field(key, name, control)

    times = element(
        "select",
        element("option", "vary: often short, at times long", value="exponential"),
        element("option", "are all alike", value="fixed"),
        id="r-times",
    )
    sorting = element(
        "select",
        element("option", "the flag alone", value="flag"),
        element("option", "the triage bands", value="bands"),
        id="r-sorting",
    )
    return element(
        "form",
        _field("r-sorting", "What sorts the list", sorting),
        field("r-arrivals", "Radiographs an hour", "0.1", "10000", "any"),
        field("r-minutes", "Minutes a reading, on average", "0.1", "600", "any"),
        field("r-readers", "Readers", "1", "500", "1"),
        _field("r-times", "Reading times", times),
        field("r-prevalence", "Prevalence of the flagged finding, %", "0.01", "99.9", "any"),
        element("button", "Threshold of the explorer", type="button", id="r-linked", aria_pressed="false"),
        element("p", "", id="r-note", class_="note"),
        id="r-form",
        class_="controls",
    )


def _field(key: str, name: str, *controls: Child) -> Html:
    return element("div", element("label", name, for_=key), element("div", *controls, class_="inputs"), class_="field")


def _results() -> Html:
    return element(
        "div",
        element("output", "", id="r-said", aria_live="polite", class_="said"),
        element("div", id="r-drawn", class_="drawn"),
        element("div", id="r-table", class_="scroll", tabindex=0, role="region", aria_label="Turnaround by finding"),
        class_="explorer-results",
    )
