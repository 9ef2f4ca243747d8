"""The three ways to learn that a recipe can name; each leaves the run's ONNX graph, checked against Keras."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carina.bundles.run_folder import CHECKPOINT_FOLDER, HISTORY_FILE, ONNX_FILE
from carina.datasets.manifest import labels_of
from carina.errors import CarinaError
from carina.learning.backbone import Backbone, build_classifier
from carina.learning.data.batches import build_batches
from carina.learning.embeddings import embed_rows
from carina.learning.export.onnx_export import GRAPH_FORM, attach_head, export_backbone, largest_output_difference
from carina.learning.finetune.finetune import drawing_shares, fine_tune
from carina.learning.finetune.last_layer import refit_last_layer
from carina.learning.fitting import BatchProgress, History, fit_until_no_better
from carina.learning.head import fit_head
from carina.learning.loss import build_loss
from carina.learning.training import Training
from carina.progress import Progress, no_progress
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import load_engine
from carina.storage.atomic import whole_file, write_text

_ENGINE_BATCH = 16
_log = logging.getLogger(__name__)


def learn(training: Training, backbone: Backbone) -> tuple[keras.Model, History, NDArray[np.float32]]:
    """Return the classifier, what happened, and the logits of the stopping split, by the recipe's method.

    Fine-tuning and end-to-end training change the weights of the backbone.

    Returns
    -------
    The model from tensor to logits, the history of its epochs, and float32 ``(images, findings)``.

    Raises
    ------
    DataError
        If an image is gone or was changed since the import.
    BundleError
        If the graph does not compute what Keras does.
    """
    if training.recipe.method == "fine-tune":
        return _fine_tune(training, backbone)
    if training.recipe.method == "cached-embeddings":
        return _fit_on_embeddings(training, backbone)
    return _fit_end_to_end(training, backbone)


def _fit_on_embeddings(training: Training, backbone: Backbone) -> tuple[keras.Model, History, NDArray[np.float32]]:
    graph = _cached_backbone_graph(training, backbone)
    kernel, bias, history, stopping = _fit_head_on_embeddings(training, graph)
    with training.stage("export"):
        classifier = _classifier_with_head(training, backbone, kernel, bias)
        _export(training, classifier, graph)
    return classifier, history, stopping @ kernel + bias


def _fit_head_on_embeddings(
    training: Training, graph: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32], History, NDArray[np.float32]]:
    """Return the head's kernel and bias, what happened, and the stopping split's embeddings."""
    recipe, findings, frames = training.recipe, training.findings, training.frames
    with training.stage("embed"):
        views = recipe.augmentation.views
        progress = training.progress_of("Embedding images")
        train_embeddings = embed_rows(
            training.train_rows, recipe, graph, frames, training.cache, views=views, progress=progress
        )
        stopping = embed_rows(training.stopping_rows, recipe, graph, frames, training.cache, progress=progress)[0]
    with training.stage("fit"):
        kernel, bias, history = fit_head(
            train_embeddings,
            labels_of(training.train_rows, findings),
            stopping,
            labels_of(training.stopping_rows, findings),
            findings,
            recipe,
            training.out / CHECKPOINT_FOLDER,
            report=_reporter(training, training.progress_of("Training the head (epochs)")),
        )
    return kernel, bias, history, stopping


def _classifier_with_head(
    training: Training, backbone: Backbone, kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> keras.Model:
    classifier = build_classifier(backbone.model, len(training.findings), training.recipe.head)
    classifier.get_layer("logits").set_weights([kernel, bias])
    return classifier


def _fine_tune(training: Training, backbone: Backbone) -> tuple[keras.Model, History, NDArray[np.float32]]:
    kernel, bias, _, _ = _fit_head_on_embeddings(training, _cached_backbone_graph(training, backbone))
    with training.stage("fine-tune"):
        kernel, bias, history = fine_tune(
            backbone,
            (kernel, bias),
            training.train_rows,
            training.stopping_rows,
            training.findings,
            training.frames,
            training.recipe,
            training.out / CHECKPOINT_FOLDER / "fine-tune",
            report=_reporter(training),
            progress=training.progress_of("Fine-tuning (batches)"),
        )
    with training.stage("export"), _temporary_graph(training) as graph:
        export_backbone(backbone.model, graph)
        kernel, bias = _refit_last_layer(training, graph, (kernel, bias))
        classifier = _classifier_with_head(training, backbone, kernel, bias)
        _export(training, classifier, graph)
    return classifier, history, logits_of_stopping_split(training)


def _refit_last_layer(
    training: Training, graph: Path, layer: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the last layer as the recipe wants it after fine-tuning, on the embeddings that the graph now gives."""
    settings = None if training.recipe.fine_tuning is None else training.recipe.fine_tuning.last_layer
    if settings is None:
        return layer
    rows, progress = training.train_rows, training.progress_of("Embedding images for the last layer")
    embeddings = embed_rows(rows, training.recipe, graph, training.frames, training.cache, progress=progress)[0]
    shares = drawing_shares(rows, settings.balance, settings.source_balance)
    return refit_last_layer(embeddings, labels_of(rows, training.findings), shares, layer, settings.ridge)


def _fit_end_to_end(training: Training, backbone: Backbone) -> tuple[keras.Model, History, NDArray[np.float32]]:
    recipe, findings = training.recipe, training.findings
    classifier = build_classifier(backbone.model, len(findings), recipe.head)
    classifier.compile(
        optimizer=keras.optimizers.Adam(recipe.training.learning_rate),
        loss=build_loss(recipe.training, findings),
        weighted_metrics=[],
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    batches = -(-training.train_rows.height // recipe.training.batch_size)
    with training.stage("fit"):
        failures: list[CarinaError] = []
        try:
            history = fit_until_no_better(
                classifier,
                lambda epoch: build_batches(
                    training.train_rows, recipe, findings, training.frames, training_epoch=epoch, failures=failures
                ),
                build_batches(training.stopping_rows, recipe, findings, training.frames, failures=failures),
                recipe.training,
                training.out / CHECKPOINT_FOLDER,
                callbacks=[
                    BatchProgress(training.progress_of("Training (batches)"), batches, batches * recipe.training.epochs)
                ],
                report=_reporter(training),
            )
        except tf.errors.OpError:
            if failures:
                raise failures[0] from None
            raise
    with training.stage("export"), _temporary_graph(training) as graph:
        export_backbone(backbone.model, graph)
        _export(training, classifier, graph)
    return classifier, history, logits_of_stopping_split(training)


def logits_of_stopping_split(training: Training) -> NDArray[np.float32]:
    """Return what the exported graph of a training gives for its stopping split: float32 ``(n, findings)``."""
    with training.stage("predict the stopping split"):
        batches = build_batches(training.stopping_rows, training.recipe, training.findings, training.frames)
        # A training batch at once would take gigabytes in the engine, and longer.
        parts = (
            tensor[i : i + _ENGINE_BATCH].numpy()
            for tensor, _, _ in batches
            for i in range(0, tensor.shape[0], _ENGINE_BATCH)
        )
        progress = training.progress_of("Judging the stopping split")
        logits: list[NDArray[np.float32]] = []
        done = 0
        for outputs in load_engine(training.out / ONNX_FILE).stream(parts):
            logits.append(outputs["logits"])
            done += len(outputs["logits"])
            progress(done, training.stopping_rows.height)
        return np.concatenate(logits)


def _reporter(training: Training, progress: Progress = no_progress) -> Callable[[int, int, History], None]:
    def report(done: int, total: int, history: History) -> None:
        progress(done, total)
        write_text(training.out / HISTORY_FILE, history.as_table().write_csv())
        row = history.rows[-1]
        _log.info(
            "epoch %d of at most %d: loss %.4f, accuracy %.4f; on %s %.4f, %.4f",
            *(done, total, row["loss"], row["accuracy"], training.recipe.stopping_split),
            *(row["val_loss"], row["val_accuracy"]),
        )

    return report


def _cached_backbone_graph(training: Training, backbone: Backbone) -> Path:
    """Return the backbone's graph; the same weights, taps and size give the same graph, so it is made once."""
    recipe = training.recipe
    settings = {
        "weights": backbone.weights_sha256 or f"random {recipe.training.seed}",
        "taps": recipe.backbone.taps,
        "alpha": recipe.backbone.alpha,
        "size": recipe.preprocessing.size,
        "keras": keras.__version__,
        "graph": GRAPH_FORM,
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]
    path = training.cache / "backbones" / f"{key}.onnx"
    if not path.is_file():
        with training.stage("export the backbone"), whole_file(path) as temporary:
            export_backbone(backbone.model, temporary)
    return path


@contextmanager
def _temporary_graph(training: Training) -> Iterator[Path]:
    path = training.out / CHECKPOINT_FOLDER / "backbone.onnx"
    yield path
    path.unlink(missing_ok=True)


def _export(training: Training, classifier: keras.Model, graph: Path) -> None:
    kernel, bias = classifier.get_layer("logits").get_weights()
    with whole_file(training.out / ONNX_FILE) as temporary:
        attach_head(graph, kernel, bias, temporary)
    preprocessing = training.recipe.preprocessing
    some = training.stopping_rows.head(4).select("path", "sha256").iter_rows()
    tensors = to_tensor(np.stack([training.frames.grey(*image) for image in some]), preprocessing.pixel_range)
    difference = largest_output_difference(classifier, training.out / ONNX_FILE, tensors, output="logits")
    _log.info("largest difference of a logit between Keras and ONNX: %.2g", difference)
