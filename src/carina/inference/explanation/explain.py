"""Why: what each cell of the last feature map adds to each logit, where these cells lie, and how much of it is lung.

The network averages its last feature map and weighs the averages, so that a logit is a sum over cells and a bias. The
map is therefore no estimate of what the network did but the very summands, out of the same forward pass (Zhou et al.
2016, doi:10.1109/CVPR.2016.319). What it does not say is where in the image a cell got its value from: a cell of
MobileNetV2's last map sees 491 pixels a side, which is more than the whole tensor. See
``docs/explanation/activation-maps.md``.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.decisions.calibration import Calibration
from carina.errors import ConfigurationError
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.preprocess import Preprocessing, crop_matrix
from carina.radiographs.radiograph import Radiograph

# No reading monitor shows more of an overlay, and a stack of 4,300-pixel radiographs waiting to be drawn fills the
# memory.
LONGEST_SIDE_PX = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What a model's logits are made of, for one radiograph.

    Attributes
    ----------
    findings
        In the order of the logits.
    contributions
        float32 ``(rows, columns, findings)``, in units of the raw logits: what each cell adds. Their sum over cells
        and the head's bias are the logit.
    logits
        float32 ``(findings,)``: raw, as the network gives them.
    calibration
        How logits become probabilities; `evidence` is in units of calibrated logits.
    seen
        Top, left, bottom, right of what the network was shown, as shares of the radiograph's height and width. The
        cells divide it evenly.
    lungs
        Where the lungs are; none if the model does not look for them.
    grey
        uint8 ``(height, width)``, range [0, 255]: the radiograph as displayed, at its own resolution, or with its
        longer side brought to 2,048 pixels.
    """

    findings: tuple[str, ...]
    contributions: NDArray[np.float32]
    logits: NDArray[np.float32]
    calibration: Calibration
    seen: tuple[float, float, float, float]
    lungs: Lungs | None
    grey: NDArray[np.uint8] = field(repr=False)

    @property
    def bias(self) -> NDArray[np.float64]:
        """Return what no cell adds, float64 ``(findings,)``: the logits without the contributions, the head's bias."""
        return np.asarray(self.logits - self.contributions.sum(axis=(0, 1), dtype=np.float64))

    @property
    def lungs_fill(self) -> float | None:
        """Return the share of what the network was shown that is lung, 0 to 1: as much of evenly spread evidence is."""
        shares = self._lung_shares()
        return None if shares is None else float(shares.mean())

    def evidence(self, finding: str, *, against: str | None = None) -> NDArray[np.float64]:
        """Return what each cell adds to the calibrated logit of a finding, over the mean of all findings.

        float64 ``(rows, columns)``. A softmax stays the same when a number is added to all its logits, so that only
        what a cell adds to one finding over others says anything: contributions are multiplied by the calibration's
        scale, and in each cell the mean over the findings is taken off. Then the sum over cells and `constant` are
        exactly log P(finding) less the mean of log P over all findings, with the calibrated probabilities, and the
        evidence for one finding less that for another is what the cell adds to the logarithm of their odds.

        Parameters
        ----------
        finding
            Which.
        against
            Take off what the cell adds to this finding instead of the mean: then the sum and `constant` are the
            logarithm of the odds of the one against the other.

        Raises
        ------
        ConfigurationError
            If the model does not know a finding.
        """
        scaled = self.contributions.astype(np.float64) * self.calibration.scale
        return np.asarray(self._over_others(scaled, finding, against))

    def constant(self, finding: str, *, against: str | None = None) -> float:
        """Return what no cell adds to the calibrated logit of a finding: bias and calibration; see `evidence`."""
        scaled = self.bias * self.calibration.scale + self.calibration.offset
        return float(self._over_others(scaled, finding, against))

    def inside_lungs(self, finding: str, *, against: str | None = None) -> float | None:
        """Return the share of the positive evidence for a finding that lies inside the lungs, 0 to 1; see `evidence`.

        Each cell's evidence is taken as spread evenly over its square, of which the part that is lung counts. To be
        held against `lungs_fill`. None if the model does not look for lungs, or nothing speaks for the finding.
        """
        shares = self._lung_shares()
        positive = np.maximum(self.evidence(finding, against=against), 0.0)
        total = float(positive.sum())
        return None if shares is None or not total > 0 else float((positive * shares).sum() / total)

    def on_radiograph(self, finding: str, *, smooth: bool = False, against: str | None = None) -> NDArray[np.float32]:
        """Return the evidence at each pixel of `grey`, float32 ``(height, width)``, in calibrated logits a cell.

        NaN where the network was shown nothing.

        Parameters
        ----------
        finding
            Which.
        smooth
            Interpolate between the centres of the cells, which is easier on the eye and adds nothing: each pixel of a
            cell otherwise has the cell's value.
        against
            See `evidence`.
        """
        rows, columns, _ = self.contributions.shape
        top, left, bottom, right = self.seen
        down = _shown_cells(rows, top, bottom, self.grey.shape[0], smooth=smooth)
        across = _shown_cells(columns, left, right, self.grey.shape[1], smooth=smooth)
        return np.asarray(down @ self.evidence(finding, against=against).astype(np.float32) @ across.T)

    def _over_others(self, values: NDArray[np.float64], finding: str, against: str | None) -> NDArray[np.float64]:
        """Return the values of a finding less those of another or the mean over all; findings are the last axis."""
        for name in (finding, against):
            if name is not None and name not in self.findings:
                msg = f"The model does not know {name!r}. Name one of: {', '.join(self.findings)}."
                raise ConfigurationError(msg)
        others = values.mean(axis=-1) if against is None else values[..., self.findings.index(against)]
        return np.asarray(values[..., self.findings.index(finding)] - others)

    def _lung_shares(self) -> NDArray[np.float64] | None:
        """Return the share of each cell that is lung, float64 ``(rows, columns)``."""
        if self.lungs is None:
            return None
        rows, columns, _ = self.contributions.shape
        top, left, bottom, right = self.seen
        mask = self.lungs.mask
        down, across = _overlaps(rows, top, bottom, mask.shape[0]), _overlaps(columns, left, right, mask.shape[1])
        return np.asarray(down @ mask.astype(np.float64) @ across.T)


def build_explanation(
    contributions: NDArray[np.float32],
    logits: NDArray[np.float32],
    findings: tuple[str, ...],
    calibration: Calibration,
    preprocessing: Preprocessing,
    lungs: Lungs | None,
    grey: NDArray[np.uint8],
) -> Explanation:
    """Return the explanation of one radiograph."""
    seen = (0.0, 0.0, 1.0, 1.0)
    if preprocessing.crop == "lungs":
        # The same matrix that cut the tensor out; an edge lies half a pixel beyond the centre of the last one.
        (scale_x, _, shift_x), (_, scale_y, shift_y) = crop_matrix(lungs, preprocessing)
        size, whole = preprocessing.size, preprocessing.whole_size
        left, right = (((edge - 0.5 - shift_x) / scale_x + 0.5) / whole for edge in (0, size))
        top, bottom = (((edge - 0.5 - shift_y) / scale_y + 0.5) / whole for edge in (0, size))
        seen = (float(top), float(left), float(bottom), float(right))
    return Explanation(findings, contributions, logits, calibration, seen, lungs, grey)


def display_grey(radiograph: Radiograph) -> NDArray[np.uint8]:
    """Return a radiograph as displayed: uint8 ``(height, width)``, range [0, 255], at most 2,048 pixels a side."""
    pixels = radiograph.pixels
    factor = LONGEST_SIDE_PX / max(radiograph.height, radiograph.width)
    if factor < 1:
        size = (max(1, round(radiograph.width * factor)), max(1, round(radiograph.height * factor)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    # Multiplies, rounds and saturates in one go.
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=255.0 / radiograph.white), np.uint8)


def _shown_cells(cells: int, low: float, high: float, pixels: int, *, smooth: bool) -> NDArray[np.float32]:
    """Return how much of each cell a pixel along one side shows, ``(pixels, cells)``; NaN beyond `low` to `high`."""
    place = ((np.arange(pixels) + 0.5) / pixels - low) / (high - low) * cells
    shown = np.clip(place - 0.5, 0, cells - 1) if smooth else np.clip(np.floor(place), 0, cells - 1)
    weights = np.maximum(1 - np.abs(shown[:, np.newaxis] - np.arange(cells)), 0)
    weights[(place < 0) | (place > cells)] = np.nan
    return np.asarray(weights, np.float32)


def _overlaps(cells: int, low: float, high: float, squares: int) -> NDArray[np.float64]:
    """Return which share of a cell's side lies in each of the squares that divide 0 to 1: ``(cells, squares)``."""
    edges = (low + (high - low) * np.arange(cells + 1) / cells) * squares
    starts, ends = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    inside = np.minimum(ends, np.arange(1, squares + 1)) - np.maximum(starts, np.arange(squares))
    return np.asarray(np.maximum(inside, 0) / (ends - starts))
