"""What films without labels can say: how frequent the findings are, and which films are worth a label next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.statistics.intervals import Estimate, not_applicable

_DRAWS = 500
# Of the films to label next: the rest is drawn at random, so that figures on it are those of the site.
_INFORMATIVE_SHARE = 0.75
CANNOT = (
    "Films without labels cannot give AUROC, sensitivity, specificity, thresholds or promises. The shares above hold "
    "only if these films look as the labelled ones do and nothing but the frequency of the findings differs."
)


@dataclass(frozen=True, slots=True)
class NextFilm:
    """A film to label next.

    Attributes
    ----------
    place
        Its number among the films that were given.
    chosen
        ``informative``: the model is undecided about it; ``random``: drawn by chance.
    """

    place: int
    chosen: str


def estimate_prevalence(
    unlabelled: NDArray[np.float64],
    labelled: NDArray[np.float64],
    labels: NDArray[np.integer],
    findings: Sequence[str],
    *,
    seed: int = 1234,
) -> dict[str, Estimate]:
    """Return the share of each finding among films without labels, with its bootstrap interval.

    The mean probabilities of unlabelled films are a mix of those that labelled films of each finding have; the shares
    of the mix are sought. Both kinds of films are drawn again for the interval.

    Source: Lipton, Wang and Smola 2018, "Detecting and correcting for label shift with black box predictors",
    arXiv:1802.03916 (with probabilities in place of calls).

    Parameters
    ----------
    unlabelled
        float64 ``(m, k)``: probabilities of the films without labels; m is at least 1.
    labelled, labels
        float64 ``(n, k)`` and int ``(n,)``: of films with labels that the model did not learn from.
    findings
        Names of the k columns.
    seed
        Of the bootstrap.
    """
    present = np.unique(labels)
    rng = np.random.default_rng(seed)

    def shares(new: NDArray[np.float64], drawn: dict[int, NDArray[np.intp]]) -> NDArray[np.float64]:
        means = np.stack([labelled[rows].mean(axis=0) for rows in drawn.values()], axis=1)
        return _mix(means, new.mean(axis=0))

    rows = {int(finding): np.flatnonzero(labels == finding) for finding in present}
    value = shares(unlabelled, rows)
    replicates = np.stack(
        [
            shares(
                unlabelled[rng.integers(len(unlabelled), size=len(unlabelled))],
                {finding: rng.choice(of, len(of)) for finding, of in rows.items()},
            )
            for _ in range(_DRAWS)
        ]
    )
    low, high = np.quantile(replicates, (0.025, 0.975), axis=0)
    estimates = {finding: not_applicable("no labelled film has it") for finding in findings}
    for place, finding in enumerate(present.tolist()):
        estimates[findings[finding]] = Estimate(
            float(value[place]),
            float(min(low[place], value[place])),
            float(max(high[place], value[place])),
            "bootstrap",
        )
    return estimates


def choose_next(probabilities: NDArray[np.float64], count: int, *, seed: int = 1234) -> list[NextFilm]:
    """Return which films to label next: three of four that the model is most undecided about, and the rest by chance.

    Undecided is what has the highest entropy of its probabilities. Films that were chosen so are harder than the site's
    films are: figures for the site come from the random ones alone.

    Source: Lewis and Gale 1994, arXiv:cmp-lg/9407020 (uncertainty sampling).

    Parameters
    ----------
    probabilities
        float64 ``(m, k)``: of the films without labels.
    count
        How many to choose; all of them if there are fewer.
    seed
        Of the random share.
    """
    count = min(count, len(probabilities))
    entropy = -(probabilities * np.log(np.clip(probabilities, 1e-12, 1))).sum(axis=1)
    # By chance first: what is drawn by chance must not depend on what the model thinks of it.
    drawn = np.random.default_rng(seed).permutation(len(probabilities))[: count - round(_INFORMATIVE_SHARE * count)]
    undecided = [place for place in np.argsort(-entropy, kind="stable").tolist() if place not in set(drawn.tolist())]
    chosen = [NextFilm(place, "random") for place in sorted(drawn.tolist())]
    return [NextFilm(place, "informative") for place in undecided[: count - len(drawn)]] + chosen


def _mix(means: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares, none below 0 and summing to 1, whose mix of the columns of `means` comes nearest to `seen`."""
    from scipy.optimize import nnls  # noqa: PLC0415  # half a second to import

    # The sum is held by a row that weighs more than all others.
    heavy = 1e3
    shares, _ = nnls(np.vstack([means, np.full(means.shape[1], heavy)]), np.append(seen, heavy))
    return np.asarray(shares / shares.sum())
