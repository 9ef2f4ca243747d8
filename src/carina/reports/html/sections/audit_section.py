"""Section 6: how much of what the model knows is lungs, as a picture that makes the share plain at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carina.evaluation.audit.inputs import SUMMARIES, TITLES, Input
from carina.evaluation.audit.words import LEANING
from carina.reports.drawing.audit_questions import draw_questions, questions_table
from carina.reports.evaluated import Evaluated
from carina.reports.html.markup import element
from carina.reports.numbers import estimate_of, full_text, unbroken
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.drawing import SMALL, TEXT, Ink, Scene, fit_lines, text_width
from carina.reports.html.section import Section
from carina.reports.html.sections.summary_section import NO_AUDIT
from carina.reports.report_tables import Figure, Table

# What is shown, under which heading; whether more than half of it would mean leaning on what is not lung.
_PARTS: tuple[tuple[str, tuple[Input, ...], bool], ...] = (
    ("Without lungs: what is left is not disease", ("lungs-black", "box-black", "border-alone"), True),
    ("Too little of a picture to see disease in", SUMMARIES, True),
    ("Lungs alone: here the more is left, the better", ("lungs-alone",), False),
)


def build_audit(evaluated: Evaluated) -> Section:
    """Return the sixth section."""
    if evaluated.audit is None:
        section = Section("audit", _TITLE, "Audit")
        section.paragraph(NO_AUDIT)
        return section
    return audit_section(evaluated.audit)


_TITLE = "How much of this is lungs?"


def audit_section(audit: Mapping[str, Any]) -> Section:
    """Return what an audit found."""
    section = Section("audit", _TITLE, "Audit")
    section.add(element("p", unbroken(str(audit["sentence"])), class_="audit-words"))
    section.add(element("ul", *(element("li", unbroken(str(verdict))) for verdict in audit["verdicts"])))
    section.figures([draw_shares(audit), *draw_questions(audit)], class_="panels flow")
    section.table(shares_table(audit))
    questions = questions_table(audit)
    if questions.rows:
        section.tables.append(questions)
        summary = element("summary", "The further questions as a table")
        section.add(element("details", summary, questions.to_html(), class_="screen-only"))
    counts = audit["counts"]
    section.paragraph(
        f"Heads were trained on {counts['train']:,} images and judged on {counts['test']:,}; lungs by "
        f"{audit['lungs_from']}. {counts['without_lungs']} images in which no lungs were found take no part.",
        class_="note",
    )
    if audit["not_applicable"]:
        section.add(element("h3", "Not asked"))
        section.add(element("ul", *(element("li", str(reason)) for reason in audit["not_applicable"])))
    return section


def draw_shares(audit: Mapping[str, Any]) -> Scene:
    """Return a bar for each input: the part of the AUROC above chance that is left without what makes a diagnosis."""
    heads, own = ({item["input"]: item for item in audit[key]} for key in ("heads", "by_model"))
    parts = [
        (title, [name for name in names if name in heads], leaning)
        for title, names, leaning in _PARTS
        if any(name in heads for name in names)
    ]
    wide, left, top = WIDTH - 12, 6.0, 86.0
    high = {name: 62.0 if name in own else 44.0 for _, names, _ in parts for name in names}
    height = top + sum(high.values()) + 26 * len(parts) + 28
    said = "; ".join(f"{TITLES[name]}: " + ", ".join(_both(name, heads, own)) for name in high)
    title = "What is left of the AUROC above chance"
    scene = Scene("audit", title, said, WIDTH, height)
    scene.words(4, 18, title, size=TEXT, bold=True)
    scene.box(6, 30, 26, 11, "s2")
    scene.words(38, 40, "the model as it is")
    scene.box(196, 30, 26, 11, "s6")
    scene.words(228, 40, "a head trained anew")
    bottom = height - 28
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = left + wide * tick
        anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        scene.line([(at, top - 6), (at, bottom)], "grid", width=1)
        scene.words(at, bottom + 16, f"{100 * tick:.0f}\u00a0%", ink="muted", anchor=anchor)  # type: ignore[arg-type]
    at = left + wide * LEANING
    y = top
    for place, (heading, names, leaning) in enumerate(parts):
        end = y + 26 + sum(high[name] for name in names)
        scene.box(2, y, WIDTH - 4, 20, "paper")
        scene.words(4, y + 14, heading, bold=True, size=12.0)
        if leaning:
            scene.line([(at, y + 20), (at, end - 4)], "ink", width=1.4, dash=(4, 3))
            if place == 0:
                scene.words(at, top - 14, "beyond half it leans on what is not lung", ink="muted", anchor="middle")
        y += 22
        for name in names:
            _draw_input(scene, name, own.get(name), heads[name], y)
            y += high[name]
        y = end
    return scene


def _draw_input(scene: Scene, name: Input, own: Mapping[str, Any] | None, head: Mapping[str, Any], y: float) -> None:
    wide, left, words = WIDTH - 12, 6.0, TITLES[name]
    scene.box(2, y + 2, text_width(words, SMALL) + 8, 16, "paper", opacity=0.9)
    scene.words(4, y + 14, words)
    looks: list[tuple[Mapping[str, Any], Ink]] = [(head, "s6")]
    if own is not None:
        looks.insert(0, (own, "s2"))
    for line, (item, ink) in enumerate(looks):
        share = estimate_of(item["share"])
        down = y + 20 + 18 * line
        value = full_text(share)
        if share.value is None:
            scene.words(6, down + 12, fit_lines(value, wide)[0], ink="muted")
            continue
        long = max(wide * min(max(share.value, 0.0), 1.0), 1.0)
        scene.box(left, down, wide, 14, "shade")
        scene.box(left, down, long, 14, ink, says=f"{words}: {value}")
        if share.low is not None and share.high is not None:
            ends = [left + wide * min(max(end, 0.0), 1.0) for end in (share.low, share.high)]
            scene.line([(ends[0], down + 7), (ends[1], down + 7)], "ink", width=2)
        inside = long > text_width(value) + 12
        x = left + 6 if inside else left + long + 10
        scene.words(x, down + 11, value, ink="paper" if inside else "ink", bold=True)


def _both(name: Input, heads: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    words = [f"a head trained anew reaches {full_text(estimate_of(heads[name]['share']))}"]
    if name in own:
        words.insert(0, f"the model keeps {full_text(estimate_of(own[name]['share']))}")
    return words


def shares_table(audit: Mapping[str, Any]) -> Table:
    """Return AUROC and share for each input, of the model as it is and of a head trained anew."""
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
                Figure(estimate_of(of_model["macro_auroc"]) if of_model else nothing, "area"),
                "reference" if reference else Figure(estimate_of(of_model["share"]) if of_model else nothing),
                Figure(estimate_of(item["macro_auroc"]), "area"),
                "reference" if reference else Figure(estimate_of(item["share"])),
            )
        )
    head = ("What it is shown", "Model: AUROC", "Model: share left", "New head: AUROC", "New head: share")
    return Table(
        "audit_shares", "What is left without lungs: mean AUROC, and the share of it above chance", head, tuple(rows)
    )
