"""Records go to MLflow: a server, a database or a folder."""

import os
import re

from carina.errors import ConfigurationError
from carina.tracking.record import Record, Tracker

_EXPERIMENT = "carina"
# What MLflow takes in a name, and at once.
_NOT_IN_NAMES = re.compile(r"[^\w.\- /]")
_AT_ONCE, _LONGEST = 100, 500


def mlflow_tracker(uri: str) -> Tracker:
    """Return what writes to the store at a URI; see MLflow's ``tracking_uri``.

    Raises
    ------
    ConfigurationError
        If it cannot be reached.
    """
    from mlflow import MlflowClient  # noqa: PLC0415  # of an extra
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

    # Who names a folder wants a folder, which MLflow otherwise refuses since it goes on with databases alone.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    # It would tell its makers that it is used.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(_EXPERIMENT)
        place = client.create_experiment(_EXPERIMENT) if experiment is None else experiment.experiment_id
    except Exception as error:  # noqa: BLE001  # its stores raise errors of many libraries
        msg = f"mlflow:{uri} cannot be used ({type(error).__name__}). Check the address, and that its server runs."
        raise ConfigurationError(msg) from None

    def write(record: Record) -> None:
        run = client.create_run(place, run_name=record.name, tags={"carina.kind": record.kind})
        number = run.info.run_id
        metrics = [Metric(_named(name), value, 0, 0) for name, value in record.metrics.items()]
        for name, values in record.curves.items():
            metrics += [Metric(_named(name), value, 0, epoch) for epoch, value in enumerate(values, start=1)]
        parameters = [Param(_named(name), value[:_LONGEST]) for name, value in record.parameters.items()]
        tags = [RunTag(f"carina.{name}", value) for name, value in record.tags.items()]
        for start in range(0, max(len(metrics), len(parameters)), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            client.log_batch(number, metrics[part], parameters[part], tags if start == 0 else [])
        for artefact in record.artefacts:
            client.log_artifact(number, str(artefact))
        client.set_terminated(number)

    return write


def _named(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)
