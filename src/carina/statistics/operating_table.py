"""The operating-point table: what every threshold of a finding reaches.

The explorer of a report computes at any threshold; this is the same on paper and for other programs. The rules:

- **Calling**: present where ``probability >= threshold``.
- **Steps**: two thresholds between the same two neighbouring probabilities call the same images. The table has a row a
  step, from "all" (threshold 0) to "none" (threshold 1; not there where a probability is exactly 1).
- **Rounding**: a row's threshold is the shortest decimal number strictly between those two probabilities, so that what
  is shown is the threshold itself and nothing is rounded. Shipped thresholds keep their own digits.
- **Thinning**: beyond `LIMIT` steps, rows are kept so that sensitivity, specificity and threshold move evenly; shipped
  thresholds and both ends always stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carina.errors import ConfigurationError, DataError
from carina.statistics.curves import checked_scores
from carina.statistics.intervals import BoolArray, FloatArray, IntArray
from carina.statistics.threshold_counts import ThresholdCounts, count_at_thresholds

LIMIT = 1000


@dataclass(frozen=True, slots=True, eq=False)
class OperatingTable:
    """Counts at the thresholds of one finding.

    Parameters
    ----------
    counts
        Thresholds rising, from 0; see `ThresholdCounts`.
    shipped
        The rows of the thresholds that had to be kept, in the order that they were given.
    """

    counts: ThresholdCounts
    shipped: tuple[int, ...]


def build_operating_table(
    positive: BoolArray,
    probability: FloatArray,
    groups: IntArray | None = None,
    *,
    shipped: Sequence[float] = (),
    limit: int = LIMIT,
) -> OperatingTable:
    """Return the counts at every step of a finding's threshold, thinned to a limit.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding; one side may be empty.
    probability
        float (n,), range [0, 1].
    groups
        int (n,) patient or duplicate group ids, or None.
    shipped
        Thresholds, not negative, that are rows with exactly these digits. One may lie just above 1: a rule that is met
        only by calling nothing chooses it where a probability is 1.
    limit
        The largest number of rows, at least two more than are shipped.

    Raises
    ------
    DataError
        If there is no image, the lengths differ, a probability is NaN or leaves [0, 1], or a group id is negative.
    ConfigurationError
        If a shipped threshold is negative or not finite, or the limit leaves no room.
    """
    positive, probability = checked_scores(positive, probability)
    if len(probability) == 0 or probability.min() < 0 or probability.max() > 1:
        msg = "The operating-point table needs at least one image, and probabilities from 0 to 1."
        raise DataError(msg)
    if not all(0 <= threshold < np.inf for threshold in shipped) or limit < len(shipped) + 2:
        msg = (
            f"Shipped thresholds are {list(shipped)} and the limit is {limit} rows. "
            "Give finite numbers that are not negative, and a limit of at least two rows more."
        )
        raise ConfigurationError(msg)
    # Step j holds the thresholds above ends[j - 1] and up to ends[j].
    ends = np.unique(probability)
    if ends[-1] < 1:
        ends = np.append(ends, 1.0)
    # A shipped threshold represents its step, so that no two rows but shipped ones call the same images.
    taken = set(np.searchsorted(ends, np.asarray(shipped, dtype=np.float64), side="left").tolist())
    kept = _thin(count_at_thresholds(positive, probability, ends), max(2, limit - len(shipped)))
    rows = [_shown(ends, step, nothing_called=ends[-1] > probability.max()) for step in kept if step not in taken]
    thresholds = np.unique([*rows, *shipped])
    return OperatingTable(
        count_at_thresholds(positive, probability, thresholds, groups),
        tuple(np.searchsorted(thresholds, np.asarray(shipped, dtype=np.float64)).tolist()),
    )


def _thin(steps: ThresholdCounts, room: int) -> list[int]:
    """Return the first step in each of equal parts of the way that sensitivity, specificity and threshold go."""
    if len(steps.thresholds) <= room:
        return list(range(len(steps.thresholds)))
    way = 2 * steps.thresholds + steps.false_negative / max(1, steps.positives)
    way += steps.true_negative / max(1, steps.negatives)
    part = np.floor((way - way[0]) / (way[-1] - way[0]) * (room - 1))
    first: list[int] = np.unique(part, return_index=True)[1].tolist()
    return first


def _shown(ends: FloatArray, step: int, *, nothing_called: bool) -> float:
    """Return the threshold that represents a step: the shortest decimal number that calls its images."""
    if step == 0:
        return 0.0
    lower, upper = float(ends[step - 1]), float(ends[step])
    if nothing_called and step == len(ends) - 1:
        return 1.0
    for digits in range(1, 18):
        rounded = round((lower + upper) / 2, digits)
        if lower < rounded < upper:
            return rounded
    # Neighbouring floats: the upper one calls the images at or above it.
    return upper
