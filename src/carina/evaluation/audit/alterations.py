"""What the audit shows in place of a radiograph: lungs or all else taken away, thumbnails, grey levels, sharpness."""

from dataclasses import asdict, dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import LUNG_NET_SIZE
from carina.radiographs.preprocess import Preprocessing, frame

Alteration = Literal["shown", "lungs-black", "box-black", "lungs-alone", "border-alone"]
Summary = Literal["thumbnail", "histogram", "sharpness"]
Input = Alteration | Summary

ALTERATIONS: Final[tuple[Alteration, ...]] = ("shown", "lungs-black", "box-black", "lungs-alone", "border-alone")
SUMMARIES: Final[tuple[Summary, ...]] = ("thumbnail", "histogram", "sharpness")

TITLES: Final[dict[Input, str]] = {
    "shown": "As the model is shown it",
    "lungs-black": "Lungs blacked out",
    "box-black": "Box around the lungs blacked out",
    "lungs-alone": "Lungs alone",
    "border-alone": "Border of the film alone, no lung in it",
    "thumbnail": "Thumbnail of 16 × 16 pixels",
    "histogram": "Grey levels alone, no picture",
    "sharpness": "Sharpness alone, no picture, no grey levels",
}

THUMBNAIL_SIZE = 16
_BINS = 32
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
# Of detail of one pixel, two, four, eight and sixteen: coarser than that are lungs and heart.
_OCTAVES = 5
SUMMARY_LENGTHS: Final[dict[Summary, int]] = {
    "thumbnail": THUMBNAIL_SIZE**2,
    "histogram": _BINS + len(_QUANTILES),
    "sharpness": _OCTAVES,
}
# Raised whenever the same parameters would give other pixels, so that cached embeddings are not mixed.
_VERSION = 2


@dataclass(frozen=True, slots=True)
class AlterationSettings:
    """How much is taken away."""

    # What is added around the lungs (and the box) before they are blacked out, as a share of the image's side: a rim of
    # lung that is left would still tell.
    dilation: float = 0.02
    border: float = 0.15  # width of the frame that is left of the film at each side, as a share of the image's side


def alter(
    whole: NDArray[np.uint8],
    lungs: Lungs,
    framed_by: Lungs | None,
    alteration: Alteration,
    preprocessing: Preprocessing,
    settings: AlterationSettings,
) -> NDArray[np.uint8]:
    """Return what the network is shown of an altered radiograph: uint8 ``(size, size)``.

    Pixels are taken away on the whole radiograph; the same crop as ever follows, by the lungs that were found on the
    untouched one. The border is that of the whole film, shown whole, for models that crop as well; what lung lies in it
    (a tenth of it on the films this was tried on) is black too, or the border would tell of lungs.

    Parameters
    ----------
    whole
        uint8 ``(read_size, read_size)``.
    framed_by
        Where the crop is cut; see `carina.radiographs.preprocess.frame`.
    """
    if alteration == "border-alone":
        side = whole.shape[0]
        shown = border_mask(side, settings) & ~lung_mask(lungs, side, settings.dilation)
        left = np.where(shown, whole, np.uint8(0))
        plain = preprocessing.model_copy(update={"crop": "none"})
        return frame(_resized(left, preprocessing.size), None, plain)
    margin = preprocessing.crop_margin if preprocessing.crop == "lungs" else 0.0
    return frame(_without(whole, lungs, alteration, settings, margin), framed_by, preprocessing)


def _without(
    whole: NDArray[np.uint8], lungs: Lungs, alteration: Alteration, settings: AlterationSettings, crop_margin: float
) -> NDArray[np.uint8]:
    side = whole.shape[0]
    if alteration == "lungs-black":
        return np.where(lung_mask(lungs, side, settings.dilation), np.uint8(0), whole)
    if alteration == "box-black":
        altered = whole.copy()
        top, left, bottom, right = lungs.box
        # To a model that crops nothing at all is left, and no sliver of a pixel whose contrast is then stretched.
        down, across = (
            max(settings.dilation, crop_margin * extent + 1.5 / side if crop_margin else 0.0)
            for extent in (bottom - top, right - left)
        )
        rows = slice(_pixel(top - down, side, np.floor), _pixel(bottom + down, side, np.ceil))
        columns = slice(_pixel(left - across, side, np.floor), _pixel(right + across, side, np.ceil))
        altered[rows, columns] = 0
        return altered
    if alteration == "lungs-alone":
        return np.where(lung_mask(lungs, side), whole, np.uint8(0))
    return whole


def _pixel(share: float, side: int, rounded: np.ufunc) -> int:
    return int(np.clip(rounded(share * side), 0, side))


def lung_mask(lungs: Lungs, side: int, dilation: float = 0.0) -> NDArray[np.bool_]:
    """Return bool ``(side, side)``: where lung is, with a rim of `dilation` times the side around it."""
    mask = cv2.resize(lungs.mask.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    # With a rim to be added every pixel that holds some lung counts; without one those that hold more than half.
    grown = (mask > 0 if dilation else mask >= 0.5).astype(np.uint8)
    if dilation:
        reach = int(np.ceil(dilation * side))
        grown = cv2.dilate(grown, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return np.asarray(grown, dtype=np.bool_)


def border_mask(side: int, settings: AlterationSettings) -> NDArray[np.bool_]:
    """Return bool ``(side, side)``: the frame that "border alone" leaves."""
    width = round(settings.border * side)
    mask = np.ones((side, side), dtype=np.bool_)
    mask[width : side - width, width : side - width] = False
    return mask


def lungs_of_mask(pixels: NDArray[np.uint8]) -> Lungs | None:
    """Return the lungs in a data set's own mask image, uint8 ``(height, width)``; none where it is empty."""
    size = (LUNG_NET_SIZE, LUNG_NET_SIZE)
    scaled = cv2.resize((pixels > 127).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mask = scaled >= 0.5
    return Lungs(mask) if mask.any() else None


def summarise(shown: NDArray[np.uint8], whole: NDArray[np.uint8], summary: Summary) -> NDArray[np.float32]:
    """Return the little that is left of a radiograph: float32 of `SUMMARY_LENGTHS`.

    Parameters
    ----------
    shown
        uint8 ``(size, size)``, what the network is shown: its thumbnail, range [0, 1].
    whole
        uint8 ``(side, side)``, the whole radiograph: the shares of 32 grey bins, and nine quantiles, range [0, 1]; or
        how much detail of five sizes it has, in decibels of its contrast. Grey levels are equalised first, so that any
        other brightness or contrast of the same film gives the same sharpness.
    summary
        One of `SUMMARIES`.
    """
    if summary == "thumbnail":
        small = cv2.resize(shown, (THUMBNAIL_SIZE, THUMBNAIL_SIZE), interpolation=cv2.INTER_AREA)
        return np.asarray(small.ravel() / np.float32(255), dtype=np.float32)
    if summary == "sharpness":
        return _sharpness(whole)
    counts = np.bincount(whole.ravel() // (256 // _BINS), minlength=_BINS)
    quantiles = np.quantile(whole, _QUANTILES) / 255
    return np.concatenate([counts / whole.size, quantiles]).astype(np.float32)


def _sharpness(whole: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the strength of each octave of detail, finest first: differences of Gaussians, the same if mirrored."""
    level = cv2.equalizeHist(whole).astype(np.float32)
    contrast, strengths = float(level.std()) + 1e-6, []
    for octave in range(_OCTAVES):
        coarser = cv2.GaussianBlur(level, (0, 0), 2.0**octave)
        strengths.append(float((level - coarser).std()) + 1e-3)
        level = coarser
    return np.array([20 * np.log10(strength / contrast) for strength in strengths], dtype=np.float32)


def parameters_of(alteration: Alteration, settings: AlterationSettings) -> dict[str, float | str]:
    """Return the name of an alteration in a cache key."""
    uses = {"lungs-black": ("dilation",), "box-black": ("dilation",), "border-alone": ("border", "dilation")}
    used = uses.get(alteration, ())
    values = asdict(settings)
    return {"alteration": alteration, "version": _VERSION} | {name: values[name] for name in used}


def _resized(grey: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if grey.shape == (size, size):
        return grey
    way = cv2.INTER_AREA if grey.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (size, size), interpolation=way), dtype=np.uint8)
