"""A machine judges only with the version, the bundle and the precision of the driver, and says what differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from carina.cluster.node import Files, Model, complaint, pack
from carina.inference.predictor import Predictor


@pytest.fixture
def files(tiny_bundle: tuple[Path, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    return pack(tiny_bundle[0])


@pytest.fixture
def model(tiny_bundle: tuple[Path, object]) -> Model:
    return Model.of(Predictor(tiny_bundle[0]), None)


def test_a_machine_like_the_driver_has_nothing_to_complain_of(model: Model, files: Files, tmp_path: Path) -> None:
    assert complaint(model, files) is None
    assert (tmp_path / "cache" / "bundles" / model.judged_by.bundle_sha256 / "SHA256SUMS").is_file()
    # What is in the cache is not sent again, and opened as carefully.
    assert complaint(model, {}) is None


def test_another_version_of_carina_is_refused(model: Model, files: Files) -> None:
    said = complaint(replace(model, version="9.9"), files)
    assert said is not None
    assert "and the driver has 9.9" in said


def test_another_engine_and_another_version_of_it_are_refused(model: Model, files: Files) -> None:
    said = complaint(replace(model, engine=f"{model.engine}.1"), files)
    assert said == f"it has {model.engine}, and the driver has {model.engine}.1. Install the same on both."


def test_a_precision_that_the_machine_lacks_is_refused(model: Model, files: Files) -> None:
    other = replace(model, judged_by=replace(model.judged_by, precision="int8"))
    assert "no thresholds for int8" in (complaint(other, files) or "")


def test_a_bundle_that_was_altered_on_the_way_or_in_the_cache_is_refused(
    model: Model, files: Files, tmp_path: Path
) -> None:
    altered = {**files, "README.md": b"another card"}
    assert "README.md" in (complaint(model, altered) or "")


def test_a_machine_that_cannot_write_answers_is_refused_where_they_are_asked_for(
    model: Model, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = replace(model, answering=True)
    assert complaint(answering, files) is None
    monkeypatch.setattr("carina.extras.find_spec", lambda name: None)
    assert "needs highdicom" in (complaint(answering, files) or "")
    assert complaint(model, files) is None


def test_another_bundle_is_refused(model: Model, files: Files) -> None:
    other = replace(model, judged_by=replace(model.judged_by, bundle_sha256="0" * 64))
    assert "would judge with" in (complaint(other, files) or "")
