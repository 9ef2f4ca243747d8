"""The names that users of the library build on; a change here is a change for them."""

import inspect

import carina
import carina.errors
from carina.datasets.importing import import_dataset
from carina.errors import (
    ArchiveUnusableError,
    BundleError,
    CarinaError,
    ConfigurationError,
    DataError,
    InputError,
    LeakError,
    PeerError,
)
from carina.inference.explanation.explain import Explanation
from carina.inference.predictor import FailedPrediction, Prediction, Predictor
from carina.learning.train import resume, train


def test_the_error_tree_is_the_drawn_one() -> None:
    drawn = {
        InputError: CarinaError,
        DataError: CarinaError,
        LeakError: DataError,
        BundleError: CarinaError,
        ConfigurationError: CarinaError,
        PeerError: CarinaError,
        ArchiveUnusableError: PeerError,
        CarinaError: Exception,
    }
    defined = {cls for _, cls in inspect.getmembers(carina.errors, inspect.isclass) if issubclass(cls, Exception)}
    assert defined == set(drawn)
    assert all(cls.__bases__ == (base,) for cls, base in drawn.items())
    assert all(cls.__name__ in (carina.errors.__doc__ or "") for cls in drawn)


def test_signatures_are_frozen() -> None:
    assert list(inspect.signature(import_dataset).parameters) == [
        *("source", "out", "findings", "rename", "views", "half", "normal", "flag", "seed", "test_only", "labels"),
        *("columns", "labels_as", "uncertain", "patient_key", "patient_from", "layout", "split_from"),
        *("ignore_unknown_columns", "workers", "progress"),
    ]
    assert list(inspect.signature(train).parameters) == [
        *("dataset", "recipe", "out", "added", "without_sources", "lung_graph", "cache", "command", "progress_of"),
        "tell",
    ]
    assert list(inspect.signature(resume).parameters) == ["out", "cache", "command", "progress_of", "tell"]
    assert list(inspect.signature(Predictor).parameters) == [
        *("folder", "backend", "precision", "threads", "one_at_a_time", "deflated"),
    ]
    assert list(inspect.signature(Predictor.predict).parameters) == ["self", "paths", "prevalence", "explain"]
    assert list(inspect.signature(carina.load_bundle).parameters) == [
        *("folder", "backend", "precision", "threads"),
    ]
    assert list(inspect.signature(carina.Model.predict).parameters) == ["self", "image", "explain", "prevalence"]
    assert list(inspect.signature(carina.open_report).parameters) == ["folder", "audit", "bundle", "images"]
    assert list(inspect.signature(carina.open_side_by_side).parameters) == ["folders", "audits", "images"]
    assert list(inspect.signature(carina.open_audit).parameters) == ["folder"]
    assert list(inspect.signature(carina.compare_evaluations).parameters) == ["folders"]


def test_fields_are_frozen() -> None:
    assert list(Prediction.__dataclass_fields__) == [
        *("path", "sha256", "finding", "probabilities", "triage", "reasons", "elapsed_ms", "explanation"),
        *("reservations", "gated"),
    ]
    assert list(FailedPrediction.__dataclass_fields__) == ["path", "error", "passed_over"]
    assert list(Explanation.__dataclass_fields__) == [
        *("findings", "contributions", "logits", "calibration", "seen", "lungs", "grey"),
    ]


def test_the_package_offers_what_it_says() -> None:
    offered = {name for name in dir(carina) if name[0] != "_" and not inspect.ismodule(getattr(carina, name))}
    assert offered - {"TYPE_CHECKING", "Any", "import_module"} == {
        *("FailedPrediction", "Model", "Prediction", "Predictions", "load_bundle"),
        *("compare_evaluations", "open_audit", "open_report", "open_side_by_side"),
    }
