"""What is known of a bundle's twin in 8-bit integers: how it was made, what it costs, and whether it may be used.

The twin must decide as the classifier does. That is proved on images on which nothing of it was chosen; where it is
not, the bundle has the record and not the graph.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carina.golden import Tolerances

INT8_FILE = "model.int8.onnx"

_Share = Annotated[float, Field(ge=0, le=1)]


class Limits(BaseModel):
    """What a twin may cost.

    Attributes
    ----------
    auroc_cost
        Of the macro AUROC.
    changed
        The largest share of decisions that may be others.
    images
        Fewer prove nothing: one of them would be a larger share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auroc_cost: float = Field(default=0.001, ge=0)
    changed: _Share = 0.005
    images: int = Field(default=200, ge=1)


class Parity(BaseModel):
    """What a twin changes, as one engine computes it, beside the classifier in 32-bit floating point.

    Attributes
    ----------
    engine
        Library and version.
    images
        How many were judged by both.
    auroc_cost
        Of the macro AUROC, one finding against the rest; negative where the twin does better.
    changed, findings_changed
        Images with another decision (finding or priority), and with another finding.
    largest_difference
        Of a probability.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    images: int = Field(ge=0)
    auroc_cost: float = Field(allow_inf_nan=False)
    changed: int = Field(ge=0)
    findings_changed: int = Field(ge=0)
    largest_difference: _Share

    def within(self, limits: Limits) -> bool:
        """Return whether it costs no more than may be."""
        return (
            self.images >= limits.images
            and self.auroc_cost <= limits.auroc_cost
            and self.changed <= limits.changed * self.images
        )

    def in_words(self) -> str:
        """Return it as part of a sentence."""
        share = self.changed / self.images if self.images else 0.0
        return (
            f"{self.engine}: macro AUROC {-self.auroc_cost:+.5f}, {self.changed} of {self.images} decisions others "
            f"({share:.2%}; {self.findings_changed} findings), a probability by {self.largest_difference:.3f} at most"
        )


class Int8Record(BaseModel):
    """What ``bundle.json`` says of the twin.

    Attributes
    ----------
    accepted
        Whether it may be used: only then it lies in the bundle.
    sha256
        Of ``model.int8.onnx``, where it does.
    method
        How it was made.
    convolutions, in_integers
        How many the graph has, and how many of them compute in integers.
    rounded_on, chosen_on
        Training images that steps and weights were chosen on, and that convolutions were chosen on.
    measured_on
        The images of `parity`: data sets and split.
    limits, parity
        What it may cost, and what it was measured to, on each engine.
    tolerances
        How far the golden examples, which are those of the classifier, may be missed by it: twice as far as either
        engine missed them when the bundle was written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accepted: bool
    sha256: str | None = None
    method: str
    convolutions: int
    in_integers: int
    rounded_on: int
    chosen_on: int
    measured_on: str
    limits: Limits
    parity: tuple[Parity, ...]
    tolerances: Tolerances | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        proved = bool(self.parity) and all(each.within(self.limits) for each in self.parity)
        if self.accepted and not (proved and self.sha256):
            msg = "an accepted twin needs its hash, and parity within the limits"
            raise ValueError(msg)
        return self

    def measured_again(self, parity: tuple[Parity, ...], measured_on: str) -> "Int8Record":
        """Return what is to be said of the same twin after it was measured on other images or with another policy."""
        proved = bool(parity) and all(each.within(self.limits) for each in parity)
        accepted = proved and self.sha256 is not None
        changes = {
            "accepted": accepted,
            "sha256": self.sha256 if accepted else None,
            "parity": parity,
            "measured_on": measured_on,
            "tolerances": None,
        }
        return self.model_validate({**dict(self), **changes})

    def in_words(self) -> str:
        """Return what was measured, in a sentence or two."""
        verdict = "accepted" if self.accepted else "refused and left out"
        allowed = f"at most {self.limits.auroc_cost:g} of macro AUROC and {self.limits.changed:.2%} of decisions"
        if not self.in_integers:
            return f"int8 {verdict}: no convolution can compute in integers within {allowed}."
        few = f", on at least {self.limits.images} images" if any(
            each.images < self.limits.images for each in self.parity
        ) else ""  # fmt: skip
        measured = "; ".join(each.in_words() for each in self.parity)
        return (
            f"int8 {verdict}: {self.in_integers} of {self.convolutions} convolutions in integers. On {self.measured_on}, "
            f"{measured} (allowed: {allowed}{few})."
        )
