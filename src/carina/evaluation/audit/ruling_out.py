"""How many normal radiographs could be set aside without losing more than 1 % of the abnormal ones."""

import numpy as np
import polars as pl

from carina.datasets.label_cells import is_unknown
from carina.decisions.operating_point import OperatingPointRule, choose_operating_point
from carina.evaluation.audit.audit_results import RuledOut
from carina.evaluation.audit.judged import Judged
from carina.evaluation.audit.share import proportion_of_enough
from carina.findings import NORMAL
from carina.statistics.fixed_specificity import sensitivity_at_specificity
from carina.statistics.intervals import BoolArray, not_applicable
from carina.statistics.subgroups import FEWEST_PATIENTS

KEPT = 0.99
SAME_IMAGES = "the same images (optimistic)"
_ON_CALIBRATION = "the calibration split"
_RULE = OperatingPointRule(finding="not normal", rule="sensitivity-at-least", target=KEPT)


def _sides(rows: pl.DataFrame) -> tuple[BoolArray, BoolArray]:
    """Return which images are normal, and which show a finding, known to the model or not."""
    labels = rows["finding"].to_list()
    normal = np.array([label == NORMAL for label in labels], dtype=np.bool_)
    return normal, np.array([label != NORMAL and not is_unknown(label) for label in labels], dtype=np.bool_)


def choose_threshold(calibration: Judged, normal_at: int) -> float | None:
    """Return the threshold on 1 - P(Normal) that keeps 99 % of the abnormal images; None where there are too few."""
    normal, abnormal = _sides(calibration.rows)
    if min(len(np.unique(calibration.groups[side])) for side in (normal, abnormal)) < FEWEST_PATIENTS:
        return None
    either = normal | abnormal
    probability = 1 - calibration.probabilities[either, normal_at]
    chosen = choose_operating_point(abnormal[either], probability, _RULE, chosen_on="calibration")
    return chosen.threshold


def ruled_out(judged: Judged, normal_at: int, threshold: float | None, *, replicates: int) -> tuple[RuledOut, ...]:
    """Return the share of normals ruled out: in all and per source at a threshold, and at one of the images' own.

    Parameters
    ----------
    normal_at
        The place of Normal among the model's findings.
    threshold
        From `choose_threshold`, on other images; without one only the images' own is asked.
    """
    normal, abnormal = _sides(judged.rows)
    p_normal = judged.probabilities[:, normal_at]
    if not normal.any():
        return ()
    kept = np.zeros(len(normal), dtype=np.bool_) if threshold is None else 1 - p_normal >= threshold
    answers = []
    if threshold is not None:
        sources = judged.rows["source"]
        named = sorted(sources.filter(pl.Series(normal | abnormal)).drop_nulls().unique().to_list())
        for source in (None, *named):
            within = np.ones(len(normal), dtype=np.bool_)
            if source is not None:
                within = (sources == source).fill_null(value=False).to_numpy()
            share, sensitivity = (
                proportion_of_enough(right[rows], judged.groups[rows])
                for right, rows in ((~kept, within & normal), (kept, within & abnormal))
            )
            answers.append(RuledOut(judged.images_of, source, _ON_CALIBRATION, threshold, share, sensitivity))
    if min(len(np.unique(judged.groups[side])) for side in (normal, abnormal)) >= FEWEST_PATIENTS:
        either = normal | abnormal
        # To rule out normals at a sensitivity is to find normals at that specificity.
        (share,) = sensitivity_at_specificity(
            normal[either],
            p_normal[either],
            (KEPT,),
            groups=judged.groups[either],
            replicates=replicates,
        )
        by_choice = not_applicable(f"at least {100 * KEPT:.0f} % by choice")
        answers.append(RuledOut(judged.images_of, None, SAME_IMAGES, None, share, by_choice))
    return tuple(answers)
