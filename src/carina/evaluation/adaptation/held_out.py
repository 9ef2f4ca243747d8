"""What adapting a model brings, on films that it was not adapted to: the whole way is gone once for each fold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carina.decisions.bands import BandName
from carina.decisions.policy import Policy
from carina.decisions.probabilities import softmax
from carina.decisions.triage import decide
from carina.evaluation.adaptation.refit import FOLDS, cross_fit, refit_head, split_patients
from carina.evaluation.adaptation.site import SiteFilms
from carina.evaluation.comparison import PairedTest, mcnemar, paired_brier, paired_delong
from carina.findings import NORMAL
from carina.statistics.curves import auroc
from carina.statistics.delong import auroc_components, delong_interval
from carina.statistics.intervals import Estimate, IntArray, not_applicable
from carina.statistics.proportion import normal_quantile

FitPolicy = Callable[[NDArray[np.floating], NDArray[np.integer], NDArray[np.integer]], Policy]
"""Logits, labels and patients become a policy."""

FEWEST = 10
"""Patients with a finding, and without. With fewer, a fold of a fold has none of them."""
CURVE = (25, 50, 100, 200, 400, 800, 1600)
"""Numbers of labelled films in a learning curve."""
CURVE_SHARE = 0.4
"""Of all labelled films, the most that a point of the learning curve may have."""
_CURVE_DRAWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """What one model says of n films that it did not learn from.

    Attributes
    ----------
    probabilities
        float64 ``(n, k)``, in the order of the adapted model's findings; 0 for one that this model does not know.
    flagged
        bool ``(n,)``: whether the flagged finding is at or above the threshold. None where it does not know it.
    priority
        Of each film; empty where it has another flagged finding.
    """

    probabilities: NDArray[np.float64]
    flagged: NDArray[np.bool_] | None
    priority: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The shipped and the adapted model on the same films.

    Attributes
    ----------
    findings, flag_finding
        Of the adapted model.
    added
        Those of them that the shipped model does not know.
    labels, groups
        int ``(n,)``: true finding and patient of each film.
    shipped, adapted
        What each says. The adapted one is another for each fold: it had not seen the fold.
    curve
        For numbers of labelled films, the macro AUROC that they give, and its standard deviation over draws.
    curve_end
        The number of films that each fold's model learned from, and the macro AUROC of these models: what the curve is
        compared with. Like the curve it is that of logits without calibration.
    """

    findings: tuple[str, ...]
    flag_finding: str
    added: tuple[str, ...]
    labels: IntArray
    groups: IntArray
    shipped: Judgements
    adapted: Judgements
    curve: dict[int, tuple[float, float]]
    curve_end: tuple[int, float]

    @property
    def measured(self) -> tuple[int, ...]:
        """Return the findings that enough patients have and enough have not: the AUROC of fewer is chance."""
        return measurable(self.labels, self.groups)

    @property
    def compared(self) -> tuple[int, ...]:
        """Return the measured findings that the shipped model knows: only these have a before and an after."""
        return tuple(finding for finding in self.measured if self.findings[finding] not in self.added)

    def macro_auroc(self, judged: Judgements) -> float:
        """Return the mean AUROC over the findings that are compared."""
        return macro_auroc(self.labels, judged.probabilities, self.compared)

    def added_aurocs(self) -> dict[str, Estimate]:
        """Return the AUROC of each measured finding that the shipped model does not know, after adapting."""
        return {
            self.findings[place]: delong_interval(
                self.labels == place, self.adapted.probabilities[:, place], self.groups
            )
            for place in self.measured
            if place not in self.compared
        }

    def aurocs(self) -> list[PairedTest]:
        """Return for each finding that both models know the AUROC after and before, and their paired difference."""
        return self._paired(paired_delong)

    def calls(self) -> list[PairedTest]:
        """Return sensitivity and specificity of the flagged finding after and before; none if it was not known."""
        before, after = self.shipped.flagged, self.adapted.flagged
        if before is None or after is None:
            return []
        truth = self.labels == self.findings.index(self.flag_finding)
        return [
            mcnemar(
                (after == truth)[among],
                (before == truth)[among],
                self.groups[among],
                measure=measure,
                finding=self.flag_finding,
            )
            for measure, among in (("sensitivity", truth), ("specificity", ~truth))
        ]

    def briers(self) -> list[PairedTest]:
        """Return for each finding that both models know the Brier score after and before, and their paired difference.

        It is small where probabilities are near to what is true.
        """
        return self._paired(paired_brier)

    def _paired(self, test: Callable[..., PairedTest]) -> list[PairedTest]:
        """Return a test of both models' probabilities, for each finding that both know."""
        return [
            test(
                self.labels == finding,
                self.adapted.probabilities[:, finding],
                self.shipped.probabilities[:, finding],
                self.groups,
                finding=self.findings[finding],
            )
            for finding in self.compared
        ]

    def adapted_calls(self) -> tuple[float, float]:
        """Return sensitivity and specificity of the flagged finding by the adapted model."""
        truth = self.labels == self.findings.index(self.flag_finding)
        called = self.adapted.flagged if self.adapted.flagged is not None else np.zeros(len(truth), np.bool_)
        return float(called[truth].mean()), float((~called)[~truth].mean())

    def gain(self) -> Estimate:
        """Return how much the macro AUROC over the findings that both models know rose, with its paired interval.

        Source: DeLong et al. 1988, doi:10.2307/2531595; by patient: Obuchowski 1997, doi:10.2307/2533958.
        """
        total, value = np.zeros(len(np.unique(self.groups))), 0.0
        for finding in self.compared:
            positive = self.labels == finding
            after, before = (
                auroc_components(positive, judged.probabilities[:, finding], self.groups)
                for judged in (self.adapted, self.shipped)
            )
            value += (after.auroc - before.auroc) / len(self.compared)
            if min(after.positive_groups, after.negative_groups) < 2:
                return Estimate(
                    value, None, None, "none", note=f"one patient has, or has not, {self.findings[finding]}"
                )
            for part, count in (
                (after.positive - before.positive, after.positive_groups),
                (after.negative - before.negative, after.negative_groups),
            ):
                total += math.sqrt(count / (count - 1)) * part / len(self.compared)
        if not self.compared:
            return not_applicable("no finding that both models know has enough patients")
        half = normal_quantile(0.95) * float(np.sqrt(total @ total))
        return Estimate(value, max(-1.0, value - half), min(1.0, value + half), "DeLong paired")

    def why_not(self) -> str | None:
        """Return why the adapted model must not replace the shipped one, all reasons in one sentence; none if it may.

        It is refused where the flagged finding's sensitivity or any AUROC fell by more than chance, where the macro
        AUROC did not rise by more than chance, and where an added finding may be told no better than by chance.
        """
        reasons = []
        if (lost := self.lost_sensitivity()) is not None:
            reasons.append(
                f"the sensitivity of {lost.finding} fell from {lost.value_b:.3f} to {lost.value_a:.3f} on held-out "
                f"films (difference {signed(lost.difference)})"
            )
        gain = self.gain()
        if gain.low is None or gain.low <= 0:
            reasons.append(
                f"the macro AUROC on held-out films changed by {signed(gain)}, which does not show that the adapted "
                "model is better"
            )
        reasons += [
            f"the AUROC of {test.finding} fell by {signed(test.difference)} on held-out films"
            for test in self.aurocs()
            if test.difference.high is not None and test.difference.high < 0
        ]
        reasons += [
            f"the AUROC of the added finding {finding} is {area} on held-out films, which does not show that it is "
            "told from the others"
            for finding, area in self.added_aurocs().items()
            if area.low is None or area.low <= 0.5
        ]
        return ", and ".join(reasons) or None

    def lost_sensitivity(self) -> PairedTest | None:
        """Return the test of the flagged finding's sensitivity where it fell by more than chance; none elsewhere.

        Each model is taken at its own threshold. A model can rank films better and still flag almost none of them.
        """
        for test in self.calls():
            fell = test.difference.value is not None and test.difference.value < 0
            # No interval: every patient lost the flag alike, which is no chance.
            if test.measure == "sensitivity" and fell and (test.difference.high is None or test.difference.high < 0):
                return test
        return None

    def promises(self, model: Judgements) -> dict[BandName, tuple[int, int]]:
        """Return for each band how many films a model puts there, and how many of them do not belong."""
        counts: dict[BandName, tuple[int, int]] = {}
        belonging: tuple[tuple[BandName, str], ...] = (("routine", NORMAL), ("fast-track", self.flag_finding))
        for band, belongs in belonging:
            inside = np.array([priority == band for priority in model.priority], np.bool_)
            if len(inside) and belongs in self.findings:
                wrong = inside & (self.labels != self.findings.index(belongs))
                counts[band] = (int(inside.sum()), int(wrong.sum()))
        return counts


def hold_out(
    films: SiteFilms,
    labels: IntArray,
    groups: IntArray,
    start: NDArray[np.float64],
    shipped: Policy,
    fit: FitPolicy,
    *,
    seed: int = 1234,
) -> HeldOut:
    """Return what the shipped and the adapted model say of films, each adapted to the other folds' patients.

    Strength, calibration and thresholds are chosen inside of each fold's training films, by a second cross-validation
    there: nothing of a film is used before it is judged.

    Parameters
    ----------
    films, labels, groups, start
        See `carina.evaluation.adaptation.refit.refit_head`.
    shipped
        The policy of the shipped model.
    fit
        Gives the policy of the adapted model.
    seed
        Of the folds.

    Raises
    ------
    ConfigurationError
        If the films of a fold cannot choose a threshold.
    """
    fold = split_patients(labels, groups, FOLDS, seed=seed)
    count = len(labels)
    probabilities, flagged = np.zeros((count, start.shape[1])), np.zeros(count, np.bool_)
    priorities = [""] * count
    findings: tuple[str, ...] = ()
    flag = ""
    # Half of what a fold learns from and less: larger draws would be nearly the same films again and again.
    sizes = [size for size in CURVE if size <= CURVE_SHARE * count]
    raw = np.zeros((count, start.shape[1]))
    curve = np.zeros((len(sizes), _CURVE_DRAWS, count, start.shape[1]))
    for number in range(FOLDS):
        train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        crossed = cross_fit(films[train], labels[train], groups[train], start, seed=seed + 1)
        policy = fit(crossed.logits, labels[train], groups[train])
        findings, flag = policy.findings, policy.flag_finding
        (refit,) = refit_head(films[train], labels[train], groups[train], start, (crossed.strength,))
        raw[held] = refit.logits(films[held])
        said = _judge(raw[held], policy)
        probabilities[held], flagged[held] = said.probabilities, said.flagged
        for place, priority in zip(held.tolist(), said.priority, strict=True):
            priorities[place] = priority
        for row, size in enumerate(sizes):
            for draw in range(_CURVE_DRAWS):
                some = train[draw_patients(labels[train], groups[train], size, seed=[seed, number, draw])]
                (few,) = refit_head(films[some], labels[some], groups[some], start, (crossed.strength,))
                curve[row, draw, held] = few.logits(films[held])
    before = _widened(_judge(films.logits, shipped), shipped, findings, flag)
    after = Judgements(probabilities, flagged, tuple(priorities))
    added = tuple(finding for finding in findings if finding not in shipped.findings)
    held_out = HeldOut(findings, flag, added, labels, groups, before, after, {}, (0, 0.0))
    compared = held_out.compared
    reached = [[macro_auroc(labels, softmax(logits), compared) for logits in draws] for draws in curve]
    spread = {size: (float(np.mean(of)), float(np.std(of, ddof=1))) for size, of in zip(sizes, reached, strict=True)}
    end = (round((1 - 1 / FOLDS) * count), macro_auroc(labels, softmax(raw), compared))
    return replace(held_out, curve=spread, curve_end=end)


def hold_out_policy(
    logits: NDArray[np.floating],
    labels: IntArray,
    groups: IntArray,
    shipped: Policy,
    fit: FitPolicy,
    *,
    seed: int = 1234,
) -> HeldOut:
    """Return what a model says of films by its shipped policy, and by one fitted to the other folds' patients.

    The weights are the same, so there is no learning curve.

    Parameters
    ----------
    logits
        float ``(n, findings)``: of the model as it was shipped.
    labels, groups, shipped, fit, seed
        See `hold_out`.

    Raises
    ------
    ConfigurationError
        If the films of a fold cannot choose a threshold.
    """
    fold = split_patients(labels, groups, FOLDS, seed=seed)
    probabilities, flagged = np.zeros(logits.shape), np.zeros(len(labels), np.bool_)
    priorities = [""] * len(labels)
    for number in range(FOLDS):
        train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        said = _judge(logits[held], fit(logits[train], labels[train], groups[train]))
        probabilities[held], flagged[held] = said.probabilities, said.flagged
        for place, priority in zip(held.tolist(), said.priority, strict=True):
            priorities[place] = priority
    after = Judgements(probabilities, flagged, tuple(priorities))
    return HeldOut(
        *(shipped.findings, shipped.flag_finding, (), labels, groups),
        *(_judge(logits, shipped), after, {}, (0, 0.0)),
    )


def draw_patients(
    labels: NDArray[np.integer], groups: NDArray[np.integer], films: int, *, seed: int | Sequence[int]
) -> NDArray[np.intp]:
    """Return the numbers of so many films, of patients drawn at random, findings as frequent as in all.

    Patients stay whole: there are a few films more where the last patient has several.
    """
    rng = np.random.default_rng(seed)
    patients, first = np.unique(groups, return_index=True)
    order = rng.permutation(len(patients))
    # Each finding's patients are spread evenly over the order, so that its beginning has all findings.
    rank = np.empty(len(patients))
    for finding in np.unique(labels[first]):
        of_finding = order[labels[first][order] == finding]
        rank[of_finding] = (np.arange(len(of_finding)) + rng.random()) / len(of_finding)
    place = np.argsort(rank)
    films_of = np.bincount(np.searchsorted(patients, groups))[place]
    enough = int(np.searchsorted(np.cumsum(films_of), films)) + 1
    return np.flatnonzero(np.isin(groups, patients[place[:enough]]))


def measurable(labels: IntArray, groups: IntArray) -> tuple[int, ...]:
    """Return the findings that enough patients have and enough have not."""
    return tuple(
        finding
        for finding in np.unique(labels).tolist()
        if all(len(np.unique(groups[of])) >= FEWEST for of in (labels == finding, labels != finding))
    )


def macro_auroc(labels: IntArray, probabilities: NDArray[np.float64], findings: Sequence[int]) -> float:
    """Return the mean AUROC over some findings: columns of float64 ``(n, k)``."""
    return float(np.mean([auroc(labels == finding, probabilities[:, finding]) for finding in findings]))


def _judge(logits: NDArray[np.floating], policy: Policy) -> Judgements:
    probabilities = policy.probabilities(logits)
    flagged = probabilities[:, policy.findings.index(policy.flag_finding)] >= policy.operating_point.threshold
    return Judgements(probabilities, flagged, tuple(priority for _, priority in decide(probabilities, policy)))


def _widened(said: Judgements, policy: Policy, findings: Sequence[str], flag: str) -> Judgements:
    """Return what a model said, in another model's order of findings."""
    known = {finding: said.probabilities[:, place] for place, finding in enumerate(policy.findings)}
    columns = [known.get(finding, np.zeros(len(said.probabilities))) for finding in findings]
    same = policy.flag_finding == flag
    return Judgements(np.stack(columns, axis=1), said.flagged if same else None, said.priority if same else ())


def signed(estimate: Estimate) -> str:
    """Return a difference with its sign and its interval, or why there is none."""
    if estimate.value is None:
        return f"an unknown amount ({estimate.note})"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f} (no interval: {estimate.note})"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
