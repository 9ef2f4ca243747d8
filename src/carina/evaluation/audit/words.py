"""The audit as text: one sentence, and what it means to someone who must decide whether to trust the model."""

from collections.abc import Sequence
from typing import TypeVar

from carina.evaluation.audit.alterations import Input
from carina.evaluation.audit.audit_results import (
    ExplanationTest,
    HeadResult,
    LeftOutSource,
    ModelResult,
    RuledOut,
    SensitivityGap,
    SourceProbe,
)
from carina.evaluation.audit.ruling_out import KEPT
from carina.statistics.intervals import Estimate
from carina.wording import counted

# Above this share of the AUROC above chance, more is told by the rest of the film than by what lungs add to it.
LEANING = 0.5
_LOW = 0.8

_Result = TypeVar("_Result", HeadResult, ModelResult)


def percent(estimate: Estimate) -> str:
    """Return "87 % (84–90)", or why there is no number."""
    if estimate.value is None:
        return f"n/a ({estimate.note})"
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.0f} % (no interval)"
    low, high = (f"{100 * end:.0f}".replace("-", "−") for end in (estimate.low, estimate.high))
    between = " to " if "−" in low + high else "–"
    return f"{100 * estimate.value:.0f} %".replace("-", "−") + f" ({low}{between}{high})"


def points(estimate: Estimate) -> str:
    """Return "31 points (27–35)": of a difference between two percentages."""
    return percent(estimate).replace(" %", " points", 1)


def result_on(results: Sequence[_Result], name: Input) -> _Result:
    """Return the result on one kind of input."""
    return next(item for item in results if item.input == name)


def sentence_of(heads: Sequence[HeadResult], by_model: Sequence[ModelResult]) -> str:
    """Return the one sentence."""
    remains, reached = result_on(by_model, "lungs-black").share, result_on(heads, "lungs-black").share
    return (
        f"Of the AUROC above chance, {percent(remains)} remains when the lungs are blacked out, "
        f"and a new last layer, trained on images without lungs, reaches {percent(reached)}."
    )


def verdicts_of(
    heads: Sequence[HeadResult],
    by_model: Sequence[ModelResult],
    probes: Sequence[SourceProbe],
    left_out: Sequence[LeftOutSource],
) -> tuple[str, ...]:
    """Return what the audit means, a statement each, with the rule that it follows."""
    verdicts = [_on_model(by_model), _on_data(heads)]
    told = [
        f"{item.finding} {percent(item.balanced_accuracy)}, by guessing {100 * item.chance:.0f} %"
        for item in probes
        if item.input == "shown"
        and item.balanced_accuracy.value is not None
        and item.balanced_accuracy.low is not None
        and item.chance is not None
        and item.balanced_accuracy.low > item.chance
    ]
    if told:
        verdicts.append(
            f"Its embedding tells where an image comes from, within one finding (balanced accuracy): {'; '.join(told)}."
        )
    worst = [item for measure in ("sensitivity", "specificity") if (item := _worst(left_out, measure)) is not None]
    if worst:
        found = " and ".join(f"{item.measure} on {item.source} is {percent(item.estimate)}" for item in worst)
        low = min(item.estimate.value or 0.0 for item in worst) < _LOW
        judged = "a loss of this kind must be expected at other hospitals" if low else "it holds there"
        verdicts.append(
            f"Where a new head has not seen a source, {found} at worst: {judged}. "
            "The backbone may have seen it, so this is an optimistic bound."
        )
    return tuple(verdicts)


def _worst(left_out: Sequence[LeftOutSource], measure: str) -> LeftOutSource | None:
    asked = [item for item in left_out if item.measure == measure and item.estimate.value is not None]
    return min(asked, key=lambda item: item.estimate.value or 0.0, default=None)


def _on_model(by_model: Sequence[ModelResult]) -> str:
    black, box = result_on(by_model, "lungs-black"), result_on(by_model, "box-black")
    if black.share.value is None:
        return f"Whether the model leans on what is not lung cannot be said: {black.share.note}."
    kept = f"on {percent(black.kept)} of the images it makes the same call with P ≥ 0.5 where there are no lungs to see"
    if black.share.value > LEANING:
        return (
            f"The model leans on what is not lung (rule: more than {100 * LEANING:.0f} % of its AUROC above chance "
            f"remains without lungs; {percent(black.share)}, and {percent(box.share)} without even their outline): "
            f"{kept}."
        )
    if box.share.value is not None and box.share.value > LEANING:
        return (
            f"The model leans on what lies outside the box around the lungs (rule: more than {100 * LEANING:.0f} % "
            f"remains when the box is blacked out; {percent(box.share)}): {kept}."
        )
    return (
        f"Without lungs the model loses most of what it knows: {percent(black.share)} remains (rule: it would lean on "
        f"what is not lung above {100 * LEANING:.0f} %); {kept}."
    )


def _on_data(heads: Sequence[HeadResult]) -> str:
    black, border = result_on(heads, "lungs-black"), result_on(heads, "border-alone")
    if black.share.value is None:
        return f"Whether the data can be told apart without lungs cannot be said: {black.share.note}."
    if black.share.value > LEANING:
        return (
            f"These data can be told apart without lungs, so a high figure on them alone is no proof that disease is "
            f"seen: a new head reaches {percent(black.share)} of the AUROC above chance without lungs, and "
            f"{percent(border.share)} from the border of the film."
        )
    return (
        f"Without lungs these data are hard to tell apart: a new head reaches {percent(black.share)} of the AUROC "
        "above chance."
    )


def further_verdicts(
    heads: Sequence[HeadResult],
    gaps: Sequence[SensitivityGap],
    set_aside: Sequence[RuledOut],
    explained: Sequence[ExplanationTest],
    flag: str,
) -> tuple[str, ...]:
    """Return what the further questions mean, a statement each."""
    verdicts = []
    without_picture = [item for item in heads if item.input in ("histogram", "sharpness")]
    if any(item.share.value is not None and item.share.value > LEANING for item in without_picture):
        told = " and ".join(f"{percent(item.share)} from {_WITHOUT_PICTURE[item.input]}" for item in without_picture)
        verdicts.append(
            f"These data can be told apart without any picture: of the AUROC above chance, a new head reaches {told}. "
            "Neither shows where anything lies: they tell how films were exposed and files were made, and only in part "
            "that a lung is whiter. A model may use them."
        )
    if gaps:
        verdicts.append(_on_gaps(gaps, flag))
    in_all = [item for item in set_aside if item.source is None and item.threshold is not None]
    verdicts += [_on_normals(item) for item in in_all if item.ruled_out.value is not None]
    verdicts += [_on_explanations(item) for item in explained if item.called is None]
    return tuple(verdicts)


_WITHOUT_PICTURE = {"histogram": "grey levels alone", "sharpness": "sharpness alone"}


def _on_normals(item: RuledOut) -> str:
    short = item.sensitivity.high is not None and item.sensitivity.high < KEPT
    kept = f"{percent(item.sensitivity)} of the findings are kept{': fewer than it should keep' if short else ''}"
    if item.sensitivity.value is None:
        kept = "how many of the findings are kept cannot be said: they are too few"
    return (
        f"At the threshold that keeps {100 * KEPT:.0f} % of all findings in the calibration split, "
        f"{percent(item.ruled_out)} of the normals of {item.images_of} are ruled out, and {kept}."
    )


def _on_gaps(gaps: Sequence[SensitivityGap], flag: str) -> str:
    asked = [item for item in gaps if item.gap.value is not None]
    clear = [item for item in asked if (item.gap.low or 0) > 0 or (item.gap.high or 0) < 0]
    told = "; ".join(
        f"{item.by} {item.group} {percent(item.sensitivity)}, {item.reference} {percent(item.of_reference)} "
        f"({item.images_of})"
        for item in clear
    )
    if not asked:
        return (
            f"Whether {flag} is found equally well in every view, source, sex and age cannot be said: too few patients."
        )
    if not clear:
        return (
            f"No difference in the sensitivity for {flag} between views, sources, sexes or ages is shown "
            f"({counted(len(asked), 'comparison')}); few patients can hide one."
        )
    return (
        f"{flag} is not found equally well in all groups ({len(clear)} of {len(asked)} comparisons; of 20 one differs "
        f"by chance): {told}."
    )


def _on_explanations(item: ExplanationTest) -> str:
    gains = (item.comprehensiveness_gain, item.sufficiency_gain)
    better = sum(gain.low is not None and gain.low > 0 for gain in gains)
    meaning = (
        "the maps are no better than random cells at saying what the model needs",
        "the maps are better than random cells in one of these two ways only, so they say little about what it needs",
        "the maps say more than random cells about what the model needs",
    )
    return (
        f"Without the cells that an activation map marks most, the probability of the called finding falls by "
        f"{points(item.comprehensiveness)}, without as many random cells by {points(item.comprehensiveness_random)}; "
        f"with these cells alone it falls by {points(item.sufficiency)}, with random cells alone by "
        f"{points(item.sufficiency_random)}: {meaning[better]}."
    )
