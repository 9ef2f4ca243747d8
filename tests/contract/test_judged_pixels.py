"""Whatever learns from a data set or is measured on it looks at the pixels that were imported, or refuses by name."""

import ast
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import carina
from carina.bundles.run_folder import STARTED_FILE
from carina.bundles.verification import Verification
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset, open_dataset
from carina.errors import DataError
from carina.evaluation.audit.audit import AuditSettings, run_audit
from carina.evaluation.audit.audited_model import open_audited
from carina.evaluation.evaluate import evaluate
from carina.evaluation.recalibrate import recalibrate
from carina.evaluation.twin_trial import try_twin
from carina.learning.export.make_twins import make_twins
from carina.learning.train import train
from carina.phantoms.phantom import write_phantoms
from conftest import tiny_recipe
from planted import planted_graph


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return the data set of `phantom_dataset` again, whose files may be overwritten."""
    folder = tmp_path_factory.mktemp("overwritten")
    return import_dataset(
        write_phantoms(folder / "images", count=120, size=96, difficulty=0.0, seed=7), folder / "dataset"
    ).dataset


@pytest.fixture
def overwritten(own: Dataset, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return the first file of a split, which now holds a training image of the same finding."""
    rows = own.manifest.filter(pl.col("split") == request.param)
    finding = rows["finding"][0]
    path = Path(rows["path"][0])
    learned = own.manifest.filter((pl.col("split") == "train") & (pl.col("finding") == finding))["path"][-1]
    before = path.read_bytes()
    shutil.copyfile(learned, path)
    yield path
    path.write_bytes(before)


def run_on(own: Dataset, tiny_run: Path, folder: Path) -> Path:
    """Return a copy of the small run that finds its data set where the files may be overwritten."""
    run = folder / "run"
    shutil.copytree(tiny_run, run)
    started = open_dataset(own.folder)
    text = (run / STARTED_FILE).read_text(encoding="utf-8")
    elsewhere = text.split('"datasets"')[1].split('"')[1]
    (run / STARTED_FILE).write_text(text.replace(elsewhere, str(started.folder)), encoding="utf-8")
    return run


Judge = Callable[[Dataset, Path, Path, Path], object]
JUDGES: dict[str, tuple[str, Judge]] = {
    "evaluate": ("test", lambda own, run, bundle, out: evaluate(run, own, "test")),
    "evaluate a bundle": ("test", lambda own, run, bundle, out: evaluate(bundle, own, "test", on_leak="allow")),
    "audit": (
        "test",
        lambda own, run, bundle, out: run_audit(
            open_audited(run),
            own,
            segmenter=planted_graph(out / "lungs.onnx"),
            settings=AuditSettings(train_images=100, test_images=100),
            cache=out / "cache",
        ),
    ),
    "recalibrate": (
        "calibration",
        lambda own, run, bundle, out: recalibrate(bundle, own, out / "new", version="2", write_card=lambda b: ""),
    ),
    "train": (
        "train",
        lambda own, run, bundle, out: train(
            own.folder, tiny_recipe(out), out / "new", cache=out / "cache", command="test"
        ),
    ),
    "export --int8": (
        "calibration",
        lambda own, run, bundle, out: make_twins(run_on(own, run, out), try_twin=try_twin, cache=out / "cache"),
    ),
}


@pytest.mark.parametrize(("overwritten", "judge"), list(JUDGES.values()), ids=list(JUDGES), indirect=["overwritten"])
def test_a_file_that_was_overwritten_is_refused_by_name(
    overwritten: Path,
    judge: Judge,
    own: Dataset,
    tiny_run: Path,
    tiny_bundle: tuple[Path, Verification],
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError) as caught:
        judge(own, tiny_run, tiny_bundle[0], tmp_path)
    assert str(caught.value).startswith(f"{overwritten} is not the image that was imported.")


def test_unchanged_files_are_judged(own: Dataset, tiny_run: Path) -> None:
    table = evaluate(tiny_run, own, "test").table
    assert table["sha256"].to_list() == own.rows("test")["sha256"].to_list()


def test_no_judge_reads_an_image_of_its_own() -> None:
    """Only what takes files without a manifest may read them itself; each is named here with its reason."""
    without_manifest = {
        "evaluation/adaptation/new_films.py",  # a folder of images without labels
        "learning/gate/gate_training.py",  # a folder of images that must be refused
        "learning/lungs/lung_training.py",  # a table of images with masks
    }
    source = Path(carina.__file__).parent
    readers = {"carina.radiographs.read", "carina.radiographs.raster", "carina.inference.inputs"}
    reading = {
        path.relative_to(source).as_posix()
        for folder in ("evaluation", "learning", "reports")
        for path in (source / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in readers
    }
    assert reading == without_manifest
