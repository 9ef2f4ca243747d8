"""The films of a site: judged once, and only those that may be learned from are."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from carina.bundles.bundle import open_bundle
from carina.bundles.graph_head import read_head
from carina.bundles.run_folder import ONNX_FILE, TRAINING_IMAGES_FILE
from carina.bundles.training_images import read_training_images
from carina.bundles.verification import Verification
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset
from carina.errors import DataError
from carina.evaluation.adaptation import adapt, site
from carina.evaluation.adaptation.held_out import HeldOut, Judgements
from carina.evaluation.adaptation.site import SiteFilms, judge_rows
from carina.phantoms.phantom import write_phantoms


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a data set with all three splits."""
    folder = tmp_path_factory.mktemp("hospital")
    return import_dataset(write_phantoms(folder / "images", count=90, size=64, seed=91), folder / "dataset").dataset


@pytest.fixture
def bundle(tiny_bundle: tuple[Path, Verification]) -> Path:
    return tiny_bundle[0]


def test_a_film_is_judged_once_by_each_model(
    bundle: Path, hospital: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described, _ = open_bundle(bundle)
    rows = hospital.manifest.head(3)
    first = judge_rows(bundle, described, rows, tmp_path)
    monkeypatch.setattr(site, "load_pipeline", lambda *_: pytest.fail("the films were judged again"))
    told: list[tuple[int, int]] = []
    again = judge_rows(bundle, described, rows.reverse(), tmp_path, progress=lambda *done: told.append(done))
    np.testing.assert_array_equal(again.embedding, first.embedding[::-1])
    np.testing.assert_array_equal(again.logits, first.logits[::-1])
    assert told == [(3, 3)]
    # Other weights, or another way to cut out the lungs: other films, as far as the cache is concerned.
    for change in ({"model_sha256": "0" * 64}, {"lungs_sha256": "0" * 64}):
        other = described.model_copy(update=change)
        with pytest.raises(pytest.fail.Exception, match="judged again"):
            judge_rows(bundle, other, rows, tmp_path)


def _adapt(
    bundle: Path, dataset: Dataset, out: Path, *, add: tuple[str, ...] = (), flag: str | None = None
) -> adapt.Adapted:
    settings = adapt.AdaptSettings(version="2", add=add, flag_finding=flag)
    return adapt.adapt(bundle, dataset, out, settings, write_card=lambda *_: "card", cache=out.with_name("cache"))


@pytest.fixture
def refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a film's embedding be random, and any adapted model better; return the first three films, to be refused."""
    head = read_head((bundle / ONNX_FILE).read_bytes())
    refused: list[str] = []

    def judged(_bundle: Path, _described: object, rows: pl.DataFrame, _cache: Path, **_: object) -> SiteFilms:
        count = rows.height
        refused.extend(rows["sha256"][:3])
        embedding = np.random.default_rng(0).normal(1, 1, (count, len(head.kernel))).astype(np.float32)
        return SiteFilms(embedding @ head.kernel + head.bias, embedding, np.arange(count) >= 3)

    def better(_films: object, labels: np.ndarray, groups: np.ndarray, *_: object) -> HeldOut:
        table = np.eye(3)[labels]
        after = Judgements(table, table[:, 0] > 0, ())
        before = Judgements(np.random.default_rng(1).random((len(labels), 3)), table[:, 0] > 0, ())
        findings = ("COVID-19", "Normal", "Viral Pneumonia")
        return HeldOut(findings, "COVID-19", (), labels, groups, before, after, {}, (0, 0.0))

    monkeypatch.setattr(adapt, "judge_rows", judged)
    monkeypatch.setattr(adapt, "hold_out", better)
    return refused


def test_neither_the_test_split_nor_a_refused_film_is_learned(
    bundle: Path, hospital: Dataset, refused: list[str], tmp_path: Path
) -> None:
    before = set(read_training_images(bundle / TRAINING_IMAGES_FILE).sha256)
    done = _adapt(bundle, hospital, tmp_path / "b")
    assert done.refused is None
    splits = {split: hospital.rows(split)["sha256"].to_list() for split in ("train", "calibration", "test")}
    learned = set(read_training_images(tmp_path / "b" / TRAINING_IMAGES_FILE).sha256) - before
    assert splits["test"]
    assert not learned & set(splits["test"])
    assert len(refused) == 3
    assert not learned & set(refused)
    assert "Films used: " in done._repr_html_()
    said = done.adaptation
    assert (said.left_out_refused, said.images) == (3, len(learned))
    assert len(learned) == len(splits["train"]) + len(splits["calibration"]) - 3 - said.left_out_leaks


@pytest.mark.usefixtures("refused")
def test_a_site_without_a_finding_that_the_model_knows_shows_nothing(
    bundle: Path, hospital: Dataset, tmp_path: Path
) -> None:
    manifest = Path(hospital.manifest["path"][0]).parents[2] / "manifest.csv"
    other = manifest.with_name("other.csv")
    text = manifest.read_text()
    names = ("Tuberculosis", "Fracture", "Effusion")
    for old, new in zip(("COVID-19", "Normal", "Viral Pneumonia"), names, strict=True):
        text = text.replace(f",{old},", f",{new},")
    other.write_text(text)
    dataset = import_dataset(other, tmp_path / "other", test_only=True).dataset
    with pytest.raises(DataError, match="no finding that the model knows has 10 patients or more"):
        _adapt(bundle, dataset, tmp_path / "b", add=names, flag="Tuberculosis")


def test_a_film_that_is_gone_is_told_before_the_long_work(
    bundle: Path, hospital: Dataset, refused: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapt, "hold_out", lambda *_: pytest.fail("the long work began"))
    path = hospital.rows("calibration")["path"][0]
    os.rename(path, tmp_path / "elsewhere.png")  # noqa: PTH104  # the path is text
    try:
        with pytest.raises(DataError, match="is gone"):
            _adapt(bundle, hospital, tmp_path / "b")
        assert refused
    finally:
        os.rename(tmp_path / "elsewhere.png", path)  # noqa: PTH104
