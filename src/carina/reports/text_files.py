"""Text files of an evaluation, for people and for diff: aligned columns, at most 110 characters wide.

Each function returns the whole text. The intervals are those of the `Metrics`, measured at a confidence of 0.95.
What does not exist is "n/a", and the notes at the end say why.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carina.statistics.intervals import Estimate, IntArray
from carina.statistics.metrics import FindingMetrics, Metrics

_WIDTH = 110
_NAME_WIDTH = 38  # what three estimates and a support of seven digits leave
_EMPTY = ("", "", "", "", "")

# Whose number it is, which measure, and the number.
_Named = tuple[str, str, Estimate]


def classification_report(metrics: Metrics, *, title: str, notice: str | None = None) -> str:
    """Return precision, recall, f1-score and support in the layout of scikit-learn's report, with 95 % intervals.

    Averages run over the findings that occur; scikit-learn counts a finding that does not occur as 0 in them. One
    that occurs and is never called counts as precision 0 here as there, and a note says so.
    """
    items = metrics.per_finding
    precisions = np.array([item.ppv.value or 0.0 for item in items])
    support = metrics.confusion.sum(axis=1)
    macro, weighted = precisions[support > 0].mean(), np.average(precisions, weights=support)
    total = str(metrics.n)
    rows = [("", "precision", "recall", "f1-score", "support"), _EMPTY]
    rows += [
        (item.finding, estimate_cell(item.ppv), estimate_cell(item.sensitivity), estimate_cell(item.f1), str(item.n))
        for item in items
    ]
    rows += [
        _EMPTY,
        ("accuracy", "", "", estimate_cell(metrics.accuracy), total),
        # The mean recall is the balanced accuracy, and the weighted one the accuracy, so these two have intervals.
        ("macro avg", f"{macro:.3f}", estimate_cell(metrics.balanced_accuracy), estimate_cell(metrics.macro_f1), total),
        ("weighted avg", f"{weighted:.3f}", estimate_cell(metrics.accuracy), estimate_cell(metrics.weighted_f1), total),
    ]
    named = [(item.finding, "precision", item.ppv) for item in items]
    named += [(item.finding, "recall", item.sensitivity) for item in items]
    named += [("macro avg", "mean recall", metrics.balanced_accuracy), ("all", "accuracy", metrics.accuracy)]
    named += [(item.finding, "f1-score", item.f1) for item in items]
    named += [("macro avg", "f1-score", metrics.macro_f1), ("weighted avg", "f1-score", metrics.weighted_f1)]
    uncalled = [item.finding for item in items if item.n and item.ppv.value is None]
    more = f"never called, counts as 0 in the averages of precision: {', '.join(uncalled)}"
    head = _head("Classification report", metrics, title, notice, named)
    return _finish([*head, *aligned(rows), *_notes(named, [more] if uncalled else [])])


def roc_auc_text(metrics: Metrics, *, title: str, notice: str | None = None) -> str:
    """Return AUROC and AUPRC, macro, weighted and of each finding against the rest, with 95 % intervals."""
    averages = [
        ("macro avg", metrics.macro_auroc, metrics.macro_auprc, metrics.n),
        ("weighted avg", metrics.weighted_auroc, metrics.weighted_auprc, metrics.n),
    ]
    findings = [(item.finding, item.auroc, item.auprc, item.n) for item in metrics.per_finding]
    rows = [("", "AUROC", "AUPRC", "support")]
    for group in (averages, findings):
        rows.append(("", "", "", ""))
        rows += [(name, estimate_cell(auroc), estimate_cell(auprc), str(n)) for name, auroc, auprc, n in group]
    named = [(name, "AUROC", auroc) for name, auroc, _, _ in averages + findings]
    named += [(name, "AUPRC", auprc) for name, _, auprc, _ in averages + findings]
    head = _head("Areas under the curves, each finding against the rest", metrics, title, notice, named)
    return _finish([*head, *aligned(rows), *_notes(named)])


def sens_spec_text(metrics: Metrics, *, title: str, notice: str | None = None) -> str:
    """Return what a reader needs of each finding against the rest: a block of measures with intervals and counts.

    PPV and NPV hold at the prevalence of this set; where the metrics have a stated prevalence, they follow once
    more for that one.
    """
    items = metrics.per_finding
    blocks = [_measures(item, metrics.confusion, index) for index, item in enumerate(items)]
    named = [
        (item.finding, row.measure, row.estimate) for item, rows in zip(items, blocks, strict=True) for row in rows
    ]
    table = aligned([row.cells() for rows in blocks for row in rows], name_right=False)
    lines: list[str] = []
    for item, rows in zip(items, blocks, strict=True):
        of = f"{item.n} of {metrics.n} images, prevalence in this set {_percent(item.prevalence)}"
        lines += ["", *fold(f"{item.finding}: {of}"), *table[: len(rows)]]
        table = table[len(rows) :]
    head = _head("Sensitivity and specificity, each finding against the rest", metrics, title, notice, named)
    return _finish([*head[:-1], *lines, *_notes(named)])


def calibration_text(metrics: Metrics, *, title: str, notice: str | None = None) -> str:
    """Return Brier score, calibration error, intercept and slope, of the calls and of each finding against the rest."""
    whole, total = metrics.calibration, str(metrics.n)
    items = whole.per_finding
    errors = [("", "Brier score", "ECE", "ECE if calibrated", "support"), _EMPTY]
    errors += [
        ("called finding", "", estimate_cell(whole.ece), estimate_cell(whole.ece_if_calibrated), total),
        (
            "all findings",
            estimate_cell(whole.brier),
            estimate_cell(whole.mean_ece),
            estimate_cell(whole.mean_ece_if_calibrated),
            total,
        ),
        _EMPTY,
    ]
    for item in items:
        cells = (estimate_cell(item.brier), estimate_cell(item.ece), estimate_cell(item.ece_if_calibrated))
        errors.append((item.finding, *cells, str(item.n)))
    lines = [("", "probability", "share", "intercept", "slope"), _EMPTY]
    lines += [
        (
            item.finding,
            f"{item.mean_probability:.3f}",
            f"{item.prevalence:.3f}",
            estimate_cell(item.intercept, signed=True),
            estimate_cell(item.slope, signed=True),
        )
        for item in items
    ]
    named = [("all findings", "Brier score", whole.brier), ("called finding", "ECE", whole.ece)]
    named += [("all findings", "ECE", whole.mean_ece), ("called finding", "ECE if calibrated", whole.ece_if_calibrated)]
    named += [("all findings", "ECE if calibrated", whole.mean_ece_if_calibrated)]
    for measure, field in (
        ("Brier score", "brier"),
        ("ECE", "ece"),
        ("ECE if calibrated", "ece_if_calibrated"),
        ("intercept", "intercept"),
        ("slope", "slope"),
    ):
        named += [(item.finding, measure, getattr(item, field)) for item in items]
    more = [
        "Brier score: mean squared error of the probability, 0 best, at most 1; of all findings their sum, at most 2",
        (
            f"ECE: mean absolute difference of probability and share in {len(whole.bins)} bins of equal mass, 0 best; "
            "of all findings their mean. Chance makes it larger than 0, on few images the more: see ECE if calibrated"
        ),
        "probability: its mean over all images; share: of the images that show the finding",
        "intercept (slope held at 1): 0 is calibrated, below 0 the probabilities are too high",
        "slope: 1 is calibrated, below 1 the probabilities are too near to 0 and 1, above 1 too far from them",
    ]
    head = _head("Calibration of the probabilities", metrics, title, notice, named)
    tables = [*aligned(errors), "", *aligned(lines, name_right=True, number_last=False)]
    return _finish([*head, *tables, *_notes(named, more)])


@dataclass(frozen=True, slots=True)
class _Row:
    """A measure of one finding, at which prevalence where that matters, and the counts behind it."""

    measure: str
    estimate: Estimate
    counts: str
    at: str = ""

    def cells(self) -> tuple[str, str, str]:
        return f"  {self.measure}{self.at}", estimate_cell(self.estimate), self.counts


def _measures(item: FindingMetrics, confusion: IntArray, index: int) -> list[_Row]:
    hits = int(confusion[index, index])
    called, others = int(confusion[:, index].sum()), int(confusion.sum()) - item.n
    misses, alarms = item.n - hits, called - hits
    here = f", prevalence {_percent(item.prevalence)}"
    rows = [
        _Row("sensitivity", item.sensitivity, _fraction(item.sensitivity)),
        _Row("specificity", item.specificity, _fraction(item.specificity)),
        _Row("PPV in this set", item.ppv, _fraction(item.ppv), here),
        _Row("NPV in this set", item.npv, _fraction(item.npv), here),
    ]
    if item.stated_prevalence is not None:
        stated = f" {_percent(item.stated_prevalence)}"
        rows.append(_Row("PPV at stated prevalence", item.ppv_at, "by Bayes' theorem", stated))
        rows.append(_Row("NPV at stated prevalence", item.npv_at, "by Bayes' theorem", stated))
    return [
        *rows,
        _Row("F1", item.f1, f"2 x {hits} / ({item.n} + {called})"),
        _Row("LR+", item.likelihood_ratio_positive, f"({hits} / {item.n}) / ({alarms} / {others})"),
        _Row("LR-", item.likelihood_ratio_negative, f"({misses} / {item.n}) / ({others - alarms} / {others})"),
    ]


def _fraction(estimate: Estimate) -> str:
    return f"{estimate.numerator} / {estimate.denominator}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def estimate_cell(estimate: Estimate, *, signed: bool = False) -> str:
    """Return "0.674 (0.639-0.707)", "0.674 (no interval)" or "n/a"; of a signed number "-0.12 (-0.31 to 0.07)"."""
    write, between = (_signed, " to ") if signed else (_number, "-")
    if estimate.value is None:
        return "n/a"
    if estimate.low is None or estimate.high is None:
        return f"{write(estimate.value)} (no interval)"
    return f"{write(estimate.value)} ({write(estimate.low)}{between}{write(estimate.high)})"


def _signed(value: float) -> str:
    """Return two decimals; of what has two digits before the point one, and three digits of what has more."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.3g}"


def _number(value: float) -> str:
    """Return three decimals; a ratio, which has no upper end, three digits."""
    if value < 1.0005:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _head(what: str, metrics: Metrics, title: str, notice: str | None, named: Sequence[_Named]) -> list[str]:
    """Return the notice, the line that names the data, and the line on how the intervals were made."""
    lines = []
    if notice:
        bar = "!" * _WIDTH
        lines += [bar, *fold(notice.upper()), bar, ""]
    patients = "" if metrics.groups is None else f" of {metrics.groups} patients"
    return [*lines, *fold(f"{what}: {title}"), f"{metrics.n} images{patients}", *fold(_methods(named)), ""]


def _methods(named: Sequence[_Named]) -> str:
    by_method: dict[str, dict[str, None]] = {}
    for _, measure, estimate in named:
        if estimate.low is not None:
            by_method.setdefault(estimate.method, {})[measure] = None
    if not by_method:
        return "No intervals: see the notes."
    return "95 % intervals: " + "; ".join(f"{method} for {', '.join(of)}" for method, of in by_method.items()) + "."


def _notes(named: Sequence[_Named], more: Sequence[str] = ()) -> list[str]:
    """Return the notes of all estimates: each once, with the numbers that it is about."""
    by_note: dict[str, dict[str, list[str]]] = {}
    effects: list[str] = []
    for name, measure, estimate in named:
        # A design effect is with every proportion, and a stated prevalence in the row itself.
        effects += re.findall(r"^design effect ([0-9.]+)", estimate.note or "")
        note = re.sub(r"^(design effect [0-9.]+|at prevalence [^;]+)(; |$)", "", estimate.note or "")
        if note:
            by_note.setdefault(note, {}).setdefault(measure, []).append(name)
    texts = []
    if effects:
        low, high = min(effects, key=float), max(effects, key=float)
        span = low if low == high else f"{low} to {high}"
        texts.append(f"intervals of proportions allow for several images of a patient: design effect {span}")
    for note, measures in by_note.items():
        by_names: dict[str, list[str]] = {}
        for measure, names in measures.items():
            by_names.setdefault(", ".join(names), []).append(measure)
        about = "; ".join(f"{', '.join(of)} of {names}" for names, of in by_names.items())
        texts.append(f"{about}: {note}")
    texts += more
    return ["", "Notes", *(line for text in texts for line in fold(text, hanging="- "))] if texts else []


def aligned(
    rows: Sequence[Sequence[str]],
    *,
    name_right: bool = True,
    number_last: bool = True,
    name_width: int = _NAME_WIDTH,
    gap: str = "  ",
) -> list[str]:
    """Return rows with aligned columns: names to the right as scikit-learn has them, or to the left.

    Columns of estimates are aligned on the left, so that the values are below each other; the support is
    aligned on the right, where the last column is one. A long name goes on in the line below.
    """
    names = [textwrap.wrap(row[0], name_width) or [""] for row in rows]
    wide = max(len(part) for parts in names for part in parts)
    widths = [max(len(row[column]) for row in rows) for column in range(1, len(rows[0]))]
    lines = []
    for parts, row in zip(names, rows, strict=True):
        padded = [part.rjust(wide) if name_right else part.ljust(wide) for part in parts]
        cells = [cell.ljust(width) for cell, width in zip(row[1:], widths, strict=True)]
        if name_right and number_last:
            cells[-1] = row[-1].rjust(widths[-1])
        lines += [*(part.rstrip() for part in padded[:-1]), gap.join([padded[-1], *cells]).rstrip()]
    return lines


def fold(text: str, *, hanging: str = "", width: int = _WIDTH) -> list[str]:
    """Return the text in lines that are no wider than the file."""
    return textwrap.wrap(text, width, initial_indent=hanging, subsequent_indent=" " * len(hanging))


def _finish(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
