"""Opening a report: of an evaluation, of an audit, or of several evaluations side by side; and writing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from carina.errors import ConfigurationError
from carina.reports.evaluated import Evaluated, read_evaluated
from carina.reports.evaluation_files import REPORT_FILE, read_audit
from carina.reports.html.page import Report
from carina.reports.html.sections.audit_section import build_audit
from carina.reports.html.sections.curves_section import build_curves
from carina.reports.html.sections.explorer_section import build_explorer, explorer_data
from carina.reports.html.sections.findings_section import build_findings
from carina.reports.html.sections.gallery_section import build_gallery
from carina.reports.html.sections.groups_section import build_groups
from carina.reports.html.sections.provenance_section import build_provenance
from carina.reports.html.sections.room_section import build_reading_room, flag_rates
from carina.reports.html.sections.summary_section import build_summary, summary_sentence
from carina.reports.html.side_by_side import build_side_by_side


def build_report(evaluated: Evaluated) -> Report:
    """Return the report of an evaluation."""
    content = evaluated.content
    sections = (
        build_summary(evaluated),
        build_findings(evaluated),
        build_explorer(evaluated),
        build_curves(evaluated),
        build_groups(evaluated),
        build_audit(evaluated.audit),
        build_gallery(evaluated),
        build_reading_room(evaluated),
        build_provenance(evaluated),
    )
    return Report(
        title=evaluated.label,
        subtitle=f"{content['metrics']['n']:,} images · Carina {content['carina']}",
        description=summary_sentence(evaluated),
        sections=sections,
        data={"explorer": explorer_data(evaluated), "room": flag_rates(evaluated)},
        notice=content["notice"],
    )


def open_report(
    *evaluations: str | PathLike[str],
    audits: Sequence[str | PathLike[str]] = (),
    bundle: str | PathLike[str] | None = None,
    images: bool = True,
) -> Report:
    """Return the report of one evaluation, or of several side by side; a notebook shows it.

    Parameters
    ----------
    evaluations
        Folders that `carina.evaluate` or ``carina evaluate`` wrote.
    audits
        Folders that `carina.audit` or ``carina audit`` wrote; each goes to the evaluations of its model.
    bundle
        The bundle that the evaluated run was exported to; only with one evaluation.
    images
        Whether the report has small images, where the folder has some.

    Raises
    ------
    ConfigurationError
        If no folder is named or one twice, several come with a bundle, two audits are of one model, or an audit or the
        bundle is of none of the models.
    DataError
        If a folder is no evaluation.
    BundleError
        If the bundle is none or damaged.
    """
    folders, sealed = [Path(folder) for folder in evaluations], None if bundle is None else Path(bundle)
    if not folders:
        msg = "Name at least one evaluation."
        raise ConfigurationError(msg)
    if sealed is not None and len(folders) > 1:
        msg = "A bundle is named for one evaluation. Name one folder."
        raise ConfigurationError(msg)
    evaluated = _read(folders, [Path(audit) for audit in audits], sealed, images)
    return build_report(evaluated[0]) if len(evaluated) == 1 else build_side_by_side(evaluated, folders)


def open_audit(folder: str | PathLike[str]) -> Report:
    """Return what an audit folder holds; in a notebook it shows itself.

    Parameters
    ----------
    folder
        Of ``carina audit``.

    Raises
    ------
    ConfigurationError
        If the folder is no audit.
    """
    return build_audit_report(read_audit(Path(folder)))


def build_audit_report(audit: dict[str, Any]) -> Report:
    """Return the report of an audit from the content of ``audit.json``."""
    return Report(
        title=f"Audit of {audit['model']} on {audit['dataset']}",
        subtitle=f"Carina {audit['carina']}",
        description=str(audit["sentence"]),
        sections=(build_audit(audit),),
        data={"explorer": None, "room": None},
    )


def write_report(
    folders: Sequence[Path],
    out: Path | None = None,
    *,
    audits: Sequence[Path] = (),
    bundle: Path | None = None,
    figures: Path | None = None,
    images: bool = True,
) -> Path:
    """Write ``report.html`` of one evaluation or of several side by side, and return where it is; see `open_report`.

    Parameters
    ----------
    out
        The file; by default ``report.html`` in the folder, where there is one alone.
    figures
        A folder for the figures and tables as files.

    Raises
    ------
    ConfigurationError
        If several folders come without `out` or with a bundle, a folder is named twice, two audits are of one model, or
        an audit or the bundle is of none of the models.
    DataError
        If a folder is no evaluation.
    BundleError
        If the bundle is none or damaged.
    """
    if out is None:
        if len(folders) > 1:
            msg = "Several evaluations go to one page of their own: name it with --out FILE."
            raise ConfigurationError(msg)
        out = folders[0] / REPORT_FILE
    report = open_report(*folders, audits=audits, bundle=bundle, images=images)
    report.write_html(out)
    if figures is not None:
        report.write_figures(figures)
    return out


def _read(folders: Sequence[Path], audits: Sequence[Path], bundle: Path | None, images: bool) -> list[Evaluated]:
    if len({folder.resolve() for folder in folders}) < len(folders):
        msg = "An evaluation is named twice. Name each once."
        raise ConfigurationError(msg)
    of_model: dict[str, tuple[Path, dict[str, Any]]] = {}
    for folder in audits:
        audit = read_audit(folder)
        sha256 = str(audit["model_sha256"])
        if sha256 in of_model:
            msg = f"{of_model[sha256][0]} and {folder} audited the same model. Name one of them."
            raise ConfigurationError(msg)
        of_model[sha256] = folder, audit
    evaluated = []
    for folder in folders:
        plain = read_evaluated(folder, bundle=bundle, images=images)
        _, found = of_model.get(str(plain.model.get("model_sha256")), (None, None))
        evaluated.append(plain if found is None else replace(plain, audit=found))
    models = {str(one.model.get("model_sha256")) for one in evaluated}
    if strangers := [folder for sha256, (folder, _) in of_model.items() if sha256 not in models]:
        msg = f"{strangers[0]} audited another model than those that were evaluated. Audit one of these."
        raise ConfigurationError(msg)
    return evaluated
