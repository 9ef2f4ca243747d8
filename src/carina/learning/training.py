"""A training under way: what its steps share, and how long each of them took, also over a kill."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from carina.bundles.run_folder import CHECKPOINT_FOLDER, HISTORY_FILE
from carina.learning.data.frames import Frames
from carina.learning.data.training_data import TrainingData
from carina.learning.recipe import Recipe
from carina.progress import Progress
from carina.runtime.machine import peak_memory_mb
from carina.storage.atomic import write_text

ProgressOf = Callable[[str], Progress]
_log = logging.getLogger(__name__)
_SECONDS_FILE = "seconds.json"


@dataclass
class Training:
    """What the steps of one training hand to each other.

    Attributes
    ----------
    out, cache
        The run folder, and the folder that holds all caches.
    frames
        What the network is shown of the data.
    lung_graph
        The lung segmenter, where the network is shown lungs alone or the recipe has a gate.
    command
        What was typed, for the record.
    progress_of
        Gives, for the name of a stage, what is told of its progress.
    seconds
        How long each stage took so far.
    """

    out: Path
    recipe: Recipe
    data: TrainingData
    frames: Frames
    lung_graph: Path | None
    cache: Path
    command: str
    progress_of: ProgressOf
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the findings in the order of the logits."""
        return self.data.findings

    @property
    def train_rows(self) -> pl.DataFrame:
        """Return the manifest's rows to learn from."""
        return self.data.train_rows

    @property
    def stopping_rows(self) -> pl.DataFrame:
        """Return the manifest's rows to stop on."""
        return self.data.stopping_rows

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; what it took before a kill is added."""
        started, before = time.perf_counter(), self.seconds.get(name, 0.0)
        _log.info("%s ...", name)
        try:
            yield
        finally:
            self.seconds[name] = round(before + time.perf_counter() - started, 2)
        _log.info("%s: %.1f s, memory so far at most %.0f MB", name, self.seconds[name], peak_memory_mb())
        if (self.out / CHECKPOINT_FOLDER).is_dir():
            write_text(self.out / CHECKPOINT_FOLDER / _SECONDS_FILE, json.dumps(self.seconds))

    def count_earlier_starts(self) -> None:
        """Take over the times of the stages that were done before a kill, and of the epochs of a broken-off one."""
        (self.out / CHECKPOINT_FOLDER).mkdir(exist_ok=True)
        earlier, history = self.out / CHECKPOINT_FOLDER / _SECONDS_FILE, self.out / HISTORY_FILE
        done = json.loads(earlier.read_text(encoding="utf-8")) if earlier.is_file() else {}
        fitting = "fine-tune" if self.recipe.method == "fine-tune" else "fit"
        if fitting not in done and history.is_file():
            done[fitting] = float(pl.read_csv(history)["seconds"].sum())
        for name, seconds in done.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
