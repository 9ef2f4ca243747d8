"""What is taken away, to the pixel."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from carina.evaluation.audit.alterations import (
    ALTERATIONS,
    SUMMARIES,
    SUMMARY_LENGTHS,
    AlterationSettings,
    alter,
    border_mask,
    lung_mask,
    lungs_of_mask,
    parameters_of,
    summarise,
)
from carina.evaluation.audit.heads import fit_head
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.preprocess import Preprocessing, frame
from carina.statistics.curves import auroc
from unit.evaluation.audit.planted import draw_healthy

SETTINGS = AlterationSettings()
PLAIN = Preprocessing(size=160)


@pytest.fixture
def lungs() -> Lungs:
    mask = np.zeros((160, 160), dtype=np.bool_)
    mask[40:120, 30:70] = mask[50:110, 90:130] = True
    return Lungs(mask)


@pytest.fixture
def whole() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(1, 256, (160, 160)).astype(np.uint8)


def altered(
    whole: NDArray[np.uint8], lungs: Lungs, name: str, preprocessing: Preprocessing = PLAIN, settings: Any = SETTINGS
) -> NDArray[np.uint8]:
    return alter(whole, lungs, lungs, name, preprocessing, settings)


def test_no_pixel_of_lung_is_left_and_all_else_is_as_it_was(whole: NDArray[np.uint8], lungs: Lungs) -> None:
    left = altered(whole, lungs, "lungs-black")
    assert not left[lungs.mask].any()
    # A rim of 2 % (4 pixels of 160) goes with them; beyond it nothing is touched.
    assert not left[37:40, 45:55].any()
    far = ~lung_mask(lungs, 160, 0.04)
    assert np.array_equal(left[far], whole[far])


def test_the_box_hides_the_outline(whole: NDArray[np.uint8], lungs: Lungs) -> None:
    left = altered(whole, lungs, "box-black")
    assert not left[37:123, 27:133].any()
    outside = np.ones_like(lungs.mask)
    outside[35:125, 25:135] = False
    assert np.array_equal(left[outside], whole[outside])


def test_lungs_alone_and_border_alone(whole: NDArray[np.uint8], lungs: Lungs) -> None:
    alone = altered(whole, lungs, "lungs-alone")
    assert np.array_equal(alone, np.where(lungs.mask, whole, 0))
    border = altered(whole, lungs, "border-alone")
    assert np.array_equal(border > 0, border_mask(160, SETTINGS))
    assert border_mask(160, SETTINGS).mean() == pytest.approx(1 - 0.7**2)


def test_shown_is_what_the_model_is_shown(whole: NDArray[np.uint8], lungs: Lungs) -> None:
    cropping = Preprocessing(size=64, whole_size=160, crop="lungs", stretch=(1, 99))
    assert np.array_equal(altered(whole, lungs, "shown", cropping), frame(whole, lungs, cropping))
    assert np.array_equal(altered(whole, lungs, "shown"), whole)


def test_a_model_that_crops_sees_the_crop_of_the_altered_film_but_the_border_whole(
    whole: NDArray[np.uint8], lungs: Lungs
) -> None:
    cropping = Preprocessing(size=64, whole_size=160, crop="lungs", crop_margin=0.0)
    black = altered(whole, lungs, "box-black", cropping)
    assert black.shape == (64, 64)
    assert not black.any()
    border = altered(whole, lungs, "border-alone", cropping)
    assert border.shape == (64, 64)
    assert border[:9].all()
    assert not border[12:52, 12:52].any()


def test_lungs_are_scaled_to_the_film(lungs: Lungs) -> None:
    large = lung_mask(lungs, 320)
    assert large.mean() == pytest.approx(lungs.share, abs=0.005)
    assert large[200, 100]
    assert not large[200, 160]


def test_lung_that_lies_in_the_border_is_black_too(whole: NDArray[np.uint8], lungs: Lungs) -> None:
    mask = lungs.mask.copy()
    mask[10:120, 30:70] = True
    border = altered(whole, Lungs(mask), "border-alone")
    assert not border[7:24, 30:70].any()
    assert border[:5].all()


def test_a_mask_image_becomes_lungs() -> None:
    pixels = np.zeros((320, 640), dtype=np.uint8)
    pixels[80:240, 160:320] = 255
    found = lungs_of_mask(pixels)
    assert found is not None
    assert found.box == (0.25, 0.25, 0.75, 0.5)
    assert lungs_of_mask(np.zeros((50, 50), np.uint8)) is None


def test_summaries_keep_no_more_than_they_say(whole: NDArray[np.uint8]) -> None:
    shown = np.zeros((64, 64), dtype=np.uint8)
    shown[:, 32:] = 255
    thumbnail = summarise(shown, whole, "thumbnail").reshape(16, 16)
    assert np.array_equal(thumbnail, np.repeat([[0.0] * 8 + [1.0] * 8], 16, axis=0))
    shuffled = np.random.default_rng(1).permutation(whole.ravel()).reshape(whole.shape)
    assert np.array_equal(summarise(shown, whole, "histogram"), summarise(shown, shuffled, "histogram"))
    assert summarise(shown, whole, "histogram")[:32].sum() == pytest.approx(1)
    for name in SUMMARIES:
        assert summarise(shown, whole, name).shape == (SUMMARY_LENGTHS[name],)


def test_sharpness_knows_no_grey_levels_and_falls_with_blur() -> None:
    film = cv2.resize(draw_healthy(1).pixels, (256, 256), interpolation=cv2.INTER_CUBIC)
    sharp = summarise(film, film, "sharpness")
    lighter, darker = (np.rint(255 * (film / 255) ** gamma).astype(np.uint8) for gamma in (0.6, 1.6))
    for other in (255 - film, lighter, darker, np.fliplr(film)):
        assert summarise(film, other, "sharpness") == pytest.approx(sharp, abs=0.3)
    blurred = cv2.GaussianBlur(film, (0, 0), 2)
    assert summarise(film, blurred, "sharpness")[0] < sharp[0] - 2


# A finding that shows in one thing alone: all grey levels lighter or darker; all detail finer or coarser, with the very
# grey levels of the film before; a mark in the left or in the right corner of a black border.
PLANTED = {
    "grey levels": {"histogram": True, "sharpness": False},
    "sharpness": {"histogram": False, "sharpness": True},
    "border": {"thumbnail": True, "histogram": False, "sharpness": False},
}


def with_finding(pixels: NDArray[np.uint8], where: str, *, present: bool) -> NDArray[np.uint8]:
    if where == "grey levels":
        return (255 * (pixels / 255) ** (0.8 if present else 1.2)).astype(np.uint8)
    if where == "border":
        marked = cv2.copyMakeBorder(pixels[14:-14, 14:-14], 14, 14, 14, 14, cv2.BORDER_CONSTANT, value=0)
        marked[3:7, 3:7] = 250
        return marked if present else np.ascontiguousarray(np.fliplr(marked))
    blurred = cv2.GaussianBlur(pixels, (0, 0), 0.6 if present else 1.2)
    same_greys = np.empty(pixels.size, np.uint8)
    same_greys[np.argsort(blurred, axis=None, kind="stable")] = np.sort(pixels, axis=None)
    return same_greys.reshape(pixels.shape)


@pytest.mark.parametrize("where", PLANTED)
def test_a_finding_is_told_by_the_summary_that_holds_it_alone(where: str) -> None:
    present = np.arange(90) % 2
    films = [with_finding(draw_healthy(number).pixels, where, present=present[number]) for number in range(90)]
    for name, tells in PLANTED[where].items():
        features = np.stack([summarise(film, film, name) for film in films])
        head = fit_head(features[:40], present[:40], features[40:60], present[40:60])
        area = auroc(present[60:] == 1, head.probabilities(features[60:])[:, 1])
        assert (area > 0.9) if tells else (area < 0.75), name


def test_the_cache_key_changes_with_what_is_used_and_with_nothing_else() -> None:
    wider = AlterationSettings(border=0.2)
    rim = AlterationSettings(dilation=0.03)
    unchanged = [name for name in ALTERATIONS if parameters_of(name, rim) == parameters_of(name, SETTINGS)]
    assert unchanged == ["shown", "lungs-alone"]
    changed = [name for name in ALTERATIONS if parameters_of(name, wider) != parameters_of(name, SETTINGS)]
    assert changed == ["border-alone"]


@pytest.mark.parametrize("margin", [0.03, 0.1])
def test_a_model_that_crops_sees_nothing_where_the_box_is_black(
    whole: NDArray[np.uint8], lungs: Lungs, margin: float
) -> None:
    cropping = Preprocessing(size=96, whole_size=160, crop="lungs", crop_margin=margin, stretch=(1, 99))
    assert not altered(whole, lungs, "box-black", cropping).any()
    assert altered(whole, lungs, "lungs-black", cropping).any()
