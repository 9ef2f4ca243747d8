"""Where a run and its evaluations are recorded: ``mlflow:URI`` or ``tensorboard:FOLDER``.

It is written when the run or the evaluation is finished.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from carina.errors import ConfigurationError
from carina.extras import needed_for
from carina.tracking.record import Record, Tracker


def open_trackers(places: Sequence[str]) -> list[Tracker]:
    """Return what writes to each place; what can be refused is refused here, before any work is done.

    Raises
    ------
    ConfigurationError
        If a place is none, or its library is not installed.
    """
    return [_open_tracker(place) for place in places]


def _open_tracker(place: str) -> Tracker:
    kind, _, where = place.partition(":")
    if kind == "mlflow" and where:
        with needed_for("--track mlflow"):
            from carina.tracking.mlflow_tracker import mlflow_tracker  # noqa: PLC0415  # of an extra

            return mlflow_tracker(where)
    if kind == "tensorboard" and where:
        with needed_for("--track tensorboard"):
            from carina.tracking.tensorboard_tracker import tensorboard_tracker  # noqa: PLC0415  # of an extra

            return tensorboard_tracker(Path(where))
    msg = f"{place} is no place to track to. Write mlflow:URI or tensorboard:FOLDER. Received: {place!r}"
    raise ConfigurationError(msg)


def send(trackers: Sequence[Tracker], record: Record, tell: Callable[[str], None]) -> None:
    """Write a record to each place; what one of them does not take is told, and the result itself is not lost."""
    for tracker in trackers:
        try:
            tracker(record)
        except Exception as error:  # noqa: BLE001  # a server may fail in any way, after hours of training
            tell(f"The {record.kind} is finished, but it could not be tracked ({type(error).__name__}).")
