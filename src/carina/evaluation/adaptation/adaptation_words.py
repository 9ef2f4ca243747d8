"""What adapting a model brought, in sentences: what `carina adapt` says when it is done."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

from carina.bundles.bundle import Adaptation
from carina.decisions.change import why_no_band
from carina.decisions.policy import Policy
from carina.evaluation.adaptation.held_out import CURVE, CURVE_SHARE, FEWEST, HeldOut, Judgements, signed
from carina.evaluation.adaptation.new_films import JudgedFolder
from carina.evaluation.adaptation.unlabelled import CANNOT, estimate_prevalence
from carina.evaluation.comparison import PairedTest
from carina.radiographs.file_kind import counted as counted_kinds
from carina.wording import counted


def describe_adaptation(
    held_out: HeldOut, on: Adaptation, old: Policy, new: Policy, *, untouched: Sequence[str], refused: str | None
) -> list[str]:
    """Return what was measured and what became of it, one sentence per line; arguments as of `Adapted`."""
    per_finding = ", ".join(f"{finding} {count}" for finding, count in on.per_finding.items() if count)
    used = f"{counted(on.images, 'film')} of {counted(on.patients, 'patient')} ({per_finding})"
    left_out = f"{on.left_out_leaks} that the model was trained on, {on.left_out_refused} that it does not judge"
    lines = [
        f"Films used: {used}. Left out: {left_out}.",
        "Each figure below is for films of patients whom the judging model did not learn from.",
    ]
    lines += [
        f"No film has {finding}: its weights stay as they were, nothing below says how well it is found, and no band "
        f"can be promised. If it does not occur at your site, add --leave-out {shlex.quote(finding)}."
        for finding in untouched
    ]
    lines += [describe_test(test) for test in (*held_out.aurocs(), *held_out.calls())]
    lines += [
        f"AUROC of {finding}: {area} after; the shipped model does not know it."
        for finding, area in held_out.added_aurocs().items()
    ]
    measured = {held_out.findings[place] for place in held_out.measured} | set(untouched)
    if small := [finding for finding in held_out.findings if finding not in measured]:
        lines.append(f"Not measured, with fewer than {FEWEST} patients: {', '.join(small)}.")
    if held_out.shipped.flagged is None:
        sensitivity, specificity = held_out.adapted_calls()
        lines.append(
            f"The shipped model flags {old.flag_finding}; the adapted one flags {held_out.flag_finding}: their "
            f"sensitivities are not compared. The adapted model has a sensitivity of {sensitivity:.3f} and a "
            f"specificity of {specificity:.3f}. Look at both before you use it."
        )
    without = f", without {' and '.join(held_out.added)}" if held_out.added else ""
    lines.append(
        f"Macro AUROC{without}: {on.macro_auroc_before:.3f} before, {on.macro_auroc_after:.3f} after; "
        f"difference {signed(held_out.gain())}."
    )
    for name, judged, policy in (("shipped", held_out.shipped, old), ("adapted", held_out.adapted, new)):
        lines += _describe_promises(name, held_out, judged, policy)
    lines.append(_describe_curve(held_out))
    if refused is not None:
        lines.append(f"No bundle was written: {refused}. Keep the shipped model. {_describe_way_out(held_out, new)}")
    else:
        lines.append(
            "The adapted model is for this site alone: it was not tested anywhere else, and may be worse there."
        )
    return lines


def _describe_way_out(held_out: HeldOut, new: Policy) -> str:
    """Return what a person can do where no bundle was written, and why it was not."""
    if held_out.lost_sensitivity() is None:
        return "More labelled films may help; carina recalibrate fits thresholds alone."
    specificity = next(test for test in held_out.calls() if test.measure == "specificity")
    return (
        f"The new threshold follows the bundle's rule, {new.operating_point.in_words()}. At your site the shipped "
        f"threshold has a specificity of {specificity.value_b:.3f}, the new one has {specificity.value_a:.3f}: a "
        "threshold that flags fewer films without the finding also flags fewer films with it. Label more films of "
        f"{held_out.flag_finding}, so that the model tells them better "
        "from the others. Or try carina recalibrate, which keeps the weights: it follows the same rule, so compare its "
        "sensitivity before you use it."
    )


def describe_prevalence(judged: JudgedFolder, held_out: HeldOut) -> list[str]:
    """Return what films without labels say of how frequent the findings are, and what they cannot say."""
    shares = estimate_prevalence(
        judged.probabilities, held_out.adapted.probabilities, held_out.labels, held_out.findings
    )
    unused = [
        f"{judged.learned} that the model learned from",
        f"{judged.refused} that it does not judge",
        f"{judged.unreadable} that could not be read",
    ]
    if judged.left_out:
        unused.append(counted_kinds(judged.left_out))
    lines = [
        f"Without labels: {counted(len(judged.paths), 'image')} of {judged.folder} judged.",
        f"Left out there: {', '.join(unused)}.",
    ]
    lines += [f"Estimated share of {finding}: {share}." for finding, share in shares.items()]
    return [*lines, CANNOT]


def describe_test(test: PairedTest) -> str:
    """Return a figure before and after, and the difference."""
    name = f"{test.measure} of {test.finding}"
    if test.value_a is None or test.value_b is None:
        return f"{name}: not measured ({test.difference.note})."
    return f"{name}: {test.value_b:.3f} before, {test.value_a:.3f} after; difference {signed(test.difference)}."


def _describe_promises(name: str, held_out: HeldOut, judged: Judgements, policy: Policy) -> list[str]:
    lines, bands = [], policy.thresholds_at()
    limits = {"routine": (bands.routine, bands.routine_share), "fast-track": (bands.fast_track, bands.fast_track_share)}
    for band, (films, wrong) in held_out.promises(judged).items():
        threshold, most = limits[band]
        share = f" ({wrong / films:.1%}; promised: at most {most:.0%})" if films else ""
        line = f"Band {band} of the {name} model: {counted(films, 'film')}, {wrong} of them wrong{share}."
        lines.append(line if threshold is not None else f"{line} {why_no_band(policy, band)}.")
    return lines


def _describe_curve(held_out: HeldOut) -> str:
    if not held_out.curve:
        fewest = math.ceil(CURVE[0] / CURVE_SHARE)
        return f"Whether more films would help was not measured: it takes {fewest} films or more."
    steps = ", ".join(f"{size} films {mean:.3f} ± {sd:.3f}" for size, (mean, sd) in held_out.curve.items())
    last, (mean, sd) = list(held_out.curve.items())[-1]
    films, reached = held_out.curve_end
    gain = reached - mean
    verdict = (
        f"From {last} to {films} films it rose by {gain:.3f}: as many more films may bring about as much, rarely more."
        if gain > sd
        else f"From {last} to {films} films it did not rise clearly ({gain:+.3f}): more films bring little."
    )
    return (
        f"Macro AUROC by number of labelled films, without calibration (mean ± SD of draws): {steps}; {films} films "
        f"{reached:.3f}. {verdict}"
    )
