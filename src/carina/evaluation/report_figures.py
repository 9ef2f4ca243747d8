"""Everything that a report shows and that ``metrics.json`` does not hold, as one dict that can be written as JSON.

It is computed from the prediction table alone (and the model's thresholds), so that it can be made of any evaluation
folder, without the model and without the images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from carina.decisions.operating_point import OperatingPoint
from carina.decisions.policy import Policy
from carina.errors import ConfigurationError
from carina.evaluation.curve_bands import curves_with_bands
from carina.evaluation.decision_curve import decision_curve
from carina.evaluation.intervals import BoolArray, FloatArray, IntArray
from carina.evaluation.operating_table import build_operating_table
from carina.evaluation.predictions import findings_of, groups_of, probabilities_of, truth_of
from carina.evaluation.priorities import Spread, spread_of_bands, spread_of_flag
from carina.evaluation.reading_room import ReadingRoom, expected_turnaround
from carina.evaluation.reading_room_simulation import simulate_turnaround
from carina.evaluation.risk_coverage import measure_risk_coverage
from carina.evaluation.subgroups import FEWEST_PATIENTS, measure_subgroups
from carina.findings import NORMAL

REPORT_FIGURES_FORMAT = "carina-report-figures-1"
# One reader at four fifths of what can be read: busy, and not yet hopeless.
USUAL_ROOM = ReadingRoom(arrivals_per_hour=16, reading_minutes=3)


def report_figures(
    table: pl.DataFrame,
    point: OperatingPoint,
    policy: Policy | None = None,
    *,
    prevalence: float | None = None,
    room: ReadingRoom = USUAL_ROOM,
    history: pl.DataFrame | None = None,
    audit: Mapping[str, Any] | None = None,
    replicates: int = 1000,
    seed: int = 1234,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Return the figures of a report; the same input gives the same dict.

    Its keys: format, n, images (of each finding), patients, finding, threshold, prevalence (stated, or null),
    confidence, replicates, seed; curves and operating_tables (a finding's name: `curve_bands.FindingCurves`,
    `operating_table.OperatingTable` with ``shipped_names``, and that of the operating point's finding with ``called``:
    how many images of each finding each row calls); decision (``of_set``, and where a prevalence is stated ``stated``
    and ``stated_moved``: `decision_curve.DecisionCurve`); risk_coverage; subgroups; bands (null without a policy);
    reading_room; history (a column's name: values) and audit as they were given, null where they were not.

    Parameters
    ----------
    table
        A prediction table; see `carina.evaluation.predictions.predict_rows`.
    point
        The operating point that is shipped.
    policy
        Of the model; None for a model without bands.
    prevalence
        Of the operating point's finding where the model is to be used, strictly between 0 and 1.
    room
        The reading room to be reckoned with.
    history
        A row an epoch.
    audit
        ``audit.json`` of the same model.
    replicates, seed, confidence
        Of all intervals.

    Raises
    ------
    DataError
        If the table is empty or not one of predictions.
    ConfigurationError
        If the operating point's finding is not one of the table's, or a number is out of range.
    """
    findings = findings_of(table)
    if point.finding not in findings:
        msg = f"The operating point is for {point.finding!r}; the table has {', '.join(findings)}."
        raise ConfigurationError(msg)
    truth, probabilities, groups = truth_of(table), probabilities_of(table), groups_of(table)
    flag = findings.index(point.finding)
    drawn = {"replicates": replicates, "seed": seed, "confidence": confidence}
    curves = curves_with_bands(
        truth, probabilities, findings, groups, replicates=replicates, seed=seed, confidence=confidence
    )
    called = np.array([findings.index(name) for name in table["called"]], dtype=np.int_)
    risk = measure_risk_coverage(
        called == truth,
        probabilities[np.arange(len(called)), called],
        groups,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )
    shipped = _shipped(findings, point, policy, prevalence)
    tables = {
        name: build_operating_table(
            name, truth == i, probabilities[:, i], groups, shipped=list(shipped[name].values())
        ).to_json()
        | {"shipped_names": list(shipped[name])}
        for i, name in enumerate(findings)
    }
    # What a dragged flag does in the reading room depends on which finding's images it calls.
    tables[point.finding]["called"] = {
        name: _called(probabilities[truth == i, flag], tables[point.finding]["thresholds"])
        for i, name in enumerate(findings)
    }
    figures = {
        "format": REPORT_FIGURES_FORMAT,
        "n": table.height,
        "images": dict(zip(findings, np.bincount(truth, minlength=len(findings)).tolist(), strict=True)),
        "patients": len(np.unique(groups)),
        "finding": point.finding,
        "threshold": point.threshold,
        "prevalence": prevalence,
        **drawn,
        "curves": {curve.finding: curve.to_json() for curve in curves},
        "operating_tables": tables,
        "decision": _decision(truth == flag, probabilities[:, flag], groups, point, policy, prevalence, confidence),
        "risk_coverage": risk.to_json(),
        "subgroups": {
            "finding": point.finding,
            "threshold": point.threshold,
            "fewest_patients": FEWEST_PATIENTS,
            "divisions": [
                division.to_json()
                for division in measure_subgroups(
                    table, truth == flag, probabilities[:, flag], point.threshold, groups, confidence=confidence
                )
            ],
        },
        "bands": None if policy is None else asdict(policy.thresholds_at(prevalence)),
        "reading_room": _reading_room(table, point, policy, prevalence, room, seed),
        "history": None if history is None else history.to_dict(as_series=False),
        "audit": None if audit is None else dict(audit),
    }
    return {name: _json_safe(value) for name, value in figures.items()}


def _shipped(
    findings: tuple[str, ...], point: OperatingPoint, policy: Policy | None, prevalence: float | None
) -> dict[str, dict[str, float]]:
    """Return the thresholds that the model is used at, by finding and name."""
    shipped: dict[str, dict[str, float]] = {finding: {} for finding in findings}
    shipped[point.finding]["operating point"] = point.threshold
    if policy is not None:
        for other in policy.operating_points:
            shipped[other.finding].setdefault(other.in_words(), other.threshold)
        bands = policy.thresholds_at(prevalence)
        if bands.fast_track is not None:
            shipped[policy.flag_finding]["fast-track"] = bands.fast_track
        if bands.routine is not None:
            shipped[NORMAL]["routine"] = bands.routine
    return shipped


def _called(probability: FloatArray, thresholds: list[float]) -> list[int]:
    """Return how many images lie at or above each threshold."""
    called: list[int] = (len(probability) - np.searchsorted(np.sort(probability), thresholds, side="left")).tolist()
    return called


def _decision(
    positive: BoolArray,
    probability: FloatArray,
    groups: IntArray,
    point: OperatingPoint,
    policy: Policy | None,
    prevalence: float | None,
    confidence: float,
) -> dict[str, Any]:
    """Return the decision curve of the set, and those at a stated prevalence."""

    def curve(used: float | None, calibrated_at: float | None) -> dict[str, Any]:
        return decision_curve(
            point.finding,
            positive,
            probability,
            groups,
            prevalence=used,
            calibrated_at=calibrated_at,
            operating_point=point.threshold,
            confidence=confidence,
        ).to_json()

    out: dict[str, Any] = {"of_set": curve(None, None), "stated": None, "stated_moved": None}
    if prevalence is not None:
        out["stated"] = curve(prevalence, None)
        assumed = None if policy is None else policy.thresholds_at().prevalence
        if assumed is not None and 0 < assumed < 1:
            out["stated_moved"] = curve(prevalence, assumed)
    return out


def _reading_room(
    table: pl.DataFrame,
    point: OperatingPoint,
    policy: Policy | None,
    prevalence: float | None,
    room: ReadingRoom,
    seed: int,
) -> dict[str, Any]:
    """Return turnaround with the flag alone, and with the bands: by formula and simulated."""
    spreads: dict[str, Spread | None] = {"flag": spread_of_flag(table, point.finding, point.threshold), "bands": None}
    if policy is not None:
        spreads["bands"] = spread_of_bands(table, policy, prevalence)
    out: dict[str, Any] = {"room": asdict(room) | {"utilisation": room.utilisation}}
    for name, spread in spreads.items():
        if spread is None:
            out[name] = None
            continue
        out[name] = {"spread": spread.to_json(), "note": None, "expected": None, "simulated": None}
        try:
            arriving = spread.arriving(point.finding, prevalence)
        except ConfigurationError as error:
            # A set without the finding (or of nothing else) cannot say how its images would be sorted.
            out[name]["note"] = str(error)
            continue
        out[name]["expected"] = expected_turnaround(room, arriving).to_json()
        out[name]["simulated"] = simulate_turnaround(room, arriving, seed=seed).to_json()
    return out


def _json_safe(value: Any) -> Any:
    """Return the value with null for what is no number: JSON knows neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {str(name): _json_safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
