"""What the benchmarks compare Carina with does the same, and what they count is what they say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from carina.bundles.bundle import open_bundle, released_bundle
from carina.datasets.manifest import Dataset
from carina.errors import ConfigurationError
from carina.evaluation.adaptation.site import SiteFilms
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.read import read_radiograph
from carina.reports.evaluated import read_evaluated
from make import make_grey
from make_dicom import encode_frame
from unit.reports.evaluations import write_evaluated

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_every_benchmark_can_still_be_loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    # What benchmarks share has nothing to run.
    assert callable(getattr(script(name), "main", None)) or name == "served_site"


@pytest.mark.long
def test_how_far_a_cell_reaches_is_measured_on_files(
    films: list[Path], tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script("cell_reach").main(tiny_run, [str(film) for film in films])
    said = capsys.readouterr().out
    assert said.startswith("5 images, ")
    assert 0 <= float(said.split("greyed out, ")[1].split(" %")[0]) <= 100


def test_the_size_of_an_installation_adds_up_and_names_the_ratio_of_the_engines() -> None:
    sizes = {"carina-cxr": [26.4, True], "numpy": [57.4, True], "pydicom": [8.3, False], "pip": [9.0, False]}
    engines = {
        "onnxruntime": {"images per second": 80.0, "milliseconds for one": 12.0},
        "openvino": {"images per second": 100.0, "milliseconds for one": 10.0},
    }
    told = script("installed_size").content_of(sizes, {"pip install": 21.34}, engines)
    assert told["megabytes"] == {
        "carina and its model": 26.4,
        "packages of the core": 65.7,
        "of these imported to judge an image": 57.4,
    }
    assert told["openvino is times as fast"] == {"many": 1.25, "one": 1.2}
    assert [row["package"] for row in told["packages"]] == ["numpy", "pydicom"]


def test_the_core_stays_below_its_limit_as_it_was_last_measured() -> None:
    told = json.loads((BENCHMARKS.parent / "results" / "installed_size.json").read_text(encoding="utf-8"))
    assert told["megabytes"]["packages of the core"] <= 350
    page = (BENCHMARKS.parent / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
    assert f"| 897 MB | {told['megabytes']['packages of the core']:.0f} MB |" in page
    taken = told["seconds"]["pip install"] + told["seconds"]["the first carina predict"]
    assert f"| not measured | {taken:.0f} s |" in page
    engines, ratios = told["engines, 224 × 224 JPEG"], told["openvino is times as fast"]
    for key, ratio in (("images per second", ratios["many"]), ("milliseconds for one", ratios["one"])):
        assert f"| {engines['onnxruntime'][key]} | {engines['openvino'][key]} | {ratio} |" in page
    assert not {"openvino", "polars", "scipy", "matplotlib", "kagglehub"} & {row["package"] for row in told["packages"]}


@pytest.fixture(scope="module")
def films(phantom_dataset: Dataset) -> list[Path]:
    return [Path(path) for path in phantom_dataset.rows("test")["path"]][:5]


@pytest.mark.long
def test_the_keras_pipeline_decides_as_carina_does(films: list[Path], tiny_run: Path) -> None:
    pipeline = script("against_keras").KerasPipeline(tiny_run)
    predicted = list(Predictor(tiny_run).predict(films))
    expected = [list(p.probabilities.values()) for p in predicted if isinstance(p, Prediction)]
    bulk = pipeline.decide(films)
    # Pillow and OpenCV round averages of areas differently.
    np.testing.assert_allclose(bulk, expected, atol=0.02)
    np.testing.assert_allclose(np.concatenate([pipeline.decide([film]) for film in films]), bulk, atol=1e-5)
    assert np.ptp(bulk, axis=0).max() > 0.05
    assert [pipeline.triage(row).priority for row in bulk] == [
        p.triage.priority for p in predicted if isinstance(p, Prediction)
    ]


def test_the_keras_pipeline_reads_sixteen_bits(tiny_run: Path, tmp_path: Path) -> None:
    pixels = np.linspace(0, 4095, 300 * 300).reshape(300, 300).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), pixels)
    read = script("against_keras").KerasPipeline(tiny_run)._read(str(tmp_path / "deep.png"))
    expected = resize_grey(read_radiograph(tmp_path / "deep.png"), 64)
    assert np.abs(read.astype(int) - expected).max() <= 1


@pytest.mark.long
def test_the_keras_script_says_what_the_pipeline_does(films: list[Path], tiny_run: Path) -> None:
    command = [sys.executable, BENCHMARKS / "against_keras.py", "--one", tiny_run, films[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    (predicted,) = Predictor(tiny_run).predict(films[:1])
    assert isinstance(predicted, Prediction)
    said = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(said["probabilities"], list(predicted.probabilities.values()), atol=0.02)
    assert said["priority"] == predicted.triage.priority


def test_links_are_as_many_as_asked(films: list[Path], tmp_path: Path) -> None:
    script("memory_of_many").link_films(tmp_path / "links", films[:2], 2001)
    links = [path for path in (tmp_path / "links").rglob("*") if path.is_file()]
    assert len(links) == 2001
    assert len({path.stat().st_ino for path in links}) == 2
    assert max(len(list(folder.iterdir())) for folder in (tmp_path / "links").iterdir()) == 1000


def test_the_mutator_repeats_itself_and_its_tally_counts_every_file() -> None:
    benchmark = script("mutated_dicom")
    sound = benchmark.corpus()
    figures = benchmark.run(sound, 500, 60)
    assert sum(figures["outcomes"].values()) == figures["files"] == 60
    assert figures["outcomes"]["read"] >= 3
    assert benchmark.run(sound, 500, 60, seconds=0)["files"] == 0
    assert benchmark.is_sound(figures)
    assert len({benchmark.mutated(sound, seed) for seed in range(40)}) == 40
    assert [benchmark.mutated(sound, seed) for seed in range(40)] == [benchmark.mutated(sound, s) for s in range(40)]
    assert not benchmark.is_sound(figures | {"not_done_in_time": [3]})
    assert not benchmark.is_sound(figures | {"anything_else": {3: "KeyError"}})
    assert not benchmark.is_sound(figures | {"peak_memory_mb": 1000.1})


def test_the_decoder_that_dicom_is_timed_against_decodes() -> None:
    benchmark = script("dicom_reading")
    film = make_grey(1, (60, 50), 12)
    for coding, syntax in benchmark.SYNTAXES.items():
        codestream = film.tobytes() if coding == "uncompressed" else encode_frame(film, syntax, 12)
        decoded = benchmark.decoder_alone(coding, codestream)()
        np.testing.assert_array_equal(decoded.ravel(), film.ravel())
    assert benchmark.draw_film(0).shape == (2500, 2000)
    assert 2000 < benchmark.draw_film(0).max() <= 4095


def test_the_guide_to_adapting_shows_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("adapt")
    root = BENCHMARKS.parent
    table = benchmark.table(json.loads((root / "results" / "adapt.json").read_text(encoding="utf-8")))
    assert (
        "| external-cohen | 200 |  | 0.680 ± 0.002 / 0.051 | 0.730 ± 0.007 / 0.037 | 0.723 ± 0.008 / 0.008 |" in table
    )
    assert table in (root / "docs" / "how-to" / "adapt.md").read_text(encoding="utf-8")
    # A way that finds no threshold in any draw is counted, too.
    described, _ = open_bundle(released_bundle())
    labels = np.arange(40) % 4
    logits = np.eye(4)[labels].astype(np.float32)
    films = benchmark.Part(SiteFilms(logits, logits, labels >= 0), labels, np.arange(40))

    def refuse(*_: object) -> None:
        msg = "no threshold"
        raise ConfigurationError(msg)

    monkeypatch.setattr(benchmark, "ways", lambda *_: {"adapt": refuse})
    told = benchmark.measure_site("external-cohen", films, films, described.policy.findings, described.policy)
    assert told["25"] == {"adapt": {"draws": 0, "no_threshold": 10}}
    assert "no threshold in 10 draws" in benchmark.table({"sites": {"external-cohen": told}})


@pytest.mark.long
def test_a_repeated_evaluation_is_a_larger_one_of_other_patients(tmp_path: Path) -> None:
    folder = write_evaluated(tmp_path / "once", n=200)
    assert script("report_size").repeat_evaluation(folder, tmp_path / "thrice", 3) == 600
    one, three = read_evaluated(folder), read_evaluated(tmp_path / "thrice")
    assert np.bincount(three.truth).tolist() == (3 * np.bincount(one.truth)).tolist()
    assert len(np.unique(three.groups)) == 3 * len(np.unique(one.groups))
    np.testing.assert_array_equal(three.probabilities[:200], one.probabilities)
    moved = three.probabilities[200:400] - one.probabilities
    assert 0 < np.abs(moved).max() < 0.1
    np.testing.assert_allclose(three.probabilities.sum(axis=1), 1)
    assert three.content["data"]["images"] == three.metrics["n"] == 600
    assert three.gallery is not None
    assert three.gallery.height > 20
