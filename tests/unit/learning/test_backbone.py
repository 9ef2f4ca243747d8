"""The backbone: weights by name, by path or none; taps; errors that tell what to do."""

from pathlib import Path

import keras
import numpy as np
import pytest

from carina.errors import ConfigurationError
from carina.learning.backbone import build_backbone, build_classifier
from carina.learning.recipe import BackboneSettings, HeadSettings

SMALL = {"alpha": 0.35, "weights": "none"}


def test_taps_are_averaged_and_joined_in_order() -> None:
    backbone = build_backbone(BackboneSettings(**SMALL, taps=("block_6_expand_relu", "out_relu")), 64)
    network = keras.Model(
        backbone.model.input,
        [backbone.model.get_layer("block_6_expand_relu").output, backbone.model.get_layer("out_relu").output],
    )
    tensor = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    maps = [np.asarray(feature_map) for feature_map in network(tensor)]
    expected = np.concatenate([feature_map.mean(axis=(1, 2)) for feature_map in maps], axis=1)
    np.testing.assert_allclose(np.asarray(backbone.model(tensor)), expected, atol=1e-5)
    assert backbone.weights_sha256 is None
    assert backbone.weights == "random (no pre-training)"


def test_a_frozen_backbone_trains_only_the_head() -> None:
    backbone = build_backbone(BackboneSettings(**SMALL), 64)
    classifier = build_classifier(backbone.model, 3, HeadSettings())
    assert [variable.path for variable in classifier.trainable_variables] == ["logits/kernel", "logits/bias"]


def test_batch_norm_momentum_reaches_every_layer() -> None:
    backbone = build_backbone(BackboneSettings(**SMALL, trainable=True, batch_norm_momentum=0.9), 64)
    layers = [layer for layer in backbone.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(layers) == 52
    assert {layer.momentum for layer in layers} == {0.9}


def test_an_unknown_tap_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no layer 'block_99'. Take, for example, block_13"):
        build_backbone(BackboneSettings(**SMALL, taps=("block_99",)), 64)


def test_weights_from_a_path_are_loaded_and_hashed(tmp_path: Path) -> None:
    network = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    path = tmp_path / "mine.weights.h5"
    network.save_weights(path)
    backbone = build_backbone(BackboneSettings(alpha=0.35, weights=str(path)), 64)
    for mine, given in zip(backbone.model.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, given)
    assert backbone.weights == "mine.weights.h5"
    assert backbone.weights_sha256 is not None


def test_weights_that_are_missing_or_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"backbone.weights: there is no file .*nowhere.h5"):
        build_backbone(BackboneSettings(weights=str(tmp_path / "nowhere.h5")), 64)
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(ConfigurationError, match=r"text.h5 does not fit MobileNetV2 of width 0.35"):
        build_backbone(BackboneSettings(weights=str(tmp_path / "text.h5"), alpha=0.35), 64)


def test_a_failed_download_names_the_file_and_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        msg = "no route to host"
        raise OSError(msg)

    monkeypatch.setattr(keras.applications, "MobileNetV2", no_network)
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    with pytest.raises(ConfigurationError, match=rf"fetch {name} from .* place it at {tmp_path}/models/{name}"):
        build_backbone(BackboneSettings(), 224)
