"""Whether the flagged finding is found equally well in every view, source, sex and age."""

import numpy as np

from carina.decisions.policy import Policy
from carina.evaluation.audit.audit_results import SensitivityGap
from carina.evaluation.audit.judged import Judged
from carina.evaluation.audit.share import proportion_of_enough, weighted_sum
from carina.statistics.bootstrap import bootstrap_estimates
from carina.statistics.intervals import BoolArray, Estimate, FloatArray, IntArray, not_applicable
from carina.statistics.subgroups import NOT_KNOWN, part_names
from carina.wording import listed

_AXES = ("view", "source", "sex", "age")


def sensitivity_gaps(
    judged: Judged, policy: Policy, *, replicates: int, seed: int
) -> tuple[tuple[SensitivityGap, ...], list[str]]:
    """Return how the sensitivity of each group differs from that of the group with most patients, and what has no gap.

    Patients are drawn whole, for both groups at once: one who was imaged in both views counts in both.
    """
    shown = (judged.rows["finding"] == policy.flag_finding).fill_null(value=False)
    positives, images_of = judged.rows.filter(shown), judged.images_of
    if positives.is_empty():
        return (), [f"sensitivity by group, {images_of}: not applicable: no image shows {policy.flag_finding}"]
    probability = judged.probabilities[shown.to_numpy(), policy.findings.index(policy.flag_finding)]
    found = probability >= policy.operating_point.threshold
    gaps: list[SensitivityGap] = []
    missing: dict[str, list[str]] = {}
    patients = judged.groups[shown.to_numpy()]
    for by in _AXES:
        names = part_names(positives, by)
        sizes = {str(name): len(np.unique(patients[names == name])) for name in sorted(set(names))}
        known = {name: size for name, size in sizes.items() if name != NOT_KNOWN}
        if len(sizes) < 2 or not known:
            reason = f"all images with the finding are alike ({next(iter(known))})" if known else "not known"
            missing.setdefault(reason, []).append(by)
            continue
        reference = max(known, key=lambda name: known[name])
        of_reference = names == reference
        for group in sorted(sizes, key=lambda name: (name == NOT_KNOWN, -sizes[name])):
            if group != reference:
                of_group = names == group
                one, other = (proportion_of_enough(found[rows], patients[rows]) for rows in (of_group, of_reference))
                gap = _gap(found, of_group, of_reference, (one, other), patients, replicates, seed)
                gaps.append(SensitivityGap(images_of, by, group, reference, one, other, gap))
    return tuple(gaps), [
        f"sensitivity by {listed(axes)}, {images_of}: not applicable: {reason}" for reason, axes in missing.items()
    ]


def _gap(
    found: BoolArray,
    group: BoolArray,
    reference: BoolArray,
    sensitivities: tuple[Estimate, Estimate],
    patients: IntArray,
    replicates: int,
    seed: int,
) -> Estimate:
    for item in sensitivities:
        if item.value is None:
            return not_applicable(item.note or "too few")
    # Where all or none are found, a bootstrap would take that for certain.
    if any(item.value in (0, 1) for item in sensitivities):
        return weighted_sum(sensitivities, (1, -1))

    def statistic(weights: IntArray) -> FloatArray:
        drawn = weights.astype(np.float64)
        with np.errstate(invalid="ignore"):
            one, other = (drawn @ (rows & found) / (drawn @ rows) for rows in (group, reference))
        return np.asarray(one - other)[:, np.newaxis]

    alike = np.zeros(len(found), dtype=np.int_)
    (gap,) = bootstrap_estimates(statistic, truth=alike, groups=patients, replicates=replicates, seed=seed, signed=True)
    return gap
