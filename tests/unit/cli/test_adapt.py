"""``carina adapt``, as typed: a bundle learns a phantom hospital, or is refused."""

import csv
import os
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest

from carina.bundles.bundle import open_bundle
from carina.bundles.graph_head import read_head
from carina.bundles.run_folder import KERAS_FILE, ONNX_FILE
from carina.bundles.training_images import read_training_images
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset
from carina.evaluation.leaks import check_leaks
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.phantoms.phantom import write_phantoms
from make_dicom import encode_object
from unit.cli.conftest import Typed

# What a network of random weights can see, so that a refit has something to learn: a bright or a dark band.
_BANDS = {"COVID": 70, "Normal": 0, "Viral Pneumonia": -70}


def _hospital(folder: Path, *, count: int, seed: int) -> Path:
    """Write phantoms of a hospital with another look: flatter and darker films, and findings painted plainly."""
    manifest = write_phantoms(folder, count=count, size=96, difficulty=0.0, seed=seed)
    for path in folder.glob("*/images/*.png"):
        pixels = 180 * (np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.float64) / 255) ** 1.5 + 35
        pixels[40:70] += _BANDS[path.parents[1].name]
        cv2.imwrite(str(path), np.clip(pixels, 0, 255).astype(np.uint8))
    return manifest


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("site")
    return import_dataset(_hospital(folder / "images", count=120, seed=78), folder / "hospital", test_only=True).dataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path_factory.getbasetemp() / "adapt-cache"))


@pytest.mark.long
def test_a_bundle_learns_a_site_and_says_from_what_and_what_it_brought(
    carina: Typed, bundle: Path, site: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    _hospital(tmp_path / "new", count=30, seed=79)
    truth = {path: path.parents[1].name for path in sorted((tmp_path / "new").glob("*/images/*.png"))}
    # Besides 30 films and their masks: a learned film, one whose name is not UTF-8, a damaged one, and a report.
    more = tmp_path / "new" / "more"
    more.mkdir()
    learned, other = Path(site.rows("test")["path"][0]).read_bytes(), next(iter(truth)).read_bytes()
    for name, content in {
        b"learned.png": learned,
        b"\xe9.png": other,
        b"damaged.png": other[:40],
        b"report.dcm": encode_object("1.2.840.10008.5.1.4.1.1.88.33", "SR"),
    }.items():
        (more / os.fsdecode(name)).write_bytes(content)
    told_judged: list[int] = []
    monkeypatch.setattr("carina.cli.adapt.running_count", lambda *_, **__: nullcontext(told_judged.append))
    code, out, err = carina(
        *("adapt", bundle, site.folder, "--out", tmp_path / "b"),
        *("--unlabelled", tmp_path / "new", "--label-next", tmp_path / "next.csv"),
    )
    assert code == 0, out + err
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    (old, old_seal), (new, _) = open_bundle(bundle), open_bundle(tmp_path / "b")
    done = new.adaptation
    assert done is not None
    assert (done.images, done.left_out_leaks, done.data_fingerprint) == (120, 0, site.description.fingerprint)
    assert sum(done.per_finding.values()) == 120
    assert done.macro_auroc_before < done.macro_auroc_after
    assert done.gain_low > 0
    assert (new.version, new.findings, new.twins) == ("1.2.3+site", old.findings, ())
    assert new.model_sha256 != old.model_sha256
    assert new.policy.operating_point.chosen_on == "120 films of the site, each held out"
    (parent,) = new.lineage
    assert (parent.sha256, parent.by, parent.images) == (old_seal.sha256, "adapt", 120)
    # What it says is what it does: on films of the site that nobody has shown it.
    names = {"COVID": "COVID-19"}
    right = [
        sum(
            isinstance(said, Prediction) and said.finding == names.get(of, of)
            for said, of in zip(model.predict(list(truth)), truth.values(), strict=True)
        )
        for model in (Predictor(bundle), Predictor(tmp_path / "b"))
    ]
    assert right[1] > right[0]
    # What it learned from is written down, and no name, folder or file of the site.
    images = read_training_images(tmp_path / "b" / "training_images.txt")
    assert images.with_role("train").sum() == old.images["train"] + 120
    assert check_leaks(tmp_path / "b", site, site.rows("test")).learned.height == 120
    told = (tmp_path / "b" / "bundle.json").read_text() + (tmp_path / "b" / "README.md").read_text()
    assert "hospital" not in told.replace("Another hospital", "").replace("In no hospital's daily work", "")
    assert "Use it at that site and nowhere else" in told
    assert (tmp_path / "b" / KERAS_FILE).read_bytes() == (bundle / KERAS_FILE).read_bytes()
    for sentence in (
        "Films used: 120 films of ",
        "Macro AUROC by number of labelled films, without calibration (mean ± SD of draws): 25 films 0.",
        "; 96 films ",
        "From 25 to 96 films it ",
        "sensitivity of COVID-19: ",
        "The adapted model is for this site alone",
        f"Made from tiny-bundle 1.2.3 (seal {old_seal.sha256[:16]}…) by carina adapt on 120 images.",
        f"Without labels: 31 images of {tmp_path / 'new'} judged.",
        "Left out there: 1 that the model learned from, 30 that it does not judge, 1 that could not be read, ",
        "1 DICOM file beside the images",
        "Estimated share of COVID-19: 0.",
        "Films without labels cannot give AUROC",
    ):
        assert sentence in out
    assert "by carina adapt on 120 images." in carina("verify", tmp_path / "b")[1]
    assert told_judged == [*range(1, 65)]
    table = (tmp_path / "next.csv").read_bytes()
    assert b"\r" not in table
    rows = list(csv.DictReader(table.decode().splitlines()))
    assert {row["chosen"] for row in rows} == {"informative", "random"}
    assert {row["path"] for row in rows} == {str(more / "\\xe9.png"), *map(str, truth)}


@pytest.mark.long
def test_a_finding_is_learned_and_another_one_left_out(
    carina: Typed, bundle: Path, site: Dataset, tmp_path: Path
) -> None:
    manifest = site.folder.parent / "images" / "manifest.csv"
    renamed = manifest.with_name("renamed.csv")
    renamed.write_text(manifest.read_text().replace(",Viral Pneumonia,", ",Tuberculosis,"))
    tb = import_dataset(renamed, tmp_path / "tb", test_only=True).dataset
    code, _, err = carina("adapt", bundle, tb.folder, "--out", tmp_path / "b")
    assert code == 1
    assert "has findings that the adapted model would not know: Tuberculosis (30)" in err
    assert "--add 'Tuberculosis'" in err
    # Named twice, it is one finding.
    words = (
        "--add",
        "Tuberculosis",
        "--add",
        "Tuberculosis",
        "--leave-out",
        "Viral Pneumonia",
        "--flag",
        "Tuberculosis",
        "--version",
        "2",
    )
    code, out, err = carina("adapt", bundle, tb.folder, "--out", tmp_path / "b", *words)
    assert code == 0, out + err
    new, _ = open_bundle(tmp_path / "b")
    assert new.findings == ("COVID-19", "Normal", "Tuberculosis")
    assert new.policy.flag_finding == "Tuberculosis"
    assert "the adapted one flags Tuberculosis: their sensitivities are not compared" in out
    assert "after; the shipped model does not know it." in out
    assert "Macro AUROC, without Tuberculosis: " in out
    head = read_head((tmp_path / "b" / ONNX_FILE).read_bytes())
    assert head.kernel.shape[1] == 3


@pytest.mark.long
def test_a_model_that_is_no_better_replaces_nothing(carina: Typed, bundle: Path, site: Dataset, tmp_path: Path) -> None:
    # Half of the films are enough to show nothing.
    lines = (site.folder.parent / "images" / "manifest.csv").read_text().splitlines()[::2]
    findings = [line.split(",")[1] for line in lines[1:]]
    shuffled = np.random.default_rng(0).permutation(findings)
    by_chance = site.folder.parent / "images" / "chance.csv"
    # One patient for each image, so that no patient has two findings.
    rows = [
        f"{line.split(',')[0]},{finding},p{place}"
        for place, (line, finding) in enumerate(zip(lines[1:], shuffled, strict=True))
    ]
    by_chance.write_text("\n".join(["path,finding,patient", *rows]))
    chance = import_dataset(by_chance, tmp_path / "chance", test_only=True).dataset
    code, out, _ = carina("adapt", bundle, chance.folder, "--out", tmp_path / "b")
    assert code == 1
    assert "No bundle was written: the sensitivity of COVID-19 fell from " in out
    assert ", and the macro AUROC on held-out films changed by " in out
    assert "which does not show that the adapted model is better. Keep the shipped model." in out
    assert not (tmp_path / "b").exists()


def test_adapt_refuses_what_it_cannot_use(
    carina: Typed, bundle: Path, site: Dataset, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "b"
    code, _, err = carina("adapt", bundle, site.folder, "--out", out, "--flag", "Normal")
    assert code == 2
    assert "Choose with --flag: COVID-19, Viral Pneumonia." in err
    code, _, err = carina("adapt", bundle, site.folder, "--out", out, "--add", "TB")
    assert code == 2
    assert "--add 'TB': no film of" in err
    code, _, err = carina("adapt", bundle, site.folder, "--out", out, "--leave-out", "TB")
    assert code == 2
    assert "--leave-out 'TB': the model has no such finding" in err
    code, _, err = carina("adapt", bundle, site.folder, "--out", out, "--leave-out", "Viral Pneumonia")
    assert code == 2
    assert f"--leave-out 'Viral Pneumonia': {site.folder} has 30 films of it. Keep the finding." in err
    assert carina("adapt", bundle, site.folder, "--out", out, "--label-next", tmp_path / "n.csv")[0] == 2
    assert carina("adapt", bundle, site.folder, "--out", out, "--unlabelled", tmp_path / "none")[0] == 2
    assert carina("adapt", bundle, site.folder, "--out", bundle)[0] == 2
    gone = import_dataset(_hospital(tmp_path / "gone", count=60, seed=80), tmp_path / "set", test_only=True).dataset
    (tmp_path / "gone" / "COVID" / "images" / "COVID-1.png").unlink()
    code, _, err = carina("adapt", bundle, gone.folder, "--out", out)
    assert code == 1
    assert "COVID-1.png" in err
    lines = (site.folder.parent / "images" / "manifest.csv").read_text().splitlines()
    few = site.folder.parent / "images" / "few.csv"
    few.write_text("\n".join([lines[0], *lines[1:6], *(line for line in lines if ",Normal," in line)]))
    small = import_dataset(few, tmp_path / "few", test_only=True).dataset
    code, _, err = carina("adapt", bundle, small.folder, "--out", out)
    assert code == 1
    assert "patients with COVID-19; at least 10 are needed" in err
    seen = tmp_path / "seen.csv"
    rows = phantom_dataset.rows("train").select("path", "finding").rows()
    seen.write_text("path,finding\n" + "".join(f"{path},{finding}\n" for path, finding in rows))
    known = import_dataset(seen, tmp_path / "known", test_only=True).dataset
    code, _, err = carina("adapt", bundle, known.folder, "--out", out)
    assert code == 1
    assert "was trained on: nothing is left to adapt to" in err
    assert not out.exists()
