"""Section 7: the worst errors, the least certain, and some images of each finding drawn at random."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from carina.decisions.triage import choose_triage
from carina.radiographs.gate import NO_LUNGS
from carina.reports.evaluated import Evaluated
from carina.reports.html.markup import Html, element, join
from carina.reports.html.section import Section
from carina.reports.report_tables import Table

WORST_EACH, LEAST_CERTAIN, RANDOM_EACH = 12, 18, 8
_SEED = 1234
WORST, UNCERTAIN, RANDOM = "worst errors", "least certain", "drawn at random"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A row of the prediction table, and why it is shown."""

    row: int
    reasons: tuple[str, ...]


def choose_rows(evaluated: Evaluated) -> tuple[Chosen, ...]:
    """Return which rows of the prediction table are shown, the worst errors first; the same table gives the same rows.

    Worst is an error of high probability: the more certain the wrong call, the worse. For each true finding as many.
    """
    truth, probabilities = evaluated.truth, evaluated.probabilities
    called, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    reasons: dict[int, list[str]] = {}
    worst: list[int] = []
    for finding in range(len(evaluated.findings)):
        wrong = np.flatnonzero((truth == finding) & (called != finding))
        worst += wrong[np.argsort(-certainty[wrong], kind="stable")][:WORST_EACH].tolist()
    for row in sorted(worst, key=lambda row: -float(certainty[row])):
        reasons.setdefault(row, []).append(WORST)
    for row in np.argsort(certainty, kind="stable")[:LEAST_CERTAIN].tolist():
        reasons.setdefault(row, []).append(UNCERTAIN)
    rng = np.random.default_rng(_SEED)
    for finding in range(len(evaluated.findings)):
        members = np.flatnonzero(truth == finding)
        for row in rng.permutation(members)[:RANDOM_EACH].tolist():
            reasons.setdefault(row, []).append(RANDOM)
    return tuple(Chosen(row, tuple(why)) for row, why in reasons.items())


def build_gallery(evaluated: Evaluated) -> Section:
    """Return the seventh section."""
    section = Section("gallery", "Images: the worst errors, the least certain, and some at random", "Images")
    chosen = choose_rows(evaluated)
    pictures = {} if evaluated.gallery is None else {row["row"]: row for row in evaluated.gallery.iter_rows(named=True)}
    overlaid = any(picture["cells"] for picture in pictures.values())
    section.paragraph(
        f"{len(chosen)} of {len(evaluated.truth):,} images. Worst: the wrong calls of the highest probability, up to "
        f"{WORST_EACH} of each true finding. Random: up to {RANDOM_EACH} of each finding, drawn with a fixed seed. "
        + (
            "Under the pointer, or with the keyboard's focus: what each part adds to the "
            "call (orange) or speaks against it (blue). "
            if overlaid
            else ""
        )
        + ("" if pictures else "Images were left out of this report.")
    )
    section.add(_controls(evaluated, overlaid))
    cards = [_card(evaluated, item, pictures.get(item.row)) for item in chosen]
    section.add(element("ol", *cards, id="g-cards", class_="gallery"))
    section.paragraph("On paper: the first 20 of those that are chosen above.", class_="on-paper note")
    section.tables.append(_table(evaluated, chosen))
    return section


def _controls(evaluated: Evaluated, overlaid: bool) -> Html:
    def choice(key: str, name: str, options: list[str], every: str) -> Html:
        items = [
            element("option", every, value=""),
            *(element("option", option, value=option, selected=option == WORST) for option in options),
        ]
        return element(
            "div",
            element("label", name, for_=key),
            element("div", element("select", *items, id=key), class_="inputs"),
            class_="field",
        )

    findings = list(evaluated.findings)
    sources = [str(name) for name in evaluated.table["source"].drop_nulls().unique().sort()]
    order = element(
        "select",
        *(
            element("option", words, value=value)
            for value, words in (
                ("", "as chosen"),
                ("certain", "most certain first"),
                ("uncertain", "least certain first"),
                ("flag", f"highest P({evaluated.flag}) first"),
            )
        ),
        id="g-order",
    )
    return element(
        "form",
        choice("g-why", "Which", [WORST, UNCERTAIN, RANDOM], "all"),
        choice("g-truth", "True finding", findings, "any"),
        choice("g-called", "Called", findings, "any"),
        choice("g-source", "Source", sources, "any") if sources else None,
        element(
            "div", element("label", "Order", for_="g-order"), element("div", order, class_="inputs"), class_="field"
        ),
        element("button", "Overlay on all", type="button", id="g-overlay", aria_pressed="false") if overlaid else None,
        element("output", "", id="g-said", aria_live="polite"),
        id="g-form",
        class_="gallery-controls",
    )


def _card(evaluated: Evaluated, item: Chosen, picture: dict[str, Any] | None) -> Html:
    row, findings = item.row, evaluated.findings
    probabilities = evaluated.probabilities[row]
    truth, called = findings[evaluated.truth[row]], findings[int(probabilities.argmax())]
    about = evaluated.table.row(row, named=True)
    known = [str(about[name]) for name in ("source", "view", "sex") if about[name]]
    if about["age"] is not None:
        known.append(f"{about['age']:.0f} years")
    right = truth == called
    verdict = element("span", "right" if right else "wrong", class_="good" if right else "bad")
    bars = [
        element(
            "li",
            element("span", name, class_="bar-name"),
            element("span", f"{share:.3f}", class_="bar-value"),
            element(
                "svg",
                element("rect", width=100, height=6, class_="f-shade"),
                element("rect", width=f"{100 * share:.2f}", height=6, class_="f-s1" if name == called else "f-muted"),
                viewBox="0 0 100 6",
                preserveAspectRatio="none",
                aria_hidden="true",
            ),
        )
        for name, share in zip(findings, probabilities.tolist(), strict=True)
    ]
    return element(
        "li",
        None
        if picture is None
        else _picture(picture, f"Radiograph: true {truth}, called {called} with probability {probabilities.max():.3f}"),
        element("p", verdict, f": {truth}, called {called}", class_="card-title"),
        element("ul", *bars, class_="bars"),
        element("p", _triage_words(evaluated, row), class_="note"),
        element("p", " · ".join([*known, f"row {row}", *item.reasons]), class_="note"),
        class_="shot",
        data_why=" | ".join(item.reasons),
        data_truth=truth,
        data_called=called,
        data_source=about["source"] or "",
        data_certain=f"{probabilities.max():.6f}",
        data_flag=f"{probabilities[findings.index(evaluated.flag)]:.6f}",
    )


def _picture(picture: dict[str, Any], words: str) -> Html:
    source = f"data:image/webp;base64,{base64.b64encode(picture['image']).decode()}"
    image = element("img", src=source, alt=words, width=picture["width"], height=picture["height"], decoding="async")
    if not picture["cells"]:
        return element("div", image, class_="picture")
    box = ",".join(f"{end:.4f}" for end in picture["box"])
    cells = base64.b64encode(picture["cells"]).decode()
    return element(
        "div",
        image,
        class_="picture",
        tabindex=0,
        role="group",
        aria_label="Image with overlay",
        data_cells=cells,
        data_box=box,
    )


def _triage_words(evaluated: Evaluated, row: int) -> Html:
    refused = None if evaluated.table["assessable"][row] else NO_LUNGS
    if refused is not None and "refused" in evaluated.table.columns:
        refused = evaluated.table["refused"][row]
    accepted = "gate: accepted" if evaluated.model.get("gate") else "no gate looked at it"
    gate = accepted if refused is None else f"gate: {refused}"
    if evaluated.policy is None:
        return join(gate)
    of_finding = dict(zip(evaluated.findings, evaluated.probabilities[row].tolist(), strict=True))
    triage = choose_triage(of_finding, evaluated.policy, refused=refused)
    return join(element("b", triage.priority), f" · {gate}")


def _table(evaluated: Evaluated, chosen: tuple[Chosen, ...]) -> Table:
    rows = tuple(
        (
            item.row,
            ", ".join(item.reasons),
            evaluated.findings[evaluated.truth[item.row]],
            evaluated.findings[int(evaluated.probabilities[item.row].argmax())],
            *(f"{share:.6f}" for share in evaluated.probabilities[item.row]),
        )
        for item in chosen
    )
    head = ("Row of predictions.parquet", "Why", "True", "Called", *(f"P({name})" for name in evaluated.findings))
    return Table("gallery", "The images that are shown", head, rows)
