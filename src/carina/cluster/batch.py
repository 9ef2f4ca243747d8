"""``carina batch``: a table with one row per input, whatever dies on the way, and the same again when it goes on."""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from carina.bundles.bundle import released_bundle
from carina.cluster.entries import Entry, is_remote, list_entries
from carina.cluster.lock import held
from carina.cluster.node import Model, pack
from carina.cluster.output_store import Store
from carina.cluster.pending import UNIT, Counts, pending_units, write_listing
from carina.cluster.ray_engine import put_bundle, require_alike, started, stream, told_of_machines
from carina.cluster.stages import Job
from carina.cluster.summary import say_answers, write_summary
from carina.cluster.table_parts import forget_failed, judged_keys, part_of, row_of
from carina.decisions.bands import check_prevalence
from carina.dicom.answers.objects import Kind
from carina.errors import BundleError, ConfigurationError, InputError
from carina.extras import require_libraries
from carina.inference.left_out import LeftOutFiles
from carina.inference.prediction import FOR_RESEARCH, FailedPrediction
from carina.inference.prediction_list import FAILED, PASSED_OVER, say_passed_over, summary
from carina.inference.predictor import Predictor
from carina.inference.results import JudgedBy
from carina.places import kind_of, wrong_place
from carina.runtime.engine import Backend, Precision

BATCH_FILE = "batch.json"
WORK = "_carina"
# With explanations a unit carries its radiographs, of up to 4 MB each.
_EXPLAINED_UNIT = 16

Tell = Callable[[int, int, int], None]
"""Is told how many inputs are done, how many there are, and how many of these failed."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How a batch is judged.

    Attributes
    ----------
    prevalence, backend, precision, deflated
        As of ``carina predict``.
    embeddings, overlays
        Whether each row has its embedding, and whether a picture is written for each image that was judged.
    answers
        Which answers are written for each DICOM image.
    column
        The column of an index with the addresses.
    """

    prevalence: float | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"
    deflated: bool = False
    embeddings: bool = False
    overlays: bool = False
    answers: tuple[Kind, ...] = ()
    column: str | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch did.

    Attributes
    ----------
    listed, judged_before
        Inputs that were named, and how many of these had a row already.
    judged
        What was said of the others, by the words of `carina.inference.prediction_list.said_of`.
    tried_again
        How many failed before and were judged again.
    left_out
        Files that are no images, by kind.
    summary
        What is in ``summary.json``, over all rows of the table.
    """

    listed: int
    judged_before: int
    judged: Counter[str]
    tried_again: int
    left_out: Counter[str]
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def failed_rows(self) -> int:
        """Return how many rows of the whole table are errors."""
        return sum(self.summary["errors"].values())

    def lines(self) -> list[str]:
        """Return what a person should know in the end."""
        again = f" Failed before and tried again: {self.tried_again:,}." if self.tried_again else ""
        now = self.judged.total() - self.judged[FAILED] - self.judged[PASSED_OVER]
        lines = [
            f"Had a row before: {self.judged_before:,}.{again} Judged now: {now:,}. Rows: {self.summary['rows']:,}."
        ]
        lines.append(summary(Counter(self.summary["priorities"]) + Counter({FAILED: self.failed_rows})))
        if answers := self.summary.get("answers"):
            lines.append(say_answers(answers))
        if said := say_passed_over(self.summary["passed_over"]):
            lines.append(said)
        return [*lines, FOR_RESEARCH]


def run_batch(
    sources: Sequence[str],
    out: str,
    *,
    bundle: Path | None = None,
    ray: str = "auto",
    settings: BatchSettings | None = None,
    retry_failed: bool = False,
    tell: Tell = lambda _done, _total, _failed: None,
    note: Callable[[str], None] = lambda _: None,
    unit: int | None = None,
) -> BatchResult:
    """Judge all inputs that have no row yet, on a cluster of Ray, and return what was done.

    Parameters
    ----------
    sources
        See `carina.cluster.entries.list_entries`.
    out
        A folder that all machines see, or the address of one in a bucket.
    bundle
        By default the released one. It must be sealed.
    ray
        ``auto`` starts Ray on this machine; else the address of a cluster.
    retry_failed
        Whether what failed before is tried again.
    tell, note
        Are told how far it is, and what a person should know.
    unit
        How many inputs are read, judged and written together.

    Raises
    ------
    ConfigurationError
        If the output belongs to another model, is held by another driver or lies in a source, or a machine differs.
    BundleError
        If it is no sealed bundle.
    OSError
        If the output cannot be written.
    """
    chosen = settings or BatchSettings()
    if chosen.answers:
        require_libraries("Writing DICOM answers", "highdicom")
    check_prevalence(chosen.prevalence)
    folder = bundle or released_bundle()
    if kind_of(folder) != "bundle":
        raise BundleError(wrong_place(folder, "bundle"))
    _require_outside(out, sources)
    predictor = Predictor(folder, backend=chosen.backend, precision=chosen.precision, threads=1)
    model = Model.of(predictor, chosen.prevalence, answering=bool(chosen.answers))
    store, left_out, counts = Store(out), LeftOutFiles(), Counts()
    with held(store, note) as lost:
        store.clean()
        _require_same(store, model, chosen)
        tried_again = forget_failed(store) if retry_failed else 0
        work = f"{WORK}/listing-{secrets.token_hex(4)}"
        entries = list_entries(sources, column=chosen.column, left_out=left_out)
        units = pending_units(entries, judged_keys(store), counts, unit or _unit_of(chosen))
        try:
            listing = write_listing(store, work, units)
            judged: Counter[str] = Counter()
            if listing.units:
                job = Job(
                    store,
                    listing,
                    predictor.run.preprocessing.read_size,
                    chosen.deflated,
                    chosen.embeddings,
                    chosen.overlays,
                    chosen.answers,
                )
                with started(ray), told_of_machines(note):
                    judged = _Run(job, model, predictor, tell, lost).judge(pack(folder))
        finally:
            store.delete(work)
        told = {"listed": counts.listed, "left_out": dict(left_out.counts)}
        content = write_summary(store, folder, told, answering=bool(chosen.answers))
    return BatchResult(counts.listed, counts.judged_before, judged, tried_again, left_out.counts, content)


def _unit_of(settings: BatchSettings) -> int:
    return _EXPLAINED_UNIT if settings.overlays or settings.answers else UNIT


def _require_outside(out: str, sources: Iterable[str]) -> None:
    for source in sources:
        if is_remote(source) or is_remote(out):
            inside = f"{out}/".startswith(f"{source.rstrip('/')}/")
        else:
            inside = Path(source).is_dir() and Path(out).resolve().is_relative_to(Path(source).resolve())
        if inside:
            msg = f"--out {out} lies in {source}, which is to be judged. Choose a folder outside."
            raise ConfigurationError(msg)


def _require_same(store: Store, model: Model, settings: BatchSettings) -> None:
    """Refuse an output that was made otherwise; a new one gets what it is made with."""
    made = {
        "judged_by": asdict(model.judged_by),
        "engine": model.engine,
        "carina": model.version,
        "embeddings": settings.embeddings,
        "overlays": settings.overlays,
        "answers": list(settings.answers),
    }
    try:
        before = json.loads(store.read(BATCH_FILE))
    except FileNotFoundError:
        if store.names(ending=".parquet"):
            msg = f"--out {store.address} holds Parquet files and no {BATCH_FILE}: it is no table of carina batch."
            raise ConfigurationError(msg) from None
        store.put(BATCH_FILE, json.dumps(made, indent=2).encode() + b"\n")
        return
    other = JudgedBy(**before["judged_by"]).difference(model.judged_by)
    if other is None:
        differing = [name for name in made if made[name] != before[name] and name != "judged_by"]
        other = f"another setting of {differing[0]} ({made[differing[0]]})" if differing else None
    if other is not None:
        msg = f"--out {store.address} was begun otherwise; this would go on with {other}. Name another output."
        raise ConfigurationError(msg)


class _Run:
    """The units of one batch on a cluster that runs."""

    def __init__(self, job: Job, model: Model, predictor: Predictor, tell: Tell, lost: Event) -> None:
        self._job, self._model, self._predictor = job, model, predictor
        self._tell, self._lost = tell, lost
        self._said: Counter[str] = Counter()

    def judge(self, files: Any) -> Counter[str]:
        """Judge all units, then what ended a process one by one, and return what was said."""
        bundle = put_bundle(files)
        cores = require_alike(self._model, bundle)
        self._tell(0, self._job.listing.inputs, 0)
        raised = self._stream(self._job, bundle, cores)
        if not raised:
            return self._said
        places = [(unit, place) for unit in raised for place in range(len(self._job.listing.unit(unit)))]
        alone = Job(**{name: getattr(self._job, name) for name in Job.__slots__} | {"single": tuple(places)})
        broken = self._stream(alone, bundle, cores)
        for number, why in broken.items():
            self._write_error(alone.entries(number)[0], why)
        return self._said

    def _stream(self, job: Job, bundle: Any, cores: int) -> dict[int, str]:
        """Judge the units of a job, and return those that have no part, each with the reason where one is known."""
        without = dict.fromkeys(range(job.count), "")
        for row in stream(job, self._model, bundle, cores):
            if self._lost.is_set():
                msg = f"--out {job.store.address} was taken over by another carina batch."
                raise ConfigurationError(msg)
            if row["failed"]:
                raise OSError(row["failed"])
            if row["raised"]:
                without[row["unit"]] = row["raised"]
                continue
            without.pop(row["unit"], None)
            self._count(row["said"])
        return without

    def _count(self, said: Iterable[str]) -> None:
        self._said.update(said)
        self._tell(self._said.total(), self._job.listing.inputs, self._said[FAILED])

    def _write_error(self, entry: Entry, why: str) -> None:
        how = f"raised {why}" if why else "ended the process"
        msg = (
            f"reading or judging it {how}, twice: the file is damaged, or was made to do harm. "
            "Copy it again from where it came from."
        )
        failed = FailedPrediction(Path(entry.address), InputError(msg, "unreadable-file"))
        row = row_of(entry, None, failed, self._model.rows(self._predictor), version=self._model.version)
        name, content = part_of([row], self._job.schema(self._predictor.run.findings))
        self._job.store.put(name, content)
        self._count([FAILED])
