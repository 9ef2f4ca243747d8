"""Trackers are told parameters, curves, figures with intervals, and files; what they refuse loses no result."""

import sys
from pathlib import Path

import pytest

import carina
from carina.errors import ConfigurationError
from carina.tracking.record import Record, evaluation_record, run_record
from carina.tracking.trackers import open_trackers, send
from unit.reports.evaluations import write_evaluated


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation's folder, without its report."""
    folder = write_evaluated(tmp_path_factory.mktemp("evaluations") / "one", n=60)
    (folder / "report.html").write_text("<p>report")
    return folder


def test_a_run_is_told_with_its_settings_and_curves(tiny_run: Path) -> None:
    told = run_record(tiny_run)
    described = carina.load_bundle(tiny_run).description
    assert told.name == "tiny"
    assert told.parameters["training.seed"]
    assert len(told.curves["loss"]) == described.epochs
    point = described.operating_point
    assert told.metrics[f"operating_point.threshold.{point.finding}"] == point.threshold
    assert told.tags["model_sha256"] == described.model_sha256
    assert [path.name for path in told.artefacts] == ["recipe.toml", "history.csv", "run.json", "model.onnx"]


def test_an_evaluation_is_told_with_its_intervals(evaluation: Path) -> None:
    metrics = evaluation_record(evaluation).metrics
    assert metrics["accuracy.low"] < metrics["accuracy"] < metrics["accuracy.high"]
    assert metrics["sensitivity.COVID-19.low"] <= metrics["sensitivity.COVID-19"]
    assert "operating_point_sensitivity.COVID-19" in metrics
    # What has no value is left out, and is no zero.
    assert all(value is not None for value in metrics.values())


def test_mlflow_keeps_it_in_a_folder(tiny_run: Path, evaluation: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = (tmp_path / "store").as_uri()
    trackers = open_trackers([f"mlflow:{uri}"])
    send(trackers, run_record(tiny_run), pytest.fail)
    send(open_trackers([f"mlflow:{uri}"]), evaluation_record(evaluation), pytest.fail)
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == "carina"]
    runs = {run.data.tags["carina.kind"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"run", "evaluation"}
    told, run = run_record(tiny_run), runs["run"]
    assert run.info.run_name == "tiny"
    assert run.data.params["training.seed"] == told.parameters["training.seed"]
    curve = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == list(enumerate(told.curves["loss"], start=1))
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {p.name for p in told.artefacts}
    figures = runs["evaluation"].data.metrics
    assert figures["accuracy.low"] == evaluation_record(evaluation).metrics["accuracy.low"]


def test_tensorboard_gets_events(tiny_run: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    trackers = open_trackers([f"tensorboard:{tmp_path / 'board'}"])
    send(trackers, run_record(tiny_run), pytest.fail)
    send(trackers, run_record(tiny_run), pytest.fail)
    assert sorted(path.name for path in (tmp_path / "board").iterdir()) == ["run tiny", "run tiny (2)"]
    (events,) = (tmp_path / "board" / "run tiny").iterdir()
    losses = {}
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        losses.update((event.step, tf.make_ndarray(v.tensor)) for v in event.summary.value if v.tag == "loss")
    assert list(losses.values()) == pytest.approx(run_record(tiny_run).curves["loss"])


def test_what_cannot_be_used_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("wandb:mine", "mlflow:", "mlruns"):
        with pytest.raises(ConfigurationError, match=f"{place} is no place to track to. Write mlflow:URI or"):
            open_trackers([place])
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigurationError, match=r'--track mlflow needs mlflow. .*"carina-cxr\[mlflow\]"'):
        open_trackers(["mlflow:here"])


def test_a_tracker_that_fails_loses_no_result() -> None:
    def fail(_: Record) -> None:
        raise OSError

    said: list[str] = []
    send([fail], Record("run", "mine"), said.append)
    assert said == ["The run is finished, but it could not be tracked (OSError)."]
