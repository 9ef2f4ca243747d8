"""Section 6: how much of what the model knows is lungs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carina.reports.drawing.audit_questions import draw_questions, questions_table
from carina.reports.drawing.audit_shares import draw_shares, shares_table
from carina.reports.drawing.drawing import Drawing
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.report_tables import ReportTable


def build_audit(audit: Mapping[str, Any] | None) -> Section:
    """Return the sixth section from ``audit.json``; None where no audit was attached."""
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    if audit is not None:
        drawings = (draw_shares(audit), *draw_questions(audit))
        tables = (shares_table(audit), *([questions] if (questions := questions_table(audit)).rows else []))
    body = render("audit.html", audit=audit, drawings=drawings, tables=tables)
    return Section("audit", "How much of this is lungs?", "Audit", body, drawings, tables)
