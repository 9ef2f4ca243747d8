"""A step of mercure: its folders, its names, its settings, its notification, and its exit code."""

import json
import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from carina.dicom.mercure import MercureSettings, read_settings, run_step
from carina.errors import ConfigurationError
from carina.inference.predictor import Predictor
from unit.dicom.sources import IDENTIFIERS, write_source
from unit.inference.small_model import write_small_run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The folders of a step with two images, one broken file, and what mercure puts beside them."""
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    for seed in (1, 2):
        image = dcmread(write_source(tmp_path / "image.dcm", seed=seed))
        shutil.move(tmp_path / "image.dcm", given / f"{image.SeriesInstanceUID}#{image.SOPInstanceUID}.dcm")
    (given / "1.2#3.dcm").write_bytes(b"no image")
    (given / "1.2#3.tags").write_text("{}")
    write_task(given)
    return given, out


def write_task(folder: Path, **settings: object) -> None:
    process = {"module_name": "carina", "settings": settings}
    (folder / "task.json").write_text(json.dumps({"id": "7", "process": process}))


def test_answers_and_result_go_to_the_other_folder(folders: tuple[Path, Path], small: Path) -> None:
    given, out = folders
    result = run_step(given, out, Predictor(small))
    assert (result.read, result.failed) == (2, 1)
    told = json.loads((out / "result.json").read_text())
    broken, *judged = sorted(told["images"], key=lambda row: "triage" in row)
    assert broken["file"] == "1.2#3.dcm"
    assert broken["error"]["code"] == "unsupported-format"
    names = {name for row in judged for name in row["answers"]}
    assert len(names) == 4
    assert {path.name for path in out.iterdir()} == names | {"result.json"}
    for name in names:
        answer = dcmread(out / name)
        assert name == f"{answer.SeriesInstanceUID}#{answer.SOPInstanceUID}.dcm"
    notification = told["__mercure_notification"]
    assert notification["text"].startswith("Carina. Judged: ")
    assert "Failed: 1." in notification["text"]
    assert notification["requested"] is True
    assert not [value for value in IDENTIFIERS if str(value) in notification["text"]]


def test_a_notification_is_asked_for_by_priority(folders: tuple[Path, Path], small: Path) -> None:
    given, out = folders
    (given / "1.2#3.dcm").unlink()
    predictor = Predictor(small)
    run_step(given, out, predictor)
    priorities = {row["triage"]["priority"] for row in json.loads((out / "result.json").read_text())["images"]}
    for notify, asked in ((sorted(priorities), True), ([], False)):
        write_task(given, notify=notify, kinds=["sr"])
        run_step(given, out, predictor)
        assert json.loads((out / "result.json").read_text())["__mercure_notification"]["requested"] is asked


def test_what_is_no_radiograph_beside_them_is_no_failure(folders: tuple[Path, Path], small: Path) -> None:
    given, out = folders
    (given / "1.2#3.dcm").unlink()
    run_step(given, out, Predictor(small))
    for path in out.glob("*.dcm"):
        shutil.copy(path, given)
    again = run_step(given, out, Predictor(small))
    assert (again.read, again.failed) == (2, 0)


def test_settings_are_read_and_wrong_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"task.json is missing: mercure puts it beside"):
        read_settings(tmp_path)
    write_task(tmp_path, prevalence=0.1, kinds=["sr", "seg"])
    assert read_settings(tmp_path) == MercureSettings(prevalence=0.1, kinds=("sr", "seg"))
    (tmp_path / "task.json").write_text('{"process": {}}')
    assert read_settings(tmp_path) == MercureSettings()
    write_task(tmp_path, sigma=7)
    with pytest.raises(ConfigurationError, match=r"setting 'sigma' is wrong .* are: kinds, prevalence, notify"):
        read_settings(tmp_path)
    (tmp_path / "task.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="is no task of mercure"):
        read_settings(tmp_path)
