"""MobileNetV2 with or without ImageNet weights, from tensor to embedding, and the classifier on top of it."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras

from carina.bundles.bundle import released_bundle
from carina.bundles.run_folder import KERAS_FILE
from carina.errors import ConfigurationError
from carina.learning.recipe import BackboneSettings, HeadSettings
from carina.storage.seal import file_sha256

_IMAGENET_SIZE = 224
_IMAGENET_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
IMAGENET_PAGE = "storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"


@dataclass(frozen=True)
class Backbone:
    """A network from tensor, float32 ``(n, size, size, 3)``, to embedding, float32 ``(n, embedding)``.

    Attributes
    ----------
    weights, weights_sha256
        The name of what it started from, and the hash of that file; none for random weights.
    """

    model: keras.Model
    weights: str
    weights_sha256: str | None


def build_backbone(settings: BackboneSettings, size: int) -> Backbone:
    """Return MobileNetV2 up to the averaged feature maps of the recipe's taps, joined, for tensors of ``size`` pixels.

    Raises
    ------
    ConfigurationError
        If the weights cannot be had or do not fit, or a tap does not exist.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
    doi:10.1109/CVPR.2018.00474.
    """
    network, weights, sha256 = build_network(settings, size)
    network.trainable = settings.trainable
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = settings.batch_norm_momentum
    pooled = []
    for tap in settings.taps:
        try:
            feature_map = network.get_layer(tap).output
        except ValueError:
            msg = (
                f"backbone.taps: MobileNetV2 has no layer {tap!r}. Take, for example, block_13_expand_relu or out_relu."
            )
            raise ConfigurationError(msg) from None
        pooled.append(keras.layers.GlobalAveragePooling2D(name=f"mean_{tap}")(feature_map))
    embedding = pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="embedding")(pooled)
    return Backbone(keras.Model(network.input, embedding, name="backbone"), weights, sha256)


def build_classifier(backbone: keras.Model, findings: int, head: HeadSettings) -> keras.Model:
    """Return the network from tensor to logits: float32 ``(n, findings)``.

    The softmax is in the loss and in the code that predicts, where it is numerically safe.
    """
    hidden = keras.layers.Dropout(head.dropout, name="dropout")(backbone.output)
    logits = keras.layers.Dense(findings, kernel_regularizer=regularizer_of(head), name="logits")(hidden)
    return keras.Model(backbone.input, logits, name="classifier")


def regularizer_of(head: HeadSettings) -> keras.regularizers.Regularizer | None:
    """Return the weight decay of the head as Keras has it."""
    return keras.regularizers.L2(head.l2) if head.l2 else None


def build_network(settings: BackboneSettings, size: int) -> tuple[keras.Model, str, str | None]:
    """Return MobileNetV2 without top, the name of its weights, and the hash of their file.

    Raises
    ------
    ConfigurationError
        If the weights cannot be had or do not fit.
    BundleError
        If they are to be the released bundle's, and there is none.
    """
    build = partial(keras.applications.MobileNetV2, (size, size, 3), alpha=settings.alpha, include_top=False)
    if settings.weights == "none":
        return build(weights=None), "random (no pre-training)", None
    if settings.weights == "imagenet" and size != _IMAGENET_SIZE:
        # Convolutions do not know the size of the image, so one file of weights serves all sizes.
        published, described, sha256 = build_network(settings, _IMAGENET_SIZE)
        network = build(weights=None)
        network.set_weights(published.get_weights())
        return network, described, sha256
    if settings.weights == "carina":
        return _network_of_bundle(settings, build(weights=None))
    if settings.weights == "imagenet":
        if settings.alpha not in _IMAGENET_WIDTHS:
            widths = ", ".join(f"{width:g}" for width in _IMAGENET_WIDTHS)
            msg = f"backbone.alpha: ImageNet weights exist for the widths {widths}. Received: {settings.alpha:g}."
            raise ConfigurationError(msg)
        path = _imagenet_file(settings.alpha)
        try:
            network = build(weights="imagenet")
        except Exception as error:  # noqa: BLE001  # whatever the transport or the file raises
            msg = (
                f"The ImageNet weights could not be loaded ({type(error).__name__}). Without network: fetch "
                f"{path.name} from {IMAGENET_PAGE}/ on another machine and place it at {path}."
            )
            raise ConfigurationError(msg) from None
        return network, f"ImageNet ({path.name})", file_sha256(path)
    path = Path(settings.weights)
    if not path.is_file():
        msg = f"backbone.weights: there is no file {path}. Name a Keras .h5 file, imagenet, carina, or none."
        raise ConfigurationError(msg)
    try:
        network = build(weights=str(path))
    except Exception as error:  # noqa: BLE001  # h5py and Keras raise anything on a file that does not fit
        msg = (
            f"backbone.weights: {path} does not fit MobileNetV2 of width {settings.alpha:g} without top "
            f"({type(error).__name__}). Name the weights of this network, imagenet, or none."
        )
        raise ConfigurationError(msg) from None
    return network, path.name, file_sha256(path)


def _network_of_bundle(settings: BackboneSettings, network: keras.Model) -> tuple[keras.Model, str, str | None]:
    path = released_bundle() / KERAS_FILE
    # No code that a file brings along is ever run.
    trained = keras.saving.load_model(path, compile=False, safe_mode=True)
    try:
        for layer in network.layers:
            if layer.weights:
                layer.set_weights(trained.get_layer(layer.name).get_weights())
    except ValueError:
        msg = (
            f"backbone.weights: the released bundle's network does not fit MobileNetV2 of width {settings.alpha:g}. "
            "Take backbone.alpha = 1.0."
        )
        raise ConfigurationError(msg) from None
    return network, f"the released bundle {path.parent.name}", file_sha256(path)


def _imagenet_file(alpha: float) -> Path:
    """Return where Keras keeps, or would download, the weights."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{_IMAGENET_SIZE}_no_top.h5"
    return home / "models" / name
