"""What a path is that somebody named, and the command that leads from there to what was wanted."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carina.bundles.bundle import BUNDLE_FILE, open_bundle, open_model
from carina.bundles.run_folder import LUNGS_FILE, RUN_FILE, STARTED_FILE, open_run
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import DESCRIPTION_FILE, open_dataset
from carina.errors import BundleError, CarinaError, ConfigurationError, DataError
from carina.places import MARKERS, kind_of, meant_by, require_model_first, wrong_place
from carina.reports.evaluation_files import AUDIT_FILE, METRICS_FILE, read_audit, read_metrics
from carina.storage.seal import SEAL_FILE
from make import as_ordinary_user, let_others_enter, make_grey, write_image


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return a folder with one of each kind in it; each holds no more than what it is known by."""
    for name, marker in {
        "data": MARKERS["data set"],
        "runs/head": MARKERS["finished run"],
        "runs/half": MARKERS["unfinished run"],
        "bundle": MARKERS["bundle"],
        "lungs": MARKERS["lung segmenter"],
        "evaluation": MARKERS["evaluation"],
        "audit": MARKERS["audit"],
    }.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / marker).write_text("{}", encoding="utf-8")
    started = json.dumps({"datasets": [str(tmp_path / "data")]})
    for run in ("head", "half"):
        (tmp_path / "runs" / run / STARTED_FILE).write_text(started, encoding="utf-8")
    written = json.dumps({"command": "carina evaluate runs/head data --out evaluation"})
    (tmp_path / "evaluation" / METRICS_FILE).write_text(written, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "films" / "Normal" / "1.png", make_grey())
    return tmp_path


def test_each_kind_is_known_by_the_file_that_its_writer_writes() -> None:
    assert MARKERS == {
        "bundle": BUNDLE_FILE,
        "data set": DESCRIPTION_FILE,
        "audit": AUDIT_FILE,
        "evaluation": METRICS_FILE,
        "finished run": RUN_FILE,
        "unfinished run": STARTED_FILE,
        "lung segmenter": LUNGS_FILE,
    }


def test_kinds(house: Path) -> None:
    kinds = {name: kind_of(house / name) for name in ("data", "bundle", "evaluation", "audit", "lungs", "empty", "no")}
    assert kinds == {
        "data": "data set",
        "bundle": "bundle",
        "evaluation": "evaluation",
        "audit": "audit",
        "lungs": "lung segmenter",
        "empty": None,
        "no": None,
    }
    assert kind_of(house / "runs" / "head") == "finished run"
    assert kind_of(house / "runs" / "half") == "unfinished run"
    (house / "empty" / SEAL_FILE).touch()
    assert kind_of(house / "empty") == "bundle"


@pytest.mark.parametrize(
    ("named", "wanted", "says"),
    [
        ("data", "model", "data is a data set, not a run or a bundle. Train on it: carina train data --out data-run"),
        ("data", "run", "data is a data set, not a run. Train on it: carina train data --out data-run"),
        (
            "data",
            "evaluation",
            (
                "data is a data set, not an evaluation. Measure the released model on it: carina evaluate data --out "
                "data-evaluation"
            ),
        ),
        (
            "runs/half",
            "model",
            (
                "runs/half is a run that was not finished, not a run or a bundle. Go on with it: carina train --resume "
                "runs/half"
            ),
        ),
        (
            "runs/head",
            "bundle",
            (
                "runs/head is a finished run, not a bundle. Make a bundle of it: carina export runs/head --out "
                "runs/head-bundle"
            ),
        ),
        ("runs/head", "data set", "runs/head is a finished run, not a data set. It learned from the data set ~/data."),
        (
            "runs/head",
            "evaluation",
            (
                "runs/head is a finished run, not an evaluation. Make one: carina evaluate runs/head ~/data --out "
                "runs/head-evaluation"
            ),
        ),
        (
            "bundle",
            "audit",
            "bundle is a bundle, not an audit. Make one: carina audit bundle, then a data set, and --out bundle-audit",
        ),
        ("bundle", "run", "bundle is a bundle, not a run. Name the folder of the run that it was made of."),
        ("bundle", "data set", "bundle is a bundle, not a data set. A data set is made by carina data import."),
        (
            "evaluation",
            "model",
            (
                "evaluation is an evaluation, not a run or a bundle. It was written by: carina evaluate runs/head data "
                "--out evaluation"
            ),
        ),
        ("audit", "evaluation", "audit is an audit, not an evaluation. An evaluation is made by carina evaluate."),
        ("lungs", "model", "lungs is the folder of a lung segmenter, not a run or a bundle. A run or a bundle is made"),
        ("empty", "run", "empty is an empty folder, not a run. A run is made by carina train, with --out empty"),
        (
            "runs",
            "model",
            "runs is another folder, not a run or a bundle. In it there is runs/head (a run or a bundle).",
        ),
        (
            "films",
            "data set",
            "films is a folder of images, not a data set. Import it: carina data import films --out films-dataset",
        ),
        ("films", "run", "films is a folder of images, not a run. A run is made by carina train."),
        (
            "bundle/bundle.json",
            "model",
            "is a file, not a run or a bundle. It lies in a run or a bundle: name the folder",
        ),
        ("dat", "data set", "There is no folder dat. Did you mean data (a data set)?"),
        ("runz/head", "model", "There is no folder runz/head. Did you mean runs/head (a finished run)?"),
        ("runs/haed", "model", "There is no folder runs/haed. Did you mean runs/head (a finished run)?"),
        ("runs/xyz", "run", "There is no folder runs/xyz. In runs there is runs/head (a run)."),
        ("empty/xyz", "run", "There is no folder empty/xyz. A run is made by carina train, with --out empty/xyz"),
    ],
)
def test_what_is_said(house: Path, monkeypatch: pytest.MonkeyPatch, named: str, wanted: str, says: str) -> None:
    monkeypatch.chdir(house)
    said = wrong_place(Path(named), wanted)  # type: ignore[arg-type]
    assert says in said.replace(str(house), "~")
    assert "\n" not in said


def test_advice_can_be_typed_as_it_is(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house)
    (house / "data").rename(house / "my data")
    assert "carina train 'my data' --out 'my data-run'" in wrong_place(Path("my data"), "run")
    (house / "my data-run").mkdir()
    assert "carina train 'my data' --out 'my data-run-2'" in wrong_place(Path("my data"), "run")
    monkeypatch.chdir(house / "my data")
    assert f"carina train . --out '{house / 'my data-run-2'}'" in wrong_place(Path(), "run")


def test_a_table_is_to_be_imported(house: Path) -> None:
    (house / "labels.csv").write_text("path,finding\n", encoding="utf-8")
    said = wrong_place(house / "labels.csv", "data set")
    assert said.endswith(f"Import it: carina data import {house / 'labels.csv'} --out {house / 'labels-dataset'}")


def test_many_are_counted(house: Path) -> None:
    for number in range(8):
        (house / "bundles" / str(number)).mkdir(parents=True)
        (house / "bundles" / str(number) / BUNDLE_FILE).touch()
    said = wrong_place(house / "bundles", "bundle")
    assert said.endswith(f"{house / 'bundles' / '4'} and 3 more (bundles). Name one of them.")


def test_what_may_not_be_looked_into_is_said(house: Path) -> None:
    let_others_enter(house)
    (house / "runs").chmod(0)
    try:
        with as_ordinary_user():
            said = wrong_place(house / "runs", "run")
            assert said.endswith("a folder that this user may not look into, not a run. Ask its owner for permission.")
            assert "There is no folder" in wrong_place(house / "runs" / "head", "run")
    finally:
        (house / "runs").chmod(0o755)


@pytest.mark.parametrize(
    ("opened", "wanted", "error"),
    [
        (open_dataset, "data set", DataError),
        (open_run, "run", BundleError),
        (open_bundle, "bundle", BundleError),
        (open_model, "model", BundleError),
        (read_metrics, "evaluation", DataError),
        (read_audit, "audit", ConfigurationError),
    ],
)
def test_whatever_is_opened_says_the_same(
    house: Path, opened: Callable[..., Any], wanted: str, error: type[CarinaError]
) -> None:
    for name in ("lungs", "empty", "nowhere"):
        with pytest.raises(error) as caught:
            opened(house / name)
        assert str(caught.value) == wrong_place(house / name, wanted)


def test_the_model_comes_first(house: Path) -> None:
    out = ["--out", str(house / "new"), f"--cache={house / 'data'}"]
    typed = ["carina", "evaluate", f"{house / 'data'}/", str(house / "bundle"), *out]
    require_model_first(house / "bundle", house / "data", typed)
    require_model_first(house / "data", house / "data", typed)
    with pytest.raises(ConfigurationError) as caught:
        require_model_first(house / "data", house / "bundle", typed)
    told = shlex.join(["carina", "evaluate", str(house / "bundle"), str(house / "data"), *out])
    assert str(caught.value).endswith(f"The model comes first: {told}")


def test_a_test_set_is_not_offered_for_training(house: Path) -> None:
    said = wrong_place(house / "data", "model")
    assert said.endswith(f"Train on it: carina train {house / 'data'} --out {house / 'data-run'}")
    (house / "data" / MARKERS["data set"]).write_text('{"test_only": true}')
    for wanted in ("model", "run"):
        assert wrong_place(house / "data", wanted).endswith(
            "is only for tests: train on one that was imported without --test-only."
        )


def test_a_source_that_is_missing_or_was_imported_already(house: Path) -> None:
    assert meant_by(house / "filmz") == f"Did you mean {house / 'films'}?"
    assert meant_by(house / "filmz" / "Normal") == f"Did you mean {house / 'films' / 'Normal'}?"
    assert meant_by(house / "quite another") == "Check the path."
    with pytest.raises(DataError, match=r"There is no folder or file .*filmz\. Did you mean .*films"):
        import_dataset(house / "filmz", house / "out")
    with pytest.raises(
        DataError, match=r"is a data set already\. It needs no import; look at it with: carina data check"
    ):
        import_dataset(house / "data", house / "out")
