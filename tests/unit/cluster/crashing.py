"""A film that ends the process that reads it, on a cluster and where the steps of one run in the test's process."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from carina.cluster import batch, stages
from carina.cluster.node import Files, Model

CRASH = b"\xff\xd8\xffCRASH"


class Died(BaseException):
    """The process would have ended."""


def crash_on_some(die: Any = lambda: os.kill(os.getpid(), signal.SIGKILL)) -> None:
    """Let films that begin with a certain word end the process: the first that Ray's workers do."""
    read = stages.read_film

    def read_or_die(source: Any, **settings: Any) -> Any:
        if getattr(source, "content", b"").startswith(CRASH):
            die()
        return read(source, **settings)

    stages.read_film = read_or_die


def take_the_place_of_a_cluster(patch: pytest.MonkeyPatch) -> None:
    """Do the steps of a batch one after the other in this process; one that died gives nothing."""

    def die() -> None:
        raise Died

    patch.setattr(stages, "read_film", stages.read_film)
    crash_on_some(die)
    patch.setattr(batch, "put_bundle", lambda files: files)
    patch.setattr(batch, "require_alike", lambda model, files: 1)
    patch.setattr(batch, "stream", _stream)
    patch.setattr(batch, "started", nullcontext)
    patch.setattr(batch, "told_of_machines", nullcontext)


def _stream(job: stages.Job, model: Model, files: Files, cores: int) -> Iterator[dict[str, Any]]:
    judge = stages.JudgeUnit(job, model, lambda: files)
    for number in range(job.count):
        try:
            told = stages.write_unit(judge(stages.read_unit({"id": [number]}, job=job)), job=job)
        except Died:
            continue
        yield {name: value[0] for name, value in told.items()}
