"""What the model says of one image: a prediction, or why there is none."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carina.decisions.triage import Triage
from carina.errors import ConfigurationError, InputError
from carina.inference.explanation.explain import Explanation
from carina.notebook import CELL, boxed

if TYPE_CHECKING:
    from PIL.Image import Image

NO_NUMBER = "the model gave no number for it"
FOR_RESEARCH = "For research. A triage flag orders the reading: it is no diagnosis."
# An overlay is stored in the notebook: wider than this it would fill it.
_WIDEST_PX = 900


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one image.

    Attributes
    ----------
    path
        As it was given; none where the image was not a file.
    sha256, reduced
        Of the decoded pixels; and 1, or how many of the file's rows one row of them has: large JPEG 2000 is decoded at
        the lower resolution that is enough, except for an explanation. Such a hash is not that of the whole image.
    network_probabilities
        What the network gives for every finding, calibrated, whether or not the image may be judged. They are for
        figures over a whole data set. What is to be shown as the result of an image is `probabilities`.
    triage
        Priority and reason.
    reasons
        Why the radiograph must not be judged: clauses, each of which can follow "because". Empty if nothing refuses it.
    elapsed_ms
        Reading this image, and its share of the time from handing its batch to the engine until it was decided.
    explanation
        Why, where it was asked for and the radiograph may be judged.
    reservations
        What the file's header or its pixels leave in doubt, and that no gate looked at the image, where the model has
        none: sentences without patient data, to be shown with the result.
    gated
        Whether the model has a gate, which looked at the image.
    distance
        From the radiographs that the gate was fitted to, in standard deviations, where 1 is usual; None without a gate.
    embedding
        float32 ``(n,)``: what the network's last layer is given, where it was asked for.
    """

    path: Path | None
    sha256: str
    network_probabilities: Mapping[str, float]
    triage: Triage
    reasons: tuple[str, ...]
    elapsed_ms: float
    explanation: Explanation | None = None
    reservations: tuple[str, ...] = ()
    gated: bool = False
    distance: float | None = None
    embedding: NDArray[np.float32] | None = None
    reduced: int = 1

    @property
    def probabilities(self) -> Mapping[str, float] | None:
        """Return the calibrated probability of every finding, summing to 1; None where the image is not assessable."""
        return None if self.triage.priority == "not-assessable" else self.network_probabilities

    @property
    def finding(self) -> str | None:
        """Return the most probable finding; None where the image is not assessable."""
        shares = self.probabilities
        return None if shares is None else max(shares, key=shares.__getitem__)

    @property
    def accepted(self) -> bool | None:
        """Return False where something refused the radiograph, True where a gate let it pass, None without a gate."""
        return False if self.reasons else True if self.gated else None

    @property
    def refused(self) -> str | None:
        """Return why nothing is said about the image, in one clause; None where it was judged."""
        if self.triage.code == "no-number":
            return NO_NUMBER
        return ", and ".join(self.reasons) or None

    def judged(self) -> tuple[str, Mapping[str, float]]:
        """Return the finding and the probabilities of an image that was judged.

        Raises
        ------
        InputError
            If the image is not assessable.
        """
        if self.finding is None or self.probabilities is None:
            msg = f"nothing is said about this image, because {self.refused}."
            raise InputError(msg, "not-a-radiograph")
        return self.finding, self.probabilities

    def plot(self, finding: str | None = None, *, against: str | None = None) -> "Image":
        """Return a picture: the radiograph with the evidence for a finding over it, and a legend below.

        Parameters
        ----------
        finding
            By default the most probable one.
        against
            Draw the evidence for the finding against this one; see
            `carina.inference.explanation.explain.Explanation.evidence`.

        Raises
        ------
        ConfigurationError
            If there is no explanation, or the model does not know a finding.
        InputError
            If the image is not assessable.
        """
        from PIL.Image import fromarray  # noqa: PLC0415  # fonts and drawing, for pictures alone

        from carina.inference.explanation.overlay import draw_overlay  # noqa: PLC0415

        called, probabilities = self.judged()
        if self.explanation is None:
            msg = 'This prediction has no explanation. Use model.explain("image.png"), or predict with explain=True.'
            raise ConfigurationError(msg)
        # The explanation refuses a finding that the model does not know.
        shown = finding or called
        return fromarray(draw_overlay(self.explanation, shown, probabilities.get(shown, float("nan")), against=against))

    def _repr_html_(self) -> str:
        parts = [f"<b>{escape(shown_name(self.path))}: {escape(self.triage.priority)}</b><br>"]
        parts += [escape(self.triage.reason), *(f"<br>{escape(doubt)}" for doubt in self.reservations)]
        if self.probabilities is not None:
            parts.append(_bars(self.probabilities))
        if self.explanation is not None:
            parts.append(self._picture())
        return boxed_result(*parts)

    def _picture(self) -> str:
        picture, encoded = self.plot(), BytesIO()
        picture.thumbnail((_WIDEST_PX, picture.height))
        picture.save(encoded, "PNG", compress_level=1)
        content = base64.b64encode(encoded.getvalue()).decode("ascii")
        described = escape(f"What the cells of the last feature map add to the logit of {self.finding}")
        return f'<img alt="{described}" style="max-width:100%" src="data:image/png;base64,{content}">'


@dataclass(frozen=True, slots=True)
class FailedPrediction:
    """An image that could not be judged.

    Attributes
    ----------
    path
        As it was given; none where the image was not a file.
    error
        Why, with a code for programs.
    passed_over
        Whether nothing is wrong with that: it was found in a folder, an archive or a DICOMDIR, and is an object that
        belongs to a study beside its images, or an answer that Carina wrote.
    """

    path: Path | None
    error: InputError
    passed_over: bool = False

    def _repr_html_(self) -> str:
        return boxed_result(f"<b>{escape(shown_name(self.path))}: not judged</b><br>{escape(str(self.error))}")

    if not TYPE_CHECKING:  # a checker of types knows that a failed prediction has none of these

        def __getattr__(self, name: str) -> Any:
            """Say what failed where somebody takes the result of every image."""
            if name in FailedPrediction.__dataclass_fields__:  # while it is being copied
                raise AttributeError(name)
            if name[0] != "_" and hasattr(Prediction, name):
                msg = (
                    f"{shown_name(self.path)} could not be judged, so it has no {name}: {self.error} Ask for .error, "
                    "or go through .judged of the predictions, which leaves such images out."
                )
                raise AttributeError(msg)
            msg = f"A failed prediction has no {name}. It has path, error and passed_over."
            raise AttributeError(msg)


AnyPrediction = Prediction | FailedPrediction


def shown_name(path: Path | None, place: int | None = None) -> str:
    """Return a file's name without its folders, which may say more than a notebook should pass on."""
    if path is not None:
        # A name that is no UTF-8 could not be saved with the notebook.
        return path.name.encode("utf-8", "replace").decode("utf-8")
    return "image" if place is None else f"image {place}"


def boxed_result(*parts: str) -> str:
    """Return markup as one block that ends with what a result is for."""
    return boxed(*parts, f'<div style="opacity:.7">{FOR_RESEARCH}</div>')


def _bars(probabilities: Mapping[str, float]) -> str:
    rows = [
        f"<tr><td {CELL}>{escape(finding)}</td><td {CELL}>{probability:.3f}</td>"
        f'<td {CELL}><div style="width:12em"><div style="width:{100 * probability:.1f}%;height:.8em;margin-top:.3em;'
        'background:currentColor;opacity:.6"></div></div></td></tr>'
        for finding, probability in probabilities.items()
    ]
    return f'<table style="border-collapse:collapse">{"".join(rows)}</table>'
