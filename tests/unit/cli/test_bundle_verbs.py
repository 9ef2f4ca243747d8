"""``carina export``, ``verify`` and ``recalibrate``, as typed."""

import json
import shutil
from pathlib import Path

import pytest

from carina.bundles.bundle import open_bundle
from carina.bundles.training_images import read_training_images
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset
from carina.evaluation.leaks import check_leaks
from carina.phantoms.phantom import write_phantoms
from hub import shelf
from unit.bundles.test_publishing import write_keys
from unit.cli.conftest import Typed


@pytest.fixture(scope="module")
def elsewhere(phantom_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return another hospital's images, with two of the training images among them."""
    folder = tmp_path_factory.mktemp("elsewhere")
    manifest = write_phantoms(folder / "images", count=60, size=96, difficulty=0.0, seed=77)
    with manifest.open("a") as lines:
        for place, row in enumerate(phantom_dataset.rows("train").head(2).iter_rows(named=True)):
            shutil.copy(row["path"], folder / "images" / f"old-{place}.png")
            lines.write(f"old-{place}.png,{row['finding']},old{place},x,PA,50,F\n")
    return import_dataset(manifest, folder / "hospital", test_only=True).dataset


def test_export_says_what_it_made_and_what_is_next(carina: Typed, tiny_run: Path, tmp_path: Path) -> None:
    code, out, err = carina("export", tiny_run, "--out", tmp_path / "b", "--name", "mine", "--version", "3.1")
    assert (code, err) == (0, "")
    assert "mine 3.1" in out
    assert open_bundle(tmp_path / "b")[1].sha256 in out
    assert f"carina verify {tmp_path / 'b'}" in out
    assert "No figures were attached" in (tmp_path / "b" / "README.md").read_text()
    assert carina("export", tiny_run, "--out", tmp_path / "b")[0] == 2
    assert carina("export", tmp_path / "b", "--out", tmp_path / "c")[0] == 1
    assert carina("export", tiny_run, "--out", tmp_path / "c", "--name", "../c")[0] == 2
    code, _, err = carina("export", tiny_run, "--out", tmp_path / "c", "--evaluation", tmp_path)
    assert code == 1
    assert "not an evaluation. An evaluation is made by carina evaluate" in err
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert open_bundle(tmp_path / "b")[0].recipe["name"] == "tiny"


def test_a_card_for_a_hub_says_how_the_model_is_loaded(carina: Typed, tiny_run: Path, tmp_path: Path) -> None:
    code, out, _ = carina("export", tiny_run, "--out", tmp_path / "b", "--hub", "my-hospital/mine")
    assert code == 0
    assert f"Next: carina push {tmp_path / 'b'} hf://my-hospital/mine" in out
    card = (tmp_path / "b" / "README.md").read_text()
    assert 'carina.load_bundle("hf://my-hospital/mine@main#sha256=…")' in card
    assert card.startswith("---\nlicense: apache-2.0\n")
    code, _, err = carina("export", tiny_run, "--out", tmp_path / "c", "--hub", "mine")
    assert code == 2
    assert "hf://mine is no address of a hub" in err


def test_what_is_signed_is_verified_by_the_key(carina: Typed, bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    private, public = write_keys(tmp_path, "mine")
    code, out, _ = carina("sign", bundle, "--key", private, "--out", tmp_path / "mine.sig")
    assert code == 0
    assert "Next: carina verify" in out
    once = ("verify", bundle, "--backend", "onnxruntime", "--signature", tmp_path / "mine.sig")
    code, out, _ = carina(*once, "--key", public)
    assert code == 0
    assert f"The signature {tmp_path / 'mine.sig'} is by the key {public}." in out
    code, out, err = carina(*once, "--key", write_keys(tmp_path, "theirs")[1])
    assert (code, out) == (1, "")
    assert "Do not use the bundle before you know why" in err


def test_a_bundle_is_named_by_its_address(
    carina: Typed, bundle: Path, phantom_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    film = phantom_dataset.rows("test")["path"][0]
    with shelf() as server:
        server.put("mine", bundle)
        code, _, err = carina("predict", film, "--json", "--bundle", f"{server.address}/mine")
        assert code == 2
        address = err.split("write: ")[1].strip()
        assert address == f"{server.address}/mine#sha256={open_bundle(bundle)[1].sha256}"
        code, out, _ = carina("predict", film, "--json", "--bundle", address)
    assert code == 0
    assert json.loads(out)["model"]["sha256"] == open_bundle(bundle)[0].model_sha256


def test_a_signature_needs_a_key(carina: Typed, bundle: Path) -> None:
    code, _, err = carina("verify", bundle, "--signature", "mine.sig")
    assert code == 2
    assert "--signature and --key belong together" in err


def test_verify_tells_people_and_programs_the_same(carina: Typed, bundle: Path, tmp_path: Path) -> None:
    code, out, _ = carina("verify", bundle)
    assert code == 0
    assert "tiny-bundle 1.2.3" in out
    assert "each as sealed" in out
    told = json.loads(carina("verify", bundle, "--json")[1])
    assert told["sha256"] == open_bundle(bundle)[1].sha256
    assert set(told) == {
        *("name", "version", "sha256", "engine", "precision", "threads", "differences", "tolerances", "bytes_of"),
        *("megabytes", "checks", "twins", "usual_precision", "flag_finding", "lineage", "usable"),
    }
    assert told["flag_finding"] == "COVID-19"
    assert "Flagged finding: COVID-19." in out.splitlines()
    assert {check["engine"].split()[0] for check in told["checks"]} == {"OpenVINO", "ONNX"}
    assert all(check["engine"] in out for check in told["checks"])
    assert told["differences"]["logit"] <= told["tolerances"]["logit"]
    changed = shutil.copytree(bundle, tmp_path / "changed")
    (changed / "history.csv").write_text("changed")
    code, out, err = carina("verify", changed)
    assert (code, out) == (1, "")
    assert "history.csv was changed after it was sealed" in err
    assert carina("verify", tmp_path)[0] == 1


def test_verify_computes_as_it_is_told_and_says_what_it_cannot(carina: Typed, bundle: Path) -> None:
    words = ("verify", bundle, "--backend", "onnxruntime", "--threads", "1")
    told = json.loads(carina(*words, "--precision", "f32", "--json")[1])
    assert [(c["engine"].split()[0], c["precision"], c["threads"]) for c in told["checks"]] == [("ONNX", "f32", 1)]
    code, _, err = carina(*words, "--precision", "bf16")
    assert code == 2
    assert "no thresholds for bf16" in err
    code, _, err = carina("verify", bundle, "--precision", "int8")
    assert code == 2
    assert "no thresholds for int8" in err
    assert carina("verify", bundle, "--precision", "f16")[0] == 2


@pytest.mark.long
def test_export_makes_a_twin_and_says_why_it_left_it_out(
    carina: Typed, tiny_run: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARINA_CACHE", str(cache))
    code, out, _ = carina("export", tiny_run, "--out", tmp_path / "b", "--int8")
    assert code == 0
    assert "int8 refused and left out. Beside f32, on " in out
    assert "on at least 200 images" in out
    described, _ = open_bundle(tmp_path / "b")
    assert described.twins[0].in_words() in carina("verify", tmp_path / "b")[1]


def test_recalibrate_keeps_the_weights_and_says_what_changed(
    carina: Typed, bundle: Path, elsewhere: Dataset, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    code, out, err = carina("recalibrate", bundle, elsewhere.folder, "--out", tmp_path / "b", "--prevalence", "0.1")
    assert code == 0, err
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    (old, old_seal), (new, _) = open_bundle(bundle), open_bundle(tmp_path / "b")
    origin = new.recalibration
    assert origin is not None
    leaked = check_leaks(bundle, elsewhere, elsewhere.rows("test")).learned.height
    assert origin.left_out_leaks == leaked >= 2
    assert origin.images == 62 - leaked
    assert (origin.dataset, origin.bundle_sha256, origin.left_out_refused) == ("hospital", old_seal.sha256, 0)
    assert (new.model_sha256, new.name, new.version) == (old.model_sha256, old.name, "1.2.3+recalibrated")
    assert new.policy != old.policy
    assert new.operating_point.chosen_on == f"{origin.images} images of hospital"
    assert [point.in_words() for point in new.policy.operating_points] == [
        point.in_words() for point in old.policy.operating_points
    ]
    assert (new.policy.bands.alpha, new.policy.bands.beta) == (old.policy.bands.alpha, old.policy.bands.beta)
    assert f"Recalibrated on {origin.images} images of hospital; left out: {leaked} that the model" in out
    assert "Threshold of COVID-19: " in out
    assert "Flagged finding: COVID-19." in out
    assert "prevalence of COVID-19 0.1)" in out
    assert "too few patients" in out or "enough patients" in out
    assert "was imported to flag" not in err
    # What it was calibrated on is written down, so that no test on it passes for one.
    images = read_training_images(tmp_path / "b" / "training_images.txt")
    assert images.with_role("calibration").sum() == origin.images
    again = check_leaks(tmp_path / "b", elsewhere, elsewhere.rows("test"))
    assert again.learned.height == leaked
    assert again.stopped_on >= origin.images
    assert str(elsewhere.folder.parent).encode() not in (tmp_path / "b" / "bundle.json").read_bytes()
    # A second time the suffix is not added again; the data set's calibration split is enough.
    again = ("recalibrate", tmp_path / "b", phantom_dataset.folder, "--out", tmp_path / "c", "--sensitivity", "0.9")
    code, _, err = carina(*again, "--specificity", "0.9")
    assert (code, "Choose one of specificity and sensitivity" in err) == (2, True)
    code, _, err = carina(*again[:-1], "90")
    assert (code, "to reach 90.0. Give a number above 0 and below 1" in err) == (2, True)
    code, out, err = carina(*again)
    assert code == 0, err
    twice = open_bundle(tmp_path / "c")[0]
    # Another rule was asked for; the threshold of the old one is kept beside it.
    assert (twice.operating_point.rule, twice.operating_point.target) == ("sensitivity-at-least", 0.9)
    assert new.operating_point.rule in [point.rule for point in twice.policy.operating_points[1:]]
    assert twice.version == "1.2.3+recalibrated"
    # Bundles know their parents.
    assert [(each.version, each.by, each.images) for each in twice.lineage] == [
        ("1.2.3", "recalibrate", origin.images),
        ("1.2.3+recalibrated", "recalibrate", phantom_dataset.rows("calibration").height),
    ]
    assert twice.lineage[0].sha256 == old_seal.sha256
    assert out.count("Made from tiny-bundle 1.2.3") == 2
    assert twice.recalibration is not None
    assert twice.recalibration.images == phantom_dataset.rows("calibration").height
    # The same images and rules as training had give training's policy back.
    assert twice.policy.calibration.scale == pytest.approx(old.policy.calibration.scale, rel=1e-3)
    kept = next(point for point in twice.policy.operating_points if point.target == old.operating_point.target)
    assert kept.threshold == pytest.approx(old.operating_point.threshold, abs=1e-4)


def test_recalibrate_refuses_what_it_cannot_use(
    carina: Typed, bundle: Path, tiny_run: Path, elsewhere: Dataset, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "b"
    code, _, err = carina("recalibrate", tiny_run, elsewhere.folder, "--out", out)
    assert code == 1
    assert f"Make a bundle of it: carina export {tiny_run} --out" in err
    lines = (elsewhere.folder.parent / "images" / "manifest.csv").read_text().splitlines()
    one = elsewhere.folder.parent / "images" / "one.csv"
    one.write_text("\n".join([lines[0], *(line for line in lines if ",COVID-19," in line and "old" not in line)]))
    only_covid = import_dataset(one, tmp_path / "one", test_only=True).dataset
    code, _, err = carina("recalibrate", bundle, only_covid.folder, "--out", out)
    assert code == 1
    assert f"{tmp_path / 'one'} (test) cannot recalibrate this bundle: its 18 images that could be used hold" in err
    assert "images of COVID-19 only, which this model flags. Add images without it to the source, and import it" in err
    seen = tmp_path / "seen.csv"
    rows = phantom_dataset.rows("train").head(3)
    seen.write_text("path,finding\n" + "".join(f"{path},{f}\n" for path, f in rows.select("path", "finding").rows()))
    known = import_dataset(seen, tmp_path / "known", test_only=True).dataset
    code, _, err = carina("recalibrate", bundle, known.folder, "--out", out)
    assert code == 1
    assert "was trained on: nothing is left to recalibrate on" in err
    assert not out.exists()
    assert carina("recalibrate", bundle, elsewhere.folder, "--out", bundle)[0] == 2
    code, _, err = carina("recalibrate", bundle, elsewhere.folder, "--out", out, "--version", "a b")
    assert code == 2
    assert "bundle's version: String should match" in err
    # Nothing half-made lies about.
    assert not list(tmp_path.glob(".partial*"))
