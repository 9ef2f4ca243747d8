"""ROC and precision-recall curves thinned for a page, with pointwise confidence bands from one bootstrap of patients.

**The bands are pointwise**: at each false positive rate (each recall) taken by itself the interval holds the true
sensitivity (precision) with 95 % confidence. The whole true curve lies within them less often.

**Thinning**: a curve keeps the first point in each of `POINTS` equal parts of the way along it, so that no two kept
neighbours are further apart than two such parts unless they are neighbours in the full curve. Every kept point is
a real threshold (``probability >= threshold``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from carina.statistics.bootstrap import draw_weights
from carina.statistics.checked_table import check_probabilities, check_truth
from carina.statistics.curves import missing_side
from carina.statistics.intervals import BoolArray, FloatArray, IntArray
from carina.statistics.resampling import count_cells, kish_effect, running_sums, wilson_from_replicates

POINTS = 200
LEVELS = 100
# So fine that a replicate's curve, known at these thresholds alone, lies within 0.002 of its own.
_CELLS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """What a curve reaches at given places, with pointwise intervals.

    Parameters
    ----------
    level
        float64 (t,), rising, range (0, 1]: the false positive rate, or the recall.
    value, low, high
        float64 (t,), range [0, 1]: sensitivity, or precision.
    """

    level: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray


_NOTHING: FloatArray = np.zeros(0)
_NOTHING.setflags(write=False)
_NO_BAND = Band(_NOTHING, _NOTHING, _NOTHING, _NOTHING)


@dataclass(frozen=True, slots=True, eq=False)
class FindingCurves:
    """Both curves of one finding against the rest.

    Parameters
    ----------
    finding
        Its name.
    note
        Why there are no curves, or None. All arrays are empty where there is a note.
    false_positive_rate, sensitivity
        float64 (t,), t <= `POINTS`. At the first point, above every probability, nothing is called.
    recall, precision
        float64 (t,), t <= `POINTS`.
    roc_band
        Sensitivity at each false positive rate, read off the straight lines between the points of the full curve.
    precision_recall_band
        Precision at the highest threshold whose recall is at least the level.
    """

    finding: str
    note: str | None
    false_positive_rate: FloatArray = field(default_factory=lambda: _NOTHING)
    sensitivity: FloatArray = field(default_factory=lambda: _NOTHING)
    recall: FloatArray = field(default_factory=lambda: _NOTHING)
    precision: FloatArray = field(default_factory=lambda: _NOTHING)
    roc_band: Band = _NO_BAND
    precision_recall_band: Band = _NO_BAND


def curves_with_bands(
    truth: IntArray,
    probabilities: FloatArray,
    findings: Sequence[str],
    groups: IntArray | None = None,
    *,
    replicates: int = 1000,
    seed: int = 1234,
) -> tuple[FindingCurves, ...]:
    """Return ROC and precision-recall curve of each finding against the rest, with pointwise bands.

    Images are drawn with replacement within each true finding, whole patients at a time, the same draws for all
    findings; see `resampling.wilson_from_replicates` for the intervals. False positive rates of the ROC band begin at
    10 false alarms, where a set begins to say anything about them.

    Source: vertical bands: Pepe 2003, The Statistical Evaluation of Medical Tests for Classification and Prediction,
    chapter 5; Fawcett 2006, doi:10.1016/j.patrec.2005.10.010.

    Parameters
    ----------
    truth, probabilities, findings, groups, replicates, seed
        As `metrics.measure` takes them. Replicates give a variance and no quantile, so that fewer do than elsewhere.

    Raises
    ------
    DataError
        As `metrics.measure` does.
    ConfigurationError
        If replicates is below 1.
    """
    truth = check_truth(truth, len(findings))
    probabilities = check_probabilities(probabilities, len(truth), len(findings))
    wholes = [_all_steps(truth == i, probabilities[:, i]) for i in range(len(findings))]
    curves = [_curves_of(name, truth == i, wholes[i]) for i, name in enumerate(findings)]
    present = [i for i, curve in enumerate(curves) if curve.note is None]
    if not present:
        return tuple(curves)
    ends = {i: _thinned(np.unique(probabilities[:, i]), truth == i, probabilities[:, i]) for i in present}
    cells = []
    for i in present:
        # The cell of an image: the highest of the kept thresholds that calls it, and its side.
        step = np.searchsorted(ends[i], probabilities[:, i], side="right") - 1
        cells.append(2 * (len(ends[i]) - 1 - step) + (truth == i))
    draws = draw_weights(truth, groups=groups, replicates=replicates, seed=seed)
    drawn = count_cells(draws, cells, [2 * len(ends[i]) for i in present])
    for i, counts in zip(present, drawn, strict=True):
        replicated = _Steps(running_sums(counts[:, ::2]), running_sums(counts[:, 1::2]))
        kish = kish_effect(None if groups is None else np.asarray(groups)[truth == i], int((truth == i).sum()))
        curves[i] = replace(
            curves[i],
            roc_band=_roc_band(wholes[i], replicated, kish),
            precision_recall_band=_precision_recall_band(wholes[i], replicated, kish),
        )
    return tuple(curves)


def _curves_of(finding: str, positive: BoolArray, whole: _Steps) -> FindingCurves:
    """Return the thinned curves without their bands."""
    if note := missing_side(positive):
        return FindingCurves(finding, note)
    alarms, hits = whole.alarms[0], whole.hits[0]
    rates, sensitivity = alarms / alarms[-1], hits / hits[-1]
    kept = _evenly(rates + sensitivity, POINTS)
    recall, precision = sensitivity[1:], hits[1:] / (hits[1:] + alarms[1:])
    # The way along a precision-recall curve goes up and down: what is passed counts, not where it ends.
    passed = np.cumsum(np.abs(np.diff(precision, prepend=precision[0])))
    kept_too = _evenly(recall + passed / max(1.0, float(passed[-1])), POINTS)
    return FindingCurves(finding, None, rates[kept], sensitivity[kept], recall[kept_too], precision[kept_too])


def _evenly(way: FloatArray, room: int) -> IntArray:
    """Return the first and last place, and the first in each equal part of a rising way: at most `room` of them."""
    if len(way) <= room:
        return np.arange(len(way))
    part = np.floor((way - way[0]) / (way[-1] - way[0]) * (room - 1))
    first = np.unique(part, return_index=True)[1]
    first[-1] = len(way) - 1
    return np.asarray(first)


def _thinned(rising: FloatArray, positive: BoolArray, probability: FloatArray) -> FloatArray:
    """Return thresholds, rising, between which no more than a thousandth of either side lies."""
    ranks = [np.searchsorted(np.sort(probability[side]), rising) / side.sum() for side in (positive, ~positive)]
    kept = _evenly(ranks[0] + ranks[1], _CELLS)
    return np.asarray(rising[np.unique(np.append(0, kept))])


def _all_steps(positive: BoolArray, probability: FloatArray) -> _Steps:
    """Return the steps at each distinct probability, falling."""
    rising, place = np.unique(probability, return_inverse=True)
    sides = [np.bincount(place[side], minlength=len(rising)).astype(np.float64) for side in (~positive, positive)]
    return _Steps(*(running_sums(side[None, ::-1]) for side in sides))


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """False alarms and hits called in all, float64 (r, t + 1), from none to all."""

    alarms: FloatArray
    hits: FloatArray


def _place(rising: FloatArray, wanted: FloatArray, side: str) -> IntArray:
    """Return `np.searchsorted` in each row: int (r, levels); both hold whole numbers, or halves between them."""
    rows, width = rising.shape
    lift = (float(max(rising.max(), wanted.max())) + 2) * np.arange(rows)[:, None]
    flat = np.searchsorted((rising + lift).ravel(), (wanted + lift).ravel(), side=side)  # type: ignore[call-overload]
    return np.asarray(flat.reshape(wanted.shape) - width * np.arange(rows)[:, None])


def _sensitivity_at(steps: _Steps, rates: FloatArray) -> FloatArray:
    """Return the sensitivity at false positive rates, linear between steps: float64 (r, levels)."""
    negatives, positives = steps.alarms[:, -1:], steps.hits[:, -1:]
    wanted = rates * negatives
    # The last step with no more alarms. Whole alarms are found by their whole number, whatever a product rounds to.
    left = _place(steps.alarms, np.floor(wanted + 1e-9), "right") - 1
    right = np.minimum(left + 1, steps.alarms.shape[1] - 1)
    alarms, hits = (np.take_along_axis(values, left, axis=1) for values in (steps.alarms, steps.hits))
    more, further = (np.take_along_axis(values, right, axis=1) for values in (steps.alarms, steps.hits))
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip(np.where(more > alarms, (wanted - alarms) / (more - alarms), 0.0), 0.0, 1.0)
        return np.asarray((hits + part * (further - hits)) / positives)


def _precision_at(steps: _Steps, recalls: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the precision where each recall is first reached, and how many images are called: float64 (r, levels)."""
    positives = steps.hits[:, -1:]
    place = _place(steps.hits, np.ceil(recalls * positives - 1e-9), "left")
    place = np.minimum(place, steps.hits.shape[1] - 1)
    hits = np.take_along_axis(steps.hits, place, axis=1)
    called = hits + np.take_along_axis(steps.alarms, place, axis=1)
    with np.errstate(invalid="ignore"):
        return hits / called, called


def _roc_band(whole: _Steps, drawn: _Steps, kish: float) -> Band:
    negatives, positives = float(whole.alarms[0, -1]), float(whole.hits[0, -1])
    # Closer where good models are told apart.
    rates = (np.arange(1, LEVELS + 1) / LEVELS) ** 2
    rates = rates[rates * negatives >= min(10.0, negatives)]
    value = _sensitivity_at(whole, rates[None])[0]
    replicated = _sensitivity_at(drawn, np.broadcast_to(rates, (len(drawn.hits), len(rates))))
    low, high = wilson_from_replicates(value, replicated, np.full(len(rates), positives), kish)
    return Band(rates, value, low, high)


def _precision_recall_band(whole: _Steps, drawn: _Steps, kish: float) -> Band:
    recalls = np.arange(1, LEVELS + 1) / LEVELS
    value, called = _precision_at(whole, recalls[None])
    replicated, _ = _precision_at(drawn, np.broadcast_to(recalls, (len(drawn.hits), LEVELS)))
    low, high = wilson_from_replicates(value[0], replicated, called[0], kish)
    return Band(recalls, value[0], low, high)
