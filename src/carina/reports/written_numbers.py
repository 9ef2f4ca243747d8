"""How figures are written for people: a number never without its interval, and never rounded to a certainty."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from carina.statistics.intervals import Estimate

Kind = Literal["share", "area", "ratio", "signed"]

# Below this, a difference from 0 or 1 is an error of floating-point arithmetic. The page's script has the same limit.
_AS_GOOD_AS_EQUAL = 1e-9


def estimate_of(content: Mapping[str, Any] | None) -> Estimate:
    """Return the estimate that ``metrics.json`` or ``audit.json`` holds; one that is missing is not applicable."""
    if content is None:
        return Estimate(None, None, None, "none", note="not measured by the version of Carina that evaluated")
    known = {name: content.get(name) for name in Estimate.__dataclass_fields__}
    return Estimate(**known | {"method": content.get("method") or "none"})


def value_text(estimate: Estimate, kind: Kind = "share") -> str:
    """Return the value alone: "93.8 %", "0.986", "23.1", "−0.12" or "n/a"."""
    if estimate.value is None:
        return "n/a"
    return _written([estimate.value, estimate.low, estimate.high], kind)[0] + ("\u00a0%" if kind == "share" else "")


def interval_text(estimate: Estimate, kind: Kind = "share") -> str:
    """Return the interval alone: "91.7–95.4"; or why there is none."""
    if estimate.value is None:
        return estimate.note or "not applicable"
    if estimate.low is None or estimate.high is None:
        return "no interval"
    _, low, high = _written([estimate.value, estimate.low, estimate.high], kind)
    return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"


def full_text(estimate: Estimate, kind: Kind = "share") -> str:
    """Return value and interval: "93.8 % (91.7–95.4)"."""
    return f"{value_text(estimate, kind)} ({interval_text(estimate, kind)})"


def count_text(estimate: Estimate) -> str:
    """Return the counts behind a share: "608 of 649"; nothing where there are none."""
    if estimate.numerator is None or not estimate.denominator:
        return ""
    return f"{estimate.numerator:,} of {estimate.denominator:,}"


def percent_text(share: float) -> str:
    """Return a share that is no estimate: "0.1 %", "23.8 %"."""
    return f"{100 * share:.3g}\u00a0%"


def unbroken(text: str) -> str:
    """Return words of others in which no line ends between a number and its per cent sign."""
    return re.sub(r"(\d) %", "\\1\u00a0%", text)


def _written(values: Sequence[float | None], kind: Kind) -> list[str]:
    """Return numbers that are read together, with as many digits as it takes for none to look like none or all."""
    present = [value for value in values if value is not None]
    if kind == "signed":
        return [f"{value:.2f}".replace("-", "−") for value in present]
    if kind == "ratio":
        return [_three_digits(value) for value in present]
    factor, digits = (100.0, 1) if kind == "share" else (1.0, 3)
    # So many digits show how far any number is from 0 and 1 that is not as good as equal.
    for more in range(digits, digits + 7):
        texts = [f"{factor * value:.{more}f}" for value in present]
        if not any(
            float(text) in (0.0, factor) and min(abs(value), abs(value - 1)) > _AS_GOOD_AS_EQUAL
            for text, value in zip(texts, present, strict=True)
        ):
            break
    return [text.replace("-", "−") for text in texts]


def _three_digits(value: float) -> str:
    size = abs(value)
    return (f"{value:.3f}" if size < 1 else f"{value:.2f}" if size < 10 else f"{value:.3g}").replace("-", "−")
