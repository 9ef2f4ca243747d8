"""The audit as text: one sentence, and what it means to someone who must decide whether to trust the model."""

from collections.abc import Sequence
from typing import TypeVar

from carina.evaluation.audit.alterations import Input
from carina.evaluation.audit.audit_results import HeadResult, LeftOutSource, ModelResult, SourceProbe
from carina.statistics.intervals import Estimate

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
        if item.balanced_accuracy.value is not None
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
