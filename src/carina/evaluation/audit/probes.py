"""One question each: does the embedding tell the source, what becomes of a source that was left out, and so on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.label_cells import is_unknown
from carina.decisions.operating_point import OperatingPointRule, choose_operating_point
from carina.decisions.policy import Policy
from carina.evaluation.audit.alterations import SUMMARIES, Input
from carina.evaluation.audit.audit_results import (
    AgeGroup,
    ExternalQuestion,
    LeftOutSource,
    SameSourcePair,
    SourceProbe,
)
from carina.evaluation.audit.heads import Head, fit_head
from carina.evaluation.audit.looks import Looks
from carina.evaluation.audit.share import macro_auroc, weighted_sum
from carina.evaluation.predictions import groups_of
from carina.findings import NORMAL, order_findings
from carina.statistics.delong import delong_interval
from carina.statistics.intervals import Estimate, FloatArray, IntArray, not_applicable, proportion_interval

# With fewer of one kind neither a head nor a figure means anything.
LEAST = 10
_LEAST_TO_CHOOSE = 5
_FOLDS = 5
_ADULT_YEARS = 18.0
_TO_TELL_A_PAIR: tuple[Input, ...] = ("shown", "lungs-black", *SUMMARIES)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Images of one split with what came out for them."""

    rows: pl.DataFrame  # of the manifest: finding, source, age and group are looked at
    labels: NDArray[np.int64]  # int ``(n,)``: indices into the model's findings
    looks: Looks  # in the order of the rows

    @property
    def groups(self) -> NDArray[np.int64]:
        """Return the patient or set of near-duplicates of each image: int64 ``(n,)``."""
        return groups_of(self.rows)

    def shows(self, *, source: str | None = None, finding: str | None = None) -> NDArray[np.bool_]:
        """Return bool ``(n,)``: which images are of a source, show a finding, or both."""
        rows = np.ones(self.rows.height, dtype=np.bool_)
        if source is not None:
            rows &= _is(self.rows["source"], source)
        if finding is not None:
            rows &= _is(self.rows["finding"], finding)
        return rows

    def only(self, rows: NDArray[np.bool_]) -> "Part":
        """Return some of the images."""
        return Part(self.rows.filter(pl.Series(rows)), self.labels[rows], self.looks.only(rows))

    def with_(self, other: "Part", name: Input = "shown") -> "Pool":
        """Return the images of both parts, for probes that learn on what neither the model nor a head has seen."""
        features = [part.looks.features[name] for part in (self, other)]
        return Pool(pl.concat([self.rows, other.rows]), np.concatenate(features), name)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Images of two splits with the features of one kind of input."""

    rows: pl.DataFrame
    features: NDArray[np.float32]
    input: Input = "shown"


def _is(column: pl.Series, value: str) -> NDArray[np.bool_]:
    return (column == value).fill_null(value=False).to_numpy().astype(np.bool_)


def sources_of(rows: pl.DataFrame) -> list[str]:
    """Return the known sources by name."""
    return sorted(rows["source"].drop_nulls().unique().to_list())


@dataclass(frozen=True, slots=True, eq=False)
class FindingHead:
    """A head over those of the model's findings that its training images show."""

    head: Head
    shown: NDArray[np.int64]
    findings: int

    def probabilities(self, features: NDArray[np.float32]) -> FloatArray:
        """Return float64 ``(n, findings)``; 0 for what it never saw."""
        table = np.zeros((len(features), self.findings))
        table[:, self.shown] = self.head.probabilities(features)
        return table


def fit_finding_head(train: Part, choosing: Part, findings: int, name: Input) -> FindingHead:
    """Return a head trained on one kind of input of one part, its penalty chosen on another.

    Raises
    ------
    DataError
        See `carina.evaluation.audit.heads.fit_head`.
    """
    shown = np.unique(train.labels)
    known = np.isin(choosing.labels, shown)
    head = fit_head(
        train.looks.features[name],
        np.searchsorted(shown, train.labels),
        choosing.looks.features[name][known],
        np.searchsorted(shown, choosing.labels[known]),
    )
    return FindingHead(head, shown, findings)


def probe_source(pool: Pool, finding: str, *, seed: int) -> SourceProbe:
    """Return how well one kind of input tells the source within a finding, cross-validated by group.

    The pool holds images that the model was not trained on.
    """
    of_finding = _is(pool.rows["finding"], finding)
    rows = pool.rows.filter(pl.Series(of_finding))
    counts = dict(
        rows.drop_nulls("source").group_by("source").agg(pl.col("group").n_unique()).sort("source").iter_rows()
    )
    kept = [source for source, groups in counts.items() if groups >= LEAST]
    small = [source for source in counts if source not in kept]
    note = f"left out, fewer than {LEAST} patients: {', '.join(small)}" if small else None
    if len(kept) < 2:
        reason = "the source is unknown" if not counts else f"all of it is of one source ({', '.join(counts)})"
        if counts and small:
            reason = f"fewer than two sources have {LEAST} patients"
        nothing = not_applicable(reason)
        return SourceProbe(pool.input, finding, {}, nothing, None, nothing, f"not applicable: {reason}")
    used = rows["source"].is_in(kept).fill_null(value=False).to_numpy()
    rows = rows.filter(pl.Series(used))
    features = pool.features[of_finding][used]
    sources = np.searchsorted(kept, rows["source"].to_numpy().astype(str))
    groups = groups_of(rows)
    scores = _cross_validated(features, sources, groups, len(kept), seed)
    right = scores.argmax(axis=1) == sources

    recalls = [proportion_interval(right[sources == source], groups[sources == source]) for source in range(len(kept))]
    return SourceProbe(
        pool.input,
        finding,
        {source: int((sources == index).sum()) for index, source in enumerate(kept)},
        weighted_sum(recalls, [1 / len(kept)] * len(kept)),
        1 / len(kept),
        macro_auroc(sources, scores, groups),
        note,
    )


def _cross_validated(
    features: NDArray[np.float32], labels: NDArray[np.integer], groups: IntArray, k: int, seed: int
) -> FloatArray:
    """Return for each image what a head that has not seen its group says; the next fold chooses the penalty."""
    rng = np.random.default_rng(seed)
    fold_of: dict[int, int] = {}
    dealt = 0
    for label in range(k):
        for group in rng.permutation(np.unique(groups[labels == label])).tolist():
            if group not in fold_of:
                fold_of[group] = dealt % _FOLDS
                dealt += 1
    folds = np.array([fold_of[group] for group in groups.tolist()])
    scores = np.zeros((len(labels), k))
    for fold in range(_FOLDS):
        choosing, judged = folds == (fold + 1) % _FOLDS, folds == fold
        trained = ~choosing & ~judged
        head = fit_head(features[trained], labels[trained], features[choosing], labels[choosing], balanced=True)
        scores[judged] = head.probabilities(features[judged])
    return scores


def leave_source_out(
    source: str, train: Part, calibration: Part, test: Part, findings: Sequence[str], rule: OperatingPointRule
) -> tuple[LeftOutSource, ...]:
    """Return sensitivity and specificity on a source that the head, its penalty and its threshold have not seen.

    Judged are the source's images of the test and the calibration split: neither trained on by the model nor, with the
    source left out, used for anything else here.

    Parameters
    ----------
    rule
        Of the model's operating point; its finding is the one that is flagged.
    """
    flag = list(findings).index(rule.finding)
    pool = test.with_(calibration)
    judged = _is(pool.rows["source"], source)
    flagged = _is(pool.rows["finding"], rule.finding)
    wanted = [
        (measure, rows)
        for measure, rows in (("sensitivity", judged & flagged), ("specificity", judged & ~flagged))
        if rows.any()
    ]
    if not wanted:
        return ()

    def impossible(reason: str) -> tuple[LeftOutSource, ...]:
        nothing = not_applicable(reason)
        return tuple(
            LeftOutSource(source, measure, nothing, None, f"not applicable: {reason}") for measure, _ in wanted
        )

    rest, choosing = train.only(~train.shows(source=source)), calibration.only(~calibration.shows(source=source))
    for part, what in ((rest, "train"), (choosing, "calibration")):
        present = part.labels == flag
        if not present.any() or present.all():
            without = "with" if not present.any() else "without"
            return impossible(f"no other source has {what} images {without} {rule.finding}")
    head = fit_finding_head(rest, choosing, len(findings), "shown")
    chosen_on = f"the calibration split without {source}"
    probability = head.probabilities(choosing.looks.features["shown"])[:, flag]
    point = choose_operating_point(choosing.labels == flag, probability, rule, chosen_on=chosen_on)
    called = head.probabilities(pool.features)[:, flag] >= point.threshold
    groups = groups_of(pool.rows)
    unseen = [findings[i] for i in np.setdiff1d(np.unique(train.labels), head.shown)]
    note = f"no other source shows {', '.join(unseen)}: the head has not seen it either" if unseen else None
    return tuple(
        LeftOutSource(
            source,
            measure,
            proportion_interval((called if measure == "sensitivity" else ~called)[rows], groups[rows]),
            point.threshold,
            note,
        )
        for measure, rows in wanted
    )


def same_source_pairs(
    train: Part, calibration: Part, test: Part, findings: Sequence[str], policy: Policy
) -> tuple[SameSourcePair, ...]:
    """Return every pair of findings that share a source, judged within that source alone."""
    pairs = []
    for source in sources_of(test.rows):
        within = [part.only(part.shows(source=source)) for part in (train, calibration, test)]
        shown = [name for name in findings if within[2].shows(finding=name).sum() >= LEAST]
        pairs += [_judge_pair(source, pair, within, findings, policy) for pair in combinations(shown, 2)]
    return tuple(pairs)


def _judge_pair(
    source: str, pair: tuple[str, str], within: Sequence[Part], findings: Sequence[str], policy: Policy
) -> SameSourcePair:
    one, other = pair
    # What is looked for is the positive side: the flagged finding, else whatever is not normal.
    positive, negative = (other, one) if one == NORMAL and other != policy.flag_finding else (one, other)
    if other == policy.flag_finding:
        positive, negative = other, one
    columns = [list(findings).index(name) for name in (positive, negative)]
    train, calibration, test = (part.only(np.isin(part.labels, columns)) for part in within)
    truth, groups = test.labels == columns[0], test.groups
    probabilities = np.maximum(policy.probabilities(test.looks.logits["shown"]), 1e-300)
    odds = np.log(probabilities[:, columns[0]]) - np.log(probabilities[:, columns[1]])

    def by_head(name: Input) -> Estimate:
        for part, what, least in ((train, "train", LEAST), (calibration, "calibration", _LEAST_TO_CHOOSE)):
            if min(int((part.labels == column).sum()) for column in columns) < least:
                return not_applicable(f"fewer than {least} {what} images of one of the two")
        head = fit_finding_head(train, calibration, len(findings), name)
        return delong_interval(truth, head.probabilities(test.looks.features[name])[:, columns[0]], groups)

    return SameSourcePair(
        source,
        positive,
        negative,
        int(truth.sum()),
        int((~truth).sum()),
        delong_interval(truth, odds, groups),
        *(by_head(name) for name in _TO_TELL_A_PAIR),
    )


def age_groups(test: Part, policy: Policy) -> tuple[AgeGroup, ...]:
    """Return the model's macro AUROC on children and on adults; empty where no age is known."""
    ages = test.rows["age"].to_numpy().astype(np.float64)
    probabilities = policy.probabilities(test.looks.logits["shown"])
    groups = []
    for name, rows in (("under 18 years", ages < _ADULT_YEARS), ("18 years and over", ages >= _ADULT_YEARS)):
        if rows.any():
            area = macro_auroc(test.labels[rows], probabilities[rows], test.groups[rows])
            groups.append(AgeGroup(name, int(rows.sum()), area))
    return tuple(groups)


def ask_external(
    rows: pl.DataFrame, probabilities: FloatArray, findings: Sequence[str], flag: str
) -> tuple[tuple[ExternalQuestion, ...], str | None]:
    """Return the answer to every question that makes sense on a set from elsewhere, and what was left out.

    Findings that the model knows: each against the other ones. Where there is Normal, and what the model does not know:
    1 - P(Normal) of all that is not normal. Where there is the flagged finding, and what the model does not know: its
    probability against those. Images that nobody labelled take part in nothing, and a finding that holds the flagged
    one's name (a second diagnosis beside it) in no question on it.

    Parameters
    ----------
    rows
        With the columns finding and group.
    probabilities
        float ``(n, findings)``, calibrated.
    """
    labels = rows["finding"].to_numpy().astype(str)
    groups = groups_of(rows)
    labelled = np.array([not is_unknown(label) for label in labels], dtype=np.bool_)
    present = order_findings(labels[labelled].tolist())
    known = [name for name in present if name in findings]
    foreign = [name for name in present if name not in findings]

    def ask(positive: Sequence[str], negative: Sequence[str], score: FloatArray, words: str) -> ExternalQuestion:
        is_positive, is_negative = np.isin(labels, list(positive)), np.isin(labels, list(negative))
        either = is_positive | is_negative
        area = delong_interval(is_positive[either], score[either], groups[either])
        return ExternalQuestion(
            tuple(positive), tuple(negative), words, int(is_positive.sum()), int(is_negative.sum()), area
        )

    column = {name: probabilities[:, index] for index, name in enumerate(findings)}
    questions = []
    if len(known) > 1:
        for name in known:
            rest = [other for other in known if other != name]
            questions.append(ask([name], rest, column[name], f"P({name})"))
    if NORMAL in known and foreign:
        questions.append(
            ask([name for name in present if name != NORMAL], [NORMAL], 1 - column[NORMAL], "1 - P(Normal)")
        )
    others = [name for name in foreign if flag.lower() not in name.lower()]
    if flag in known and others:
        questions.append(ask([flag], others, column[flag], f"P({flag})"))
    notes = []
    if not labelled.all():
        notes.append(f"{int((~labelled).sum())} images that nobody labelled take part in nothing")
    mixed = [name for name in foreign if flag.lower() in name.lower()]
    if mixed:
        notes.append(
            f"{int(np.isin(labels, mixed).sum())} images of {', '.join(mixed)} are neither {flag} nor its absence"
        )
    if not questions:
        notes.append(f"not applicable: no question makes sense on {', '.join(present) or 'no label'}")
    return tuple(questions), "; ".join(notes) or None
