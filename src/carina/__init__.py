"""Chest X-ray triage toolkit: learns, measures itself, and says how far it can be trusted.

>>> import carina
>>> model = carina.load_bundle()                                    # doctest: +SKIP
>>> model.predict("radiograph.png").triage.priority                 # doctest: +SKIP
'secondary-review'

>>> carina.open_report("evaluations/mine")                          # doctest: +SKIP

The names here are read from their files when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from carina._version import __version__ as __version__

if TYPE_CHECKING:
    from carina.inference.model import Model as Model
    from carina.inference.model import Predictions as Predictions
    from carina.inference.model import load_bundle as load_bundle
    from carina.inference.predictor import FailedPrediction as FailedPrediction
    from carina.inference.predictor import Prediction as Prediction
    from carina.reports.evaluation_comparison import compare_evaluations as compare_evaluations
    from carina.reports.html.open_reports import open_audit as open_audit
    from carina.reports.html.open_reports import open_report as open_report
    from carina.reports.html.open_reports import open_side_by_side as open_side_by_side

_FILES = {
    "FailedPrediction": "carina.inference.predictor",
    "Model": "carina.inference.model",
    "Prediction": "carina.inference.predictor",
    "Predictions": "carina.inference.model",
    "compare_evaluations": "carina.reports.evaluation_comparison",
    "load_bundle": "carina.inference.model",
    "open_audit": "carina.reports.html.open_reports",
    "open_report": "carina.reports.html.open_reports",
    "open_side_by_side": "carina.reports.html.open_reports",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        msg = f"module 'carina' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_FILES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FILES})
