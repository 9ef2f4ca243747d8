"""Section 8: what the flag does to the time until a radiograph is read, in a reading room as a queue."""

from __future__ import annotations

from typing import Any

from carina.evaluation.intervals import proportion_interval
from carina.evaluation.priorities import spread_of_bands, spread_of_flag
from carina.evaluation.reading_room import Priorities, ReadingRoom, Turnaround, expected_turnaround
from carina.reports.evaluated import Evaluated
from carina.reports.html.markup import Child, Html, element
from carina.reports.drawing.room_drawing import draw_room, room_table, room_words, simulate_room
from carina.reports.html.section import Section

# What the page begins with: a room that is busy and not overloaded.
ROOM = ReadingRoom(arrivals_per_hour=10, reading_minutes=5, readers=1)
FLAG, BANDS = "the flag alone", "the triage bands"


def build_reading_room(evaluated: Evaluated) -> Section:
    """Return the eighth section."""
    section = Section("room", "Reading-room simulation", "Reading room")
    section.paragraph(
        f"Radiographs arrive at random and wait for a free reader; those flagged for {evaluated.flag} are read first, "
        "the oldest first otherwise. A flag makes nobody read faster: what it gives to flagged radiographs it takes "
        "from the others, and a missed finding waits with those that are put last. With the triage bands fast-track is "
        "read first, then what is expedited, then second readings (with what cannot be assessed), then routine."
    )
    arriving = _arriving(evaluated)
    flag = evaluated.flag if evaluated.flag in next(iter(arriving.values())).findings else None
    scenes, tables = [], []
    for sorting, spread in arriving.items():
        by_formula, simulated = simulate_room(ROOM, spread)
        bands = sorting == BANDS
        key = "reading_room_bands" if bands else "reading_room"
        words = f"{room_words(ROOM)}, at this set's own mix, sorted by {sorting}"
        scenes.append(draw_room(key, f"Turnaround: {words}", by_formula, simulated, flag, bands=bands))
        tables.append(room_table(key, f"Turnaround in minutes: {words}", by_formula, simulated, bands=bands))
    section.scenes += scenes
    section.tables += tables
    section.add(element("div", _controls(), _results(scenes[0].to_svg(), tables[0].to_html()), class_="explorer"))
    section.add(element("noscript", element("p", "The settings need JavaScript.", class_="note")))
    section.paragraph(
        "Mean turnaround (wait and reading) by the formulas for a queue with priorities (Cobham 1954, "
        "doi:10.1287/opre.2.1.70; Kella and Yechiali 1985): exact for one reader and for exponential reading times; "
        "for several readers of fixed reading times an approximation, within 6 % where it was simulated. Within what "
        "time half and nine of ten are read is simulated, radiograph by radiograph, and uncertain by some per cent. "
        "Arrivals without rush hours; what shifts, interruptions and urgent requests do is not in it. Ranges in "
        "brackets: over the 95 % intervals of how often the flag is raised for each finding.",
        class_="note",
    )
    return section


def _arriving(evaluated: Evaluated) -> dict[str, Priorities]:
    """Return how what arrives is sorted, by what sorts it."""
    spreads = {FLAG: spread_of_flag(evaluated.table, evaluated.flag, evaluated.threshold)}
    if evaluated.policy is not None:
        spreads[BANDS] = spread_of_bands(evaluated.table, evaluated.policy)
    return {sorting: spread.arriving(evaluated.flag) for sorting, spread in spreads.items()}


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
    spread = spread_of_flag(evaluated.table, evaluated.flag, evaluated.threshold)
    return expected_turnaround(room, spread.arriving(evaluated.flag, prevalence))


def _room_data() -> dict[str, Any]:
    return {
        "arrivals": ROOM.arrivals_per_hour,
        "minutes": ROOM.reading_minutes,
        "readers": ROOM.readers,
        "times": ROOM.reading_times,
    }


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
        element("option", FLAG, value="flag"),
        element("option", BANDS, value="bands"),
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


def _results(drawn: Html, tabled: Html) -> Html:
    return element(
        "div",
        element("output", "", id="r-said", aria_live="polite", class_="said"),
        element("div", drawn, id="r-drawn", class_="drawn"),
        element(
            "div", tabled, id="r-table", class_="scroll", tabindex=0, role="region", aria_label="Turnaround by finding"
        ),
        class_="explorer-results",
    )
