"""A finished run gets another gate, or another segmenter, and the decisions that go with it; its network stays."""

import shutil
from pathlib import Path

from carina.bundles.bundle import released_bundle
from carina.bundles.run_folder import (
    CHECKPOINT_FOLDER,
    LUNGS_FILE,
    RECIPE_FILE,
    RUN_FILE,
    FinishedRun,
    open_run,
)
from carina.learning.data.training_data import reopen_training_data
from carina.learning.fit_decisions import fit_gate_of, fit_policy_of
from carina.learning.methods import logits_of_stopping_split
from carina.learning.recipe import GateSettings, recipe_as_toml
from carina.learning.train import prepare_training
from carina.learning.training import ProgressOf
from carina.radiographs.lungs import LungFinder
from carina.storage.atomic import require_absent, whole_folder, write_text
from carina.storage.seal import file_sha256


def refit_gate(
    run: Path,
    out: Path,
    *,
    lungs: Path | None = None,
    negatives: Path | None = None,
    settings: GateSettings | None = None,
    cache: Path | None = None,
    progress_of: ProgressOf | None = None,
) -> FinishedRun:
    """Write a run with the same network and a new gate, and return what it says of itself.

    The calibration, the operating points and the bands are fitted again, too, on those images of the stopping split
    that the new gate lets through.

    Parameters
    ----------
    run
        A finished run. The data sets it was trained on must be where they were.
    out
        The run folder to write; it must not exist.
    lungs
        The segmenter to look for lungs by; by default the run's own, or the released bundle's where it has none. A gate
        reads what the segmenter sees.
    negatives
        A folder of images that must be refused, in addition to those that are made and drawn.
    settings
        By default the recipe's, or else the default ones.

    Raises
    ------
    ConfigurationError
        If `out` exists.
    BundleError
        If the run is not finished, or the segmenter is none or gives no features.
    DataError
        If its data sets have changed, or the folder of negatives holds no readable image.
    """
    require_absent(out, what="run")
    finished = open_run(run)
    if finished.lungs_sha256 is None:
        lungs = lungs or released_bundle() / LUNGS_FILE
    recipe, data = reopen_training_data(run)
    # What the run flags stays flagged, also where its recipe did not name it.
    point = recipe.operating_point.model_copy(update={"finding": finished.policy.flag_finding})
    gate_settings = settings or recipe.gate or GateSettings()
    recipe = recipe.model_copy(update={"gate": gate_settings, "operating_point": point})
    with whole_folder(out, what="run") as folder:
        shutil.copytree(run, folder, dirs_exist_ok=True)
        if lungs is not None:
            finished = _with_lungs(finished, folder, lungs)
        training = prepare_training(data, recipe, folder, folder / LUNGS_FILE, cache, finished.command, progress_of)
        (folder / CHECKPOINT_FOLDER).mkdir(exist_ok=True)
        training.frames.find_lungs(training.stopping_rows, progress=training.progress_of("Finding lungs"))
        gate = fit_gate_of(training, negatives=negatives)
        policy = fit_policy_of(training, logits_of_stopping_split(training))
        shutil.rmtree(folder / CHECKPOINT_FOLDER)
        write_text(folder / RECIPE_FILE, recipe_as_toml(recipe))
        regated = finished.model_copy(update={"gate": gate, "policy": policy})
        write_text(folder / RUN_FILE, regated.model_dump_json(indent=2) + "\n")
    return regated


def _with_lungs(finished: FinishedRun, folder: Path, lungs: Path) -> FinishedRun:
    """Put another segmenter into a run's folder, and return what the run says of itself then."""
    LungFinder(lungs)  # refuses what is no segmenter
    shutil.copyfile(lungs, folder / LUNGS_FILE)
    # A network that is shown whole images learned with no segmenter's boxes.
    crops = finished.preprocessing.crop == "lungs"
    learned_with = (finished.learned_with_lungs_sha256 or finished.lungs_sha256) if crops else None
    sha256 = file_sha256(folder / LUNGS_FILE)
    changed = {"lungs_sha256": sha256, "learned_with_lungs_sha256": None if sha256 == learned_with else learned_with}
    return finished.model_copy(update=changed)
