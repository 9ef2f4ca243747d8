"""The twin's way: made at export, proved or left out, verified, chosen, and never loaded where it was altered."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carina.api.model import load_bundle
from carina.bundles.bundle import BUNDLE_FILE, open_bundle
from carina.bundles.int8_twin import INT8_FILE, TwinLimits
from carina.bundles.run_folder import STARTED_FILE
from carina.bundles.verification import Verification, verify_bundle
from carina.bundles.writing import Twin, export_bundle
from carina.datasets.manifest import Dataset
from carina.errors import BundleError, ConfigurationError, DataError
from carina.evaluation.int8_parity import measure_parity
from carina.evaluation.recalibrate import recalibrate
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.inference.results import JsonLines
from carina.learning.export.twin import make_twin
from carina.runtime.engine import available_precisions
from carina.storage.seal import write_seal

LOOSE = TwinLimits(auroc_cost=1, changed=1, images=1)


@pytest.fixture(scope="module")
def twin(tiny_run: Path, cache: Path) -> Twin:
    return make_twin(tiny_run, measure=measure_parity, limits=LOOSE, cache=cache)


@pytest.fixture(scope="module")
def sealed(tiny_run: Path, twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Verification]:
    out = tmp_path_factory.mktemp("int8") / "bundle"
    return out, export_bundle(tiny_run, out, name="tiny", version="1", write_card=lambda b: f"# {b.name}\n", twin=twin)


@pytest.fixture
def bundle(sealed: tuple[Path, Verification], tmp_path: Path) -> Path:
    return shutil.copytree(sealed[0], tmp_path / "bundle")


@pytest.mark.long
def test_a_proved_twin_travels_and_is_verified_in_every_way_that_there_is(
    sealed: tuple[Path, Verification], twin: Twin
) -> None:
    folder, verification = sealed
    assert twin.graph is not None
    assert (folder / INT8_FILE).read_bytes() == twin.graph
    told = json.loads((folder / BUNDLE_FILE).read_text())["int8"]
    assert told["accepted"] is True
    assert [each["engine"].split()[0] for each in told["parity"]] == ["OpenVINO", "ONNX"]
    assert all(each["images"] > 5 for each in told["parity"])
    assert told["measured_on"].endswith("images of the calibration split of dataset")
    assert told["tolerances"]["probability"] > 0
    # When it is written, the engine that did not make the golden examples checks both graphs.
    assert [check.precision for check in verification.checks] == ["f32", "int8"]
    checks = verify_bundle(folder).checks
    here = [("OpenVINO", each) for each in (*available_precisions("openvino"), "int8")]
    assert [(check.engine.split()[0], check.precision) for check in checks] == [
        *here,
        ("ONNX", "f32"),
        ("ONNX", "int8"),
    ]
    exact, rough = checks[0].differences, checks[len(here) - 1].differences
    assert exact.logit < rough.logit <= checks[len(here) - 1].tolerances.logit
    (only,) = verify_bundle(folder, backend="openvino", precision="int8", threads=1).checks
    assert (only.precision, only.threads) == ("int8", 1)


@pytest.mark.long
def test_a_twin_that_costs_too_much_is_left_out_and_the_bundle_says_why(
    tiny_run: Path, cache: Path, tmp_path: Path
) -> None:
    # No more than a dozen calibration images: whatever they say, they prove nothing.
    refused = make_twin(tiny_run, measure=measure_parity, cache=cache)
    assert refused.graph is None
    export_bundle(tiny_run, tmp_path / "b", name="tiny", version="1", write_card=lambda b: "", twin=refused)
    assert not (tmp_path / "b" / INT8_FILE).exists()
    described, _ = open_bundle(tmp_path / "b")
    assert described.int8 is not None
    assert described.int8.accepted is False
    assert "int8" not in {check.precision for check in verify_bundle(tmp_path / "b").checks}
    with pytest.raises(ConfigurationError, match=r"cannot be used in 8-bit integers\. int8 refused .* Choose f32"):
        Predictor(tmp_path / "b", precision="int8")


def test_nor_is_one_that_no_limit_allows(tiny_run: Path, cache: Path) -> None:
    def harsh(*given: object) -> tuple:  # type: ignore[type-arg]
        measured = measure_parity(*given)  # type: ignore[arg-type]
        return (measured[0], measured[1].model_copy(update={"auroc_cost": 0.002}))

    limits = TwinLimits(changed=1, images=1)
    assert make_twin(tiny_run, measure=harsh, limits=limits, cache=cache).graph is None


def test_it_is_used_where_it_is_asked_for_and_said_so(bundle: Path, phantom_dataset: Dataset) -> None:
    paths = [Path(path) for path in phantom_dataset.rows("test")["path"]]
    exact, rough = Predictor(bundle), Predictor(bundle, precision="int8", threads=1)
    assert (exact.engine.precision, rough.engine.precision, rough.engine.threads) == ("f32", "int8", 1)
    pairs = list(zip(exact.predict(paths), rough.predict(paths), strict=True))
    apart = []
    for one, other in pairs:
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        apart.append(np.abs(np.subtract(list(one.probabilities.values()), list(other.probabilities.values()))).max())
    assert 0 < max(apart) < 0.2
    rows = [json.loads(JsonLines(each).row(pairs[0][0], None))["model"] for each in (exact, rough)]
    assert [(row["precision"], row["threads"]) for row in rows][1] == ("int8", 1)
    assert rows[0]["sha256"] != rows[1]["sha256"]
    assert load_bundle(bundle, precision="int8").predict(paths[0]).probabilities == pytest.approx(
        pairs[0][1].probabilities, abs=1e-5  # type: ignore[union-attr]
    )  # fmt: skip


def test_an_altered_missing_or_added_twin_is_never_loaded(
    bundle: Path, tiny_bundle: tuple[Path, Verification], tmp_path: Path
) -> None:
    content = (bundle / INT8_FILE).read_bytes()
    (bundle / INT8_FILE).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"model\.int8\.onnx"):
        Predictor(bundle)
    # Sealed again, it is still not the graph that was measured.
    write_seal(bundle)
    with pytest.raises(BundleError, match="describes other graphs than lie there"):
        Predictor(bundle, precision="int8")
    (bundle / INT8_FILE).unlink()
    write_seal(bundle)
    with pytest.raises(BundleError, match="describes other graphs than lie there"):
        open_bundle(bundle)
    plain = shutil.copytree(tiny_bundle[0], tmp_path / "plain")
    (plain / INT8_FILE).write_bytes(content)
    write_seal(plain)
    with pytest.raises(BundleError, match="describes other graphs than lie there"):
        open_bundle(plain)


def test_a_record_that_was_talked_into_acceptance_is_refused(bundle: Path) -> None:
    told = json.loads((bundle / BUNDLE_FILE).read_text())
    told["int8"]["limits"]["images"] = 10_000
    (bundle / BUNDLE_FILE).write_text(json.dumps(told))
    write_seal(bundle)
    with pytest.raises(BundleError, match=r"bundle\.json cannot be read \(int8"):
        open_bundle(bundle)


def test_a_bundle_without_one_says_how_to_make_one(tiny_bundle: tuple[Path, Verification]) -> None:
    with pytest.raises(ConfigurationError, match=r"no graph in 8-bit integers.*export its run again with --int8"):
        verify_bundle(tiny_bundle[0], precision="int8")


def test_a_new_policy_has_no_twin(bundle: Path, phantom_dataset: Dataset, tmp_path: Path) -> None:
    own = replace(phantom_dataset, manifest=phantom_dataset.manifest)
    recalibrate(bundle, own, tmp_path / "new", version="2", write_card=lambda b: "")
    described, _ = open_bundle(tmp_path / "new")
    assert described.int8 is None
    assert not (tmp_path / "new" / INT8_FILE).exists()


def test_without_its_data_no_twin_can_be_made(tiny_run: Path, cache: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / STARTED_FILE).unlink()
    with pytest.raises(BundleError, match="nobody knows what the run learned from"):
        make_twin(run, measure=measure_parity, cache=cache)
    told = json.loads((tiny_run / STARTED_FILE).read_text()) | {"data_fingerprint": "other"}
    (run / STARTED_FILE).write_text(json.dumps(told))
    with pytest.raises(DataError, match="is not the data that"):
        make_twin(run, measure=measure_parity, cache=cache)
