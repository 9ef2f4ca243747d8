"""The notebooks and the page on Python run as they are written, on a small data set and with a model that is there."""

import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import carina
from carina.api.training_run import Run
from carina.bundles.run_folder import open_run
from carina.bundles.verification import Verification
from carina.datasets.manifest import Dataset
from carina.errors import ConfigurationError

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = {path.stem: json.loads(path.read_text("utf-8")) for path in (DOCS / "tutorials").glob("*.ipynb")}
PAGE = (DOCS / "how-to" / "python.md").read_text("utf-8")


def in_place_of(real: Callable[..., Any], made: Callable[[Path], Any], argument: str) -> Callable[..., Any]:
    """Return what is called like a function and takes what was made before to where the function would write."""

    def stand_in(*words: Any, **options: Any) -> Any:
        return made(Path(inspect.signature(real).bind(*words, **options).arguments[argument]))

    return stand_in


@pytest.fixture
def small(
    phantom_dataset: Dataset,
    tiny_run: Path,
    tiny_bundle: tuple[Path, Verification],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Return the folder to work in, where drawing and training give the small set and the small run."""
    images = phantom_dataset.folder.parent / "images"

    def run_in(folder: Path) -> Run:
        shutil.copytree(tiny_run, folder)
        return Run(folder, open_run(folder))

    drawn = in_place_of(carina.write_phantoms, lambda out: shutil.copytree(images, out), "out")
    monkeypatch.setattr(carina, "write_phantoms", drawn)
    monkeypatch.setattr(carina, "train", in_place_of(carina.train, run_in, "out"))
    monkeypatch.setattr("carina.api.model.released_bundle", lambda: tiny_bundle[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code_of(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run_cells(name: str) -> list[Any]:
    """Return what a notebook shows: the last line of each cell."""
    names: dict[str, Any] = {}
    shown = []
    for code in code_of(NOTEBOOKS[name]):
        *before, last = code.splitlines()
        exec("\n".join(before), names)  # noqa: S102  # the notebook's own
        try:
            shown.append(eval(last, names))  # noqa: S307
        except SyntaxError:
            exec(last, names)  # noqa: S102
    return [each for each in shown if each is not None]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_whole_short_and_without_output(name: str) -> None:
    notebook = NOTEBOOKS[name]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
        assert (cell.get("outputs"), cell.get("execution_count")) in ((None, None), ([], None))
    assert sum(len(code.splitlines()) for code in code_of(notebook)) <= 25
    words = " ".join("".join(cell["source"]) for cell in notebook["cells"])
    assert re.findall(r"\banew\b|\bst(?:and|ands|ood)\b|\bto be had\b|\bcomes to\b", words, flags=re.I) == []


@pytest.mark.long
def test_the_notebook_runs(small: Path) -> None:
    shown = run_cells("own-findings")
    # A notebook shows each last line: a table, a page or a picture, and never an object's address.
    for result in shown:
        if not isinstance(result, str | Path):
            assert hasattr(result, "_repr_html_") or hasattr(result, "_repr_png_"), result
    html = "".join(result._repr_html_() for result in shown if hasattr(result, "_repr_html_"))
    assert "Flagged finding: COVID-19" in html
    assert "sensitivity at the operating point" in html
    assert "each as sealed" in html
    # The sensitivity with its interval.
    assert any(
        isinstance(each, str) and re.fullmatch(r"[01]\.\d{3} \(0\.\d{3} to [01]\.\d{3}\)", each) for each in shown
    )
    assert {path.name for path in small.iterdir()} == {"practice", "datasets", "runs", "evaluations", "models"}


def test_the_notebook_on_predicting_shows_a_table_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, predictions, table, picture = run_cells("predict-and-look")
    assert len(predictions) == table.height >= 4
    assert predictions.judged
    assert picture.width > 500
    assert "Failed: 0." in capsys.readouterr().out


@pytest.mark.long
def test_the_notebook_on_what_is_good_enough_measures_and_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    imported, _, evaluation, roc, reliability, figures = run_cells("good-enough")
    assert len(evaluation.table) == 60
    assert imported.dataset.description.test_only
    assert min(roc.width, reliability.width) > 500
    # The table says what the objects say.
    covid = figures.filter(finding="COVID-19", measure="sensitivity").row(0, named=True)
    of = evaluation.of("COVID-19").sensitivity
    assert (covid["value"], covid["low"], covid["high"]) == (of.value, of.low, of.high)
    reached = figures.filter(measure="operating_point_sensitivity").row(0, named=True)
    assert reached["value"] == evaluation.at_operating_point.sensitivity.value
    assert figures.filter(measure="accuracy")["finding"].to_list() == [None]
    assert evaluation.to_pandas().shape == figures.shape
    assert "These images do not show what you need." in capsys.readouterr().out


@pytest.mark.long
def test_the_page_runs(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carina.write_phantoms("practice")
    carina.import_dataset("practice", "datasets/mine")
    carina.train("datasets/mine", "runs/mine")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
        exec(block, names)  # noqa: S102  # the page's own
    said = capsys.readouterr().out
    assert "is a folder of images, not a data set. Import it: carina data import practice" in said
    assert f"carina                  {carina.__version__}" in said
    for written in ("results.csv", "why.png", "roc.png", "evaluations/mine/report.html"):
        assert (small / written).stat().st_size > 500, written


def test_the_page_names_every_function_that_is_offered() -> None:
    functions = {name for name in carina.__all__ if inspect.isfunction(getattr(carina, name))}
    told = set(re.findall(r"carina\.(\w+)\(", PAGE))
    assert functions - told == {
        *("write_phantoms", "draw_phantom", "read_radiograph", "load_recipe", "resume_training", "open_audit"),
    }


def test_an_evaluation_in_memory_is_compared_reported_and_refused_early(
    phantom_dataset: Dataset, tiny_run: Path, tmp_path: Path
) -> None:
    model = carina.load_bundle(tiny_run, backend="onnxruntime")
    evaluation = carina.evaluate(model, phantom_dataset)
    assert evaluation.split == "test"
    assert repr(evaluation).startswith("<carina.Evaluation tiny on dataset, test split (n = ")
    # Judged by the model as it was loaded, and by no other.
    assert model.for_many().engine.name.startswith("ONNX Runtime")
    twin = carina.evaluate(tiny_run, phantom_dataset.folder)
    compared = carina.compare(evaluation, twin)
    assert compared.figures.columns == ["figure", "tiny on dataset test", "tiny on dataset test (2)"]
    (paired,) = compared.paired
    assert paired.comparison.n == evaluation.metrics.n
    with pytest.raises(ConfigurationError, match="named twice"):
        carina.compare(evaluation, evaluation)
    assert evaluation.report(images=False).title == "tiny on dataset, test split"
    with pytest.raises(ConfigurationError, match=r"no figure 'rock'\. Name one of: .*roc"):
        evaluation.plot("rock")
    with pytest.raises(ConfigurationError, match=r"does not know 'Measles'\. Name one of: COVID-19"):
        evaluation.of("Measles")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    judged: list[int] = []
    for wrong, says in (
        ({"out": taken}, "already exists"),
        ({"drop_leaks": True, "allow_leak": True}, "Choose one of drop_leaks and allow_leak"),
        ({"split": "tset"}, "The split 'tset' is unknown"),
        ({"prevalence": 5}, "The prevalence is 5"),
        ({"prevalence": float("nan")}, "The prevalence is nan"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            carina.evaluate(model, phantom_dataset, progress=lambda done, _: judged.append(done), **wrong)
    assert judged == []
    with pytest.raises(ConfigurationError, match="The model comes first"):
        carina.evaluate(phantom_dataset.folder, tiny_run)


def test_a_model_is_recalibrated_and_verified(
    phantom_dataset: Dataset, tiny_run: Path, tiny_bundle: tuple[Path, Verification], tmp_path: Path
) -> None:
    model = carina.load_bundle(tiny_bundle[0], backend="onnxruntime")
    done = model.recalibrate(phantom_dataset, tmp_path / "new")
    assert done.verification.version == "1.2.3+recalibrated"
    assert done.summary().startswith(f"Recalibrated on {done.recalibration.images} images of dataset")
    assert done.summary(prevalence=0.01) != done.summary()
    (check,) = model.verify().checks
    assert check.engine.startswith("ONNX Runtime")
    with pytest.raises(ConfigurationError, match="already exists"):
        carina.load_bundle(tiny_run).export(tiny_bundle[0])


@pytest.mark.long
def test_tensorflow_is_loaded_without_its_own_lines() -> None:
    program = "from carina.api.training_run import import_training; import_training()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
