"""``carina train``: a data set and a recipe become a run."""

from pathlib import Path
from typing import Annotated, Any

from carina.api.training_run import import_training, resume_training, train
from carina.cli.console import print_note, print_result, progress_bars, typed_command
from carina.cli.options import argument, option
from carina.errors import ConfigurationError
from carina.learning.recipe import load_recipe, shipped_recipes
from carina.places import learned_from, measuring

_DATA, _MORE = "More data", "Weights and files"

EXAMPLE = "train datasets/mine --recipe head --out runs/mine"


def train_command(
    dataset: Annotated[Path | None, argument("DATASET", "An imported data set.")] = None,
    recipe: Annotated[
        str | None, option("RECIPE", f"Recipe: a TOML file, or one of {', '.join(shipped_recipes())}. Default: head.")
    ] = None,
    out: Annotated[Path | None, option("RUN", "Run folder to write; it must not exist.")] = None,
    resume: Annotated[
        Path | None, option("RUN", "Go on with a run that was stopped. Its data set and recipe are used again.")
    ] = None,
    weights: Annotated[
        str | None,
        option(
            "WEIGHTS",
            "Weights to start from: imagenet, carina (those of the released model, without network), none, or a Keras "
            ".h5 file. Default: as in the recipe.",
            panel=_MORE,
        ),
    ] = None,
    added: Annotated[
        list[Path] | None, option("DATASET", "Another data set to learn from. Repeatable.", "--with", panel=_DATA)
    ] = None,
    without_sources: Annotated[
        list[str] | None,
        option("SOURCE", "Source (hospital, scanner) to leave out. Repeatable.", "--without-source", panel=_DATA),
    ] = None,
    lungs: Annotated[
        Path | None,
        option("FILE", "Lung segmenter (ONNX) to use. Default: the one of the released bundle.", panel=_MORE),
    ] = None,
    track: Annotated[
        list[str] | None,
        option(
            "TRACKER:PLACE",
            "Also record the finished run there: mlflow:URI or tensorboard:FOLDER. Repeatable.",
            panel=_MORE,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        option(
            "FOLDER", "Folder for intermediate results that are used again. Default: the user's cache.", panel=_MORE
        ),
    ] = None,
) -> None:
    """Train a model from a data set and a recipe.

    If a training was stopped, go on with --resume. At most one epoch is lost.
    """
    if (resume is None) == (dataset is None) or (resume is None) == (out is None):
        msg = "Name a DATASET and --out RUN to start, or --resume RUN alone to go on."
        raise ConfigurationError(msg)
    if resume is not None and (recipe or weights or added or without_sources or lungs):
        msg = "--resume goes on with what the run was started with. Only --cache and --track may be named beside it."
        raise ConfigurationError(msg)
    # What is wrong with a recipe is said before TensorFlow is loaded.
    chosen = load_recipe(recipe or "head")
    load_quietly()
    with progress_bars() as bar:
        told: dict[str, Any] = {"cache": cache, "command": typed_command(), "progress_of": bar, "tell": print_note}
        told["track"] = track or ()
        if resume is not None:
            run = resume_training(resume, **told)
        elif dataset is not None and out is not None:
            run = train(
                dataset,
                out,
                recipe=chosen,
                weights=weights,
                added=added or (),
                without_sources=without_sources or (),
                lungs=lungs,
                **told,
            )
    print_result(run.summary())
    print_result(f"Next: {measuring(run.folder, learned_from(run.folder), 'evaluation')}")


def load_quietly() -> None:
    """Say that TensorFlow is loaded, which takes seconds, and load it.

    Raises
    ------
    ConfigurationError
        If it is not installed.
    """
    print_note("Loading TensorFlow ...")
    import_training()
