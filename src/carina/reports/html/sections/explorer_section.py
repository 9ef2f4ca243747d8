"""Section 3, the operating-point explorer: its controls as HTML, and what its script computes from.

The script computes everything again in the browser from the probabilities and the truth, by the same formulas as
`carina.statistics`; a test drives a browser and holds the two equal.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.decisions.bands import NEARLY_BEST, STARTS, BandName, bounds_as_drawn, promise_bounds
from carina.decisions.triage import PRIORITIES, READING_PLACES
from carina.findings import NORMAL
from carina.reports.drawing.explorer_drawings import (
    BAND_INKS,
    HIGH,
    LOW,
    TICKS,
    band_counts,
    bands_table,
    draw_bands,
    draw_probabilities,
    draw_thousand,
    of_thousand,
    probability_counts,
    shares_of_outcomes,
)
from carina.reports.evaluated import Evaluated
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.html.sections.operating_points import (
    FEW_THRESHOLDS,
    operating_points_table,
    share_estimate,
    thresholds_table,
)
from carina.reports.written_numbers import percent_text
from carina.statistics.intervals import BinaryCounts, Estimate, group_codes, predictive_value_at
from carina.statistics.operating_table import LIMIT

_MEASURES = (
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "PPV at the prevalence"),
    ("npv", "NPV at the prevalence"),
    ("benefit", "Net benefit"),
    ("cost", "Cost of 1,000 patients"),
)


def build_explorer(evaluated: Evaluated) -> Section:
    """Return the third section."""
    shipped, counts = evaluated.shipped, band_counts(evaluated)
    found = (("tp", "found", shipped.true_positive), ("fn", "missed", shipped.false_negative))
    absent = (("fp", "false alarms", shipped.false_positive), ("tn", "true negatives", shipped.true_negative))
    histogram, points = draw_probabilities(evaluated), operating_points_table(evaluated)
    drawings, tables = [histogram, draw_thousand(evaluated)], [points, thresholds_table(evaluated, LIMIT)]
    bands = None
    if counts is not None:
        bands = draw_bands(evaluated, counts), bands_table(evaluated, counts)
        drawings.append(bands[0])
        tables.append(bands[1])
    body = render(
        "explorer.html",
        findings=[(name, name) for name in evaluated.findings],
        flag=evaluated.flag,
        threshold=evaluated.threshold,
        reached=evaluated.reached("sensitivity", "specificity"),
        histogram=histogram,
        matrix=(("present", found), ("absent", absent)),
        measures=_MEASURES,
        known=_known(shipped),
        thousand_words=_thousand_words(evaluated),
        bands=bands,
        points=points,
        few=thresholds_table(evaluated, FEW_THRESHOLDS),
    )
    return Section("explorer", "Operating-point explorer", "Explorer", body, tuple(drawings), tuple(tables))


def _known(shipped: BinaryCounts) -> dict[str, Estimate]:
    """Return what is written before the script has run: measures at the shipped threshold and this set's prevalence."""
    known = {
        "sensitivity": share_estimate(shipped.true_positive, shipped.positives, shipped.effect_positive),
        "specificity": share_estimate(shipped.true_negative, shipped.negatives, shipped.effect_negative),
    }
    own = shipped.positives / (shipped.positives + shipped.negatives)
    if 0 < own < 1:
        known |= {
            name: predictive_value_at(shipped, own, positive_call=positive)
            for name, positive in (("ppv", True), ("npv", False))
        }
    return known


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
        f"{many['missed']} missed; {many['false alarm']} false alarms, {many['true negative']} true negatives."
    )


def explorer_data(evaluated: Evaluated) -> dict[str, Any]:
    """Return what the explorer's script computes from: probabilities, truth, groups, thresholds and bounds."""
    codes = group_codes(evaluated.groups, len(evaluated.truth))
    data: dict[str, Any] = {
        "findings": list(evaluated.findings),
        "flag": evaluated.findings.index(evaluated.flag),
        "normal": evaluated.findings.index(NORMAL) if NORMAL in evaluated.findings else -1,
        "truth": packed(evaluated.truth.astype(np.uint8)),
        "probabilities": packed(evaluated.probabilities),
        "groups": None if codes is None else packed(codes.astype(np.int32)),
        "assessable": packed(evaluated.table["assessable"].to_numpy().astype(np.uint8)),
        "threshold": evaluated.threshold,
        "histogram": {
            "low": LOW,
            "high": HIGH,
            "ticks": TICKS,
            "counts": [probability_counts(evaluated, index).tolist() for index in range(len(evaluated.findings))],
        },
        "priorities": [{"name": name, "ink": BAND_INKS[name], "place": READING_PLACES[name]} for name in PRIORITIES],
        "chosenOn": str(evaluated.content["operating_point"]["chosen"]["chosen_on"]),
        "bands": None,
    }
    if evaluated.policy is not None:
        bands = evaluated.policy.bands
        promises = {}
        shares: dict[BandName, float] = {"routine": bands.alpha, "fast-track": bands.beta}
        for name, share in shares.items():
            found, as_drawn = promise_bounds(bands, name), bounds_as_drawn(bands, name)
            if found is not None and as_drawn is not None and all(bands.testing_patients):
                promises[name] = {
                    "share": share,
                    "beyond": found.beyond.tolist(),
                    "right": found.right.tolist(),
                    "level": found.level,
                    "asDrawn": as_drawn.tolist(),
                }
        patients = [one + other for one, other in zip(bands.fitting_patients, bands.testing_patients, strict=True)]
        data["bands"] = {
            "thresholds": list(bands.thresholds),
            "patients": patients,
            "tested": list(bands.testing_patients),
            "mix": bands.mix,
            "starts": STARTS,
            "nearlyBest": NEARLY_BEST,
            "confidence": bands.confidence,
            "promises": promises,
        }
    return data


def packed(array: NDArray[Any]) -> str:
    """Return an array's bytes, little-endian and row by row, as base64."""
    return base64.b64encode(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).decode()
