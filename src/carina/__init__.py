"""Chest X-ray triage toolkit: learns, measures itself, and says how far it can be trusted.

>>> import carina
>>> model = carina.load_bundle()                                    # doctest: +SKIP
>>> model.predict("radiograph.png").triage.priority                 # doctest: +SKIP
'secondary-review'

From images of your own to a model:

>>> dataset = carina.import_dataset("my-radiographs", "datasets/mine")       # doctest: +SKIP
>>> run = carina.train(dataset, "runs/mine")                                 # doctest: +SKIP
>>> evaluation = carina.evaluate(run, dataset, out="evaluations/mine")       # doctest: +SKIP
>>> print(evaluation.of("Tuberculosis").sensitivity)                         # doctest: +SKIP

The names here are read from their files when they are first used, so that importing the package costs nothing, and
TensorFlow is loaded by training alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from carina._version import __version__ as __version__

if TYPE_CHECKING:
    from carina.api.auditing import AuditResult as AuditResult
    from carina.api.auditing import audit as audit
    from carina.api.evaluation import Evaluation as Evaluation
    from carina.api.evaluation import compare as compare
    from carina.api.evaluation import evaluate as evaluate
    from carina.api.model import Model as Model
    from carina.api.model import load_bundle as load_bundle
    from carina.api.training_run import Run as Run
    from carina.api.training_run import resume_training as resume_training
    from carina.api.training_run import train as train
    from carina.api.versions import show_versions as show_versions
    from carina.datasets.check import check_dataset as check_dataset
    from carina.datasets.importing import ImportReport as ImportReport
    from carina.datasets.importing import import_dataset as import_dataset
    from carina.datasets.manifest import Dataset as Dataset
    from carina.datasets.manifest import open_dataset as open_dataset
    from carina.errors import CarinaError as CarinaError
    from carina.inference.prediction import FailedPrediction as FailedPrediction
    from carina.inference.prediction import Prediction as Prediction
    from carina.inference.prediction_list import Predictions as Predictions
    from carina.learning.recipe import Recipe as Recipe
    from carina.learning.recipe import load_recipe as load_recipe
    from carina.phantoms.phantom import draw_phantom as draw_phantom
    from carina.phantoms.phantom import write_phantoms as write_phantoms
    from carina.radiographs.read import read_radiograph as read_radiograph
    from carina.reports.html.open_reports import open_audit as open_audit
    from carina.reports.html.open_reports import open_report as open_report

# In the order of a journey: images, a model, what it says, how good it is.
_FILES = {
    "read_radiograph": "carina.radiographs.read",
    "draw_phantom": "carina.phantoms.phantom",
    "write_phantoms": "carina.phantoms.phantom",
    "import_dataset": "carina.datasets.importing",
    "ImportReport": "carina.datasets.importing",
    "open_dataset": "carina.datasets.manifest",
    "Dataset": "carina.datasets.manifest",
    "check_dataset": "carina.datasets.check",
    "load_recipe": "carina.learning.recipe",
    "Recipe": "carina.learning.recipe",
    "train": "carina.api.training_run",
    "resume_training": "carina.api.training_run",
    "Run": "carina.api.training_run",
    "load_bundle": "carina.api.model",
    "Model": "carina.api.model",
    "Prediction": "carina.inference.prediction",
    "FailedPrediction": "carina.inference.prediction",
    "Predictions": "carina.inference.prediction_list",
    "evaluate": "carina.api.evaluation",
    "Evaluation": "carina.api.evaluation",
    "compare": "carina.api.evaluation",
    "audit": "carina.api.auditing",
    "AuditResult": "carina.api.auditing",
    "open_report": "carina.reports.html.open_reports",
    "open_audit": "carina.reports.html.open_reports",
    "CarinaError": "carina.errors",
    "show_versions": "carina.api.versions",
}
__all__ = list(_FILES)
# What these need in the end is the larger extra.
_TRAINING = ("train", "resume_training", "Run")


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        msg = f"module 'carina' has no attribute {name!r}"
        raise AttributeError(msg)
    from carina.extras import needed_for  # noqa: PLC0415  # importing the package alone imports nothing

    with needed_for(f"carina.{name}", "train" if name in _TRAINING else None):
        value = getattr(import_module(_FILES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FILES})
