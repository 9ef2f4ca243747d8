"""Evaluations side by side: figures with intervals, and paired tests on the images that they share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from carina.errors import ConfigurationError, DataError
from carina.evaluation.comparison import Comparison, compare, holm
from carina.evaluation.predictions import findings_of, groups_of, probabilities_of, truth_of
from carina.notebook import boxed, table_html
from carina.reports.evaluation_files import read_evaluation
from carina.statistics.intervals import FloatArray
from carina.storage.atomic import write_text

_COLUMNS = ("figure", "difference", "p", "p (Holm)", "test")


@dataclass(frozen=True, slots=True)
class PairedTable:
    """One evaluation against the reference.

    Attributes
    ----------
    title
        What is compared, on how many images.
    table
        One row per figure: both values, the difference with its interval, p and p after Holm.
    comparison
        The same as numbers.
    """

    title: str
    table: pl.DataFrame
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Several evaluations.

    Attributes
    ----------
    figures
        One row per figure, one column per evaluation, each on all of its own images.
    paired
        Each evaluation but the first against the first.
    """

    figures: pl.DataFrame
    paired: tuple[PairedTable, ...]

    def _repr_html_(self) -> str:
        tables = [("Each on all of its own images", self.figures), *((one.title, one.table) for one in self.paired)]
        return boxed(
            *(
                f"<b>{escape(title)}</b>"
                + table_html(
                    table.columns, [["" if cell is None else str(cell) for cell in row] for row in table.rows()]
                )
                for title, table in tables
            )
        )

    def write_json(self, path: Path) -> None:
        """Write figures and tests for a program."""
        content = {
            "figures": self.figures.to_dicts(),
            "paired": [{"title": paired.title, **paired.comparison.to_json()} for paired in self.paired],
        }
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def compare_evaluations(folders: Sequence[Path | str]) -> SideBySide:
    """Return evaluations side by side, each but the first tested against the first on the images they share.

    Raises
    ------
    ConfigurationError
        If fewer than two are named, or one is named twice.
    DataError
        If a folder is no evaluation, or two share no images, findings or truth.
    """
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2 or len({path.resolve() for path in paths}) < len(paths):
        msg = "Name at least two different evaluations to compare."
        raise ConfigurationError(msg)
    names = _distinct_names(paths)
    contents, tables = zip(*(read_evaluation(path) for path in paths), strict=True)
    named = [_figures(content) for content in contents]
    # A model may know a finding that the reference does not; its figures follow after the reference's.
    order = list(dict.fromkeys(figure for one in named for figure in one))
    columns = {name: [one.get(figure, "n/a") for figure in order] for name, one in zip(names, named, strict=True)}
    figures = pl.DataFrame({"figure": order} | columns)
    paired = tuple(_pair(names[0], tables[0], name, table) for name, table in zip(names[1:], tables[1:], strict=True))
    return SideBySide(figures, paired)


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    names = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    # A folder called like one of the tables' own columns.
    return [f"{name}/" if name in _COLUMNS else name for name in names]


def _figures(content: dict[str, Any]) -> dict[str, str]:
    """Return figures as text by name; a notice (an allowed leak) comes first."""
    metrics = content["metrics"]
    named = {"notice": content["notice"] or "none", "images": str(metrics["n"])}
    named |= {
        name.replace("_", " "): _as_text(metrics[name])
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "weighted_auroc", "macro_auprc")
    }
    # Evaluations written before calibration was measured are still read.
    calibration = metrics.get("calibration", {})
    named |= {label: _as_text(calibration.get(name)) for name, label in (("brier", "Brier score"), ("ece", "ECE"))}
    present = sum(figures["n"] > 0 for figures in metrics["per_finding"].values())
    named["findings with images"] = f"{present} of {len(metrics['per_finding'])}"
    for finding, figures in metrics["per_finding"].items():
        for name in ("sensitivity", "specificity", "auroc"):
            named[f"{finding}: {name}"] = _as_text(figures[name])
    stopped_on = content["leak_check"]["stopped_on"]
    named["images training stopped on"] = str(stopped_on)
    named["operating point"] = (
        f"{content['operating_point']['chosen']['finding']} >= {content['operating_point']['chosen']['threshold']:.3f}"
    )
    for name in ("sensitivity", "specificity"):
        named[f"operating point: {name}"] = _as_text(content["operating_point"]["reached"][name])
    model = content["model"]
    named["training: seconds"] = f"{model['seconds']['total']:.0f}"
    named["training: peak memory, MB"] = f"{model['peak_memory_mb']:.0f}"
    return named


def _as_text(estimate: dict[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "n/a"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _pair(name_a: str, table_a: pl.DataFrame, name_b: str, table_b: pl.DataFrame) -> PairedTable:
    # A model that does not know a finding gives it the probability 0; what is tested is what both know.
    known = (findings_of(table_a), findings_of(table_b))
    findings, common = tuple(dict.fromkeys(known[0] + known[1])), [name for name in known[0] if name in known[1]]
    if len(common) < 2:
        msg = (
            f"{name_a} tells apart {', '.join(known[0])}; {name_b} {', '.join(known[1])}. "
            "Only models that know two findings in common compare."
        )
        raise DataError(msg)
    # The same pixels may be in a set twice; each image is counted once.
    one, other = (table.unique("sha256", keep="first", maintain_order=True) for table in (table_a, table_b))
    shared = one.select("sha256").join(other.select("sha256"), on="sha256", how="inner", maintain_order="left")
    if shared.is_empty():
        msg = f"{name_a} and {name_b} share no images: a paired test is not possible. Evaluate both on one data set."
        raise DataError(msg)
    one = shared.join(one, on="sha256", how="left", maintain_order="left")
    other = shared.join(other, on="sha256", how="left", maintain_order="left")
    if not one["finding"].equals(other["finding"]):
        msg = f"{name_a} and {name_b} disagree on the truth of an image. Evaluate both on one data set."
        raise DataError(msg)
    wide = [_probabilities_for(findings, table) for table in (one, other)]
    # The findings of the first come first, so its numbers of the true findings hold.
    comparison = _restrict(compare(truth_of(one), wide[0], wide[1], findings, groups=groups_of(one)), common)
    title = f"{name_a} minus {name_b}, paired on the {shared.height} images that they share"
    trained_on = int((one["trained_on"] | other["trained_on"]).sum())
    if trained_on:
        title = f"LEAK ALLOWED: {trained_on} of these images were trained on. {title}"
    columns = (_COLUMNS[0], name_a, name_b, *_COLUMNS[1:])
    return PairedTable(title, pl.DataFrame(comparison.rows(), schema=columns, orient="row"), comparison)


def _probabilities_for(findings: Sequence[str], table: pl.DataFrame) -> FloatArray:
    """Return float64 (n, findings): a finding that the model does not know has the probability 0."""
    wide = np.zeros((table.height, len(findings)))
    wide[:, [findings.index(finding) for finding in findings_of(table)]] = probabilities_of(table)
    return wide


def _restrict(comparison: Comparison, common: Sequence[str]) -> Comparison:
    """Return only the tests of findings that both models know, corrected for just these."""
    kept = [test for test in comparison.tests if test.finding is None or test.finding in common]
    corrected = holm([test.p_value for test in kept])
    tests = tuple(replace(test, p_value_holm=p) for test, p in zip(kept, corrected, strict=True))
    return replace(comparison, findings=tuple(common), tests=tests)
