"""Fine-tuning: from the solution of the head, deeper layers are trained in stages.

The layers below the deepest stage never change, so they run in the engine, which is several times as fast as
TensorFlow, and what comes out of them is what TensorFlow trains on. Every image is varied again in every epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import keras
import numpy as np
import polars as pl
import tensorflow as tf
from numpy.typing import NDArray

from carina.datasets.images import read_whole
from carina.datasets.manifest import labels_of
from carina.errors import ConfigurationError
from carina.learning.backbone import Backbone, regularizer_of
from carina.learning.data.augment import mix_amplitudes, vary
from carina.learning.data.batches import sample_weights
from carina.learning.data.frames import Frames
from carina.learning.data.training_data import find_unpaired
from carina.learning.export.onnx_export import export_backbone
from carina.learning.finetune.memory import keep_freed_memory
from carina.learning.fitting import BatchProgress, EpochReport, History, fit_until_no_better
from carina.learning.loss import Loss, build_loss
from carina.learning.recipe import FineTuningSettings, Recipe, StageSettings
from carina.progress import Progress, no_progress
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import Engine, load_engine
from carina.runtime.streams import batched, read_ahead

_ENGINE_BATCH = 16
_WARM_UP = 20
_LEAST_RATE = 0.02
# Sets what is drawn for a batch apart from what is drawn for its first image.
_OF_THE_BATCH = 1

_Batches = Iterator[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]]


def cut_backbone(backbone: keras.Model, first_layer: str) -> tuple[keras.Model, keras.Model]:
    """Return the backbone cut before a layer: from tensor to the feature map there, and from that to the embedding.

    The layers of the second are the backbone's own, so that training changes the backbone. The first of them must begin
    a block, so that nothing else leads past the cut.

    Raises
    ------
    ConfigurationError
        If there is no such layer, or something leads past it.
    """
    try:
        layer = backbone.get_layer(first_layer)
    except ValueError:
        msg = f"fine_tuning.stages: MobileNetV2 has no layer {first_layer!r}. Take, for example, block_6_expand."
        raise ConfigurationError(msg) from None
    cut = layer.input
    entry = keras.Input(cut.shape[1:], name="feature_map")
    outputs = {cut._keras_history.operation.name: entry}  # Keras names a tensor's origin nowhere else
    for current in backbone.layers[backbone.layers.index(layer) :]:
        parents = [tensor._keras_history.operation.name for tensor in _inputs_of(current)]
        past = next((name for name in parents if name not in outputs), None)
        if past is not None:
            msg = f"fine_tuning.stages: {past} leads past {first_layer}. Begin deeper, or drop the tap that needs it."
            raise ConfigurationError(msg)
        given = [outputs[name] for name in parents]
        outputs[current.name] = current(given[0] if len(given) == 1 else given)
    name = backbone.output._keras_history.operation.name
    return keras.Model(backbone.input, cut), keras.Model(entry, outputs[name], name="upper")


def _inputs_of(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


class FeatureMaps:
    """Images as the feature maps that the frozen lower layers give, computed in the engine as they are needed.

    Parameters
    ----------
    graph, shape
        The lower half as ONNX, and the shape of a feature map.
    frames
        What the network is shown; lungs were found for all rows.
    recipe
        Augmentation, pixel range and seed.
    """

    def __init__(self, graph: Path, shape: tuple[int, ...], frames: Frames, recipe: Recipe) -> None:
        self._engine: Engine = load_engine(graph)
        self.shape = shape
        self._frames = frames
        self._recipe = recipe

    def of(self, images: Sequence[tuple[str, str]]) -> NDArray[np.float16]:
        """Return the feature maps of images, named by path and hash, as they are: float16 ``(n, …)``."""
        return np.concatenate([maps.astype(np.float16) for maps in self._stream([(image, None) for image in images])])

    def varied(
        self, images: Sequence[tuple[str, str]], epoch: Sequence[int], batch_size: int
    ) -> Iterator[NDArray[np.float32]]:
        """Yield batches of feature maps of varied images, each seeded by the recipe's seed, `epoch` and its place."""
        seed = self._recipe.training.seed
        yield from self._stream([(image, (seed, *epoch, place)) for place, image in enumerate(images)], batch_size)

    def _stream(
        self, images: Sequence[tuple[tuple[str, str], tuple[int, ...] | None]], batch_size: int = _ENGINE_BATCH
    ) -> Iterator[NDArray[np.float32]]:
        # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
        cv2.setNumThreads(1)

        greys = read_ahead(lambda pair: self._grey(*pair), images, ahead=2 * batch_size)
        seeds = (batch[0][1] for batch in batched(images, batch_size))
        batches = zip(batched(greys, batch_size), seeds, strict=True)
        for outputs in self._engine.stream(self._tensor(np.stack(batch), seed) for batch, seed in batches):
            yield outputs["embedding"]

    def _tensor(self, greys: NDArray[np.uint8], seed: tuple[int, ...] | None) -> NDArray[np.float32]:
        share = self._recipe.augmentation.amplitudes_mixed
        if seed is not None and share:
            greys = mix_amplitudes(greys, share, np.random.default_rng((*seed, _OF_THE_BATCH)))
        return to_tensor(greys, self._recipe.preprocessing.pixel_range)

    def _grey(self, image: tuple[str, str], seed: tuple[int, ...] | None) -> NDArray[np.uint8]:
        if seed is None:
            return self._frames.grey(*image)
        whole = read_whole(*image, self._recipe.preprocessing.read_size)
        rng = np.random.default_rng(seed)
        return vary(whole, self._frames.lungs_of(image[1]), self._recipe.preprocessing, self._recipe.augmentation, rng)


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps an exponential average of all weights, which is what is judged and what an epoch leaves.

    Source: Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992, doi:10.1137/0330046; here
    with exponential weights, and batch-norm statistics averaged along.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self.shadow = [keras.Variable(weight, trainable=False, dtype=weight.dtype) for weight in model.weights]
        self._update = tf.function(self._toward)

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras' signature
        """Go on with the weights that are trained."""
        self._swap()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras' signature
        """Let the average follow."""
        step = int(self.model.optimizer.iterations.numpy())
        # At first the average forgets faster, so that it does not hold on to where training began.
        self._update(tf.constant(min(self._decay, (1 + step) / (10 + step)), tf.float32))

    def on_test_begin(self, logs: object = None) -> None:  # noqa: ARG002  # Keras' signature
        """Judge the average, and leave it."""
        self._swap()

    def _toward(self, decay: tf.Tensor) -> None:
        for average, weight in zip(self.shadow, self.model.weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight)

    def _swap(self) -> None:
        for average, weight in zip(self.shadow, self.model.weights, strict=True):
            held = tf.identity(average.value)
            average.assign(weight.value)
            weight.assign(held)


def drawing_shares(rows: pl.DataFrame, balance: float, source_balance: float | None = None) -> NDArray[np.float64]:
    """Return the probability with which each row is drawn: float64 ``(n,)``, sum 1.

    Findings are drawn in proportion to the number of their images to the power of `balance`, and the sources of a
    finding likewise, to the power of `source_balance` (by default the same); within a source every image is as
    probable as another.
    """
    counted = rows.select("finding", pl.col("source").fill_null("")).with_columns(
        of_source=pl.len().over("finding", "source"), of_finding=pl.len().over("finding")
    )
    # The sum over a finding's images is the sum over its sources of their counts to the power of the balance.
    within = pl.col("of_source").cast(pl.Float64) ** ((balance if source_balance is None else source_balance) - 1)
    of_finding = pl.col("of_finding").cast(pl.Float64) ** balance
    shares = counted.select(of_finding * within / within.sum().over("finding")).to_series().to_numpy()
    return np.asarray(shares / shares.sum())


def fine_tune(
    backbone: Backbone,
    head: tuple[NDArray[np.float32], NDArray[np.float32]],
    train_rows: pl.DataFrame,
    stopping_rows: pl.DataFrame,
    findings: Sequence[str],
    frames: Frames,
    recipe: Recipe,
    checkpoint: Path,
    *,
    report: EpochReport | None = None,
    progress: Progress = no_progress,
) -> tuple[NDArray[np.float32], NDArray[np.float32], History]:
    """Train the backbone's deeper layers in place; return the head's kernel and bias, and what happened.

    Parameters
    ----------
    backbone, head
        As the head was learned on it, and the head: kernel float32 ``(embedding, findings)``, bias ``(findings,)``.
    train_rows, stopping_rows
        Rows of manifests, with path, sha256, finding and source.
    frames
        What the network is shown; lungs were found for all rows.
    checkpoint
        Folder to go on from after a kill: at most one epoch is lost.
    report
        Told after every epoch: how many are done and to be done in all stages, and what happened so far.
    progress
        Told how many batches of all stages are done.

    Raises
    ------
    ConfigurationError
        If a stage names no layer of the network, or a tap lies below the first that is trained.
    """
    settings = recipe.fine_tuning
    if settings is None:
        msg = "Fine-tuning needs the table fine_tuning in the recipe."
        raise ConfigurationError(msg)
    checkpoint.mkdir(parents=True, exist_ok=True)
    deepest = min(settings.stages, key=lambda stage: _block(stage.train_from)).train_from
    lower, upper = cut_backbone(backbone.model, deepest)
    graph = checkpoint / "lower.onnx"
    export_backbone(lower, graph)
    maps = FeatureMaps(graph, lower.output.shape[1:], frames, recipe)
    model, logits = _upper_classifier(upper, head, recipe, len(findings))
    stopping = _stopping_data(maps, stopping_rows, findings, settings)
    of_epoch = _epochs_of(maps, train_rows, findings, settings, recipe.training.seed)
    history = History()
    steps = -(-settings.epoch_images // settings.batch_size)
    epochs = sum(stage.epochs for stage in settings.stages)
    for place, stage in enumerate(settings.stages):
        _unfreeze(upper, stage.train_from)
        _compile(model, stage, settings, recipe, findings, steps)
        average = WeightAverage(model, settings.averaging)
        earlier = history

        def tell(_done: int, _total: int, current: History, earlier: History = earlier) -> None:
            if report is not None:
                joined = _joined(earlier, current)
                report(joined.epochs, epochs, joined)

        current = fit_until_no_better(
            model,
            partial(of_epoch, place),
            stopping,
            recipe.training.model_copy(update={"epochs": stage.epochs, "patience": stage.epochs}),
            checkpoint / f"stage-{place + 1}",
            callbacks=[average, BatchProgress(progress, steps, epochs * steps, earlier.epochs * steps)],
            extra_state=average.shadow,
            keep=settings.keep,
            report=tell,
        )
        history = _joined(earlier, current)
    kernel, bias = logits.get_weights()
    return kernel, bias, history


def _joined(earlier: History, current: History) -> History:
    """Return both as one history; the epochs of the second are counted on."""
    rows = [{**row, "epoch": row["epoch"] + earlier.epochs} for row in current.rows]
    return History([*earlier.rows, *rows], earlier.epochs + current.best_epoch, current.best_loss)


def _block(layer: str) -> int:
    return int(layer.split("_")[1])


def _upper_classifier(
    upper: keras.Model, head: tuple[NDArray[np.float32], NDArray[np.float32]], recipe: Recipe, findings: int
) -> tuple[keras.Model, keras.layers.Layer]:
    logits = keras.layers.Dense(findings, kernel_regularizer=regularizer_of(recipe.head), name="logits")
    hidden = keras.layers.Dropout(recipe.head.dropout, seed=recipe.training.seed)(upper.output)
    model = keras.Model(upper.input, logits(hidden), name="upper_classifier")
    logits.set_weights(list(head))
    return model, logits


def _unfreeze(upper: keras.Model, first_layer: str) -> None:
    """Let the layers from one on learn; those below keep their weights and statistics."""
    names = [layer.name for layer in upper.layers]
    start = names.index(first_layer)
    for place, layer in enumerate(upper.layers):
        layer.trainable = place >= start


def _compile(
    model: keras.Model,
    stage: StageSettings,
    settings: FineTuningSettings,
    recipe: Recipe,
    findings: Sequence[str],
    steps: int,
) -> None:
    total = steps * stage.epochs
    warm_up = max(1, total // _WARM_UP)
    schedule = keras.optimizers.schedules.CosineDecay(
        stage.learning_rate * _LEAST_RATE,
        max(1, total - warm_up),
        alpha=_LEAST_RATE,
        warmup_target=stage.learning_rate,
        warmup_steps=warm_up,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay),
        loss=build_loss(
            recipe.training, findings, label_smoothing=settings.label_smoothing, unpaired=settings.unpaired
        ),
        weighted_metrics=[],
        metrics=[_accuracy_of(len(findings))],
        jit_compile=False,  # XLA's depthwise convolutions took twice as long on a processor
    )


def _accuracy_of(findings: int) -> Loss:
    def accuracy(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        called = keras.ops.cast(keras.ops.argmax(logits, axis=-1), "int32")
        wanted = keras.ops.cast(keras.ops.reshape(true, (-1,)), "int32") % findings
        return keras.ops.cast(wanted == called, "float32")

    return accuracy


def _stopping_data(
    maps: FeatureMaps, rows: pl.DataFrame, findings: Sequence[str], settings: FineTuningSettings
) -> tf.data.Dataset:
    labels = labels_of(rows, findings)
    weights = sample_weights(labels, len(findings), "none")
    features = maps.of(list(rows.select("path", "sha256").iter_rows()))

    def batches() -> _Batches:
        for i in range(0, len(labels), settings.batch_size):
            part = slice(i, i + settings.batch_size)
            yield features[part].astype(np.float32), labels[part], weights[part]

    return _as_dataset(batches, maps.shape, -(-len(labels) // settings.batch_size))


def _epochs_of(
    maps: FeatureMaps, rows: pl.DataFrame, findings: Sequence[str], settings: FineTuningSettings, seed: int
) -> Callable[[int, int], tf.data.Dataset]:
    """Return what draws the images of a stage's epoch, as batches of feature maps, labels and weights."""
    known = list(rows.select("path", "sha256").iter_rows())
    shares, labels = drawing_shares(rows, settings.balance), labels_of(rows, findings)
    if settings.unpaired < 1:
        labels = labels + len(findings) * find_unpaired(rows)

    def of_epoch(stage: int, epoch: int) -> tf.data.Dataset:
        rng = np.random.default_rng([seed, stage, epoch])
        drawn = rng.choice(len(known), size=settings.epoch_images, p=shares)

        def batches() -> _Batches:
            varied = maps.varied([known[i] for i in drawn], [stage, epoch], settings.batch_size)
            for features, places in zip(varied, batched(drawn, settings.batch_size), strict=True):
                # Every tf.data generator tells the C library otherwise when it is made.
                keep_freed_memory()
                yield features, labels[places], np.ones(len(places), np.float32)

        return _as_dataset(batches, maps.shape, -(-len(drawn) // settings.batch_size))

    return of_epoch


def _as_dataset(batches: Callable[[], _Batches], shape: tuple[int, ...], count: int) -> tf.data.Dataset:
    signature = (
        tf.TensorSpec((None, *shape), tf.float32),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None,), tf.float32),
    )
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)
