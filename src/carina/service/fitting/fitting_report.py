"""What fitting a model brought, on verdicts that the judging model was not fitted to, as plain values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from carina.decisions.policy import Policy

if TYPE_CHECKING:
    from carina.evaluation.adaptation.held_out import HeldOut
    from carina.evaluation.comparison import PairedTest


class BeforeAfter(BaseModel):
    """A figure before and after, and their paired difference with its 95 % interval; null where there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    measure: str
    finding: str | None
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    note: str | None


class BandBeforeAfter(BaseModel):
    """How many studies a band has, and how many of them do not belong, before and after."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    band: str
    promised: float
    before: tuple[int, int]
    after: tuple[int, int]


class FittingReport(BaseModel):
    """What was measured.

    Attributes
    ----------
    studies, patients
        Which the model was fitted to. Each was held out once, its patient whole.
    figures, bands
        By the model as it was, and by models that had not seen the study's patient.
    lines
        What the library says of it, one sentence each.
    left_out
        Sentences about verdicts that could not be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    studies: int
    patients: int
    figures: tuple[BeforeAfter, ...]
    bands: tuple[BandBeforeAfter, ...]
    lines: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def build_report(held_out: "HeldOut", old: Policy, lines: Sequence[str], left_out: Sequence[str]) -> FittingReport:
    """Return the report of what was held out; `old` is the policy of the model as it was."""
    before, after = held_out.promises(held_out.shipped), held_out.promises(held_out.adapted)
    most = {"routine": old.bands.alpha, "fast-track": old.bands.beta}
    return FittingReport(
        studies=len(held_out.labels),
        patients=len(set(held_out.groups.tolist())),
        figures=tuple(map(before_after, (*held_out.calls(), *held_out.aurocs(), *held_out.briers()))),
        bands=tuple(
            BandBeforeAfter(band=band, promised=most[band], before=before[band], after=after[band])
            for band in after
            if band in before
        ),
        lines=tuple(lines),
        left_out=tuple(left_out),
    )


def before_after(test: "PairedTest") -> BeforeAfter:
    """Return a paired test as plain values; its first model is the one after."""
    difference = test.difference
    return BeforeAfter(
        measure=test.measure,
        finding=test.finding,
        before=test.value_b,
        after=test.value_a,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        note=difference.note,
    )
