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
    """A new head, trained on one kind of input, judged on the same kind of input of the test images.

    Attributes
    ----------
    input
        What it is shown.
    l2
        The penalty that the calibration images chose.
    macro_auroc, by_finding
        Mean one-vs-rest AUROC, and each finding's, in the order of the findings.
    share
        Of what the head on the image as the model is shown it has above 0.5, the part that this one reaches.
    """

    input: Input
    l2: float
    macro_auroc: Estimate
    by_finding: tuple[Estimate, ...]
    share: Estimate


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The model as it is, on one kind of input of the test images.

    Attributes
    ----------
    input
        What it is shown.
    macro_auroc, by_finding
        Of its calibrated probabilities.
    share
        Of what it has above 0.5 on the image as it is, the part that remains.
    distance
        Mean absolute distance of its probabilities from the prior, over images and findings.
    kept
        Share of images on which it calls the same finding as on the untouched image, with P >= 0.5.
    """

    input: Alteration
    macro_auroc: Estimate
    by_finding: tuple[Estimate, ...]
    share: Estimate
    distance: Estimate
    kept: Estimate


@dataclass(frozen=True, slots=True)
class SourceProbe:
    """Whether the source can be told within one finding.

    Attributes
    ----------
    input
        What it is told from: of ``shown`` the embedding.
    finding
        All images show it.
    sources
        Images of each source that was told apart.
    balanced_accuracy, chance
        Mean share of each source's images that are named right, and what guessing reaches.
    macro_auroc
        Mean one-vs-rest AUROC over the sources.
    note
        What was left out, or why there is no answer.
    """

    input: Input
    finding: str
    sources: dict[str, int]
    balanced_accuracy: Estimate
    chance: float | None
    macro_auroc: Estimate
    note: str | None


@dataclass(frozen=True, slots=True)
class LeftOutSource:
    """A head that has not seen one source, judged on that source.

    Attributes
    ----------
    source
        Left out of training, of choosing the penalty and of choosing the threshold.
    measure
        ``sensitivity`` on the source's images with the flagged finding, ``specificity`` on those without.
    estimate
        At the threshold.
    threshold
        What the model's own rule chose on the calibration images of the remaining sources.
    note
        What else the head has not seen, or why there is no answer.
    """

    source: str
    measure: str
    estimate: Estimate
    threshold: float | None
    note: str | None


@dataclass(frozen=True, slots=True)
class SameSourcePair:
    """Two findings of one source: there the source cannot tell.

    Attributes
    ----------
    source, positive, negative
        Which.
    positives, negatives
        Images in the test split.
    model
        AUROC by the model's own odds of the two.
    head, without_lungs, thumbnail, histogram, sharpness
        AUROC of heads trained on this pair alone: on the image as the model is shown it, with the lungs blacked out,
        and on its thumbnail, its grey levels and its sharpness.
    """

    source: str
    positive: str
    negative: str
    positives: int
    negatives: int
    model: Estimate
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
    """How much better or worse the flagged finding is found in one group of images than in the largest one.

    Attributes
    ----------
    images_of
        The test split, or the external set.
    by, group, reference
        ``view``, ``source``, ``sex`` or ``age``, and the two groups of it.
    sensitivity, of_reference
        At the model's operating point.
    gap
        The first less the second.
    """

    images_of: str
    by: str
    group: str
    reference: str
    sensitivity: Estimate
    of_reference: Estimate
    gap: Estimate


@dataclass(frozen=True, slots=True)
class RuledOut:
    """The share of normal images that are ruled out: called normal at a threshold that keeps 99 % of all others.

    Attributes
    ----------
    images_of, source
        The test split or the external set, and the source within it; no source means all of them.
    chosen_on
        The images that chose the threshold.
    threshold
        On 1 - P(Normal): what lies below is ruled out. None where every draw of the images chooses its own.
    ruled_out
        Of the normal images.
    sensitivity
        Of all findings that are not normal: the share that is not ruled out with them.
    """

    images_of: str
    source: str | None
    chosen_on: str
    threshold: float | None
    ruled_out: Estimate
    sensitivity: Estimate


@dataclass(frozen=True, slots=True)
class ExplanationTest:
    """Whether what an activation map marks is what the model needs: cells are taken away, or kept alone.

    Attributes
    ----------
    called
        The finding that the model calls and that is explained; None means all findings.
    images, probability
        How many, and the mean probability of the finding that is called.
    comprehensiveness, comprehensiveness_random, comprehensiveness_gain
        What this probability loses when the cells that speak for the finding most are taken away, when as many random
        ones are, and the first less the second.
    sufficiency, sufficiency_random, sufficiency_gain
        What it loses when only these cells are kept, when only random ones are, and the second less the first.
    """

    called: str | None
    images: int
    probability: Estimate
    comprehensiveness: Estimate
    comprehensiveness_random: Estimate
    comprehensiveness_gain: Estimate
    sufficiency: Estimate
    sufficiency_random: Estimate
    sufficiency_gain: Estimate


@dataclass(frozen=True, slots=True)
class ExternalQuestion:
    """One question put to an external set.

    Attributes
    ----------
    positive, negative
        The findings on either side.
    score
        The name of the probability that answers it.
    positives, negatives
        Images on either side.
    auroc
        The answer.
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    score: str
    positives: int
    negatives: int
    auroc: Estimate


@dataclass(frozen=True, slots=True)
class ExternalSet:
    """What the model reaches on a set from elsewhere.

    Attributes
    ----------
    name
        The data set's folder.
    images, dropped
        In it, and left out because the model learned from them or from near-duplicates.
    questions
        All that make sense there.
    note
        What was left out, or why there is no answer.
    """

    name: str
    images: int
    dropped: int
    questions: tuple[ExternalQuestion, ...]
    note: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images an audit looked at.

    Attributes
    ----------
    train, calibration, test
        With lungs found: what heads were trained, chosen and judged on.
    of_train, of_calibration, of_test
        In the splits.
    without_lungs
        Of those that were drawn, left out because no lungs were found in them.
    dropped
        Left out of the test split because the model learned from them.
    """

    train: int
    calibration: int
    test: int
    of_train: int
    of_calibration: int
    of_test: int
    without_lungs: int
    dropped: int


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

    def head_on(self, name: Input) -> HeadResult:
        """Return the result of the head on one kind of input."""
        return next(item for item in self.heads if item.input == name)

    def model_on(self, name: Alteration) -> ModelResult:
        """Return the result of the model on one kind of input."""
        return next(item for item in self.by_model if item.input == name)

    def _repr_html_(self) -> str:
        """Return the sentence, the verdicts, and what is left without lungs, for a notebook."""
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
