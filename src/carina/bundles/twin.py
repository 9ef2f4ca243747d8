"""A model in another precision: the same network, faster, with a policy that was fitted to what it gives.

A twin's numbers differ a little from the classifier's, so the classifier's thresholds are not right for it. It has its
own: calibration, operating points and bands are fitted to its own logits, on the same images. It is admitted where it
then is not worse, in pairs, by more than stated margins; not where every decision is the same.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from carina.bundles.golden import Tolerances
from carina.decisions.policy import Policy
from carina.wording import counted

INT8_FILE = "model.int8.onnx"

TwinPrecision = Literal["int8", "bf16"]
_Share = Annotated[float, Field(ge=0, le=1)]
_Difference = Annotated[float, Field(ge=-1, le=1)]


class Margins(BaseModel, frozen=True, extra="forbid"):
    """By how much a twin may be worse, in pairs on the same images.

    Attributes
    ----------
    auroc, sensitivity, specificity, in_bands, misplaced
        How far below 0 the lower end of the 95 % interval of the difference may lie: of the macro AUROC, of sensitivity
        and specificity of the flagged finding at each one's own operating point, of the share of images in a band with
        a promise, and of the share that is not in such a band without belonging there.
    images
        Fewer prove nothing.
    """

    auroc: _Share = 0.002
    sensitivity: _Share = 0.02
    specificity: _Share = 0.01
    in_bands: _Share = 0.05
    misplaced: _Share = 0.01
    images: int = Field(default=200, ge=1)

    def in_words(self) -> str:
        """Return them as part of a sentence."""
        return (
            f"95 % sure to lose at most {self.auroc:g} of macro AUROC, {self.sensitivity:g} of sensitivity, "
            f"{self.specificity:g} of specificity and {self.in_bands:g} of the images in bands, with at most "
            f"{self.misplaced:g} more in a wrong one, on at least {self.images} images"
        )


Measure = Literal["macro AUROC", "sensitivity", "specificity", "share in bands", "share not wrongly in a band"]
_MARGIN: dict[Measure, str] = {
    "macro AUROC": "auroc",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "share in bands": "in_bands",
    "share not wrongly in a band": "misplaced",
}


class Pair(BaseModel, frozen=True, extra="forbid"):
    """One figure of the classifier and of its twin, on the same images.

    Attributes
    ----------
    measure, classifier, twin
        Which figure, and its two values.
    low, high
        The 95 % interval of the difference, twin less classifier. The difference itself where both judge all images
        alike.
    """

    measure: Measure
    classifier: _Share
    twin: _Share
    low: _Difference
    high: _Difference

    def within(self, margins: Margins) -> bool:
        """Return whether the twin is not worse by more than the margin."""
        return self.low >= -float(getattr(margins, _MARGIN[self.measure]))

    def in_words(self) -> str:
        """Return it as part of a sentence."""
        return f"{self.measure} {self.twin - self.classifier:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


class Trial(BaseModel, frozen=True, extra="forbid"):
    """What a twin reaches with its own policy beside the classifier with its own, as one engine computes both.

    Attributes
    ----------
    engine, images
        Library and version, and how many images were judged by both.
    pairs
        The figures.
    lost
        The bands that can be promised of the classifier and not of the twin.
    changed
        Images with another decision (finding or priority). It admits and refuses nothing.
    """

    engine: str
    images: int = Field(ge=1)
    pairs: tuple[Pair, ...] = Field(min_length=1)
    lost: tuple[str, ...] = ()
    changed: int = Field(ge=0)

    def within(self, margins: Margins) -> bool:
        """Return whether the twin is not worse, as far as these images can tell."""
        return self.images >= margins.images and not self.lost and all(pair.within(margins) for pair in self.pairs)

    def in_words(self) -> str:
        """Return it as part of a sentence."""
        lost = f"; nothing can be promised of {', '.join(self.lost)}" if self.lost else ""
        return (
            f"{self.engine}, {counted(self.images, 'image')}: {', '.join(pair.in_words() for pair in self.pairs)}"
            f"{lost}; {self.changed / self.images:.1%} of decisions are others"
        )


class Twin(BaseModel, frozen=True, extra="forbid"):
    """What ``bundle.json`` says of a precision beside f32.

    Attributes
    ----------
    precision, accepted
        Which, and whether it may be used.
    sha256
        Of ``model.int8.onnx``, which lies in the bundle where int8 is accepted. None for bf16, which computes the
        classifier's own graph.
    policy
        From its logits to decisions; none where it was refused.
    method, rounded_on
        How it was made, and how many training images its steps and weights were chosen on; 0 where none were needed.
    measured_on, margins, trials
        The images that admitted or refused it, by how much it may be worse, and what was measured, on each engine.
    tested_on, tests
        The same on images that decided nothing. None where the data sets had no test split.
    tolerances
        How far another engine than the one that made the golden examples may miss them.
    """

    precision: TwinPrecision
    accepted: bool
    sha256: str | None = None
    policy: Policy | None = None
    method: str
    rounded_on: int = Field(ge=0)
    measured_on: str
    margins: Margins
    trials: tuple[Trial, ...] = Field(min_length=1)
    tested_on: str | None = None
    tests: tuple[Trial, ...] = ()
    tolerances: Tolerances | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        proved = all(each.within(self.margins) for each in self.trials)
        if self.accepted != proved or self.accepted != (self.policy is not None):
            msg = "a twin is accepted, with its policy, where its trials are within the margins, and nowhere else"
            raise ValueError(msg)
        if (self.sha256 is not None) != (self.accepted and self.precision == "int8"):
            msg = "an accepted int8 twin names its graph by its hash, and nothing else does"
            raise ValueError(msg)
        return self

    def in_words(self) -> str:
        """Return what was measured, in a sentence or two."""
        verdict = "offered, with thresholds of its own" if self.accepted else "refused and left out"
        measured = ". ".join(each.in_words() for each in self.trials)
        tested = ". ".join(each.in_words() for each in self.tests)
        return (
            f"{self.precision} {verdict}. Beside f32, on {self.measured_on}: {measured}. "
            f"Wanted: {self.margins.in_words()}." + (f" On {self.tested_on}: {tested}." if tested else "")
        )
