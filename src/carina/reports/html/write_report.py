"""Writing the page of one evaluation, or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from carina.errors import ConfigurationError
from carina.reports.evaluation_files import REPORT_FILE
from carina.reports.evaluated import Evaluated, audited_model, read_evaluated
from carina.reports.html.evaluation_report import build_report
from carina.reports.html.side_by_side import SideBySideReport, build_side_by_side


def write_report(
    folders: Sequence[Path],
    out: Path | None = None,
    *,
    audits: Sequence[Path] = (),
    bundle: Path | None = None,
    figures: Path | None = None,
    images: bool = True,
) -> Path:
    """Write ``report.html`` of one evaluation or of several side by side, and return where it is.

    Parameters
    ----------
    folders
        Of ``carina evaluate``.
    out
        The file; by default ``report.html`` in the folder, where there is one alone.
    audits
        Of ``carina audit``; each goes to the evaluations of its model.
    bundle
        That the evaluated run was sealed into; only with one evaluation.
    figures
        A folder for the figures and tables as files.
    images
        Whether small images are embedded.

    Raises
    ------
    ConfigurationError
        If several folders come without `out` or with a bundle, a folder is named twice, or an audit or the bundle is of
        none of the models.
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
    if bundle is not None and len(folders) > 1:
        msg = "A bundle is named for one evaluation. Name one folder."
        raise ConfigurationError(msg)
    evaluated = _read(folders, audits, bundle, images)
    report = build_report(evaluated[0]) if len(evaluated) == 1 else build_side_by_side(evaluated, folders)
    report.write_html(out)
    if figures is not None:
        report.write_figures(figures)
    return out


def open_side_by_side(
    folders: Sequence[Path | str], *, audits: Sequence[Path | str] = (), images: bool = True
) -> SideBySideReport:
    """Return several evaluations on one page; in a notebook it shows itself.

    Parameters
    ----------
    folders, audits, images
        See `write_report`.

    Raises
    ------
    ConfigurationError
        If fewer than two folders are named, one is named twice, or an audit is of none of the models.
    DataError
        If a folder is no evaluation.
    """
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2:
        msg = "Name at least two evaluations to stand side by side."
        raise ConfigurationError(msg)
    return build_side_by_side(_read(paths, [Path(audit) for audit in audits], None, images), paths)


def _read(folders: Sequence[Path], audits: Sequence[Path], bundle: Path | None, images: bool) -> list[Evaluated]:
    if len({folder.resolve() for folder in folders}) < len(folders):
        msg = "An evaluation is named twice. Name each once."
        raise ConfigurationError(msg)
    of_model = {audited_model(audit): audit for audit in audits}
    evaluated = []
    for folder in folders:
        plain = read_evaluated(folder, bundle=bundle, images=images)
        audit = of_model.get(str(plain.model.get("model_sha256")))
        evaluated.append(plain if audit is None else read_evaluated(folder, audit=audit, bundle=bundle, images=images))
    models = {str(one.model.get("model_sha256")) for one in evaluated}
    if strangers := [audit for sha256, audit in of_model.items() if sha256 not in models]:
        msg = f"{strangers[0]} audited another model than those that were evaluated. Audit one of these."
        raise ConfigurationError(msg)
    return evaluated
