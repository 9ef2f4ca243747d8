"""A data set and a recipe become a run: the story of a training, in the order in which things happen."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import polars as pl
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import ValidationError

from carina.atomic import require_absent, whole_file, whole_folder, write_text
from carina.bundle import released_bundle
from carina.cache import default_cache_folder
from carina.datasets.manifest import open_dataset
from carina.decisions.policy import fit_policy
from carina.engine import load_engine
from carina.errors import BundleError, CarinaError, DataError
from carina.learning.backbone import Backbone, build_backbone, build_classifier
from carina.learning.embeddings import embed_rows
from carina.learning.export import attach_head, export_backbone, largest_logit_difference
from carina.learning.finetune import fine_tune
from carina.learning.fitting import History, fit_until_no_better
from carina.learning.frames import Frames
from carina.learning.head import fit_head
from carina.learning.loss import build_cost_matrix, build_loss
from carina.learning.pipeline import build_batches, labels_of
from carina.learning.recipe import Recipe, load_recipe, recipe_as_toml
from carina.learning.training_data import TrainingData, gather_training_data, joint_fingerprint
from carina.machine import describe_machine, library_versions, peak_memory_mb
from carina.progress import Progress
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import to_tensor
from carina.run_folder import (
    CHECKPOINT_FOLDER,
    HISTORY_FILE,
    KERAS_FILE,
    LOG_FILE,
    LUNGS_FILE,
    ONNX_FILE,
    RECIPE_FILE,
    RUN_FILE,
    STARTED_FILE,
    TRAINING_IMAGES_FILE,
    FinishedRun,
    StartedRun,
    open_run,
)
from carina.tables import write_csv
from carina.training_images import TrainingImages, write_training_images

ProgressOf = Callable[[str], Progress]
_log = logging.getLogger(__name__)
_SECONDS_FILE = "seconds.json"


@dataclass
class _Training:
    """What the steps of one training hand to each other."""

    out: Path
    recipe: Recipe
    data: TrainingData
    frames: Frames
    cache: Path
    command: str
    progress_of: ProgressOf
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[str, ...]:
        return self.data.findings

    @property
    def train_rows(self) -> pl.DataFrame:
        return self.data.train_rows

    @property
    def stopping_rows(self) -> pl.DataFrame:
        return self.data.stopping_rows

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; what it took before a kill is added."""
        started, before = time.perf_counter(), self.seconds.get(name, 0.0)
        _log.info("%s ...", name)
        try:
            yield
        finally:
            self.seconds[name] = round(before + time.perf_counter() - started, 2)
        _log.info("%s: %.1f s, memory so far at most %.0f MB", name, self.seconds[name], peak_memory_mb())
        if (self.out / CHECKPOINT_FOLDER).is_dir():
            write_text(self.out / CHECKPOINT_FOLDER / _SECONDS_FILE, json.dumps(self.seconds))

    def count_earlier_starts(self) -> None:
        """Take over the times of the stages that were done before a kill, and of the epochs of a broken-off one."""
        (self.out / CHECKPOINT_FOLDER).mkdir(exist_ok=True)
        earlier, history = self.out / CHECKPOINT_FOLDER / _SECONDS_FILE, self.out / HISTORY_FILE
        done = json.loads(earlier.read_text(encoding="utf-8")) if earlier.is_file() else {}
        fitting = "fine-tune" if self.recipe.method == "fine-tune" else "fit"
        if fitting not in done and history.is_file():
            done[fitting] = float(pl.read_csv(history)["seconds"].sum())
        for name, seconds in done.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def train(
    dataset: Path,
    recipe: Recipe,
    out: Path,
    *,
    added: Sequence[Path] = (),
    without_sources: Sequence[str] = (),
    lung_graph: Path | None = None,
    cache: Path | None = None,
    command: str = "",
    progress_of: ProgressOf | None = None,
) -> FinishedRun:
    """Train a model on a data set and return what the finished run says of itself.

    Parameters
    ----------
    dataset
        Folder of an imported data set.
    recipe
        What to do.
    out
        The run folder to write; it must not exist.
    added
        More data sets to learn from. What an earlier one holds, as it is or nearly, is left out of a later one.
    without_sources
        Sources of images to leave out, to see how the model does on a source that it never saw.
    lung_graph
        The lung segmenter, where the recipe crops lungs; by default that of the released bundle.
    cache
        Folder of caches; by default `carina.cache.default_cache_folder`.
    command
        What was typed, for the record.
    progress_of
        Gives, for the name of a stage, what is told of its progress.

    Raises
    ------
    ConfigurationError
        If `out` exists, or the recipe does not fit the data.
    DataError
        If a data set is missing or its images changed.
    BundleError
        If there is no lung segmenter.
    """
    require_absent(out, what="run")
    folders = (dataset, *added)
    # Everything that can be refused is refused before the folder is made.
    data = gather_training_data(folders, recipe, without_sources=without_sources)
    if recipe.preprocessing.crop == "lungs":
        lung_graph = lung_graph or released_bundle() / LUNGS_FILE
        LungFinder(lung_graph)
    training = _prepare(data, _with_absolute_weights(recipe), out, lung_graph, cache, command, progress_of)
    backbone = _build_backbone(training)
    started = StartedRun(
        datasets=tuple(str(folder.resolve()) for folder in folders),
        without_sources=tuple(without_sources),
        data_fingerprint=data.fingerprint,
        started=datetime.now(UTC),
    )
    with whole_folder(out, what="run") as folder:
        write_text(folder / RECIPE_FILE, recipe_as_toml(training.recipe))
        if training.frames.lung_graph is not None:
            shutil.copyfile(training.frames.lung_graph, folder / LUNGS_FILE)
        write_text(folder / STARTED_FILE, started.model_dump_json(indent=2) + "\n")
    return _run(training, backbone)


def resume(
    out: Path, *, cache: Path | None = None, command: str = "", progress_of: ProgressOf | None = None
) -> FinishedRun:
    """Go on with a run that was stopped, and return what it says of itself when it is finished.

    Raises
    ------
    BundleError
        If the folder holds no run, or a finished one.
    DataError
        If a data set is not the one that the run was started on.
    """
    if not (out / STARTED_FILE).is_file():
        open_run(out)
    if (out / RUN_FILE).is_file():
        msg = f"{out} is finished. To train anew, choose another --out."
        raise BundleError(msg)
    try:
        started = StartedRun.model_validate_json((out / STARTED_FILE).read_bytes())
    except ValidationError:
        msg = f"{out / STARTED_FILE} is damaged. Train anew."
        raise BundleError(msg) from None
    recipe = load_recipe(str(out / RECIPE_FILE))
    folders = [Path(folder) for folder in started.datasets]
    if joint_fingerprint([open_dataset(folder) for folder in folders]) != started.data_fingerprint:
        msg = f"{' + '.join(started.datasets)} is not the data set that {out} was started on. Train anew."
        raise DataError(msg)
    data = gather_training_data(folders, recipe, without_sources=started.without_sources)
    training = _prepare(data, recipe, out, out / LUNGS_FILE, cache, command, progress_of)
    return _run(training, _build_backbone(training))


def _prepare(
    data: TrainingData,
    recipe: Recipe,
    out: Path,
    lung_graph: Path | None,
    cache: Path | None,
    command: str,
    progress_of: ProgressOf | None,
) -> _Training:
    recipe.operating_point.rule_for(data.findings)
    if recipe.training.cost_matrix is not None:
        build_cost_matrix(recipe.training.cost_matrix, data.findings)
    cache = cache or default_cache_folder()
    return _Training(
        out=out,
        recipe=recipe,
        data=data,
        frames=Frames(recipe.preprocessing, lung_graph, cache),
        cache=cache,
        command=command,
        progress_of=progress_of or (lambda _: lambda _done, _total: None),
    )


def _with_absolute_weights(recipe: Recipe) -> Recipe:
    """Return the recipe with a weights file named so that the run can be resumed from another folder."""
    weights = recipe.backbone.weights
    if weights in ("imagenet", "carina", "none"):
        return recipe
    backbone = recipe.backbone.model_copy(update={"weights": str(Path(weights).resolve())})
    return recipe.model_copy(update={"backbone": backbone})


def _build_backbone(training: _Training) -> Backbone:
    keras.utils.set_random_seed(training.recipe.training.seed)
    with training.stage("backbone"):
        return build_backbone(training.recipe.backbone, training.recipe.preprocessing.size)


def _run(training: _Training, backbone: Backbone) -> FinishedRun:
    training.count_earlier_starts()
    with _logging_to(training.out / LOG_FILE):
        recipe, out = training.recipe, training.out
        data = training.data
        _log.info(
            "recipe %s, %d images to learn from, %d to stop on",
            recipe.name,
            data.train_rows.height,
            data.stopping_rows.height,
        )
        _find_lungs(training)
        if recipe.method == "fine-tune":
            classifier, history, logits = _fine_tune(training, backbone)
        elif recipe.method == "cached-embeddings":
            classifier, history, logits = _fit_on_embeddings(training, backbone)
        else:
            classifier, history, logits = _fit_end_to_end(training, backbone)
        with training.stage("record"):
            _write_training_images(training)
            model_sha256 = hashlib.sha256((out / ONNX_FILE).read_bytes()).hexdigest()
            run = _describe(training, backbone, history, logits, model_sha256, sum(training.seconds.values()))
        with whole_file(out / KERAS_FILE) as temporary:
            classifier.save(temporary, include_optimizer=False)
        # Last of all: a run folder without this file is not a finished run.
        write_text(out / RUN_FILE, run.model_dump_json(indent=2) + "\n")
        shutil.rmtree(out / CHECKPOINT_FOLDER, ignore_errors=True)
        _log.info("finished in %.1f s", run.seconds["total"])
    return run


def _find_lungs(training: _Training) -> None:
    if training.frames.lung_graph is None:
        return
    with training.stage("find lungs"):
        rows = pl.concat([training.train_rows, training.stopping_rows])
        without = training.frames.find_lungs(rows, progress=training.progress_of("Finding lungs"))
        _log.info("%d of %d images show no two lungs; they are shown whole", without, rows.height)


def _fit_on_embeddings(training: _Training, backbone: Backbone) -> tuple[keras.Model, History, NDArray[np.float32]]:
    graph = _cached_backbone_graph(training, backbone)
    kernel, bias, history, stopping = _fit_head_on_embeddings(training, graph)
    with training.stage("export"):
        classifier = _classifier_with_head(training, backbone, kernel, bias)
        _export(training, classifier, graph)
    return classifier, history, stopping @ kernel + bias


def _fit_head_on_embeddings(
    training: _Training, graph: Path
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
            report=_reporter(training),
        )
    return kernel, bias, history, stopping


def _classifier_with_head(
    training: _Training, backbone: Backbone, kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> keras.Model:
    classifier = build_classifier(backbone.model, len(training.findings), training.recipe.head)
    classifier.get_layer("logits").set_weights([kernel, bias])
    return classifier


def _fine_tune(training: _Training, backbone: Backbone) -> tuple[keras.Model, History, NDArray[np.float32]]:
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
            progress=training.progress_of("Fine-tuning"),
        )
    with training.stage("export"), _temporary_graph(training) as graph:
        export_backbone(backbone.model, graph)
        classifier = _classifier_with_head(training, backbone, kernel, bias)
        _export(training, classifier, graph)
    return classifier, history, _logits_of_stopping_split(training)


def _fit_end_to_end(training: _Training, backbone: Backbone) -> tuple[keras.Model, History, NDArray[np.float32]]:
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
                callbacks=[_BatchProgress(training.progress_of("Training"), batches, recipe.training.epochs)],
                report=_reporter(training),
            )
        except tf.errors.OpError:
            if failures:
                raise failures[0] from None
            raise
    with training.stage("export"), _temporary_graph(training) as graph:
        export_backbone(backbone.model, graph)
        _export(training, classifier, graph)
    return classifier, history, _logits_of_stopping_split(training)


def _logits_of_stopping_split(training: _Training) -> NDArray[np.float32]:
    with training.stage("predict the stopping split"):
        batches = build_batches(training.stopping_rows, training.recipe, training.findings, training.frames)
        outputs = load_engine(training.out / ONNX_FILE).stream(tensor.numpy() for tensor, _, _ in batches)
        return np.concatenate([each["logits"] for each in outputs])


class _BatchProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the progress over all epochs, so that what is left is an honest upper bound."""

    def __init__(self, progress: Progress, batches: int, epochs: int) -> None:
        super().__init__()
        self._progress, self._batches, self._epochs, self._epoch = progress, batches, epochs, 0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras' signature
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras' signature
        self._progress(self._epoch * self._batches + batch + 1, self._epochs * self._batches)


def _reporter(training: _Training) -> Callable[[int, int, History], None]:
    def report(done: int, total: int, history: History) -> None:
        write_csv(training.out / HISTORY_FILE, history.as_table())
        row = history.rows[-1]
        _log.info(
            "epoch %d of at most %d: loss %.4f, accuracy %.4f; on %s %.4f, %.4f",
            *(done, total, row["loss"], row["accuracy"], training.recipe.stopping_split),
            *(row["val_loss"], row["val_accuracy"]),
        )

    return report


def _cached_backbone_graph(training: _Training, backbone: Backbone) -> Path:
    """Return the backbone's graph; the same weights, taps and size give the same graph, so it is made once."""
    recipe = training.recipe
    settings = {
        "weights": backbone.weights_sha256 or f"random {recipe.training.seed}",
        "taps": recipe.backbone.taps,
        "alpha": recipe.backbone.alpha,
        "size": recipe.preprocessing.size,
        "keras": keras.__version__,
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]
    path = training.cache / "backbones" / f"{key}.onnx"
    if not path.is_file():
        with training.stage("export the backbone"), whole_file(path) as temporary:
            export_backbone(backbone.model, temporary)
    return path


@contextmanager
def _temporary_graph(training: _Training) -> Iterator[Path]:
    path = training.out / CHECKPOINT_FOLDER / "backbone.onnx"
    yield path
    path.unlink(missing_ok=True)


def _export(training: _Training, classifier: keras.Model, graph: Path) -> None:
    kernel, bias = classifier.get_layer("logits").get_weights()
    with whole_file(training.out / ONNX_FILE) as temporary:
        attach_head(graph, kernel, bias, temporary)
    preprocessing = training.recipe.preprocessing
    some = training.stopping_rows.head(4).select("path", "sha256").iter_rows()
    tensors = to_tensor(np.stack([training.frames.grey(*image) for image in some]), preprocessing.pixel_range)
    difference = largest_logit_difference(classifier, training.out / ONNX_FILE, tensors)
    _log.info("largest difference of a logit between Keras and ONNX: %.2g", difference)


def _write_training_images(training: _Training) -> None:
    images = [
        TrainingImages.of(
            rows["sha256"].to_list(), role, rows["perceptual_hash"].to_numpy(), training.data.details(rows)
        )
        for role, rows in (("train", training.train_rows), ("stopping", training.stopping_rows))
    ]
    write_training_images(training.out / TRAINING_IMAGES_FILE, images[0] + images[1])


def _describe(
    training: _Training,
    backbone: Backbone,
    history: History,
    logits: NDArray[np.float32],
    model_sha256: str,
    elapsed: float,
) -> FinishedRun:
    recipe, findings = training.recipe, training.findings
    # What prediction does not judge promises nothing.
    assessable = training.frames.assessable(training.stopping_rows)
    stopping_rows = training.stopping_rows.filter(pl.Series(assessable))
    policy = fit_policy(
        logits[assessable],
        labels_of(stopping_rows, findings),
        findings,
        recipe.operating_point.rule_for(findings),
        recipe.decisions,
        chosen_on=f"the {recipe.stopping_split} split",
        groups=stopping_rows["group"].to_numpy(),
    )
    return FinishedRun(
        name=recipe.name,
        findings=findings,
        preprocessing=recipe.preprocessing,
        stopping_split=recipe.stopping_split,
        policy=policy,
        weights=backbone.weights,
        weights_sha256=backbone.weights_sha256,
        model_sha256=model_sha256,
        lungs_sha256=training.frames.lungs_sha256,
        dataset=training.data.name,
        data_fingerprint=training.data.fingerprint,
        images={"train": training.train_rows.height, recipe.stopping_split: training.stopping_rows.height},
        epochs=history.epochs,
        best_epoch=history.best_epoch,
        seconds={**training.seconds, "total": round(elapsed, 2)},
        peak_memory_mb=round(peak_memory_mb(), 1),
        versions=library_versions(),
        machine=describe_machine(),
        command=training.command,
        finished=datetime.now(UTC),
    )


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("carina")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        _log.info("stopped: %s", type(error).__name__)
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
