"""Section 7: the worst errors, the least certain, and some images of each finding drawn at random."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from carina.radiographs.gate import NO_LUNGS
from carina.reports.evaluated import Evaluated
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.report_tables import ReportTable

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
    chosen = choose_rows(evaluated)
    pictures = {} if evaluated.gallery is None else {row["row"]: row for row in evaluated.gallery.iter_rows(named=True)}
    table = _table(evaluated, chosen)
    body = render(
        "gallery.html",
        cards=[_card(evaluated, item, pictures.get(item.row)) for item in chosen],
        images=len(evaluated.truth),
        worst_each=WORST_EACH,
        random_each=RANDOM_EACH,
        reasons=(WORST, UNCERTAIN, RANDOM),
        findings=evaluated.findings,
        flag=evaluated.flag,
        sources=[str(name) for name in evaluated.table["source"].drop_nulls().unique().sort()],
        pictured=bool(pictures),
        overlaid=any(picture["cells"] for picture in pictures.values()),
    )
    title = "Images: the worst errors, the least certain, and some at random"
    return Section("gallery", title, "Images", body, tables=(table,))


def _card(evaluated: Evaluated, item: Chosen, picture: dict[str, Any] | None) -> dict[str, Any]:
    row, findings, probabilities = item.row, evaluated.findings, evaluated.probabilities[item.row]
    about = evaluated.table.row(row, named=True)
    known = [str(about[name]) for name in ("source", "view", "sex") if about[name]]
    if about["age"] is not None:
        known.append(f"{about['age']:.0f} years")
    priority, gate = _triage_words(evaluated, row)
    return {
        "truth": findings[evaluated.truth[row]],
        "called": findings[int(probabilities.argmax())],
        "probabilities": list(zip(findings, probabilities.tolist(), strict=True)),
        "certain": float(probabilities.max()),
        "flag": float(probabilities[findings.index(evaluated.flag)]),
        "source": about["source"] or "",
        "reasons": item.reasons,
        "priority": priority,
        "gate": gate,
        "known": " · ".join([*known, f"row {row}", *item.reasons]),
        "picture": None if picture is None else _encoded(picture),
    }


def _encoded(picture: dict[str, Any]) -> dict[str, Any]:
    return {
        "source": f"data:image/webp;base64,{base64.b64encode(picture['image']).decode()}",
        "width": picture["width"],
        "height": picture["height"],
        "cells": base64.b64encode(picture["cells"] or b"").decode(),
        "box": ",".join(f"{end:.4f}" for end in picture["box"]),
    }


def _triage_words(evaluated: Evaluated, row: int) -> tuple[str | None, str]:
    """Return the priority, if the model has bands, and what the gate says."""
    refused = None if evaluated.table["assessable"][row] else NO_LUNGS
    if refused is not None and "refused" in evaluated.table.columns:
        refused = evaluated.table["refused"][row]
    accepted = "gate: accepted" if evaluated.model.get("gate") else "no gate looked at it"
    gate = accepted if refused is None else f"gate: {refused}"
    return None if evaluated.priorities is None else evaluated.priorities[row], gate


def _table(evaluated: Evaluated, chosen: tuple[Chosen, ...]) -> ReportTable:
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
    return ReportTable("gallery", "The images that are shown", head, rows)
