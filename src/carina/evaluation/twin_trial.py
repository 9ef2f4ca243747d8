"""A model's twin in another precision beside the model: each with its own policy, in pairs on the same images."""

import numpy as np
from numpy.typing import NDArray

from carina.bundles.twin import Measure, Pair, Trial
from carina.decisions.policy import Policy
from carina.decisions.triage import Priority, decide
from carina.errors import DataError
from carina.evaluation.comparison import PairedTest, mcnemar
from carina.findings import NORMAL
from carina.statistics.curves import missing_side
from carina.statistics.delong import auroc_components, mean_auroc_difference
from carina.statistics.intervals import Estimate, IntArray


def try_twin(
    before: tuple[NDArray[np.floating], Policy],
    after: tuple[NDArray[np.floating], Policy],
    truth: NDArray[np.integer],
    groups: IntArray,
    *,
    engine: str,
) -> Trial:
    """Return what a twin reaches beside the model that it is a twin of.

    Parameters
    ----------
    before, after
        Logits, float ``(images, findings)``, and policy: of the classifier, and of its twin.
    truth, groups
        The place of each image's finding, and its patient, int ``(images,)``.
    engine
        The twin's library and version.

    Raises
    ------
    DataError
        If no finding is there on some images and missing on others, or the flagged one is not.
    """
    tables = [policy.probabilities(logits) for logits, policy in (before, after)]
    policies = [before[1], after[1]]
    flag = policies[0].findings.index(policies[0].flag_finding)
    has = truth == flag
    if missing_side(has) is not None:
        msg = f"All images, or none, are of {policies[0].flag_finding}: no twin can be compared. Name other images."
        raise DataError(msg)
    flagged = [
        table[:, flag] >= policy.operating_point.threshold for table, policy in zip(tables, policies, strict=True)
    ]
    decisions = [decide(table, policy) for table, policy in zip(tables, policies, strict=True)]
    names = np.array(policies[0].findings)[truth]
    banded, rightly = zip(*(_in_bands(each, names, policies[0].flag_finding) for each in decisions), strict=True)
    bands = [policy.thresholds_at() for policy in policies]
    return Trial(
        engine=engine,
        images=len(truth),
        pairs=(
            _auroc_pair(tables, truth, groups),
            _pair("sensitivity", mcnemar(flagged[1][has], flagged[0][has], groups[has])),
            _pair("specificity", mcnemar(~flagged[1][~has], ~flagged[0][~has], groups[~has])),
            _pair("share in bands", mcnemar(banded[1], banded[0], groups)),
            _pair("share not wrongly in a band", mcnemar(rightly[1], rightly[0], groups)),
        ),
        lost=tuple(
            name
            for name, *ends in (
                ("routine", *(each.routine for each in bands)),
                ("fast-track", *(each.fast_track for each in bands)),
            )
            if ends[0] is not None and ends[1] is None
        ),
        changed=sum(one != other for one, other in zip(*decisions, strict=True)),
    )


def _pair(measure: Measure, test: PairedTest) -> Pair:
    twin, classifier = test.value_a or 0.0, test.value_b or 0.0
    low, high = _ends(test.difference, twin - classifier)
    return Pair(measure=measure, classifier=classifier, twin=twin, low=low, high=high)


def _ends(difference: Estimate, value: float) -> tuple[float, float]:
    # Both judge alike, or every patient gives the same difference: the data show no spread.
    low, high = (value if end is None else end for end in (difference.low, difference.high))
    return low, high


def _auroc_pair(tables: list[NDArray[np.float64]], truth: NDArray[np.integer], groups: IntArray) -> Pair:
    """Return the macro AUROC, one finding against the rest, and the interval of its difference in pairs."""
    there = [finding for finding in range(tables[0].shape[1]) if missing_side(truth == finding) is None]
    first, second = (
        [auroc_components(truth == finding, table[:, finding], groups) for finding in there] for table in tables
    )
    classifier, twin = (float(np.mean([part.auroc for part in parts])) for parts in (first, second))
    low, high = _ends(mean_auroc_difference(first, second), twin - classifier)
    return Pair(measure="macro AUROC", classifier=classifier, twin=twin, low=low, high=high)


def _in_bands(
    decisions: list[tuple[str, Priority]], names: NDArray[np.str_], flag: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images are in a band with a promise, and which are in none where they do not belong."""
    priorities = np.array([priority for _, priority in decisions])
    routine, fast_track = priorities == "routine", priorities == "fast-track"
    return routine | fast_track, ~((routine & (names != NORMAL)) | (fast_track & (names != flag)))
