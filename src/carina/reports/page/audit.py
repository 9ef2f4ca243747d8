"""Section 6: how much of what the model knows is lungs, as a picture that makes the share plain at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carina.evaluation.audit.inputs import ALTERATIONS, SUMMARIES, TITLES, Input
from carina.evaluation.audit.words import LEANING
from carina.reports.page.content import Evaluated
from carina.reports.page.forest import Row, draw_forest
from carina.reports.page.html import element
from carina.reports.page.numbers import estimate_of, full_text
from carina.reports.page.panel import WIDTH
from carina.reports.page.scene import SMALL, TEXT, Scene, fit_lines, text_width
from carina.reports.page.section import Section
from carina.reports.page.summary import NO_AUDIT
from carina.reports.page.tables import Figure, Table

_ORDER: tuple[Input, ...] = (*ALTERATIONS, *SUMMARIES)


def build_audit(evaluated: Evaluated) -> Section:
    """Return the sixth section."""
    section = Section("audit", "How much of this is lungs?", "Audit")
    audit = evaluated.audit
    if audit is None:
        section.paragraph(NO_AUDIT)
        return section
    section.add(element("p", str(audit["sentence"]), class_="audit-words"))
    section.add(element("ul", *(element("li", str(verdict)) for verdict in audit["verdicts"])))
    section.figures([draw_shares(audit), *_more(audit)])
    section.table(shares_table(audit))
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
    names = [name for name in _ORDER if name in heads and name != "shown"]
    wide, left, top = WIDTH - 12, 6.0, 88.0
    rows = [62.0 if name in own else 44.0 for name in names]
    height = top + sum(rows) + 28
    said = "; ".join(f"{TITLES[name]}: " + ", ".join(_both(name, heads, own)) for name in names)
    title = "What is left of the AUROC above chance"
    scene = Scene("audit", title, said, WIDTH, height)
    scene.words(4, 18, title, size=TEXT, bold=True)
    scene.box(6, 30, 26, 11, "s2")
    scene.words(38, 40, "the model as it is")
    scene.box(196, 30, 26, 11, "s6")
    scene.words(228, 40, "a head trained anew")
    bottom = top + sum(rows)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = left + wide * tick
        anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        scene.line([(at, top - 6), (at, bottom)], "grid", width=1)
        scene.words(at, bottom + 16, f"{100 * tick:.0f}\u00a0%", ink="muted", anchor=anchor)  # type: ignore[arg-type]
    at = left + wide * LEANING
    scene.line([(at, top - 8), (at, bottom)], "ink", width=1.4, dash=(4, 3))
    scene.words(at, top - 14, "beyond half it leans on what is not lung", ink="muted", anchor="middle")
    y = top
    for name, row in zip(names, rows, strict=True):
        words = TITLES[name]
        scene.box(2, y + 2, text_width(words, SMALL, bold=True) + 8, 16, "paper", opacity=0.9)
        scene.words(4, y + 14, words, bold=True)
        looks = [(items, ink) for items, ink in ((own, "s2"), (heads, "s6")) if name in items]
        for line, (items, ink) in enumerate(looks):
            share = estimate_of(items[name]["share"])
            down = y + 20 + 18 * line
            value = full_text(share)
            if share.value is None:
                scene.words(6, down + 12, fit_lines(value, wide)[0], ink="muted")
                continue
            long = max(wide * min(max(share.value, 0.0), 1.0), 1.0)
            scene.box(left, down, wide, 14, "shade")
            scene.box(left, down, long, 14, ink, says=f"{words}: {value}")  # type: ignore[arg-type]
            if share.low is not None and share.high is not None:
                ends = [left + wide * min(max(end, 0.0), 1.0) for end in (share.low, share.high)]
                scene.line([(ends[0], down + 7), (ends[1], down + 7)], "ink", width=2)
            inside = long > text_width(value) + 12
            x = left + 6 if inside else left + long + 10
            scene.words(x, down + 11, value, ink="paper" if inside else "ink", bold=True)
        y += row
    return scene


def _both(name: Input, heads: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    words = [f"a head trained anew reaches {full_text(estimate_of(heads[name]['share']))}"]
    if name in own:
        words.insert(0, f"the model keeps {full_text(estimate_of(own[name]['share']))}")
    return words


def _more(audit: Mapping[str, Any]) -> list[Scene]:
    """Return the further questions as forests, those alone that could be asked."""
    rows = [
        Row(
            item["finding"],
            ", ".join(f"{name} {count}" for name, count in item["sources"].items()),
            estimate_of(item["balanced_accuracy"]),
            f"Source told within one finding: balanced accuracy, by guessing {100 * item['chance']:.0f}\u00a0%",
            "s4",
        )
        for item in audit["source_probes"]
        if item["chance"] is not None
    ]
    scenes = (
        [draw_forest("audit_sources", "Does the embedding tell where an image comes from?", rows, low=0.0)]
        if rows
        else []
    )
    rows = [
        Row(
            item["source"],
            f"{item['measure']}, {item['estimate']['denominator'] or 0} images",
            estimate_of(item["estimate"]),
            ink="s3",
        )
        for item in audit["left_out_sources"]
    ]
    if rows:
        scenes.append(
            draw_forest("audit_left_out", "A source that a new head has not seen (an optimistic bound)", rows, low=0.0)
        )
    rows = [
        Row(
            f"{_some(item['positive'])} against {_some(item['negative'])}",
            f"{item['positives']} + {item['negatives']} images",
            estimate_of(item["auroc"]),
            str(other["name"]),
        )
        for other in audit["external_sets"]
        for item in other["questions"]
    ]
    if rows:
        scenes.append(
            draw_forest(
                "audit_external",
                "Sets from elsewhere: AUROC (0.5 is chance)",
                rows,
                kind="area",
                low=0.3,
                line=0.5,
                line_says="chance",
            )
        )
    return scenes


def _some(names: Sequence[str]) -> str:
    return " or ".join(names) if len(names) < 3 else f"{len(names)} findings"


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
