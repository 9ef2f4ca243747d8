"""The audit's further questions: sources in the embedding, sources left out, one source alone, ages, other sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carina.evaluation.intervals import Estimate
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.numbers import estimate_of
from carina.reports.drawing.drawing import Scene
from carina.reports.report_tables import Cell, Figure, Table


def draw_questions(audit: Mapping[str, Any]) -> list[Scene]:
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
            name,
            "",
            estimate_of(item[key]),
            f"{item['source']}: {item['positive']} ({item['positives']}) against {item['negative']} "
            f"({item['negatives']})",
            "s5",
        )
        for item in audit.get("same_source_pairs", ())
        for key, name in _PAIR
    ]
    if rows:
        title = "Two findings of one source: AUROC where the source cannot tell"
        scenes.append(draw_forest("audit_same_source", title, rows, kind="area", low=0.3, line=0.5, line_says="chance"))
    rows = [
        Row(item["name"], f"{item['images']} images", estimate_of(item["macro_auroc"]), ink="s1")
        for item in audit.get("age_groups", ())
    ]
    if rows:
        scenes.append(draw_forest("audit_ages", "The model by age: mean AUROC", rows, kind="area"))
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


_PAIR = (
    ("model", "the model"),
    ("head", "a new head"),
    ("without_lungs", "a new head, lungs blacked out"),
    ("thumbnail", "a new head, thumbnails"),
)


def _some(names: Sequence[str]) -> str:
    return " or ".join(names) if len(names) < 3 else f"{len(names)} findings"


def questions_table(audit: Mapping[str, Any]) -> Table:
    """Return every further question with its answer, also those that could not be asked."""
    rows: list[tuple[Cell, ...]] = [
        (
            "source told from the embedding (balanced accuracy)",
            f"{item['finding']}: " + (", ".join(f"{name} {count}" for name, count in item["sources"].items()) or "–"),
            "" if item["chance"] is None else f"{item['chance']:.3f}",
            Figure(estimate_of(item["balanced_accuracy"]), "area"),
        )
        for item in audit["source_probes"]
    ]
    rows += [
        (f"{item['measure']} of a head without the source", str(item["source"]), "", Figure(_of(item), "area"))
        for item in audit["left_out_sources"]
    ]
    rows += [
        (
            f"AUROC within one source, {name}",
            f"{item['source']}: {item['positive']} {item['positives']}, {item['negative']} {item['negatives']}",
            "0.5",
            Figure(estimate_of(item[key]), "area"),
        )
        for item in audit.get("same_source_pairs", ())
        for key, name in _PAIR
    ]
    rows += [
        (
            "mean AUROC by age",
            f"{item['name']}, {item['images']} images",
            "0.5",
            Figure(_of(item, "macro_auroc"), "area"),
        )
        for item in audit.get("age_groups", ())
    ]
    rows += [
        (
            f"AUROC elsewhere: {other['name']}",
            f"{_some(item['positive'])} {item['positives']} against {_some(item['negative'])} {item['negatives']}",
            "0.5",
            Figure(_of(item, "auroc"), "area"),
        )
        for other in audit["external_sets"]
        for item in other["questions"]
    ]
    head = ("Question", "Of", "By chance", "Answer")
    return Table("audit_questions", "The audit's further questions", head, tuple(rows))


def _of(item: Mapping[str, Any], key: str = "estimate") -> Estimate:
    return estimate_of(item[key])
