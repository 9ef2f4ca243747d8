"""What is left of a model without lungs: the audit's picture, which makes the share plain at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.evaluation.audit.alterations import SUMMARIES, TITLES, Input
from carina.evaluation.audit.words import LEANING
from carina.reports.drawing.drawing import Anchor, Drawing, Ink
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.text_measure import SMALL, TEXT, fit_lines, text_width
from carina.reports.report_tables import Measured, ReportTable
from carina.reports.written_numbers import estimate_of, full_text

# What is shown, under which heading; whether more than half of it would mean leaning on what is not lung.
_PARTS: tuple[tuple[str, tuple[Input, ...], bool], ...] = (
    ("Without lungs: what is left is not disease", ("lungs-black", "box-black", "border-alone"), True),
    ("Too little of a picture to see disease in", SUMMARIES, True),
    ("Lungs alone: here the more is left, the better", ("lungs-alone",), False),
)
_PICTURE = 40.0
Pictures = Mapping[Input, NDArray[np.uint8]]


def draw_shares(audit: Mapping[str, Any], pictures: Pictures | None = None) -> Drawing:
    """Return a bar for each input: the part of the AUROC above chance that is left without what makes a diagnosis.

    Parameters
    ----------
    pictures
        What each input looks like, uint8 (rows, columns), to be drawn beside the bars.
    """
    heads, own = ({item["input"]: item for item in audit[key]} for key in ("heads", "by_model"))
    parts = [
        (title, [name for name in names if name in heads], leaning)
        for title, names, leaning in _PARTS
        if any(name in heads for name in names)
    ]
    left, top = 14.0 + _PICTURE if pictures else 6.0, 86.0
    wide = WIDTH - 6 - left
    high = {name: 62.0 if name in own else 44.0 for _, names, _ in parts for name in names}
    height = top + sum(high.values()) + 26 * len(parts) + 28
    said = "; ".join(f"{TITLES[name]}: " + ", ".join(_both(name, heads, own)) for name in high)
    title = "What is left of the AUROC above chance"
    drawing = Drawing("audit", title, said, WIDTH, height)
    drawing.words(4, 18, title, size=TEXT, bold=True)
    for x, ink, words in ((6.0, "s2", "the model as it is"), (196.0, "s6", "a head trained on such images")):
        drawing.box(x, 30, 26, 11, ink)  # type: ignore[arg-type]
        drawing.words(x + 32, 40, words)
    bottom = height - 28
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = left + wide * tick
        anchor: Anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        drawing.line([(at, top - 6), (at, bottom)], "grid", width=1)
        drawing.words(at, bottom + 16, f"{100 * tick:.0f}\u00a0%", ink="muted", anchor=anchor)
    at = left + wide * LEANING
    y = top
    for place, (heading, names, leaning) in enumerate(parts):
        end = y + 26 + sum(high[name] for name in names)
        drawing.box(2, y, WIDTH - 4, 20, "paper")
        drawing.words(4, y + 14, heading, bold=True, size=12.0)
        if leaning:
            drawing.line([(at, y + 20), (at, end - 4)], "ink", width=1.4, dash=(4, 3))
            if place == 0:
                drawing.words(at, top - 14, "beyond half it leans on what is not lung", ink="muted", anchor="middle")
        y += 22
        for name in names:
            if pictures:
                drawing.image(6, y + 4, _PICTURE, _PICTURE, pictures[name])
            _draw_input(drawing, name, own.get(name), heads[name], left, y)
            y += high[name]
        y = end
    return drawing


def _draw_input(
    drawing: Drawing, name: Input, own: Mapping[str, Any] | None, head: Mapping[str, Any], left: float, y: float
) -> None:
    wide, words = WIDTH - 6 - left, TITLES[name]
    drawing.box(left - 4, y + 2, text_width(words, SMALL) + 8, 16, "paper", opacity=0.9)
    drawing.words(left - 2, y + 14, words)
    looks: list[tuple[Mapping[str, Any], Ink]] = [(head, "s6")]
    if own is not None:
        looks.insert(0, (own, "s2"))
    for line, (item, ink) in enumerate(looks):
        share = estimate_of(item["share"])
        down = y + 20 + 18 * line
        value = full_text(share)
        if share.value is None:
            drawing.words(left, down + 12, fit_lines(value, wide)[0], ink="muted")
            continue
        long = max(wide * min(max(share.value, 0.0), 1.0), 1.0)
        drawing.box(left, down, wide, 14, "shade")
        drawing.box(left, down, long, 14, ink, says=f"{words}: {value}")
        known = share.low is not None and share.high is not None
        low, high = (wide * min(max(end or 0.0, 0.0), 1.0) if known else long for end in (share.low, share.high))
        if known:
            drawing.line([(left + low, down + 7), (left + high, down + 7)], "ink", width=2)
        # The words are where no whisker runs through them: before its start in the bar, or behind both ends.
        needed = text_width(value, SMALL, bold=True)
        inside = min(low, long) > needed + 12
        x = left + 6 if inside else min(left + max(long, high) + 10, WIDTH - 6 - needed)
        drawing.words(x, down + 11, value, ink="paper" if inside else "ink", bold=True)


def _both(name: Input, heads: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    words = [f"a head trained on such images reaches {full_text(estimate_of(heads[name]['share']))}"]
    if name in own:
        words.insert(0, f"the model keeps {full_text(estimate_of(own[name]['share']))}")
    return words


def shares_table(audit: Mapping[str, Any]) -> ReportTable:
    """Return AUROC and share for each input, of the model as it is and of a head trained on such images."""
    own = {item["input"]: item for item in audit["by_model"]}
    nothing = estimate_of({"note": "the model takes no such input", "method": "none", "value": None})
    rows = []
    for item in audit["heads"]:
        name = item["input"]
        of_model = own.get(name)
        reference = name == "shown"
        rows.append(
            (
                str(TITLES[name]),
                Measured(estimate_of(of_model["macro_auroc"]) if of_model else nothing, "area"),
                "reference" if reference else Measured(estimate_of(of_model["share"]) if of_model else nothing),
                Measured(estimate_of(item["macro_auroc"]), "area"),
                "reference" if reference else Measured(estimate_of(item["share"])),
            )
        )
    head = ("What it is shown", "Model: AUROC", "Model: share left", "New head: AUROC", "New head: share")
    return ReportTable(
        "audit_shares", "What is left without lungs: mean AUROC, and the share of it above chance", head, tuple(rows)
    )
