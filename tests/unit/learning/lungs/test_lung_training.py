"""Training the segmenter from a folder: which images are held out, what is refused, and what is written."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest

from carina.errors import DataError
from carina.learning.lungs.lung_net import LungTraining
from carina.learning.lungs.lung_training import LungsTrained, read_lung_table, train_lungs
from carina.phantoms.phantom import write_phantoms
from carina.radiographs.lungs import LUNG_NET_SIZE, LungFinder
from carina.reports.lung_report import write_lung_report
from carina.runtime.engine import load_engine
from carina.storage.atomic import whole_folder
from make import make_grey, names_in, write_csv, write_image


def write_lungs(folder: Path, count: int = 8, *, trainable: bool = True) -> Path:
    """A folder of phantoms with their lung masks; every fourth may not be trained on."""
    manifest = write_phantoms(folder, count=count, size=96, difficulty=0.0, seed=5)
    with manifest.open(encoding="utf-8") as stream:
        paths = [row["path"] for row in csv.DictReader(stream)]
    rows = [
        [path, path.replace("/images/", "/masks/"), f"Secret{number}", *(["01"[number % 4 != 0]] if trainable else [])]
        for number, path in enumerate(paths)
    ]
    header = ["image", "mask", "patient", *(["trainable"] if trainable else [])]
    write_csv(folder / "metadata.csv", header, rows)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lungs(tmp_path_factory.mktemp("lungs") / "data")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LungsTrained]:
    out = tmp_path_factory.mktemp("trained") / "out"
    with whole_folder(out, what="lung segmenter") as folder:
        facts = train_lungs(
            data, folder, weights="none", training=LungTraining(passes=1, batch_size=6), command="carina lungs train"
        )
    return out, facts


@pytest.mark.long
def test_the_graph_has_the_names_that_it_is_read_by(trained: tuple[Path, LungsTrained]) -> None:
    out, facts = trained
    graph = onnx.load(out / "lungs.onnx").graph
    assert [value.name for value in graph.input] == ["tensor"]
    assert [value.name for value in graph.output] == ["lung", "features"]
    # Any number of images at once.
    tensors = np.random.default_rng(0).uniform(-1, 1, (3, LUNG_NET_SIZE, LUNG_NET_SIZE, 3)).astype(np.float32)
    outputs = load_engine(out / "lungs.onnx").run(tensors)
    assert outputs["lung"].shape == (3, LUNG_NET_SIZE, LUNG_NET_SIZE, 1)
    assert outputs["features"].shape == (3, 96 * 6 * 6 + 192 + 144)
    assert list(LungFinder(out / "lungs.onnx").stream([[make_grey()]])) is not None
    assert facts.graph_difference < 1e-3


@pytest.mark.long
def test_what_it_says_of_itself(trained: tuple[Path, LungsTrained], data: Path) -> None:
    _, facts = trained
    assert facts.images == {"trainable": 6, "held_out": 2}
    assert facts.patients == {"trainable": 6, "held_out": 2}
    assert facts.held_out_by == "the column trainable"
    assert facts.training == {"passes": 1, "batch_size": 6, "learning_rate": 2e-3, "seed": 1234}
    assert (facts.weights, facts.weights_sha256) == ("random (no pre-training)", None)
    assert facts.parameters == 581_169
    assert set(facts.seconds) == {"read", "build", "fit", "export", "judge", "total"}


@pytest.mark.long
def test_held_out_images_are_judged_each(trained: tuple[Path, LungsTrained]) -> None:
    table = pl.read_csv(trained[0] / "dice.csv")
    assert table.columns == ["image", "patient", "dice", "two_lungs"]
    assert table["patient"].to_list() == [1, 2]
    assert table["dice"].is_between(0, 1).all()
    # After one pass from random weights there are no lungs yet, and no answer counts as 0.
    assert table.filter(~pl.col("two_lungs"))["dice"].to_list() == [0.0] * int((~table["two_lungs"]).sum())


@pytest.mark.long
def test_the_report_beside_it_names_no_patient(trained: tuple[Path, LungsTrained], data: Path) -> None:
    from dataclasses import asdict

    out, facts = trained
    report = write_lung_report(out, asdict(facts))
    assert names_in(out) == ["dice.csv", "examples.png", "lungs.json", "lungs.onnx"]
    text = (out / "lungs.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["dice"]["mean"]["value"] == report.mean.value
    assert content["lungs_sha256"] == facts.lungs_sha256
    assert content["images"] == facts.images
    assert content["command"] == "carina lungs train"
    for written in (text, (out / "dice.csv").read_text(encoding="utf-8")):
        assert "Secret" not in written
        assert str(data) not in written


def test_without_the_column_a_fifth_of_the_patients_is_held_out(tmp_path: Path) -> None:
    rows = [[f"{n}.png", f"m{n}.png", f"P{n // 2}", "PA"] for n in range(40)]
    header = ["image", "mask", "patient", "view"]
    write_csv(tmp_path / "metadata.csv", header, rows)
    table, how = read_lung_table(tmp_path)
    assert how == "a fifth of the patients, by hash"
    held_out = set(table.filter(~pl.col("trainable"))["patient"])
    assert len(held_out) == 4
    assert not held_out & set(table.filter("trainable")["patient"])
    # Neither order nor file names matter.
    write_csv(tmp_path / "metadata.csv", header, [[f"x{row[0]}", *row[1:]] for row in reversed(rows)])
    again, _ = read_lung_table(tmp_path)
    assert set(again.filter(~pl.col("trainable"))["patient"]) == held_out
    assert table["image"][0] == str(tmp_path / "0.png")
    assert table["name"][0] == "0.png"


def test_a_table_of_another_form(tmp_path: Path) -> None:
    text = "image;mask;patient;trainable\nä.png; ma.png;P1;1\n;;;\nb.png;mb.png;P2;0\n;;;\n"
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-16")
    table, _ = read_lung_table(tmp_path)
    assert table["name"].to_list() == ["ä.png", "b.png"]
    assert table["mask"][0] == str(tmp_path / "ma.png")
    (tmp_path / "metadata.csv").write_text(text.replace("P2", ""), encoding="utf-16")
    with pytest.raises(DataError, match="row 4: it has no patient"):
        read_lung_table(tmp_path)


HEADER = ["image", "mask", "patient", "trainable"]
GOOD = [["a.png", "ma.png", "P1", "1"], ["b.png", "mb.png", "P2", "0"]]


@pytest.mark.parametrize(
    ("header", "rows", "says"),
    [
        (["image", "patient"], [["a.png", "P1"]], "has no column 'mask'. It has: image, patient"),
        (HEADER, [*GOOD, ["c.png", "", "P3", "1"]], "row 4: it has no mask"),
        (HEADER, [*GOOD, ["c.png", "m", " ", "1"]], "row 4: it has no patient"),
        (HEADER, [*GOOD, ["c.png", "m", "P3", "yes"]], "row 4: its trainable is neither 1 nor 0"),
        (HEADER, [*GOOD, ["a.png", "m", "P3", "1"]], "row 2: the same image is in another row too"),
        (HEADER, [*GOOD, ["c.png", "m", "P1", "0"]], "row 2: its patient has both trainable and held-out images"),
        (HEADER, GOOD[:1], "has no held-out images"),
        (HEADER, GOOD[1:], "has no trainable images"),
        (HEADER[:3], [GOOD[0][:3]], "has no trainable images"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, header: list[str], rows: list[list[str]], says: str) -> None:
    write_csv(tmp_path / "metadata.csv", header, rows)
    with pytest.raises(DataError, match=re.escape(says)) as refused:
        read_lung_table(tmp_path)
    assert not re.search(r"\bP\d", str(refused.value))


def test_a_folder_without_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metadata.csv cannot be read as a table: No such file"):
        read_lung_table(tmp_path)


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (None, "there is no such file"),
        (np.full((96, 90), 255, np.uint8) - np.eye(96, 90, dtype=np.uint8), "has 90 × 96 pixels, its image 96 × 96"),
        (np.eye(96, dtype=np.uint8), "marks no lung. In a mask lungs are white"),
        (np.zeros((96, 96), np.uint8), "masks/"),
    ],
    ids=["missing", "size", "dim", "black"],
)
def test_masks_that_are_refused_before_anything_is_trained(
    tmp_path: Path, mask: np.ndarray | None, says: str, held_out: bool
) -> None:
    data = write_lungs(tmp_path / "data")
    table, _ = read_lung_table(data)
    path = Path(table.filter(pl.col("trainable") != held_out)["mask"][-1])
    path.unlink()
    if mask is not None:
        write_image(path, mask)
    with pytest.raises(DataError, match=re.escape(says)):
        train_lungs(data, tmp_path, weights="none")
    assert names_in(tmp_path) == ["data"]
