"""Results for a notebook: tables without scripts, classes or colours of their own, so that nothing around them changes.

Figures are drawn by `carina.reports`: `carina.open_report` shows them with the same tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carina.evaluation.audit.audit_results import Audit
    from carina.evaluation.comparison import Comparison
    from carina.evaluation.evaluate import Evaluation
    from carina.statistics.intervals import Estimate

_CELL = 'style="text-align:left;vertical-align:top;padding:.2em .8em .2em 0;background:none"'
_MEASURES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV, in this set",
    "npv": "NPV, in this set",
    "f1": "F1",
    "likelihood_ratio_positive": "LR+",
    "likelihood_ratio_negative": "LR−",
    "auroc": "AUROC",
    "auprc": "AUPRC",
}


def evaluation_html(evaluation: Evaluation) -> str:
    """Return the headline, the confusion matrix and every measure of each finding."""
    metrics, reached = evaluation.metrics, evaluation.at_operating_point
    headline = [
        ("images", f"{metrics.n:,}"),
        ("accuracy", _figure(metrics.accuracy)),
        ("mean AUROC", _figure(metrics.macro_auroc)),
        ("ECE", _figure(metrics.calibration.ece)),
        ("flagged finding", evaluation.flag_finding),
        (f"sensitivity at the operating point ({reached.threshold:.3f})", _figure(reached.sensitivity)),
        (f"specificity at the operating point ({reached.threshold:.3f})", _figure(reached.specificity)),
        ("trained on, of these images", f"{evaluation.leaks.learned.height:,} found, {evaluation.dropped:,} left out"),
    ]
    confusion = [
        (f"{name} (true)", *(f"{count:,}" for count in row))
        for name, row in zip(metrics.findings, metrics.confusion.tolist(), strict=True)
    ]
    measures = [
        (words, *(_figure(getattr(item, name)) for item in metrics.per_finding)) for name, words in _MEASURES.items()
    ]
    return boxed(
        *([f"<b>{escape(evaluation.notice)}</b>"] if evaluation.notice else []),
        table_html(("", "value (95 % interval)"), headline),
        table_html(("truth", *(f"called {name}" for name in metrics.findings)), confusion),
        table_html(("measure", *(item.finding for item in metrics.per_finding)), measures),
    )


def comparison_html(comparison: Comparison) -> str:
    """Return every paired test."""
    rows = [
        (
            test.measure if test.finding is None else f"{test.finding}: {test.measure}",
            *(_number(value) for value in (test.value_a, test.value_b)),
            _figure(test.difference),
            _number(test.p_value, 4),
            _number(test.p_value_holm, 4),
            test.method,
        )
        for test in comparison.tests
    ]
    head = ("figure", "A", "B", "A − B", "p", "p (Holm)", "test")
    return boxed(f"<b>A against B on the same {comparison.n:,} images</b>", table_html(head, rows))


def audit_html(audit: Audit) -> str:
    """Return the sentence, the verdicts, and what is left without lungs."""
    own = {item.input: item for item in audit.by_model}
    rows = []
    for item in audit.heads:
        model = next((of for name, of in own.items() if name == item.input), None)
        rows.append(
            (
                item.input,
                *(("–", "–") if model is None else (_figure(model.macro_auroc), _figure(model.share))),
                _figure(item.macro_auroc),
                _figure(item.share),
            )
        )
    head = ("input", "model: AUROC", "model: share left", "new head: AUROC", "new head: share")
    verdicts = "".join(f"<li>{escape(verdict)}</li>" for verdict in audit.verdicts)
    return boxed(f"<b>{escape(audit.sentence)}</b><ul>{verdicts}</ul>", table_html(head, rows))


def table_html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of text, escaped."""
    titles = "".join(f"<th {_CELL}>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td {_CELL}>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table style="border-collapse:collapse;margin:.6em 0"><tr>{titles}</tr>{body}</table>'


def boxed(*parts: str) -> str:
    """Return markup as one block."""
    return f'<div style="line-height:1.4">{"".join(parts)}</div>'


def _figure(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"n/a ({estimate.note})"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f} (no interval)"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _number(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
