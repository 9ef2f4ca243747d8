"""A data set and a recipe become a run: the story of a training, in the order in which things happen."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import keras
import polars as pl

from carina.bundles.bundle import released_bundle
from carina.bundles.run_folder import (
    CHECKPOINT_FOLDER,
    KERAS_FILE,
    LOG_FILE,
    LUNGS_FILE,
    ONNX_FILE,
    RECIPE_FILE,
    RUN_FILE,
    STARTED_FILE,
    TRAINING_IMAGES_FILE,
    FinishedRun,
    GateRecord,
    StartedRun,
    open_run,
)
from carina.bundles.training_images import TrainingImages, read_training_images, write_training_images
from carina.decisions.policy import Policy
from carina.errors import BundleError
from carina.learning.backbone import Backbone, build_backbone
from carina.learning.data.frames import Frames
from carina.learning.data.training_data import (
    TrainingData,
    find_unpaired,
    gather_training_data,
    reopen_training_data,
    require_training_images,
)
from carina.learning.fit_decisions import fit_gate_of, fit_policy_of
from carina.learning.fitting import History
from carina.learning.flagging import settle_flag
from carina.learning.loss import build_cost_matrix
from carina.learning.methods import learn
from carina.learning.recipe import Recipe, recipe_as_toml
from carina.learning.training import ProgressOf, Training
from carina.radiographs.lungs import LungFinder
from carina.runtime.machine import describe_machine, library_versions, peak_memory_mb
from carina.storage.atomic import require_absent, whole_file, whole_folder, write_text
from carina.storage.cache_folder import default_cache_folder
from carina.storage.seal import file_sha256
from carina.wording import counted

_log = logging.getLogger(__name__)


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
    tell: Callable[[str], None] = _log.info,
) -> FinishedRun:
    """Train a model on a data set and return what the finished run says of itself.

    Parameters and errors are those of `carina.train`, with `lung_graph` for its `lungs`.
    """
    require_absent(out, what="run")
    folders = (dataset, *added)
    # Everything that can be refused is refused before the folder is made.
    data = gather_training_data(folders, recipe, without_sources=without_sources)
    require_training_images(data, recipe)
    recipe = settle_flag(recipe, data, tell)
    if data.near_duplicates:
        tell(
            f"Left out of the added data sets: {counted(data.near_duplicates, 'image')} that an earlier one holds, to "
            "the pixel or nearly."
        )
    if recipe.needs_segmenter:
        lung_graph = lung_graph or released_bundle() / LUNGS_FILE
        LungFinder(lung_graph)
    elif lung_graph is not None:
        tell(f"The segmenter {lung_graph} is not used: recipe {recipe.name} neither crops to the lungs nor has a gate.")
    training = prepare_training(data, _with_absolute_weights(recipe), out, lung_graph, cache, command, progress_of)
    backbone = _build_backbone(training)
    started = StartedRun(
        datasets=tuple(str(folder.resolve()) for folder in folders),
        without_sources=tuple(without_sources),
        data_fingerprint=data.fingerprint,
        started=datetime.now(UTC),
    )
    with whole_folder(out, what="run") as folder:
        write_text(folder / RECIPE_FILE, recipe_as_toml(training.recipe))
        if training.lung_graph is not None:
            shutil.copyfile(training.lung_graph, folder / LUNGS_FILE)
        write_text(folder / STARTED_FILE, started.model_dump_json(indent=2) + "\n")
    return _run(training, backbone)


def resume(
    out: Path,
    *,
    cache: Path | None = None,
    command: str = "",
    progress_of: ProgressOf | None = None,
    tell: Callable[[str], None] = _log.info,
) -> FinishedRun:
    """Go on with a run that was stopped, and return what it says of itself; see `carina.resume_training`."""
    if not (out / STARTED_FILE).is_file():
        open_run(out)
    if (out / RUN_FILE).is_file():
        msg = f"{out} is finished. To train again, choose another --out."
        raise BundleError(msg)
    recipe, data = reopen_training_data(out)
    recipe = settle_flag(recipe, data, tell)
    training = prepare_training(data, recipe, out, out / LUNGS_FILE, cache, command, progress_of)
    return _run(training, _build_backbone(training))


def prepare_training(
    data: TrainingData,
    recipe: Recipe,
    out: Path,
    lung_graph: Path | None,
    cache: Path | None,
    command: str,
    progress_of: ProgressOf | None,
) -> Training:
    """Return a training of a recipe on data, refused where the one does not fit the other; see `train`."""
    recipe.operating_point.rule_for(data.findings)
    if recipe.training.cost_matrix is not None:
        build_cost_matrix(recipe.training.cost_matrix, data.findings)
    if recipe.fine_tuning is not None and recipe.fine_tuning.unpaired < 1:
        unpaired = find_unpaired(data.train_rows).sum()
        _log.info("fine_tuning.unpaired: %d abnormal images are of sources without normal images", unpaired)
    cache = cache or default_cache_folder()
    return Training(
        out=out,
        recipe=recipe,
        data=data,
        frames=Frames(recipe.preprocessing, lung_graph, cache),
        lung_graph=lung_graph if recipe.needs_segmenter else None,
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


def _build_backbone(training: Training) -> Backbone:
    keras.utils.set_random_seed(training.recipe.training.seed)
    with training.stage("backbone"):
        return build_backbone(training.recipe.backbone, training.recipe.preprocessing.size)


def _run(training: Training, backbone: Backbone) -> FinishedRun:
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
        gate = fit_gate_of(training)
        classifier, history, logits = learn(training, backbone)
        with training.stage("record"):
            _write_training_images(training)
            model_sha256 = file_sha256(out / ONNX_FILE)
            policy = fit_policy_of(training, logits)
            run = _describe(training, backbone, history, policy, gate, model_sha256)
        with whole_file(out / KERAS_FILE) as temporary:
            classifier.save(temporary, include_optimizer=False)
        # Last of all: a run folder without this file is not a finished run.
        write_text(out / RUN_FILE, run.model_dump_json(indent=2) + "\n")
        shutil.rmtree(out / CHECKPOINT_FOLDER, ignore_errors=True)
        _log.info("finished in %.1f s", run.seconds["total"])
    return run


def _find_lungs(training: Training) -> None:
    if training.frames.lung_graph is None:
        return
    with training.stage("find lungs"):
        rows = pl.concat([training.train_rows, training.stopping_rows])
        without = training.frames.find_lungs(rows, progress=training.progress_of("Finding lungs"))
        _log.info("%d of %d images show no two lungs; they are shown whole", without, rows.height)


def _write_training_images(training: Training) -> None:
    images = [
        TrainingImages.of(
            rows["sha256"].to_list(), role, rows["perceptual_hash"].to_numpy(), training.data.details(rows)
        )
        for role, rows in (("train", training.train_rows), ("stopping", training.stopping_rows))
    ]
    learned_from = images[0] + images[1]
    if training.recipe.backbone.weights == "carina":
        # The network goes on from weights that have seen these: figures on them would be too good, too.
        learned_from += read_training_images(released_bundle() / TRAINING_IMAGES_FILE)
    write_training_images(training.out / TRAINING_IMAGES_FILE, learned_from)


def _describe(
    training: Training,
    backbone: Backbone,
    history: History,
    policy: Policy,
    gate: GateRecord | None,
    model_sha256: str,
) -> FinishedRun:
    recipe = training.recipe
    return FinishedRun(
        name=recipe.name,
        findings=training.findings,
        preprocessing=recipe.preprocessing,
        stopping_split=recipe.stopping_split,
        policy=policy,
        weights=backbone.weights,
        weights_sha256=backbone.weights_sha256,
        model_sha256=model_sha256,
        lungs_sha256=None if training.lung_graph is None else file_sha256(training.lung_graph),
        gate=gate,
        dataset=training.data.name,
        data_fingerprint=training.data.fingerprint,
        images={"train": training.train_rows.height, recipe.stopping_split: training.stopping_rows.height},
        epochs=history.epochs,
        best_epoch=history.best_epoch,
        seconds={**training.seconds, "total": round(sum(training.seconds.values()), 2)},
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
