"""A twin's way: made at export, offered or left out, verified, chosen, refitted, never loaded where it was altered."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carina.api.model import load_bundle
from carina.benchmark.contestants import carina_itself
from carina.bundles.bundle import BUNDLE_FILE, open_bundle
from carina.bundles.run_folder import STARTED_FILE
from carina.bundles.twin import INT8_FILE, Margins
from carina.bundles.verification import Verification, verify_bundle
from carina.bundles.writing import Twins, export_bundle
from carina.datasets.manifest import Dataset
from carina.errors import BundleError, ConfigurationError, DataError
from carina.evaluation.recalibrate import recalibrate
from carina.evaluation.twin_trial import try_twin
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.inference.results import JsonLines
from carina.learning.export.make_twins import make_twins
from carina.radiographs.preprocess import to_tensor
from carina.storage.seal import write_seal

LOOSE = Margins(auroc=1, sensitivity=1, specificity=1, in_bands=1, misplaced=1, images=1)


@pytest.fixture(scope="module")
def twins(tiny_run: Path, cache: Path) -> Twins:
    return make_twins(tiny_run, try_twin=try_twin, margins=LOOSE, cache=cache)


@pytest.fixture(scope="module")
def sealed(tiny_run: Path, twins: Twins, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Verification]:
    out = tmp_path_factory.mktemp("int8") / "bundle"
    done = export_bundle(tiny_run, out, name="tiny", version="1", write_card=lambda b: f"# {b.name}\n", twins=twins)
    return out, done


@pytest.fixture
def bundle(sealed: tuple[Path, Verification], tmp_path: Path) -> Path:
    return shutil.copytree(sealed[0], tmp_path / "bundle")


@pytest.mark.long
def test_a_twin_travels_with_its_policy_and_is_verified_in_every_way_that_there_is(
    sealed: tuple[Path, Verification], twins: Twins
) -> None:
    folder, verification = sealed
    assert (folder / INT8_FILE).read_bytes() == twins.graph
    described, _ = open_bundle(folder)
    twin = described.twin("int8")
    assert twin is not None
    assert twin.policy is not None
    assert twin.policy.operating_point.threshold != described.policy.operating_point.threshold
    assert twin.policy.operating_point.rule == described.policy.operating_point.rule
    assert [each.engine.split()[0] for each in twin.trials] == ["OpenVINO", "ONNX"]
    assert all(each.images > 5 for each in (*twin.trials, *twin.tests))
    assert twin.measured_on.endswith("images of the calibration split")
    assert twin.tested_on is not None
    # When it is written, the engine that did not make the golden examples checks all graphs.
    assert "int8" in {check.precision for check in verification.checks}
    checks = verify_bundle(folder).checks
    of_int8 = {check.engine.split()[0]: check for check in checks if check.precision == "int8"}
    assert list(of_int8) == ["OpenVINO", "ONNX"]
    # The engine that made them gives the same numbers again, and may not miss them by more than f32 may.
    assert of_int8["ONNX"].differences.logit < 1e-5
    assert of_int8["ONNX"].tolerances == described.tolerances
    (only,) = verify_bundle(folder, backend="openvino", precision="int8", threads=1).checks
    assert (only.precision, only.threads) == ("int8", 1)


@pytest.mark.long
def test_a_twin_that_is_not_proved_is_left_out_and_the_bundle_says_why(
    tiny_run: Path, cache: Path, tmp_path: Path
) -> None:
    # No more than a dozen calibration images: whatever they say, they prove nothing.
    refused = make_twins(tiny_run, try_twin=try_twin, cache=cache)
    assert refused.graph is None
    export_bundle(tiny_run, tmp_path / "b", name="tiny", version="1", write_card=lambda b: "", twins=refused)
    assert not (tmp_path / "b" / INT8_FILE).exists()
    described, _ = open_bundle(tmp_path / "b")
    assert described.offered == ()
    assert described.twins[0].policy is None
    assert {check.precision for check in verify_bundle(tmp_path / "b").checks} == {"f32"}
    with pytest.raises(ConfigurationError, match=r"cannot be used in int8\. int8 refused .* Choose f32"):
        Predictor(tmp_path / "b", precision="int8")
    with pytest.raises(ConfigurationError, match=r"no thresholds for bf16|cannot be used in bf16"):
        Predictor(tmp_path / "b", precision="bf16")


def test_auto_is_the_fastest_that_the_processor_has_instructions_for(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fast, expected in ((True, "int8"), (False, "f32")):
        monkeypatch.setattr("carina.bundles.bundle.computes_fast", lambda precision, backend, fast=fast: fast)
        predictor = Predictor(bundle)
        assert predictor.engine.precision == expected
        assert verify_bundle(bundle, precision="f32").usual == expected
    assert Predictor(bundle, precision="f32").engine.precision == "f32"


def test_it_decides_by_its_own_policy_and_says_so(bundle: Path, phantom_dataset: Dataset) -> None:
    paths = [Path(path) for path in phantom_dataset.rows("test")["path"]]
    exact, rough = Predictor(bundle, precision="f32"), Predictor(bundle, precision="int8", threads=1)
    described, _ = open_bundle(bundle)
    twin = described.twin("int8")
    assert twin is not None
    assert (exact.run.policy, rough.run.policy) == (described.policy, twin.policy)
    assert (rough.engine.name.split()[0], rough.engine.precision, rough.engine.threads) == ("ONNX", "int8", 1)
    pairs = list(zip(exact.predict(paths), rough.predict(paths), strict=True))
    apart = []
    for one, other in pairs:
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        shares = [np.array(list(each.network_probabilities.values())) for each in (one, other)]
        apart.append(float(np.abs(shares[0] - shares[1]).max()))
    assert 0 < max(apart) < 0.5
    rows = [json.loads(JsonLines(each).row(pairs[0][0], None))["model"] for each in (exact, rough)]
    assert [(row["precision"], row["threads"]) for row in rows][1] == ("int8", 1)
    assert rows[0]["sha256"] != rows[1]["sha256"]
    assert load_bundle(bundle, precision="int8").predict(paths[0]).probabilities == pytest.approx(
        pairs[0][1].probabilities, abs=1e-5  # type: ignore[union-attr]
    )  # fmt: skip


def test_what_is_timed_is_given_bytes_and_nothing_is_cast_to_them(bundle: Path) -> None:
    predictor = Predictor(bundle, precision="int8", threads=1)
    ours = carina_itself(predictor, bundle, "auto", "int8", 1)
    assert ours.takes_bytes
    greys = np.random.default_rng(0).integers(0, 256, (2, *predictor.engine.input_sizes), np.uint8)
    assert np.ptp(ours.logits(greys)) > 0
    # Cast to bytes, a tensor from -1 to 1 would be black and white.
    with pytest.raises(TypeError, match="takes grey bytes and was given float32"):
        predictor.engine.run(to_tensor(greys, "minus-one-one"))


@pytest.mark.long
def test_it_gives_the_same_bits_whatever_instructions_the_processor_has(bundle: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        from masked_processor import SETS, build_mask, masked
    finally:
        sys.path.pop(0)
    library = build_mask(tmp_path)
    if library is None:
        pytest.skip("this machine cannot hide instructions from a process")
    program = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from carina.runtime.engine import load_engine\n"
        "engine = load_engine(Path(sys.argv[1]), backend=sys.argv[2], precision='int8', threads=1)\n"
        "greys = np.random.default_rng(0).integers(0, 256, (8, *engine.input_sizes), np.uint8)\n"
        "sys.stdout.buffer.write(engine.run(greys)['logits'].tobytes())\n"
    )

    def logits(instruction_set: str, backend: str) -> bytes:
        command = [sys.executable, "-c", program, str(bundle / INT8_FILE), backend]
        return subprocess.run(command, env=masked(library, instruction_set), capture_output=True, check=True).stdout

    *wide, narrow = SETS
    for backend in ("onnxruntime", "openvino"):
        expected = logits(wide[0], backend)
        assert {logits(each, backend) for each in wide} == {expected}
    # Without AVX2 the average and the head, which are in floating point, add in another order.
    expected_logits, narrow_logits = (
        np.frombuffer(logits(each, "onnxruntime"), np.float32) for each in (wide[0], narrow)
    )
    np.testing.assert_allclose(narrow_logits, expected_logits, atol=1e-5)


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
    told["twins"][0]["margins"]["images"] = 10_000
    (bundle / BUNDLE_FILE).write_text(json.dumps(told))
    write_seal(bundle)
    with pytest.raises(BundleError, match=r"bundle\.json cannot be read \(twins"):
        open_bundle(bundle)


def test_a_bundle_without_one_says_how_to_make_one(tiny_bundle: tuple[Path, Verification]) -> None:
    with pytest.raises(ConfigurationError, match=r"no thresholds for int8.*export its run again with --int8"):
        verify_bundle(tiny_bundle[0], precision="int8")


def test_a_bundle_of_carina_0_3_with_a_twin_is_read_and_its_twin_is_not_used(
    tiny_bundle: tuple[Path, Verification], bundle: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(tiny_bundle[0], tmp_path / "old")
    shutil.copy(bundle / INT8_FILE, old / INT8_FILE)
    told = json.loads((old / BUNDLE_FILE).read_text())
    del told["twins"]
    told["int8"] = {"accepted": True, "sha256": "ab", "parity": []}
    (old / BUNDLE_FILE).write_text(json.dumps(told))
    write_seal(old)
    assert open_bundle(old)[0].offered == ()
    assert Predictor(old).engine.precision == "f32"


@pytest.mark.long
def test_recalibration_fits_the_twin_to_the_same_images(bundle: Path, phantom_dataset: Dataset, tmp_path: Path) -> None:
    own = replace(phantom_dataset, manifest=phantom_dataset.manifest)
    done = recalibrate(bundle, own, tmp_path / "new", version="2", write_card=lambda b: "")
    described, _ = open_bundle(tmp_path / "new")
    assert "int8" in described.offered
    twin = described.twin("int8")
    assert twin is not None
    assert twin.policy is not None
    # Both on the same images, each on its own logits.
    points = [policy.operating_point for policy in (described.policy, twin.policy)]
    assert points[0].chosen_on == points[1].chosen_on
    assert points[0].threshold != points[1].threshold
    assert (tmp_path / "new" / INT8_FILE).read_bytes() == (bundle / INT8_FILE).read_bytes()
    assert "The thresholds of int8 were fitted to the same images." in done.summary()


def test_without_its_data_no_twin_can_be_made(tiny_run: Path, cache: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / STARTED_FILE).unlink()
    with pytest.raises(BundleError, match="nobody knows what the run learned from"):
        make_twins(run, try_twin=try_twin, cache=cache)
    told = json.loads((tiny_run / STARTED_FILE).read_text()) | {"data_fingerprint": "other"}
    (run / STARTED_FILE).write_text(json.dumps(told))
    with pytest.raises(DataError, match="is not the data that"):
        make_twins(run, try_twin=try_twin, cache=cache)
