"""``carina batch``: one row per input, the values of ``carina predict``, and the same again when it goes on.

Ray takes half a minute of processor time to start its processes, so that the steps of a batch are tried in this
process, and on Ray in the long tests.
"""

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from carina.cli.predict import predict_command
from carina.cluster import ray_engine
from carina.cluster.batch import BatchSettings, run_batch
from carina.cluster.node import Model, pack
from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.objects import Kind
from carina.errors import BundleError, ConfigurationError
from carina.inference.predictor import Predictor
from unit.cluster.crashing import CRASH, crash_on_some, take_the_place_of_a_cluster
from unit.dicom.sources import write_source

# The small model seeks no lungs, so that an image may have no regions.
ANSWERS: tuple[Kind, ...] = ("sr", "sc")


@pytest.fixture(params=["here", pytest.param("ray", marks=pytest.mark.long)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Prepare two workers of Ray that may die over a film, or what takes their place: the steps in this process."""
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    if request.param == "here":
        take_the_place_of_a_cluster(monkeypatch)
        yield
        return
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    hook = {"worker_process_setup_hook": crash_on_some}
    with ray_engine.started(ray_engine.AUTO, num_cpus=2, object_store_memory=128 * 1024**2, runtime_env=hook):
        yield


@pytest.fixture
def films_to_judge(films: list[Path], tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "more").mkdir(parents=True)
    for number in range(14):
        shutil.copy(films[number % 6], folder / f"{number:02}.png")
    (folder / "05-crash.jpg").write_bytes(CRASH)
    (folder / "more" / "broken.png").write_bytes(films[0].read_bytes()[:300])
    (folder / "notes.txt").write_text("Some words.")
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.write(films[0], "a/in-archive.png")
    return folder


def judged_by_predict(capsys: pytest.CaptureFixture[str], bundle: Path, *paths: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of ``carina predict --json``."""
    capsys.readouterr()
    with pytest.raises(typer.Exit):
        predict_command([str(path) for path in paths], bundle=bundle, as_json=True, threads=1)
    # Ray may still say which of its processes died.
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return {row["path"]: row for row in map(json.loads, lines)}


@pytest.mark.filterwarnings("ignore")  # Ray warns of its own settings, and leaves sockets open
def test_a_batch(
    cluster: None,
    films_to_judge: Path,
    films: list[Path],
    tiny_bundle: tuple[Path, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle, out = tiny_bundle[0], str(tmp_path / "table")
    sources = [str(films_to_judge), str(tmp_path / "films.zip")]
    told: list[tuple[int, int, int]] = []
    settings = BatchSettings(embeddings=True)
    result = run_batch(sources, out, bundle=bundle, settings=settings, unit=8, tell=lambda *at: told.append(at))

    # One row per input; what killed its worker took no other with it.
    table = pl.read_parquet(f"{out}/part-*.parquet")
    rows = {row["address"]: row for row in table.iter_rows(named=True)}
    assert len(table) == len(rows) == result.listed == 17
    crashed = rows.pop(str(films_to_judge / "05-crash.jpg"))
    assert crashed["error_code"] == "unreadable-file"
    assert "ended the process, twice" in crashed["error"]
    assert told[-1] == (17, 17, 2)

    # The values are those of carina predict --json.
    expected = judged_by_predict(capsys, bundle, films_to_judge, tmp_path / "films.zip")
    expected.pop(str(films_to_judge / "05-crash.jpg"))
    assert set(rows) == set(expected)
    for address, told_before in expected.items():
        row = rows[address]
        if "error" in told_before:
            assert (row["error_code"], row["error"]) == tuple(told_before["error"].values())
            continue
        triage, gate = told_before["triage"], told_before["gate"]
        assert {name.removeprefix("probability:"): row[name] for name in row if name.startswith("prob")} == (
            told_before["probabilities"] or dict.fromkeys(Predictor(bundle).run.findings)
        )
        assert [row[name] for name in ("pixel_sha256", "finding", "priority", "reason_code", "reason")] == [
            *(told_before["sha256"], told_before["finding"]),
            *(triage["priority"], triage["code"], triage["reason"]),
        ]
        assert (row["gate_accepted"], row["reservations"]) == (gate and gate["accepted"], told_before["reservations"])
        assert row["model_sha256"] == told_before["model"]["sha256"]
        assert len(row["embedding"]) > 0

    # The summary and the report count all of it.
    summary = json.loads(Path(out, "summary.json").read_text())
    assert summary["rows"] == 17
    assert summary["errors"] == {"unreadable-file": 1, "truncated": 1}
    assert summary["left_out"] == {".txt file": 1}
    assert "Drift" in Path(out, "report.html").read_text()

    # Again: nothing is judged twice; what came later is judged, and on request what failed and was mended.
    shutil.copy(films[1], films_to_judge / "99.png")
    shutil.copy(films[2], films_to_judge / "more" / "broken.png")
    (films_to_judge / "05-crash.jpg").write_bytes(films[3].read_bytes())
    again = run_batch(sources, out, bundle=bundle, settings=settings, unit=8, retry_failed=True)
    assert (again.judged_before, again.tried_again, again.judged.total(), again.failed_rows) == (15, 2, 3, 0)
    table = pl.read_parquet(f"{out}/part-*.parquet")
    assert len(table) == table["address"].n_unique() == 18
    assert sorted(path.name for path in Path(out).iterdir() if not path.name.startswith("part-")) == [
        *("_carina", "batch.json", "report.html", "summary.json")
    ]
    assert run_batch(sources, out, bundle=bundle, settings=settings).judged_before == 18


def test_answers_lie_beside_the_table_and_are_those_of_dicom_report(
    tiny_bundle: tuple[Path, object], films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    take_the_place_of_a_cluster(monkeypatch)
    images, out = tmp_path / "films", tmp_path / "table"
    for seed in (4, 5):
        write_source(images / f"{seed}.dcm", seed=seed)
    write_source(images / "copy.dcm", seed=4)
    write_source(images / "same-uid.dcm", seed=6, SOPInstanceUID="1.2.826.0.1.3680043.8.498.1.4")
    write_source(images / "without-study.dcm", seed=7, StudyInstanceUID=...)
    shutil.copy(films[0], images / "no-dicom.png")
    predictor = Predictor(tiny_bundle[0], threads=1)
    expected = {
        path.name: {each.path.name: each.path.read_bytes() for each in written.written}
        for path in (images / "4.dcm", images / "5.dcm")
        if (written := write_answers(path, predictor, tmp_path / "expected" / path.stem, ANSWERS))
    }
    assert all(len(files) == len(ANSWERS) for files in expected.values())

    result = run_batch([str(images)], str(out), bundle=tiny_bundle[0], settings=BatchSettings(answers=ANSWERS))

    table = pl.read_parquet(f"{out}/part-*.parquet")
    rows = {Path(row["address"]).name: row for row in table.iter_rows(named=True)}
    for name, files in expected.items():
        assert {each: (out / "answers" / each).read_bytes() for each in rows[name]["answers"]} == files
        assert rows[name]["not_answered"] is None
    # A copy has the same answers; another image under the same UID has others, and is told.
    assert rows["copy.dcm"]["answers"] == rows["4.dcm"]["answers"]
    assert not set(rows["same-uid.dcm"]["answers"]) & set(rows["4.dcm"]["answers"])
    assert rows["same-uid.dcm"]["answers_to"] == rows["4.dcm"]["answers_to"]
    # What has no answer is judged all the same, and says why.
    assert "not a DICOM file" in rows["no-dicom.png"]["not_answered"]
    assert "StudyInstanceUID" in rows["without-study.dcm"]["not_answered"]
    assert all(row["finding"] is not None for row in rows.values())
    counts = {"images": 4, "objects": 4 * len(ANSWERS), "without": 2, "same_uid": 2}
    assert json.loads((out / "summary.json").read_text())["answers"] == counts
    assert any("2 of the images share a SOP Instance UID" in line for line in result.lines())
    with pytest.raises(ConfigurationError, match="another setting of answers"):
        run_batch([str(images)], str(out), bundle=tiny_bundle[0], settings=BatchSettings(answers=("sr",)))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_machine_that_differs_is_refused_by_its_name(tiny_bundle: tuple[Path, object]) -> None:
    model = Model.of(Predictor(tiny_bundle[0]), None)
    other = replace(model, version="9.9")
    with (
        ray_engine.started(ray_engine.AUTO, num_cpus=1),
        pytest.raises(ConfigurationError, match=r"1 of 1 machines must not judge\. .+ \(.+\): it has Carina"),
    ):
        ray_engine.require_alike(other, ray_engine.put_bundle(pack(tiny_bundle[0])))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_the_smallest_cluster_gives_each_input_a_row(
    films: list[Path], tiny_bundle: tuple[Path, object], tmp_path: Path
) -> None:
    with ray_engine.started(ray_engine.AUTO, num_cpus=1, object_store_memory=80 * 1024**2):
        run_batch([str(films[0].parent)], str(tmp_path / "table"), bundle=tiny_bundle[0], unit=3)
    table = pl.read_parquet(tmp_path / "table" / "part-*.parquet")
    assert sorted(table["address"]) == sorted(map(str, films))
    assert table["error"].null_count() == len(films)


def test_an_output_belongs_to_one_model_and_one_way(
    tiny_bundle: tuple[Path, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    take_the_place_of_a_cluster(monkeypatch)
    (tmp_path / "films").mkdir()
    bundle, out = tiny_bundle[0], str(tmp_path / "table")
    run_batch([str(tmp_path / "films")], out, bundle=bundle)
    with pytest.raises(ConfigurationError, match=r"go on with --prevalence 0\.1 instead of no --prevalence"):
        run_batch([str(tmp_path / "films")], out, bundle=bundle, settings=BatchSettings(prevalence=0.1))
    with pytest.raises(ConfigurationError, match="another setting of embeddings"):
        run_batch([str(tmp_path / "films")], out, bundle=bundle, settings=BatchSettings(embeddings=True))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.parquet").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="it is no table of carina batch"):
        run_batch([str(tmp_path / "films")], str(tmp_path / "other"), bundle=bundle)


def test_a_run_and_an_output_among_the_films_are_refused(
    tiny_bundle: tuple[Path, object], tiny_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        run_batch([str(tmp_path)], str(tmp_path / "table"), bundle=tiny_run)
    for source, out in ((str(tmp_path), str(tmp_path / "table")), ("s3://b/films", "s3://b/films/table")):
        with pytest.raises(ConfigurationError, match="Choose a folder outside"):
            run_batch([source], out, bundle=tiny_bundle[0])
