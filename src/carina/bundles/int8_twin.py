"""What is known of a bundle's twin in 8-bit integers: how it was made, what it changes, and whether it may be used.

The twin must decide as the classifier does. That is measured on images on which nothing of it was chosen; where it does
not, the bundle has the record and not the graph.
"""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from carina.bundles.golden import Tolerances

INT8_FILE = "model.int8.onnx"

_Share = Annotated[float, Field(ge=0, le=1)]


class TwinLimits(BaseModel, frozen=True, extra="forbid"):
    """What a twin may cost.

    Attributes
    ----------
    auroc_cost, changed
        Of the macro AUROC, and the largest share of decisions that may be others.
    images
        Fewer prove nothing: one of them would be a larger share.
    """

    auroc_cost: float = Field(default=0.001, ge=0)
    changed: _Share = 0.005
    images: int = Field(default=200, ge=1)

    def in_words(self) -> str:
        """Return them as part of a sentence."""
        return (
            f"at most {self.auroc_cost:g} of macro AUROC and {self.changed:.2%} of decisions, "
            f"on at least {self.images} images"
        )


class Parity(BaseModel, frozen=True, extra="forbid"):
    """What a twin changes, as one engine computes it, beside the classifier in 32-bit floating point.

    Attributes
    ----------
    engine, images
        Library and version, and how many images were judged by both.
    auroc_cost
        Of the macro AUROC, one finding against the rest; negative where the twin does better.
    changed, findings_changed
        Images with another decision (finding or priority), and with another finding.
    largest_difference
        Of a probability.
    """

    engine: str
    images: int = Field(ge=1)
    auroc_cost: float = Field(allow_inf_nan=False)
    changed: int = Field(ge=0)
    findings_changed: int = Field(ge=0)
    largest_difference: _Share

    def within(self, limits: TwinLimits) -> bool:
        """Return whether it costs no more than may be."""
        return (
            self.images >= limits.images
            and self.auroc_cost <= limits.auroc_cost
            and self.changed <= limits.changed * self.images
        )

    def in_words(self) -> str:
        """Return it as part of a sentence."""
        return (
            f"{self.engine}: macro AUROC {-self.auroc_cost:+.5f}, {self.changed} of {self.images} decisions changed "
            f"({self.changed / self.images:.2%}; {self.findings_changed} findings), a probability by "
            f"{self.largest_difference:.3f} at most"
        )


class Int8Record(BaseModel, frozen=True, extra="forbid"):
    """What ``bundle.json`` says of the twin.

    Attributes
    ----------
    accepted, sha256
        Whether it may be used, and the hash of ``model.int8.onnx``, which lies in the bundle only then.
    method, rounded_on
        How it was made, and how many training images its steps and weights were chosen on.
    measured_on
        The images of `parity`: split and data sets.
    limits, parity
        What it may cost, and what it was measured to, on each engine.
    tolerances
        How far the golden examples, which are those of the classifier, may be missed by it: twice as far as either
        engine missed them when the bundle was written.
    """

    accepted: bool
    sha256: str | None = None
    method: str
    rounded_on: int = Field(ge=1)
    measured_on: str
    limits: TwinLimits
    parity: tuple[Parity, ...] = Field(min_length=1)
    tolerances: Tolerances | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        proved = all(each.within(self.limits) for each in self.parity)
        if self.accepted != proved or self.accepted != (self.sha256 is not None):
            msg = "a twin is accepted, with its hash, where its parity is within the limits, and nowhere else"
            raise ValueError(msg)
        return self

    def in_words(self) -> str:
        """Return what was measured, in a sentence or two."""
        verdict = "accepted" if self.accepted else "refused and left out"
        measured = "; ".join(each.in_words() for each in self.parity)
        return f"int8 {verdict}. On {self.measured_on}, {measured}. Allowed: {self.limits.in_words()}."
