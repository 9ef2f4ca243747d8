"""Everything that ``carina audit`` writes: ``audit.json``, ``audit.txt``, ``audit.png`` and ``examples.png``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carina._version import __version__
from carina.evaluation.audit.alterations import TITLES, AlterationSettings
from carina.evaluation.audit.audit_results import Audit, HeadResult, ModelResult
from carina.evaluation.audit.words import percent
from carina.radiographs.preprocess import Preprocessing
from carina.reports.drawing.audit_examples import draw_audit, draw_examples
from carina.reports.drawing.png import FOR_SCREEN, write_png
from carina.reports.evaluation_files import AUDIT_FILE
from carina.reports.text_files import aligned, estimate_cell, fold
from carina.runtime.machine import describe_machine, library_versions
from carina.statistics.intervals import Estimate
from carina.storage.atomic import whole_folder, write_text

AUDIT_TEXT_FILE = "audit.txt"
AUDIT_PAGE_FILE = "audit.png"
EXAMPLES_FILE = "examples.png"
_TOLD_FROM = {"shown": "embedding", "histogram": "grey levels", "sharpness": "sharpness"}


def write_audit(
    audit: Audit, out: Path, *, preprocessing: Preprocessing, alterations: AlterationSettings, command: str
) -> None:
    """Write an audit folder, whole or not at all.

    Raises
    ------
    ConfigurationError
        If `out` exists.
    """
    with whole_folder(out, what="audit") as folder:
        content = audit_content(audit, command)
        write_text(folder / AUDIT_FILE, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        write_text(folder / AUDIT_TEXT_FILE, audit_text(audit))
        write_png(draw_audit(content, preprocessing, alterations), folder / AUDIT_PAGE_FILE, FOR_SCREEN)
        write_png(draw_examples(preprocessing, alterations), folder / EXAMPLES_FILE, FOR_SCREEN)


def audit_content(audit: Audit, command: str) -> dict[str, Any]:
    """Return what ``audit.json`` holds."""
    return audit.to_json() | {
        "command": command,
        "carina": __version__,
        "machine": describe_machine(),
        "versions": library_versions(),
    }


def audit_text(audit: Audit) -> str:
    """Return every figure of an audit with its interval, as text of 100 columns."""
    counts = audit.counts
    lines = [
        *_fold(f"How much of this is lungs? {audit.model} on {audit.dataset}"),
        "",
        *_fold(audit.sentence),
        "",
        *(line for verdict in audit.verdicts for line in _fold(verdict, hanging="- ")),
        "",
        *_fold(
            f"Images: {counts.train} of {counts.of_train} train, {counts.calibration} of {counts.of_calibration} "
            f"calibration, {counts.test} of {counts.of_test} test, drawn by finding and source. Left out: "
            f"{counts.without_lungs} in which no lungs were found, {counts.dropped} test images that the model learned "
            f"from. Lungs by {audit.lungs_from}. In brackets: 95 % intervals over the test images (patients where they "
            "are known); heads are taken as they are."
        ),
        *_section(
            "A new last layer, trained on such images (share: of its AUROC above 0.5 on the image as the model is "
            "shown it)",
            [
                ("", "macro AUROC", "share", *audit.findings, "L2"),
                *(
                    (*_reached(item), *(estimate_cell(area) for area in item.by_finding), f"{item.l2:g}")
                    for item in audit.heads
                ),
            ],
        ),
        *_section(
            "The model as it is (distance: of its probabilities from the prior; same call: with P >= 0.5)",
            [
                ("", "macro AUROC", "share", "distance", "same call"),
                *((*_reached(item), estimate_cell(item.distance), estimate_cell(item.kept)) for item in audit.by_model),
            ],
        ),
        *_section(
            "The source, told within one finding from the embedding, from grey levels alone and from sharpness alone "
            "(cross-validated by patient)",
            [
                ("", "balanced accuracy", "chance", "macro AUROC", "images"),
                *(
                    (
                        f"{item.finding}, {_TOLD_FROM[item.input]}",
                        estimate_cell(item.balanced_accuracy),
                        "n/a" if item.chance is None else f"{item.chance:.3f}",
                        estimate_cell(item.macro_auroc),
                        ", ".join(f"{source} {images}" for source, images in item.sources.items()),
                    )
                    for item in audit.source_probes
                ),
            ],
            [f"{item.finding}, {_TOLD_FROM[item.input]}: {item.note}" for item in audit.source_probes if item.note],
        ),
        *_section(
            "A source left out of a new head, its penalty and its threshold, which the model's own rule chooses",
            [
                ("", "measure", "", "images", "threshold"),
                *(
                    (
                        item.source,
                        item.measure,
                        estimate_cell(item.estimate),
                        str(item.estimate.denominator or ""),
                        "n/a" if item.threshold is None else f"{item.threshold:.3f}",
                    )
                    for item in audit.left_out_sources
                ),
            ],
            [
                *(f"{item.source}: {item.note}" for item in audit.left_out_sources if item.note),
                "The backbone may have seen the sources: these figures are an optimistic bound.",
            ],
        ),
        *_section(
            "Two findings of one source, where the source cannot help: AUROC (heads are trained on the pair alone)",
            [
                ("", "images", "model", "new head", "no lungs", "16 x 16 pixels", "grey levels", "sharpness"),
                *(
                    (
                        f"{item.source}: {item.positive} or {item.negative}",
                        f"{item.positives} + {item.negatives}",
                        *map(estimate_cell, (item.model, item.head, item.without_lungs)),
                        *map(estimate_cell, (item.thumbnail, item.histogram, item.sharpness)),
                    )
                    for item in audit.same_source_pairs
                ),
            ],
        ),
        *_section(
            "Ages: AUROC of the model",
            [
                ("", "images", "macro AUROC"),
                *((g.name, str(g.images), estimate_cell(g.macro_auroc)) for g in audit.age_groups),
            ],
        ),
        *_later_sections(audit),
    ]
    for other in audit.external_sets:
        lines += _section(
            f"{other.name}, from elsewhere ({other.images} images, {other.dropped} left out: learned from)",
            [
                ("question", "by", "images", "AUROC"),
                *(
                    (
                        f"{_some(item.positive)} against {_some(item.negative)}",
                        item.score,
                        f"{item.positives} + {item.negatives}",
                        estimate_cell(item.auroc),
                    )
                    for item in other.questions
                ),
            ],
            [other.note] if other.note else [],
        )
    if audit.not_applicable:
        lines += ["", "Not asked", *(line for text in audit.not_applicable for line in _fold(text, hanging="- "))]
    return "\n".join(lines) + "\n"


def _later_sections(audit: Audit) -> list[str]:
    """Return gaps between groups, normals ruled out, and what activation maps are worth."""
    return [
        *_section(
            f"Sensitivity for {audit.flag_finding} at the operating point: each group less the one with most patients",
            [
                ("", "", "sensitivity", "", "sensitivity", "gap"),
                *(
                    (
                        f"{item.images_of}, {item.by}",
                        item.group,
                        estimate_cell(item.sensitivity),
                        item.reference,
                        estimate_cell(item.of_reference),
                        _signed(item.gap),
                    )
                    for item in audit.sensitivity_gaps
                ),
            ],
            [
                f"{item.images_of}, {item.by} {item.group} against {item.reference}: {item.gap.note}"
                for item in audit.sensitivity_gaps
                if item.gap.value is None
            ],
        ),
        *_section(
            "Normals ruled out: 1 - P(Normal) lies below a threshold that keeps 99 % of all other findings",
            [
                ("", "threshold chosen on", "threshold", "normals ruled out", "images", "other findings kept"),
                *(
                    (
                        f"{item.images_of}, {item.source or 'all'}",
                        item.chosen_on,
                        "n/a" if item.threshold is None else f"{item.threshold:.3f}",
                        estimate_cell(item.ruled_out),
                        str(item.ruled_out.denominator or ""),
                        estimate_cell(item.sensitivity),
                    )
                    for item in audit.ruled_out
                ),
            ],
            ["A threshold chosen on the same images cannot be known before, so that its figure is optimistic."]
            if any(item.threshold is None for item in audit.ruled_out)
            else [],
        ),
        *_section(
            "Activation maps: probability of the called finding that is lost without the cells that a map marks most "
            "(comprehensiveness), and with these alone (sufficiency)",
            [
                ("", "images", "probability", "without marked", "without random", "gain"),
                *(
                    (
                        item.called or "all findings",
                        str(item.images),
                        estimate_cell(item.probability),
                        *map(
                            _signed,
                            (item.comprehensiveness, item.comprehensiveness_random, item.comprehensiveness_gain),
                        ),
                    )
                    for item in audit.explanation_tests
                ),
                ("", "", "", "marked alone", "random alone", "gain"),
                *(
                    (
                        item.called or "all findings",
                        str(item.images),
                        "",
                        *map(_signed, (item.sufficiency, item.sufficiency_random, item.sufficiency_gain)),
                    )
                    for item in audit.explanation_tests
                ),
            ]
            if audit.explanation_tests
            else [],
            [
                (
                    "A mean over 5, 10, 20 and 50 % of the cells. What is taken away becomes the mean grey of the "
                    "image. A gain above 0 says that marked cells matter more than random ones."
                )
            ],
        ),
    ]


def _reached(item: HeadResult | ModelResult) -> tuple[str, str, str]:
    share = "reference" if item.input == "shown" else percent(item.share)
    return TITLES[item.input], estimate_cell(item.macro_auroc), share


def _signed(estimate: Estimate) -> str:
    return estimate_cell(estimate, signed=True)


def _section(heading: str, rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> list[str]:
    """Return a heading, a table and its notes; nothing where the table has no row below its head."""
    if len(rows) < 2:
        return []
    table = aligned(rows, name_right=False, name_width=46, gap="   ")
    lines = ["", *_fold(heading), *(f"  {line}" for line in table)]
    return [*lines, *(line for note in notes for line in _fold(note, hanging="  - "))]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)} findings (named in {AUDIT_FILE})"


def _fold(text: str, *, hanging: str = "") -> list[str]:
    return fold(text, hanging=hanging, width=100)
