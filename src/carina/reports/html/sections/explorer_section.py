"""Section 3, the operating-point explorer: its controls as HTML, and what its script computes from.

The script computes everything anew in the browser from the probabilities and the truth, by the same formulas as
`carina.evaluation`; a test drives a browser and holds the two equal.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.decisions.bands import NEARLY_BEST, STARTS, promise_bounds
from carina.evaluation.intervals import BinaryCounts, Estimate, group_codes, predictive_value_at
from carina.evaluation.operating_table import LIMIT
from carina.findings import NORMAL, short_name
from carina.reports.evaluated import Evaluated
from carina.reports.drawing.explorer_drawings import (
    band_counts,
    bands_table,
    draw_bands,
    draw_probabilities,
    draw_thousand,
    of_thousand,
    shares_of_outcomes,
)
from carina.reports.html.markup import Child, Html, element
from carina.reports.numbers import interval_text, percent_text, value_text
from carina.reports.html.sections.operating_points import (
    FEW_THRESHOLDS,
    operating_points_table,
    share_estimate,
    shipped_counts,
    thresholds_table,
)
from carina.reports.html.section import Section


def build_explorer(evaluated: Evaluated) -> Section:
    """Return the third section."""
    section = Section("explorer", "Operating-point explorer", "Explorer")
    section.paragraph(
        "Move the threshold, or ask for a sensitivity; set how frequent the finding is where you are, and what a miss "
        "and a false alarm cost. Everything below changes at once, and the link in the address bar keeps it."
    )
    options = (element("option", name, value=name, selected=name == evaluated.flag) for name in evaluated.findings)
    controls = element(
        "form",
        _field("Finding", "x-finding", element("select", *options, id="x-finding")),
        _field(
            "Threshold of its probability",
            "x-threshold",
            element("input", id="x-slider", type="range", min=-9, max=9, step="any", aria_label="Threshold, dragged"),
            element("input", id="x-threshold", type="number", min=0, max=1, step="any", inputmode="decimal"),
        ),
        element(
            "div",
            _field(
                "Sensitivity of at least, %",
                "x-ask-sensitivity",
                element("input", id="x-ask-sensitivity", type="number", min=1, max=100, step="any", placeholder="95"),
            ),
            _field(
                "Specificity of at least, %",
                "x-ask-specificity",
                element("input", id="x-ask-specificity", type="number", min=1, max=100, step="any", placeholder="99"),
            ),
            class_="pair",
        ),
        _field(
            "Prevalence where you are, %",
            "x-prevalence",
            element(
                "input",
                id="x-prevalence-slider",
                type="range",
                min=-7,
                max=4,
                step="any",
                aria_label="Prevalence, dragged",
            ),
            element("input", id="x-prevalence", type="number", min="0.01", max="99.9", step="any", inputmode="decimal"),
        ),
        element(
            "div",
            _field(
                "Cost of a miss", "x-cost-miss", element("input", id="x-cost-miss", type="number", min=0, step="any")
            ),
            _field(
                "Cost of a false alarm",
                "x-cost-alarm",
                element("input", id="x-cost-alarm", type="number", min=0, step="any"),
            ),
            class_="pair",
        ),
        element("button", "Back to the shipped operating point", type="button", id="x-reset"),
        element("button", "Lowest cost on this set", type="button", id="x-cheapest"),
        element("p", "", id="x-warning", class_="note"),
        id="x-form",
        class_="controls",
    )
    shipped, bands = shipped_counts(evaluated), band_counts(evaluated)
    histogram = draw_probabilities(evaluated)
    section.scenes += [histogram, draw_thousand(evaluated)]
    results = element(
        "div",
        # What Python draws and writes here is what stands there without a script; a script takes its place.
        element("div", histogram.to_svg(), id="x-histogram", class_="drawn"),
        element("output", _said_words(evaluated), id="x-said", aria_live="polite", class_="said"),
        element("div", _matrix(shipped), _measures(shipped), class_="columns"),
        class_="explorer-results",
    )
    section.add(
        element(
            "noscript",
            element("p", "Without JavaScript nothing moves: this is the shipped operating point.", class_="note"),
        )
    )
    section.add(element("div", controls, results, class_="explorer"))
    drawn, tabled = [], []
    if bands is not None:
        scene, table = draw_bands(evaluated, bands), bands_table(evaluated, bands)
        section.scenes.append(scene)
        section.tables.append(table)
        drawn, tabled = [scene.to_svg()], [table.to_html()]
    section.add(
        element(
            "div",
            element(
                "div",
                element("h3", "Of 1,000 patients"),
                element("div", id="x-thousand", class_="drawn"),
                element("p", _thousand_words(evaluated), id="x-thousand-words"),
            ),
            element(
                "div",
                element("h3", "Triage bands"),
                element("div", *drawn, id="x-bands", class_="drawn"),
                element(
                    "div",
                    *tabled,
                    id="x-bands-table",
                    class_="scroll",
                    tabindex=0,
                    role="region",
                    aria_label="Triage bands",
                ),
                element("p", "", id="x-bands-words", class_="note"),
            ),
            class_="columns wide-parts",
        )
    )
    section.table(operating_points_table(evaluated))
    section.tables.append(thresholds_table(evaluated, LIMIT))
    few = thresholds_table(evaluated, FEW_THRESHOLDS)
    summary = element("summary", "Other thresholds, as a table")
    section.add(element("details", summary, few.to_html(), class_="screen-only"))
    return section


def _said_words(evaluated: Evaluated) -> str:
    reached = [evaluated.estimate("operating_point", "reached", name) for name in ("sensitivity", "specificity")]
    return (
        f"{evaluated.flag} called where its probability is at least {evaluated.threshold:.3g}: sensitivity "
        f"{value_text(reached[0])}, specificity {value_text(reached[1])}."
    )


def _thousand_words(evaluated: Evaluated) -> str:
    shares = shares_of_outcomes(evaluated)
    whole = of_thousand(shares)
    # Few are said with a decimal, so that some is never none.
    many = {
        name: f"{1000 * share:.1f}" if 1000 * share < 9.95 else f"{whole[name]:,}" for name, share in shares.items()
    }
    with_it = shares["found"] + shares["missed"]
    patients = f"{1000 * with_it:.1f}" if 1000 * with_it < 9.95 else f"{whole['found'] + whole['missed']:,}"
    return (
        f"Of 1,000 patients {patients} have {evaluated.flag} ({percent_text(with_it)}): {many['found']} are found, "
        f"{many['missed']} missed; {many['false alarm']} false alarms, {many['left in peace']} left in peace."
    )


def explorer_data(evaluated: Evaluated) -> dict[str, Any]:
    """Return what the explorer's script computes from: probabilities, truth, groups, thresholds and bounds."""
    codes = group_codes(evaluated.groups, len(evaluated.truth))
    data: dict[str, Any] = {
        "findings": list(evaluated.findings),
        "short": [short_name(name) for name in evaluated.findings],
        "flag": evaluated.findings.index(evaluated.flag),
        "normal": evaluated.findings.index(NORMAL) if NORMAL in evaluated.findings else -1,
        "truth": packed(evaluated.truth.astype(np.uint8)),
        "probabilities": packed(evaluated.probabilities),
        "groups": None if codes is None else packed(codes.astype(np.int32)),
        "assessable": packed(evaluated.table["assessable"].to_numpy().astype(np.uint8)),
        "threshold": evaluated.threshold,
        "chosenOn": str(evaluated.content["operating_point"]["chosen"]["chosen_on"]),
        "bands": None,
    }
    if evaluated.policy is not None:
        bands = evaluated.policy.bands
        promises = {}
        for name, share in (("routine", bands.alpha), ("fast-track", bands.beta)):
            found = promise_bounds(bands, "routine" if name == "routine" else "fast-track")
            if found is not None and all(bands.testing_patients):
                promises[name] = {
                    "share": share,
                    "expected": found.expected.tolist(),
                    "tested": found.tested.tolist(),
                    "expectedAsDrawn": found.expected_as_drawn.tolist(),
                    "testedAsDrawn": found.tested_as_drawn.tolist(),
                }
        patients = [one + other for one, other in zip(bands.fitting_patients, bands.testing_patients, strict=True)]
        data["bands"] = {
            "thresholds": list(bands.thresholds),
            "patients": patients,
            "starts": STARTS,
            "nearlyBest": NEARLY_BEST,
            "confidence": bands.confidence,
            "promises": promises,
        }
    return data


def packed(array: NDArray[Any]) -> str:
    """Return an array's bytes, little-endian and row by row, as base64."""
    return base64.b64encode(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def _field(name: str, key: str, *controls: Child) -> Html:
    return element("div", element("label", name, for_=key), element("div", *controls, class_="inputs"), class_="field")


def _matrix(shipped: BinaryCounts) -> Html:
    def cell(key: str, name: str, count: int) -> Html:
        return element(
            "td",
            element("span", f"{count:,}", id=f"x-{key}", class_="value"),
            element("span", name, class_="counts"),
            class_=f"cell-{key}",
        )

    head = element(
        "tr", element("td", ""), element("th", "called", scope="col"), element("th", "not called", scope="col")
    )
    rows = (
        element(
            "tr",
            element("th", "present", scope="row"),
            cell("tp", "found", shipped.true_positive),
            cell("fn", "missed", shipped.false_negative),
        ),
        element(
            "tr",
            element("th", "absent", scope="row"),
            cell("fp", "false alarms", shipped.false_positive),
            cell("tn", "left in peace", shipped.true_negative),
        ),
    )
    table = element(
        "table",
        element("caption", "Images of this set at the threshold"),
        element("thead", head),
        element("tbody", *rows),
        class_="figures",
    )
    return element("div", table)


def _measures(shipped: BinaryCounts) -> Html:
    own = shipped.positives / (shipped.positives + shipped.negatives)
    known: dict[str, Estimate] = {
        "sensitivity": share_estimate(shipped.true_positive, shipped.positives, shipped.effect_positive),
        "specificity": share_estimate(shipped.true_negative, shipped.negatives, shipped.effect_negative),
    }
    if 0 < own < 1:
        known |= {
            name: predictive_value_at(shipped, own, positive_call=positive)
            for name, positive in (("ppv", True), ("npv", False))
        }
    names = (
        ("sensitivity", "Sensitivity"),
        ("specificity", "Specificity"),
        ("ppv", "PPV at the prevalence"),
        ("npv", "NPV at the prevalence"),
        ("benefit", "Net benefit"),
        ("cost", "Cost of 1,000 patients"),
    )
    rows = (
        element(
            "tr",
            element("th", name, scope="row"),
            element(
                "td",
                element("span", value_text(known[key]) if key in known else "", id=f"x-{key}", class_="value"),
                element(
                    "span",
                    f" ({interval_text(known[key])})" if key in known else "",
                    id=f"x-{key}-interval",
                    class_="interval" if key != "cost" else "counts wrap",
                ),
            ),
        )
        for key, name in names
    )
    table = element(
        "table",
        element("caption", "What it means there, with 95 % intervals"),
        element("tbody", *rows),
        class_="figures",
    )
    return element("div", table, element("p", "", id="x-benefit-words", class_="note"))
