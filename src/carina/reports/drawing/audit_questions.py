"""The audit's further questions, such as same calls, sources told or left out, gaps between groups, other sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carina.evaluation.audit.alterations import TITLES
from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.report_tables import Measured, ReportTable
from carina.reports.written_numbers import estimate_of, value_text

_PAIR = {
    "model": "the model",
    "head": "a new head",
    "without_lungs": "a new head, lungs blacked out",
    "thumbnail": "a new head, thumbnails",
    "histogram": "a new head, grey levels alone",
    "sharpness": "a new head, sharpness alone",
}
# From what a source is predicted, if not from the embedding.
_TOLD_FROM = {"histogram": "grey levels alone", "sharpness": "sharpness alone"}
_EXPLAINED = {
    "comprehensiveness": "lost without the marked cells",
    "comprehensiveness_random": "lost without random cells",
    "comprehensiveness_gain": "lost without marked cells, less without random ones",
    "sufficiency": "lost with the marked cells alone",
    "sufficiency_random": "lost with random cells alone",
    "sufficiency_gain": "lost with random cells alone, less with marked ones",
}
_DIFFERENCE: dict[str, Any] = {"kind": "signed", "line": 0.0, "line_says": "no difference"}
# Name, title, and looks of each drawing. On a scale with chance on it, chance is marked.
_CHANCE: dict[str, Any] = {"kind": "area", "low": 0.3, "line": 0.5, "line_says": "chance"}
_DRAWN: dict[str, tuple[str, dict[str, Any]]] = {
    "audit_kept": ("The model makes the same call with P ≥ 0.5 where it sees", {"low": 0.0}),
    "audit_sources": ("Can it be told where an image comes from, within one finding?", {"low": 0.0}),
    "audit_left_out": ("A source that a new head has not seen (an optimistic bound)", {"low": 0.0}),
    "audit_same_source": ("Two findings of one source: AUROC where the source cannot tell", _CHANCE),
    "audit_gaps": ("Sensitivity of a group, less that of the largest one", _DIFFERENCE | {"low": -0.6, "high": 0.6}),
    "audit_ruled_out": ("Normals ruled out while 99 % of all findings are kept", {"low": 0.0}),
    "audit_explanations": (
        "Do activation maps mark what the model needs? Probability lost (differences above 0: they do)",
        _DIFFERENCE | {"low": -0.5},
    ),
    "audit_ages": ("The model by age: mean AUROC", {"kind": "area"}),
    "audit_external": ("Sets from elsewhere: AUROC (0.5 is chance)", _CHANCE),
}
_ONLY_ANSWERS = ("audit_sources", "audit_gaps")


@dataclass(frozen=True, slots=True)
class _Question:
    """A question with its answer: as a row of a drawing, and as one of the table."""

    drawing: str
    asked: str
    of: str
    chance: str
    row: Row


def draw_questions(audit: Mapping[str, Any]) -> list[Drawing]:
    """Return the further questions as forests, only those that could be asked."""
    rows: dict[str, list[Row]] = {name: [] for name in ("", *_DRAWN)}
    for question in _questions(audit):
        # What was impossible is in the table alone, with its reason.
        if question.drawing not in _ONLY_ANSWERS or question.row.estimate.value is not None:
            rows[question.drawing].append(question.row)
    return [draw_forest(name, _DRAWN[name][0], rows[name], **_DRAWN[name][1]) for name in _DRAWN if rows[name]]


def draw_areas(audit: Mapping[str, Any]) -> Drawing:
    """Return the mean AUROC on each input, of the model as it is and of heads trained on such images."""
    of = (("by_model", "The model as it is", "s2"), ("heads", "A head trained on such images", "s6"))
    rows = [
        Row(TITLES[item["input"]], "", estimate_of(item["macro_auroc"]), heading, ink)  # type: ignore[arg-type]
        for key, heading, ink in of
        for item in audit[key]
    ]
    return draw_forest("audit_areas", "Mean one-vs-rest AUROC", rows, **_CHANCE)


def questions_table(audit: Mapping[str, Any]) -> ReportTable:
    """Return every further question with its answer, also those that could not be asked."""
    rows = tuple((one.asked, one.of, one.chance, Measured(one.row.estimate, "area")) for one in _questions(audit))
    return ReportTable(
        "audit_questions", "The audit's further questions", ("Question", "Of", "By chance", "Answer"), rows
    )


def _questions(audit: Mapping[str, Any]) -> list[_Question]:
    questions = []
    for item in audit["by_model"]:
        if item["input"] != "shown":
            name = TITLES[item["input"]]
            row = Row(name, "", estimate_of(item["kept"]), ink="s2")
            questions.append(_Question("audit_kept", "same call with P ≥ 0.5 (share of images)", name, "", row))
    for item in audit["source_probes"]:
        sources = ", ".join(f"{name} {count}" for name, count in item["sources"].items())
        chance = "" if item["chance"] is None else f"{item['chance']:.3f}"
        guessing = f"{100 * (item['chance'] or 0):.0f}\u00a0%"
        told_from = _TOLD_FROM.get(item.get("input", "shown"), "the embedding")
        heading = f"From {told_from}: balanced accuracy, by guessing {guessing}"
        row = Row(item["finding"], sources, estimate_of(item["balanced_accuracy"]), heading, "s4")
        asked = f"source told from {told_from} (balanced accuracy)"
        questions.append(_Question("audit_sources", asked, f"{item['finding']}: {sources or '–'}", chance, row))
    for item in audit["left_out_sources"]:
        counts = f"{item['measure']}, {item['estimate']['denominator'] or 0} images"
        row = Row(item["source"], counts, estimate_of(item["estimate"]), ink="s3")
        asked = f"{item['measure']} of a head without the source"
        questions.append(_Question("audit_left_out", asked, str(item["source"]), "", row))
    for item in audit.get("same_source_pairs", ()):
        sides = (f"{item[side]} ({item[f'{side}s']})" for side in ("positive", "negative"))
        of = f"{item['source']}: {' against '.join(sides)}"
        for key, name in ((key, name) for key, name in _PAIR.items() if key in item):
            row = Row(name, "", estimate_of(item[key]), of, "s5")
            questions.append(_Question("audit_same_source", f"AUROC within one source, {name}", of, "0.5", row))
    for item in audit.get("age_groups", ()):
        images = f"{item['images']} images"
        row = Row(item["name"], images, estimate_of(item["macro_auroc"]))
        questions.append(_Question("audit_ages", "mean AUROC by age", f"{item['name']}, {images}", "0.5", row))
    for other in audit["external_sets"]:
        for item in other["questions"]:
            of = f"{_some(item['positive'])} against {_some(item['negative'])}"
            images = f"{item['positives']} + {item['negatives']} images"
            row = Row(of, images, estimate_of(item["auroc"]), str(other["name"]))
            asked = f"AUROC elsewhere: {other['name']}"
            questions.append(_Question("audit_external", asked, f"{of}, {images}", "0.5", row))
    return [*questions, *_later_questions(audit)]


def _later_questions(audit: Mapping[str, Any]) -> list[_Question]:
    """Return the questions that audits of Carina 0.3 and before did not ask: gaps, normals ruled out, maps."""
    questions = []
    for item in audit.get("sensitivity_gaps", ()):
        both = " and ".join(value_text(estimate_of(item[key])) for key in ("sensitivity", "of_reference"))
        of = f"{item['by']}: {item['group']} less {item['reference']}"
        row = Row(of, both, estimate_of(item["gap"]), f"In {item['images_of']}", "s2")
        questions.append(_Question("audit_gaps", f"sensitivity gap in {item['images_of']}", f"{of}, {both}", "0", row))
    for item in audit.get("ruled_out", ()):
        share, kept = estimate_of(item["ruled_out"]), estimate_of(item["sensitivity"])
        of = item["source"] or "all sources"
        told = f"threshold of {item['chosen_on']}" + (f", kept {value_text(kept)}" if kept.value is not None else "")
        row = Row(of, told, share, f"In {item['images_of']}", "s3")
        questions.append(
            _Question("audit_ruled_out", f"normals ruled out in {item['images_of']}", f"{of}, {told}", "", row)
        )
    for item in audit.get("explanation_tests", ()):
        of = f"{item['called'] or 'All findings'}, {item['images']} images"
        for key, name in _EXPLAINED.items():
            row = Row(name, "", estimate_of(item[key]), of, "s5")
            # Of single findings the drawing shows the differences: the page is long enough.
            drawing = "audit_explanations" if item["called"] is None or key.endswith("gain") else ""
            questions.append(_Question(drawing, f"activation maps: {name}", of, "", row))
    return questions


def _some(names: Sequence[str]) -> str:
    return " or ".join(names) if len(names) < 3 else f"{len(names)} findings"
