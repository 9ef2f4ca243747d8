"""The figures of an evaluation as rows: one for each measure and finding, with its interval."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes
    ----------
    measure, finding
        Which measure, such as ``sensitivity`` or ``operating_point_sensitivity``, and of which finding; None for a
        measure of all findings together.
    value, low, high
        The figure and its 95 % interval; None where there is none, and `note` then says why.
    """

    measure: str
    finding: str | None
    value: float | None
    low: float | None
    high: float | None
    note: str | None


def figures_of(metrics: Mapping[str, Any], reached: Mapping[str, Any], flag_finding: str) -> list[Figure]:
    """Return every figure with an interval, those of all findings first.

    Parameters
    ----------
    metrics, reached
        As ``metrics.json`` holds them: its ``metrics``, and what its ``operating_point`` reached.
    flag_finding
        The finding of the operating point.
    """
    calibration = metrics.get("calibration") or {}
    each = {**metrics["per_finding"]}
    found = [*_figures(metrics, None), *_figures(calibration, None)]
    found += [figure for finding, told in each.items() for figure in _figures(told, finding)]
    found += [
        figure for finding, told in calibration.get("per_finding", {}).items() for figure in _figures(told, finding)
    ]
    return [*found, *_figures(reached, flag_finding, "operating_point_")]


def _figures(told: Mapping[str, Any], finding: str | None, prefix: str = "") -> Iterator[Figure]:
    for measure, of in told.items():
        if isinstance(of, Mapping) and "value" in of and "low" in of:
            yield Figure(prefix + measure, finding, of["value"], of["low"], of["high"], of["note"])
