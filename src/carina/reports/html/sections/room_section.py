"""Section 8: what the flag does to the time until a radiograph is read, in a reading room as a queue."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from carina.evaluation.priorities import spread_of_bands, spread_of_flag
from carina.evaluation.reading_room.waiting_times import Priorities, ReadingRoom
from carina.reports.drawing.room_drawing import draw_room, room_table, room_words, simulate_room
from carina.reports.evaluated import Evaluated
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.statistics.intervals import proportion_interval

# What the page begins with: a room that is busy and not overloaded.
ROOM = ReadingRoom(arrivals_per_hour=10, reading_minutes=5, readers=1)
FLAG, BANDS = "the flag alone", "the triage bands"


def build_reading_room(evaluated: Evaluated) -> Section:
    """Return the eighth section."""
    arriving = _arriving(evaluated)
    flag = evaluated.flag if evaluated.flag in next(iter(arriving.values())).findings else None
    drawings, tables = [], []
    for sorting, spread in arriving.items():
        by_formula, simulated = simulate_room(ROOM, spread)
        bands = sorting == BANDS
        key = "reading_room_bands" if bands else "reading_room"
        words = f"{room_words(ROOM)}, at this set's own mix, sorted by {sorting}"
        drawings.append(draw_room(key, f"Turnaround: {words}", by_formula, simulated, flag, bands=bands))
        tables.append(room_table(key, f"Turnaround in minutes: {words}", by_formula, simulated, bands=bands))
    body = render(
        "room.html", flag=evaluated.flag, orders=(("flag", FLAG), ("bands", BANDS)), drawings=drawings, tables=tables
    )
    return Section("room", "Reading-room simulation", "Reading room", body, tuple(drawings), tuple(tables))


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
    room = dict(zip(("arrivals", "minutes", "readers", "times"), astuple(ROOM), strict=True))
    return {"findings": list(evaluated.findings), "flag": index, "rates": rates, "room": room}
