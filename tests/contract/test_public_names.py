"""The names that users of the library build on; a change here is a change for them."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import carina
import carina.errors
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
from carina.inference.predictor import Predictor

SOURCE = Path(carina.__file__).parents[1]

SIGNATURES = {
    "read_radiograph": "path deflated enough",
    "draw_phantom": "finding seed patient_seed size difficulty",
    "write_phantoms": "out count size difficulty seed progress",
    "import_dataset": "source out findings rename views half normal flag seed test_only labels columns labels_as "
    "uncertain patient_key patient_from layout split_from ignore_unknown_columns croissant workers spread progress",
    "open_dataset": "folder",
    "check_dataset": "dataset",
    "load_recipe": "name",
    "train": "dataset out recipe weights added without_sources lungs cache track command progress_of tell",
    "resume_training": "run cache track command progress_of tell",
    "load_bundle": "folder backend precision threads",
    "evaluate": "model dataset out split prevalence drop_leaks allow_leak images track command progress tell",
    "compare": "evaluations",
    "audit": "model dataset out external lungs drop_leaks train_images test_images cache command spread progress_of",
    "open_report": "evaluations audits bundle images",
    "open_audit": "folder",
    "show_versions": "",
}
# What each class offers; arguments in brackets.
MEMBERS = {
    "ImportReport": "dataset left_out notes offered sentence summary() unread()",
    "Dataset": "counts() description details folder manifest rows(split) says_other_flag(flag) unreadable()",
    "Run": "description folder load() plot(quantity) summary()",
    "Model": "adapt(site out version flag add leave_out progress) description explain(image prevalence) "
    "export(out name version evaluation audit hub int8 progress) findings "
    "flag_finding folder for_many() predict(image explain prevalence) "
    "recalibrate(dataset out version specificity sensitivity hold_out progress) "
    "stream(images explain prevalence) verify()",
    "Prediction": "accepted distance elapsed_ms embedding explanation finding gated judged() network_probabilities "
    "path plot(finding against) probabilities reasons reduced refused reservations sha256 triage",
    "FailedPrediction": "error passed_over path",
    "Predictions": "failed judged left_out refused summary() to_csv(path) to_pandas() to_polars()",
    "Evaluation": "at_operating_point at_specificity dataset dropped flag_finding leaks metrics model model_folder "
    "notice of(finding) plot(figure) report(images) save(out images command) seconds split summary() table title "
    "to_pandas() to_polars()",
    "AuditResult": "alterations command found plot() preprocessing report() save(out) sentence summary() verdicts",
}


def arguments_of(function: object) -> str:
    names = inspect.signature(function).parameters  # type: ignore[arg-type]
    return " ".join(name for name in names if name != "self")


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


def test_names_and_signatures_are_frozen() -> None:
    assert set(carina.__all__) == {*SIGNATURES, *MEMBERS, "Recipe", "CarinaError"}
    assert set(carina.__all__) <= set(dir(carina))
    for name, arguments in SIGNATURES.items():
        assert arguments_of(getattr(carina, name)) == arguments, name
    assert arguments_of(Predictor) == "folder backend precision threads one_at_a_time deflated"
    assert arguments_of(Predictor.predict) == "paths prevalence explain"


@pytest.mark.parametrize("name", MEMBERS)
def test_what_classes_offer_is_frozen(name: str) -> None:
    cls = getattr(carina, name)
    own = {key for base in cls.__mro__ if base.__module__.startswith("carina.") for key in vars(base)}
    fields = {*getattr(cls, "__dataclass_fields__", ()), *getattr(cls, "__annotations__", ())}
    # What __init__ sets is described under Attributes.
    described = {"Model": {"folder", "description"}}.get(name, set())
    members = {key for key in own | fields | described if key[0] != "_"} - {"count", "index"}
    found = []
    for key in sorted(members):
        member = inspect.getattr_static(cls, key, None)
        found.append(f"{key}({arguments_of(member)})" if inspect.isfunction(member) else key)
    assert " ".join(found) == MEMBERS[name]


def test_fields_are_frozen() -> None:
    # In this order they are given and unpacked.
    assert list(carina.Prediction.__dataclass_fields__) == [
        *("path", "sha256", "network_probabilities", "triage", "reasons", "elapsed_ms", "explanation", "reservations"),
        *("gated", "distance", "embedding", "reduced"),
    ]
    assert list(carina.FailedPrediction.__dataclass_fields__) == ["path", "error", "passed_over"]
    assert list(Explanation.__dataclass_fields__) == [
        *("findings", "contributions", "logits", "calibration", "seen", "lungs", "grey"),
    ]


def test_every_name_is_described_with_its_parameters() -> None:
    for name in carina.__all__:
        described = inspect.getdoc(getattr(carina, name)) or ""
        assert described.splitlines()[0].endswith("."), name
        for argument in SIGNATURES.get(name, "").split():
            assert argument in described.replace(",", " ").split(), (name, argument)


USER = """
import carina

dataset = carina.open_dataset("datasets/mine")
run = carina.train(dataset, "runs/mine", weights="carina")
evaluation = carina.evaluate(run, dataset)
reveal_type(run.load())
reveal_type(evaluation.of("COVID-19").sensitivity.low)
reveal_type(carina.load_bundle().predict(["a.png", "b.png"]))
reveal_type(carina.load_bundle().predict(["a.png"]).judged[0].finding)
reveal_type(carina.open_report("evaluations/mine"))
carina.evaluate(run, dataset, spilt="test")
"""


@pytest.mark.long
def test_a_users_checker_of_types_sees_types(tmp_path: Path) -> None:
    """Strictly, as a user would who installed Carina: ``py.typed`` lies in the package."""
    assert (SOURCE / "carina" / "py.typed").is_file()
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    config = tmp_path / "mypy.ini"
    # Only what is wrong in the user's file is asked for.
    config.write_text(f"[mypy]\nstrict = True\nmypy_path = {SOURCE}\nfollow_imports = silent\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout.replace('"', "")
    for expected in (
        "carina.api.model.Model",
        "float | None",
        "carina.inference.prediction_list.Predictions",
        "str | None",
        ".Report",
        "Unexpected keyword argument spilt",
    ):
        assert expected in said, said
    assert "Found 1 error in 1 file" in said
