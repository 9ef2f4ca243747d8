"""Section 4: ROC and precision-recall with bands, reliability, net benefit, risk and coverage, and the training."""

from __future__ import annotations

from carina.reports.drawing.decision_curves import decision_curves_of, decision_table, draw_decision_curve
from carina.reports.drawing.learning_curves import draw_learning, learning_table
from carina.reports.drawing.reliability import draw_reliability, draw_risk_coverage, reliability_table, risk_table
from carina.reports.drawing.threshold_curves import curves_table, draw_threshold_curves
from carina.reports.evaluated import Evaluated
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.written_numbers import full_text
from carina.statistics.curve_bands import curves_with_bands
from carina.statistics.risk_coverage import measure_risk_coverage


def build_curves(evaluated: Evaluated) -> Section:
    """Return the fourth section."""
    curves = curves_with_bands(evaluated.truth, evaluated.probabilities, evaluated.findings, evaluated.groups)
    called, certainty = evaluated.probabilities.argmax(axis=1), evaluated.probabilities.max(axis=1)
    risk = measure_risk_coverage(called == evaluated.truth, certainty, evaluated.groups)
    decisions = decision_curves_of(evaluated)
    thresholds = [one for roc in (True, False) for one in draw_threshold_curves(evaluated, curves, roc=roc)]
    tables = [curves_table(evaluated, curves, roc=roc) for roc in (True, False)]
    reliability = []
    if "calibration" in evaluated.metrics:
        reliability = draw_reliability(evaluated)
        tables.append(reliability_table(evaluated))
    decided = [*(draw_decision_curve(item) for item in decisions), draw_risk_coverage(risk)]
    tables += [*(decision_table(item) for item in decisions), risk_table(risk)]
    learning = draw_learning(evaluated)
    if evaluated.history is not None:
        tables.append(learning_table(evaluated.history, evaluated.model["name"]))
    body = render(
        "curves.html",
        thresholds=thresholds,
        reliability=reliability,
        decided=decided,
        learning=learning,
        risk=risk,
        risk_area=full_text(risk.area, "area"),
    )
    drawings = (*thresholds, *reliability, *decided, *learning)
    return Section("curves", "Curves over all thresholds", "Curves", body, drawings, tuple(tables))
