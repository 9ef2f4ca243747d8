"""The gate on its way: from a recipe into a run, into its bundle, and to what prediction refuses."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carina.bundles.bundle import BUNDLE_FILE, open_bundle
from carina.bundles.pipeline import load_pipeline
from carina.bundles.run_folder import GATE_FILE, LUNGS_FILE, RUN_FILE, open_run
from carina.bundles.verification import verify_bundle
from carina.bundles.writing import export_bundle
from carina.datasets.manifest import Dataset
from carina.errors import BundleError
from carina.inference.prediction import NO_NUMBER, Prediction
from carina.inference.predictor import Predictor
from carina.inference.results import JsonLines
from carina.learning.gate.regate import refit_gate
from carina.learning.recipe import GateSettings, Recipe, load_recipe
from carina.learning.train import train
from carina.radiographs.gate import read_gate, write_gate
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.read import read_radiograph
from carina.reports.model_card import prepare_card
from carina.runtime.streams import batched
from carina.storage.seal import write_seal
from conftest import TINY_RECIPE
from make import make_grey, write_image
from planted import planted_graph

GATE = """
[gate]
radiographs = 60
varied = 1
oddities = 4
acceptance = 0.75
"""


def recipe_with(folder: Path, gate: str) -> Recipe:
    text = TINY_RECIPE.format(method="cached-embeddings", split="train-calibration-test")
    text = text.replace("size = 64", 'size = 64\ncrop = "lungs"\nwhole_size = 96')
    (folder / "gated.toml").write_text(text + gate, encoding="utf-8")
    return load_recipe(str(folder / "gated.toml"))


@pytest.fixture(scope="module")
def gated_run(phantom_dataset: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gated")
    graph = planted_graph(folder / "lungs.onnx", two_lungs=True)
    train(phantom_dataset.folder, recipe_with(folder, GATE), folder / "run", lung_graph=graph, cache=cache)
    return folder / "run"


@pytest.fixture(scope="module")
def turned(phantom_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return test phantoms that lie on their side."""
    folder = tmp_path_factory.mktemp("turned")
    for place, path in enumerate(phantom_dataset.rows("test")["path"]):
        Image.fromarray(np.rot90(read_radiograph(Path(path)).pixels, 3)).save(folder / f"{place:03}.png")
    return sorted(folder.iterdir())


def judged(folder: Path, paths: list[Path]) -> list[Prediction]:
    found = list(Predictor(folder).predict(paths))
    assert all(isinstance(prediction, Prediction) for prediction in found)
    return found  # type: ignore[return-value]


def test_prediction_refuses_what_the_gate_refuses_with_its_reason(
    gated_run: Path, phantom_dataset: Dataset, turned: list[Path]
) -> None:
    upright = judged(gated_run, [Path(path) for path in phantom_dataset.rows("test")["path"]])
    assert np.mean([not prediction.reasons for prediction in upright]) > 0.5
    lying = judged(gated_run, turned)
    # Farther from the radiographs that the gate was fitted to.
    assert np.mean([each.distance for each in lying]) > np.mean([each.distance for each in upright])
    refused = [prediction for prediction in lying if prediction.reasons]
    assert len(refused) > 0.8 * len(lying)
    assert all(prediction.triage.priority == "not-assessable" for prediction in refused)
    named = [each for each in refused if each.reasons == ("it looks rotated by 90° clockwise",)]
    assert len(named) > 0.5 * len(lying)
    said = json.loads(JsonLines(Predictor(gated_run)).row(named[0], None))
    assert said["gate"] == {"accepted": False, "reasons": ["it looks rotated by 90° clockwise"]}
    assert said["finding"] is said["probabilities"] is None
    assert "it looks rotated by 90° clockwise" in said["triage"]["reason"]
    let_through = next(prediction for prediction in upright if not prediction.reasons)
    said = json.loads(JsonLines(Predictor(gated_run)).row(let_through, None))
    assert said["gate"] == {"accepted": True, "reasons": []}
    assert said["reservations"] == []


def test_the_gate_says_the_same_of_one_list_and_of_many(gated_run: Path, turned: list[Path]) -> None:
    pipeline = load_pipeline(gated_run, open_run(gated_run))
    wholes = [resize_grey(read_radiograph(path), pipeline.preprocessing.read_size) for path in turned[:7]]
    parts = [part for _, part in pipeline.stream((None, two) for two in batched(wholes, 2))]
    refusals, whole = [each for part in parts for each in part.refusals], pipeline.judge(wholes)
    assert refusals == list(whole.refusals)
    assert [each for part in parts for each in part.distances] == pytest.approx(whole.distances)
    assert any(refusals)


def test_the_policy_is_fitted_on_what_is_let_through(gated_run: Path, phantom_dataset: Dataset) -> None:
    rows = phantom_dataset.rows("calibration")
    accepted = [not each.reasons for each in judged(gated_run, [Path(path) for path in rows["path"]])]
    run = open_run(gated_run)
    assert 0 < sum(accepted) < rows.height
    assert run.operating_point.positives + run.operating_point.negatives == sum(accepted)
    assert run.gate is not None
    # Lungs were found in all of them.
    assert run.gate.reached == pytest.approx(np.mean(accepted))


def test_the_gate_goes_into_the_bundle_and_is_guarded_there(
    gated_run: Path, turned: list[Path], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    export_bundle(gated_run, bundle, name="x", version="1", write_card=lambda b: "")
    verify_bundle(bundle)
    assert [each.reasons for each in judged(bundle, turned)] == [each.reasons for each in judged(gated_run, turned)]
    wider = shutil.copytree(bundle, tmp_path / "wider")
    gate = read_gate(wider / GATE_FILE)
    object.__setattr__(gate, "largest_strangeness", gate.largest_strangeness + 1)
    write_gate(wider / GATE_FILE, gate)
    with pytest.raises(BundleError, match=r"gate\.npz was changed"):
        open_bundle(wider)
    write_seal(wider)
    with pytest.raises(BundleError, match="describes other graphs than lie there"):
        open_bundle(wider)
    # A bundle that does not speak of a gate must not hold one, nor lose the one it speaks of.
    silent = shutil.copytree(bundle, tmp_path / "silent")
    content = json.loads((silent / BUNDLE_FILE).read_text())
    (silent / BUNDLE_FILE).write_text(json.dumps(content | {"gate": None}))
    write_seal(silent)
    with pytest.raises(BundleError, match="describes other graphs than lie there"):
        open_bundle(silent)
    (bundle / GATE_FILE).unlink()
    write_seal(bundle)
    with pytest.raises(BundleError, match="describes other graphs than lie there"):
        open_bundle(bundle)


def test_a_run_with_another_gate_than_its_own_is_refused(gated_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(gated_run, tmp_path / "run")
    (run / GATE_FILE).write_bytes((run / GATE_FILE).read_bytes() + b"\x00")
    with pytest.raises(BundleError, match="is not the graph that this model came with"):
        Predictor(run)


def test_a_run_gets_another_gate_and_keeps_its_network(gated_run: Path, cache: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    for seed in range(6):
        write_image(strange / f"{seed}.png", make_grey(seed, (120, 90)))
    before = open_run(gated_run)
    made = refit_gate(gated_run, tmp_path / "run", negatives=strange, cache=cache)
    after = open_run(tmp_path / "run")
    assert after == made
    assert before.gate is not None
    assert after.gate is not None
    assert (before.gate.negatives, after.gate.negatives) == (0, 6)
    assert after.gate.sha256 != before.gate.sha256
    assert after.model_sha256 == before.model_sha256
    assert "checkpoint" not in [path.name for path in (tmp_path / "run").iterdir()]
    assert judged(tmp_path / "run", [strange / "0.png"])[0].reasons


@pytest.mark.long
def test_a_run_gets_another_segmenter_and_a_gate_that_reads_it(gated_run: Path, cache: Path, tmp_path: Path) -> None:
    graph = planted_graph(tmp_path / "other.onnx", two_lungs=True, size=80)
    before = open_run(gated_run)
    after = refit_gate(gated_run, tmp_path / "run", lungs=graph, cache=cache)
    assert (tmp_path / "run" / LUNGS_FILE).read_bytes() == graph.read_bytes()
    assert after == open_run(tmp_path / "run")
    assert after.lungs_sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert after.learned_with_lungs_sha256 == before.lungs_sha256
    assert read_gate(tmp_path / "run" / GATE_FILE).lungs_sha256 == after.lungs_sha256
    assert after.model_sha256 == before.model_sha256
    bundle = tmp_path / "bundle"
    export_bundle(tmp_path / "run", bundle, name="x", version="1", write_card=prepare_card())
    assert "boxes that another lung segmenter drew" in (bundle / "README.md").read_text()
    # Back at the first one nothing is told: the network has its own boxes again.
    again = refit_gate(tmp_path / "run", tmp_path / "again", lungs=gated_run / LUNGS_FILE, cache=cache)
    assert (again.lungs_sha256, again.learned_with_lungs_sha256) == (before.lungs_sha256, None)


def test_another_segmenter_must_be_one(gated_run: Path, tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="is not a graph that can be run"):
        refit_gate(gated_run, tmp_path / "run", lungs=tmp_path / "no.onnx")
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_model_that_is_shown_whole_images_gets_a_gate(
    tiny_run: Path, phantom_dataset: Dataset, turned: list[Path], cache: Path, tmp_path: Path
) -> None:
    """The segmenter is the gate's alone: what the network is shown, and so what it says, stays as it was."""
    graph = planted_graph(tmp_path / "lungs.onnx", two_lungs=True)
    settings = GateSettings(radiographs=60, varied=1, oddities=4, acceptance=0.75)
    before = open_run(tiny_run)
    made = refit_gate(tiny_run, tmp_path / "run", lungs=graph, settings=settings, cache=cache)
    assert (before.gate, before.lungs_sha256, made.preprocessing.crop) == (None, None, "none")
    assert (made.model_sha256, made.learned_with_lungs_sha256) == (before.model_sha256, None)
    assert made.lungs_sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert made.policy.flag_finding == before.policy.flag_finding
    assert made.operating_point.positives + made.operating_point.negatives < before.images["calibration"]
    upright = [Path(path) for path in phantom_dataset.rows("test")["path"]]
    size = before.preprocessing.read_size
    wholes = np.stack([resize_grey(read_radiograph(path), size) for path in upright[:8]])
    logits = [load_pipeline(run, open_run(run)).judge(wholes).logits for run in (tiny_run, tmp_path / "run")]
    np.testing.assert_array_equal(*logits)
    accepted = [each.accepted for each in judged(tmp_path / "run", upright)]
    assert set(accepted) == {True, False}
    assert np.mean([each is True for each in accepted]) > 0.5
    lying = judged(tmp_path / "run", turned)
    assert np.mean([each.accepted is False for each in lying]) > 0.8
    # It goes into the bundle with its segmenter, and judges alike there.
    bundle = tmp_path / "bundle"
    export_bundle(tmp_path / "run", bundle, name="x", version="1", write_card=prepare_card())
    described, _ = open_bundle(bundle)
    assert (described.lungs_sha256, described.gate) == (made.lungs_sha256, made.gate)
    assert "Before any finding a gate asks" in (bundle / "README.md").read_text()
    assert [each.accepted for each in judged(bundle, upright)] == accepted
    # Another segmenter is the gate's alone, too: the network learned with the boxes of none.
    other = planted_graph(tmp_path / "other.onnx", two_lungs=True, size=80)
    again = refit_gate(tmp_path / "run", tmp_path / "again", lungs=other, cache=cache)
    assert again.lungs_sha256 != made.lungs_sha256
    assert again.learned_with_lungs_sha256 is None


def test_what_gives_no_number_is_not_assessable_and_no_gate_refused_it(
    gated_run: Path, phantom_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(gated_run)
    monkeypatch.setattr(
        type(predictor.run.policy), "probabilities", lambda self, logits: np.full(logits.shape, np.nan, np.float64)
    )
    paths = [Path(path) for path in phantom_dataset.rows("test")["path"].head(12)]
    found = [each for each in predictor.predict(paths) if isinstance(each, Prediction)]
    accepted = [each for each in found if each.accepted]
    assert accepted
    assert {(each.triage.code, each.refused, each.reasons) for each in accepted} == {("no-number", NO_NUMBER, ())}
    assert all((each.triage.priority, each.finding) == ("not-assessable", None) for each in found)
    row = json.loads(JsonLines(predictor).row(accepted[0], None))
    assert (row["gate"], row["finding"], row["probabilities"]) == ({"accepted": True, "reasons": []}, None, None)
    assert json.loads((gated_run / RUN_FILE).read_text())["gate"]["acceptance"] == 0.75
