"""Section 9: how the figures came to be, and the reporting checklists, filled as far as the software knows."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import tomli_w

from carina.bundles.safety import without_folders
from carina.reports.evaluated import Evaluated
from carina.reports.html.checklist_answers import checklist_facts, versions_text
from carina.reports.html.checklists import TITLES, Checklist, Who, read_checklist
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.report_tables import ReportTable

_WHO: dict[Who, str] = {"software": "answered here", "partly": "partly; authors add", "authors": "authors must"}


def build_provenance(evaluated: Evaluated) -> Section:
    """Return the ninth section."""
    made = ReportTable(
        "provenance", f"How it was made: {evaluated.label}", ("What", "Value"), tuple(facts_rows(evaluated))
    )
    facts = checklist_facts(evaluated)
    checklists = []
    for name, title in TITLES.items():
        answers = Counter(item.who for item in read_checklist(name))
        checklists.append((title, answers, checklist_table(name, facts)))
    recipe = tomli_w.dumps(without_folders(tomllib.loads(evaluated.recipe))) if evaluated.recipe else None
    body = render("provenance.html", made=made, recipe=recipe, checklists=checklists)
    tables = (made, *(table for _, _, table in checklists))
    return Section("made", "How it was made", "How it was made", body, tables=tables)


def checklist_table(name: Checklist, facts: Mapping[str, str]) -> ReportTable:
    """Return a checklist with what is known filled in."""
    rows = tuple(
        (item.number, item.asks, _WHO[item.who], item.answer.format_map(facts)) for item in read_checklist(name)
    )
    return ReportTable(
        name, f"{TITLES[name]}, as far as the software can fill it", ("Item", "Asks for", "Who", "Answer"), rows
    )


def facts_rows(evaluated: Evaluated) -> list[tuple[str, str]]:
    """Return what made the figures: a name and its value a row."""
    content, model, times = evaluated.content, evaluated.model, evaluated.table["elapsed_ms"].to_numpy()
    parts = [f"{stage} {seconds:.0f} s" for stage, seconds in model["seconds"].items() if stage != "total"]
    stages = f" ({', '.join(parts)})" if parts else ""
    rows = [
        ("Evaluated by", f"Carina {content['carina']} on {content['machine']}"),
        ("Command", content["command"]),
        ("Data fingerprint", content["data"]["fingerprint"]),
        ("Model", " ".join(str(model[key]) for key in ("name", "version") if key in model)),
        ("Bundle, SHA-256 of SHA256SUMS", _bundle_words(content)),
        ("Graph, SHA-256", model["model_sha256"]),
        ("Trained by", model["command"]),
        ("Trained on", f"{model['dataset']}, fingerprint {model['data_fingerprint']}"),
        (
            "Training",
            f"{model['epochs']} epochs, kept {model['best_epoch']}; {model['seconds']['total']:.0f} s in all{stages}",
        ),
        ("Memory at most, training", f"{model['peak_memory_mb']:,.0f} MB"),
        ("Started from", model["weights"]),
        (
            "Time an image, judging",
            f"median {np.median(times):.0f} ms, 95 % under {np.quantile(times, 0.95):.0f} ms",
        ),
        ("Versions", versions_text(content["versions"])),
        ("Versions, training", versions_text(model["versions"])),
        ("Training machine", model["machine"]),
    ]
    if judging := content.get("judging"):
        words = f"{judging['seconds']:.0f} s with all intervals, at most {judging['peak_memory_mb']:,.0f} MB of memory"
        rows.insert(2, ("Evaluation", words))
    return [(what, str(value)) for what, value in rows]


def _bundle_words(content: Mapping[str, Any]) -> str:
    if "bundle_sha256" not in content:
        return "not recorded; carina report --bundle names it"
    return str(content["bundle_sha256"] or "none: a run was evaluated; carina report --bundle names what it became")
