"""The answers of an audit."""

from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from carina.evaluation.audit.alterations import Alteration, Input
from carina.notebook import boxed, table_html
from carina.statistics.intervals import Estimate

AUDIT_FORMAT = "carina-audit-1"


@dataclass(frozen=True, slots=True)
class HeadResult:
    """A new head, trained on one kind of input, judged on the same kind of input of the test images."""

    input: Input  # what it is shown
    l2: float  # the penalty that the calibration images chose
    # Mean one-vs-rest AUROC, and each finding's, in the order of the findings.
    macro_auroc: Estimate
    by_finding: tuple[Estimate, ...]
    # Of what the head on the image as the model is shown it has above 0.5, the part that this one reaches.
    share: Estimate


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The model as it is, on one kind of input of the test images."""

    input: Alteration  # what it is shown
    # Of its calibrated probabilities.
    macro_auroc: Estimate
    by_finding: tuple[Estimate, ...]
    share: Estimate  # of what it has above 0.5 on the image as it is, the part that remains
    distance: Estimate  # mean absolute distance of its probabilities from the prior, over images and findings
    kept: Estimate  # share of images on which it calls the same finding as on the untouched image, with P >= 0.5


@dataclass(frozen=True, slots=True)
class SourceProbe:
    """Whether the source can be told within one finding."""

    input: Input  # from which it is predicted; ``shown`` means the embedding
    finding: str  # all images show it
    sources: dict[str, int]  # images of each source that was told apart
    # Mean share of each source's images that are named right, and what guessing reaches.
    balanced_accuracy: Estimate
    chance: float | None
    macro_auroc: Estimate  # mean one-vs-rest AUROC over the sources
    note: str | None  # what was left out, or why there is no answer


@dataclass(frozen=True, slots=True)
class LeftOutSource:
    """A head that has not seen one source, judged on that source."""

    source: str  # left out of training, of choosing the penalty and of choosing the threshold
    measure: str  # ``sensitivity`` on the source's images with the flagged finding, ``specificity`` on those without
    estimate: Estimate  # at the threshold
    threshold: float | None  # what the model's own rule chose on the calibration images of the remaining sources
    note: str | None  # what else the head has not seen, or why there is no answer


@dataclass(frozen=True, slots=True)
class SameSourcePair:
    """Two findings of one source: there the source cannot tell."""

    source: str
    positive: str
    negative: str
    # Images in the test split.
    positives: int
    negatives: int
    model: Estimate  # AUROC by the model's own odds of the two
    # AUROC of heads trained on this pair alone: on the image as the model is shown it, with the lungs blacked out, and
    # on its thumbnail.
    head: Estimate
    without_lungs: Estimate
    thumbnail: Estimate
    histogram: Estimate
    sharpness: Estimate


@dataclass(frozen=True, slots=True)
class AgeGroup:
    """The model on one group of ages: its macro AUROC."""

    name: str
    images: int
    macro_auroc: Estimate


@dataclass(frozen=True, slots=True)
class SensitivityGap:
    """How much better or worse the flagged finding is found in one group of images than in the largest one."""

    images_of: str  # the test split, or the external set
    by: str  # ``view``, ``source``, ``sex`` or ``age``
    group: str
    reference: str  # the group with most patients
    # At the model's operating point.
    sensitivity: Estimate
    of_reference: Estimate
    gap: Estimate  # the first less the second


@dataclass(frozen=True, slots=True)
class RuledOut:
    """The share of normal images that are ruled out: called normal at a threshold that keeps 99 % of all others."""

    images_of: str  # the test split, or the external set
    source: str | None  # none means all of them
    chosen_on: str  # the images that chose the threshold
    # On 1 - P(Normal): what lies below is ruled out. None where every draw of the images chooses its own.
    threshold: float | None
    ruled_out: Estimate  # of the normal images
    sensitivity: Estimate  # of all findings that are not normal: the share that is not ruled out with them


@dataclass(frozen=True, slots=True)
class ExplanationTest:
    """Whether what an activation map marks is what the model needs: cells are taken away, or kept alone."""

    called: str | None  # the finding that the model calls and that is explained; none means all findings
    images: int
    probability: Estimate  # the mean of the called finding's
    # What it loses when the cells that speak for the finding most are taken away, when as many random ones are, and the
    # first less the second.
    comprehensiveness: Estimate
    comprehensiveness_random: Estimate
    comprehensiveness_gain: Estimate
    # What it loses when only these cells are kept, when only random ones are, and the second less the first.
    sufficiency: Estimate
    sufficiency_random: Estimate
    sufficiency_gain: Estimate


@dataclass(frozen=True, slots=True)
class ExternalQuestion:
    """One question put to an external set."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    score: str  # the name of the probability that answers it
    positives: int
    negatives: int
    auroc: Estimate  # the answer


@dataclass(frozen=True, slots=True)
class ExternalSet:
    """What the model reaches on a set from elsewhere."""

    name: str  # the data set's folder
    # In it, and left out because the model learned from them or from near-duplicates.
    images: int
    dropped: int
    questions: tuple[ExternalQuestion, ...]  # all that make sense there
    note: str | None  # what was left out, or why there is no answer


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images an audit looked at."""

    # With lungs found: what heads were trained, chosen and judged on.
    train: int
    calibration: int
    test: int
    # In the splits.
    of_train: int
    of_calibration: int
    of_test: int
    without_lungs: int  # of those that were drawn, left out because no lungs were found in them
    dropped: int  # left out of the test split because the model learned from them


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that an audit found.

    Attributes
    ----------
    model, model_sha256, dataset, data_fingerprint
        What was audited, on what.
    findings, flag_finding
        Of the model.
    lungs_from
        Where the lungs came from.
    counts
        Of images.
    heads, by_model
        What remains, for new heads and for the model as it is.
    source_probes, left_out_sources, same_source_pairs, age_groups, external_sets, sensitivity_gaps, ruled_out
        The further questions.
    explanation_tests
        Whether activation maps mark what the model needs.
    not_applicable
        The questions that could not be put, each with its reason.
    sentence
        The audit in one sentence.
    verdicts
        What it means, in plain words.
    settings
        Everything that was chosen.
    """

    model: str
    model_sha256: str
    dataset: str
    data_fingerprint: str
    findings: tuple[str, ...]
    flag_finding: str
    lungs_from: str
    counts: Counts
    heads: tuple[HeadResult, ...]
    by_model: tuple[ModelResult, ...]
    source_probes: tuple[SourceProbe, ...]
    left_out_sources: tuple[LeftOutSource, ...]
    same_source_pairs: tuple[SameSourcePair, ...]
    age_groups: tuple[AgeGroup, ...]
    external_sets: tuple[ExternalSet, ...]
    sensitivity_gaps: tuple[SensitivityGap, ...]
    ruled_out: tuple[RuledOut, ...]
    explanation_tests: tuple[ExplanationTest, ...]
    not_applicable: tuple[str, ...]
    sentence: str
    verdicts: tuple[str, ...]
    settings: dict[str, float | int | str]

    def _repr_html_(self) -> str:
        own: dict[str, ModelResult] = {item.input: item for item in self.by_model}
        rows: list[tuple[object, ...]] = []
        for item in self.heads:
            model = own.get(item.input)
            of_model = ("–", "–") if model is None else (model.macro_auroc, model.share)
            rows.append((item.input, *of_model, item.macro_auroc, item.share))
        head = ("input", "model: AUROC", "model: share left", "new head: AUROC", "new head: share")
        verdicts = "".join(f"<li>{escape(verdict)}</li>" for verdict in self.verdicts)
        return boxed(f"<b>{escape(self.sentence)}</b><ul>{verdicts}</ul>", table_html(head, rows))

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON-safe dict."""
        return {"format": AUDIT_FORMAT, "sentence": self.sentence} | asdict(self)
