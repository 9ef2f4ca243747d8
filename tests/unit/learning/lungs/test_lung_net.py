"""The segmenter: its shape, how images and masks are varied together, the Dice coefficient, and that it learns."""

import cv2
import keras
import numpy as np
import pytest

from carina.findings import NORMAL
from carina.learning.lungs import lung_net
from carina.learning.lungs.lung_net import LungTraining, build_lung_net, dice, fit_lung_net, vary
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.lungs import LUNG_NET_SIZE
from carina.radiographs.preprocess import to_tensor

SHAPE = (LUNG_NET_SIZE, LUNG_NET_SIZE, 3)


def encoder(alpha: float = 1.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.applications.MobileNetV2(SHAPE, alpha=alpha, include_top=False, weights=None)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build_lung_net(encoder())


def test_shape_and_size(model: keras.Model) -> None:
    assert model.input.shape == (None, *SHAPE)
    assert model.output.shape == (None, LUNG_NET_SIZE, LUNG_NET_SIZE, 1)
    assert model.count_params() == 581_169
    tensor = np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
    probability = np.asarray(model(tensor, training=False))
    assert probability.min() >= 0
    assert probability.max() <= 1
    # Each image is judged by itself.
    np.testing.assert_allclose(np.asarray(model(tensor[1:], training=False)), probability[1:], atol=1e-5)


def test_everything_is_trained_and_forgets_quickly(model: keras.Model) -> None:
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.95}
    # Of the encoder as of the decoder.
    assert {"bn_Conv1", "block_12_project_BN", "skip_0_norm", "decode_1_norm"} <= {layer.name for layer in norms}
    assert all(layer.trainable for layer in model.layers)


def two_lungs(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[height // 5 : 4 * height // 5, width // 8 : 3 * width // 8] = 255
    mask[height // 4 : 4 * height // 5, 5 * width // 8 : 7 * width // 8] = 255
    return mask


@pytest.mark.parametrize(("height", "width"), [(256, 256), (160, 160), (300, 200), (120, 180), (900, 1100)])
def test_mask_and_image_move_together(monkeypatch: pytest.MonkeyPatch, height: int, width: int) -> None:
    """An image that shows its own mask still shows it after every variation, wherever it was moved to."""
    monkeypatch.setattr(lung_net, "_whitened", lambda moved, lung, rng: moved)
    mask = two_lungs(height, width)
    overlaps, areas = [], []
    for seed in range(60):
        grey, lung = vary(mask, mask, np.random.default_rng(seed))
        assert (grey.dtype, lung.dtype) == (np.uint8, np.bool_)
        assert grey.shape == lung.shape == (LUNG_NET_SIZE, LUNG_NET_SIZE)
        # Grey values are bent, but lungs stay lighter than what is beside them; a rim lies further off.
        beside = cv2.dilate(lung.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(np.bool_)
        threshold = (np.median(grey[lung]) + np.median(grey[beside & ~lung])) / 2
        overlaps.append(dice((grey > threshold) & beside, lung))
        areas.append(lung.mean())
    assert min(overlaps) > 0.95
    assert np.mean(overlaps) > 0.985
    assert np.ptp(areas) > 0.1


def test_variation_is_of_the_seed_and_mirrors_both() -> None:
    phantom = draw_phantom(NORMAL, seed=3, size=128)
    mask = phantom.lung_mask.astype(np.uint8) * 255
    one, same, other = (vary(phantom.pixels, mask, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[0], same[0])
    np.testing.assert_array_equal(one[1], same[1])
    assert (one[0] != other[0]).any()
    # A mask with its lung on one side comes out on either.
    mask[:, 64:] = 0
    middle = LUNG_NET_SIZE // 2
    sides = {
        bool(lung[:, :middle].sum() > lung[:, middle:].sum())
        for _, lung in (vary(phantom.pixels, mask, np.random.default_rng(seed)) for seed in range(20))
    }
    assert sides == {True, False}


def test_a_whitened_lung_stays_lung() -> None:
    lung = two_lungs(LUNG_NET_SIZE, LUNG_NET_SIZE) > 127
    before = lung.copy()
    dark = np.zeros(lung.shape, np.float32)
    white = lung_net._whitened(dark, lung, np.random.default_rng(5))
    np.testing.assert_array_equal(lung, before)
    assert white[lung].max() > 50
    nothing = np.zeros_like(lung)
    np.testing.assert_array_equal(lung_net._whitened(dark, nothing, np.random.default_rng(5)), dark)


def test_dice_by_hand() -> None:
    found = np.array([[1, 1, 0], [1, 0, 0]], np.bool_)
    truth = np.array([[1, 0, 0], [1, 0, 1]], np.bool_)
    assert dice(found, truth) == pytest.approx(2 * 2 / (3 + 3))
    assert dice(found, truth) == dice(truth, found)
    assert dice(truth, truth) == 1.0
    assert dice(truth, ~truth) == 0.0
    assert dice(np.zeros_like(truth), truth) == 0.0
    assert dice(np.zeros_like(truth), np.zeros_like(truth)) == 1.0


@pytest.mark.long
def test_fitting_changes_the_network_and_tells_its_progress() -> None:
    phantoms = [draw_phantom(NORMAL, seed=seed, size=96) for seed in range(4)]
    greys = [phantom.pixels for phantom in phantoms]
    masks = [phantom.lung_mask.astype(np.uint8) * 255 for phantom in phantoms]
    model = build_lung_net(encoder(0.35))
    before = [weights.copy() for weights in model.get_weights()]
    seen: list[tuple[int, int]] = []
    fit_lung_net(model, greys, masks, LungTraining(passes=1, batch_size=2), progress=lambda *count: seen.append(count))
    assert seen == [(done, 2) for done in (1, 2)]
    changed = [(old != new).any() for old, new in zip(before, model.get_weights(), strict=True)]
    assert all(changed)
    tensor = to_tensor(np.zeros((1, LUNG_NET_SIZE, LUNG_NET_SIZE), np.uint8), "minus-one-one")
    assert np.isfinite(np.asarray(model(tensor, training=False))).all()


def test_the_usual_training() -> None:
    assert LungTraining() == LungTraining(passes=90, batch_size=16, learning_rate=2e-3, seed=1234)
