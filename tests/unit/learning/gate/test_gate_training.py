"""Training the gate from a data set of phantoms and a planted segmenter, and the choice of radiographs."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from carina.bundles.run_folder import GateRecord
from carina.datasets.images import read_whole
from carina.datasets.manifest import Dataset
from carina.errors import BundleError, DataError
from carina.learning.gate.gate_training import choose_radiographs, train_gate
from carina.learning.recipe import GateSettings
from carina.radiographs.corruptions import make_odd, mirror_sideways
from carina.radiographs.gate import Gate, Verdict, read_gate
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import LungFinder
from make import make_grey, write_image
from planted import planted_graph

SMALL = GateSettings(radiographs=60, varied=1, oddities=4, drawn=0.5, acceptance=0.9, seed=5)
ANYWHERE = Lungs(np.ones((160, 160), np.bool_))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_graph(tmp_path_factory.mktemp("graph") / "lungs.onnx")


@pytest.fixture(scope="module")
def trained(
    phantom_dataset: Dataset, graph: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Gate, GateRecord, list[tuple[int, int]]]:
    told: list[tuple[int, int]] = []
    gate, facts = train_gate(
        phantom_dataset.rows("train"),
        phantom_dataset.rows("calibration"),
        graph,
        tmp_path_factory.mktemp("gate") / "gate.npz",
        whole_size=96,
        settings=SMALL,
        progress=lambda done, total: told.append((done, total)),
    )
    return gate, facts, told


def verdicts(gate: Gate, graph: Path, wholes: list[np.ndarray]) -> list[Verdict]:
    features = LungFinder(graph).find(wholes).features
    return gate.judge(features, wholes, [ANYWHERE] * len(wholes))


@pytest.fixture(scope="module")
def tested(phantom_dataset: Dataset) -> list[np.ndarray]:
    rows = phantom_dataset.rows("test").select("path", "sha256")
    return [read_whole(path, sha256, 96) for path, sha256 in rows.iter_rows()]


def test_phantoms_are_let_through_and_oddities_refused_by_name(
    trained: tuple[Gate, GateRecord, list[tuple[int, int]]], graph: Path, tested: list[np.ndarray]
) -> None:
    gate, _, _ = trained
    assert np.mean([verdict.accepted for verdict in verdicts(gate, graph, tested)]) > 0.7
    assert np.mean([v.accepted for v in verdicts(gate, graph, [mirror_sideways(w) for w in tested])]) > 0.6
    for kind, words in (
        ("clockwise", "rotated by 90° clockwise"),
        ("upside-down", "upside down"),
        ("inverted", "inverted"),
    ):
        judged = verdicts(gate, graph, [make_odd(kind, whole, np.random.default_rng(2)) for whole in tested])
        assert np.mean([not verdict.accepted for verdict in judged]) > 0.8
        assert np.mean([words in (verdict.refused or "") for verdict in judged]) > 0.6
    assert not verdicts(gate, graph, [np.full((96, 96), 40, np.uint8)])[0].accepted


def test_what_it_says_of_itself(
    trained: tuple[Gate, GateRecord, list[tuple[int, int]]], phantom_dataset: Dataset
) -> None:
    gate, facts, told = trained
    count = 60
    assert phantom_dataset.rows("train").height > count
    assert facts.radiographs == facts.images["varied"] == count
    assert facts.images["radiograph"] == 2 * count
    assert sum(facts.images.values()) == count * 7 + round(count / 2)
    assert facts.images["other"] == round(count / 2)
    assert (facts.negatives, facts.negatives_unreadable) == (0, 0)
    assert facts.calibration_images == phantom_dataset.rows("calibration").height
    assert facts.acceptance == gate.acceptance == 0.9
    assert facts.reached == gate.reached >= 0.9
    assert facts.largest_strangeness == gate.largest_strangeness
    total = sum(facts.images.values()) + facts.calibration_images
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_same_seed_gives_the_same_gate_whatever_the_order(
    trained: tuple[Gate, GateRecord, list[tuple[int, int]]], phantom_dataset: Dataset, graph: Path, tmp_path: Path
) -> None:
    gate, _, _ = trained
    again, _ = train_gate(
        phantom_dataset.rows("train").reverse(),
        phantom_dataset.rows("calibration").reverse(),
        graph,
        tmp_path / "again.npz",
        whole_size=96,
        settings=SMALL,
    )
    for name in ("matrix", "offset", "weights", "biases"):
        np.testing.assert_allclose(getattr(again, name), getattr(gate, name), rtol=1e-5, atol=1e-6)
    assert read_gate(tmp_path / "again.npz").largest_strangeness == again.largest_strangeness


def test_a_folder_of_negatives_is_learned_from(phantom_dataset: Dataset, graph: Path, tmp_path: Path) -> None:
    for number in range(5):
        write_image(tmp_path / "below" / f"{number}.png", make_grey(number, (120, 90)))
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    (tmp_path / ".hidden").write_text("not looked at", encoding="utf-8")
    rows = phantom_dataset.rows("train").head(20)
    training = GateSettings(varied=1, oddities=2, drawn=0.0)
    _, facts = train_gate(
        rows,
        phantom_dataset.rows("calibration"),
        graph,
        tmp_path.with_suffix(".npz"),
        whole_size=96,
        settings=training,
        negatives=tmp_path,
    )
    assert (facts.negatives, facts.negatives_unreadable) == (5, 1)
    assert facts.images["other"] == 5


def test_a_folder_without_images_is_refused(phantom_dataset: Dataset, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    rows = phantom_dataset.rows("calibration")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path} holds no readable image (1 other file)")):
        train_gate(rows, rows, graph, tmp_path / "gate.npz", negatives=tmp_path)


def test_a_file_that_is_another_image_now_is_refused(phantom_dataset: Dataset, graph: Path, tmp_path: Path) -> None:
    rows = phantom_dataset.rows("calibration")
    other = rows.with_columns(path=pl.col("path").shift(-1).fill_null(rows["path"][0]))
    with pytest.raises(DataError, match="is not the image that was imported"):
        train_gate(other, rows, graph, tmp_path / "gate.npz", settings=SMALL)


def test_a_segmenter_without_features_is_refused(phantom_dataset: Dataset, tmp_path: Path) -> None:
    rows = phantom_dataset.rows("calibration")
    old = planted_graph(tmp_path / "lungs.onnx", features=False)
    with pytest.raises(BundleError, match="This lung segmenter gives no features"):
        train_gate(rows, rows, old, tmp_path / "gate.npz", settings=SMALL)


def test_features_come_with_the_lungs_in_order_and_batches_may_be_empty(graph: Path) -> None:
    finder = LungFinder(graph)
    images = [make_grey(seed, (160, 160)) for seed in range(3)]
    batches = list(finder.stream([images[:1], [], images[1:]]))
    shapes = [(len(found.lungs), found.features.shape) for found in batches]
    assert shapes == [(1, (1, 100)), (0, (0, 0)), (2, (2, 100))]
    tiles = images[2].reshape(10, 16, 10, 16).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(batches[2].features[1], -0.5 * (tiles / 127.5 - 1), atol=1e-4)


def rows_of(counts: dict[tuple[str, str | None], int]) -> pl.DataFrame:
    rows = [(finding, source) for (finding, source), count in counts.items() for _ in range(count)]
    return pl.DataFrame(
        {
            "finding": [finding for finding, _ in rows],
            "source": pl.Series([source for _, source in rows], dtype=pl.String),
            "sha256": [f"{number:064x}" for number in range(len(rows))],
            "path": [str(number) for number in range(len(rows))],
        }
    )


def test_radiographs_are_chosen_evenly_and_rare_ones_taken_whole() -> None:
    rows = rows_of({("Normal", "a"): 100, ("Normal", None): 7, ("COVID-19", "b"): 60, ("COVID-19", "a"): 3})
    chosen = choose_radiographs(rows, 50, seed=1)
    groups = chosen.group_by("finding", "source").len().iter_rows()
    count = {(finding, source): number for finding, source, number in groups}
    assert count == {("Normal", "a"): 20, ("Normal", None): 7, ("COVID-19", "b"): 20, ("COVID-19", "a"): 3}
    assert chosen.columns == rows.columns
    assert set(choose_radiographs(rows.reverse(), 50, seed=1)["sha256"]) == set(chosen["sha256"])
    assert set(choose_radiographs(rows, 50, seed=2)["sha256"]) != set(chosen["sha256"])
    assert choose_radiographs(rows, 1000, seed=1).height == rows.height
