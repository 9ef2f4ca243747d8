"""What changed between two policies of one model, in sentences: what `carina recalibrate` says when it is done."""

from carina.decisions.bands import BandName
from carina.decisions.enough import patients_needed
from carina.decisions.operating_point import OperatingPoint
from carina.decisions.policy import Policy
from carina.errors import ConfigurationError
from carina.findings import NORMAL


def describe_change(old: Policy, new: Policy, *, prevalence: float | None = None) -> list[str]:
    """Return what a new policy changed, in numbers, one sentence per line, and whether there were enough patients.

    Parameters
    ----------
    old, new
        Of the same model.
    prevalence
        At which bands are compared; by default each at that of its own calibration data.

    Raises
    ------
    ConfigurationError
        If the policies are for other findings, or the prevalence lies outside 0 to 1.
    """
    if (old.findings, old.flag_finding) != (new.findings, new.flag_finding):
        msg = (
            f"The policies are for {', '.join(old.findings)} (flagged: {old.flag_finding}) and for "
            f"{', '.join(new.findings)} (flagged: {new.flag_finding}). Compare policies of one model."
        )
        raise ConfigurationError(msg)
    fitted, point = new.calibration, new.operating_point
    lines = [
        (
            f"Calibration: {old.calibration.method}, temperature {old.calibration.temperature:.3f}, became "
            f"{fitted.method}, temperature {fitted.temperature:.3f}; mean negative log-likelihood "
            f"{fitted.nll_before:.4f} without and {fitted.nll_after:.4f} with it on {fitted.images} images of "
            f"{fitted.fitted_on}."
        )
    ]
    lines += [
        f"Calibration of {finding}: scale {old.calibration.scale[place]:.3f} became {fitted.scale[place]:.3f}, "
        f"offset {old.calibration.offset[place]:+.3f} became {fitted.offset[place]:+.3f}."
        for place, finding in enumerate(new.findings)
    ]
    lines.append(
        f"Threshold of {new.flag_finding}: {old.operating_point.threshold:.4f} ({old.operating_point.in_words()}) "
        f"became {point.threshold:.4f} ({point.in_words()})."
    )
    lines += [_describe_point(new_point) for new_point in new.operating_points]
    return lines + _describe_bands(old, new, prevalence)


def _describe_point(point: OperatingPoint) -> str:
    low, high = point.sensitivity_bounds()
    least, most = point.specificity_bounds()
    return (
        f"At {point.threshold:.4f} ({point.in_words()}) sensitivity is {point.sensitivity:.3f} ({low:.3f} to "
        f"{high:.3f}; {point.true_positives} of {point.positives}) and specificity {point.specificity:.3f} "
        f"({least:.3f} to {most:.3f}; {point.true_negatives} of {point.negatives}) on {point.chosen_on}"
        + (": the rule is met only by a threshold that tells nothing apart." if point.is_trivial else ".")
    )


def _describe_bands(old: Policy, new: Policy, prevalence: float | None) -> list[str]:
    before, after = old.thresholds_at(prevalence), new.thresholds_at(prevalence)
    flag = new.flag_finding
    bands: tuple[tuple[BandName, str, str, float | None, float | None, float], ...] = (
        ("routine", NORMAL, f"not {NORMAL}", before.routine, after.routine, after.routine_share),
        ("fast-track", flag, f"anything but {flag}", before.fast_track, after.fast_track, after.fast_track_share),
    )
    lines = []
    for name, of, wrong, was, now, share in bands:
        earlier = "there was none before" if was is None else f"before, it began at P({of}) = {_number(was)}"
        later = "there is none" if now is None else f"it begins at P({of}) = {_number(now)}"
        verdict = "There were enough patients" if now is not None else why_no_band(new, name, prevalence)
        lines.append(
            f"Band {name}: {earlier}{_at(before.prevalence, after.prevalence)}; now {later}. The promise: at most "
            f"{100 * share:.3g} % of it is {wrong} (confidence {100 * after.confidence:g} %, prevalence of {flag} "
            f"{_number(after.prevalence)}). {verdict}."
        )
    return lines


def _at(before: float, after: float) -> str:
    """Return the prevalence before, where it was another one."""
    return "" if before == after else f" (at a prevalence of {_number(before)})"


def why_no_band(policy: Policy, name: BandName, prevalence: float | None = None) -> str:
    """Return why a policy has no such band, as a sentence without its full stop."""
    needed = patients_needed(policy.bands, name, prevalence)
    if needed is None:
        return "No number of patients would allow one in this mix of findings"
    if needed:
        more = ", ".join(f"{count} of {finding}" for finding, count in needed.items())
        return f"There were too few patients: at the very least these more are needed: {more}"
    return "There were enough patients for a model without mistakes, but this one makes too many to keep the promise"


def _number(share: float) -> str:
    return f"{share:.6g}"
