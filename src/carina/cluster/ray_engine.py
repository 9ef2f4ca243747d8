"""Ray, started or joined, with every setting that it needs, and a batch's steps as a stream of Ray Data."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event, Thread
from typing import Any, cast

from carina.cluster.node import Files, Model, complaint, node_name
from carina.cluster.stages import Job, JudgeUnit, read_unit, write_unit
from carina.errors import ConfigurationError
from carina.runtime.machine import usable_cores

AUTO = "auto"
# Nothing is told to anybody, and no page is served. All are read when Ray is imported or starts.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # What dies is tried again or told by `carina batch` itself; Ray's own words about it are in its log files.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # A machine has more workers than cores, since a task takes a share of one. Ray ends those that rest for a second,
    # and starting one costs a core some seconds: as much as judging hundreds of radiographs.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # These were a third of what Ray's own processes take of a core beside the work: a list of all tasks for its pages,
    # counts of its events, and a look at the memory of all processes four times a second, where once is enough.
    "RAY_task_events_report_interval_ms": "0",
    "RAY_event_stats": "0",
    "RAY_memory_monitor_refresh_ms": "1000",
}
# Ray waits 30 s for its own processes, which a busy machine needs longer to start.
_STARTS = 3
# For units that wait: 17 MB each, of which a core has two or three.
_MEMORY_PER_CORE, _LEAST_MEMORY = 96 * 1024**2, 256 * 1024**2
# Of each core: reading and decoding, judging, writing. What a core does more of is settled by the system.
_READ_CPU, _JUDGE_CPU, _WRITE_CPU = 0.4, 0.4, 0.2
# Another share than that of reading: Ray would make one task of both, and lose how often it is tried.
_NUMBER_CPU = 0.1
# How often it is asked whether machines are left.
_LOOK_S = 10.0
_NO_MACHINE = (
    "No machine of the cluster is left that judges. The batch waits for one. Start a machine, or stop the batch and "
    "type the same command again later."
)
_MACHINE_IS_BACK = "A machine of the cluster is back. The batch goes on."
# A unit whose process died is tried once more, then its images one by one, and each of these once more.
RETRIES = 1


@contextmanager
def started(address: str, **more: Any) -> Iterator[None]:
    """Start Ray on this machine (`AUTO`) or join the cluster at an address; a Ray that this process has is used.

    Parameters
    ----------
    address
        `AUTO`, or that of a cluster.
    more
        Further settings of Ray's, for tests.

    Raises
    ------
    ConfigurationError
        If there is no cluster at the address.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray  # noqa: PLC0415  # it reads the environment

    if ray.is_initialized():
        yield
        return
    cores = usable_cores()
    memory = max(_LEAST_MEMORY, cores * _MEMORY_PER_CORE)
    here: dict[str, Any] = {"num_cpus": cores, "object_store_memory": memory, "include_dashboard": False}
    settings = {"logging_level": logging.ERROR, "log_to_driver": False, **(here if address == AUTO else {}), **more}
    logging.getLogger("ray").setLevel(logging.ERROR)
    for left in reversed(range(_STARTS)):
        try:
            with _silent():
                ray.init(address="local" if address == AUTO else address, **settings)
        except Exception as error:  # noqa: BLE001  # Ray raises this class itself where a machine is too busy to start
            ray.shutdown()
            if not left or address != AUTO:
                msg = f"--ray {address}: Ray was not reached ({type(error).__name__}). Check that it runs there."
                raise ConfigurationError(msg) from None
        else:
            break
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Send what Ray's C++ side says of its own log level nowhere; what goes wrong comes as an exception."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def put_bundle(files: Files) -> Any:
    """Return a reference to the bundle's files; each machine fetches them once."""
    import ray  # noqa: PLC0415

    return ray.put(files)


def _fetch(files: list[Any]) -> Files:
    """Return the bundle's files on a machine; in a list, a reference is not fetched before it is asked for."""
    import ray  # noqa: PLC0415

    return cast("Files", ray.get(files[0]))


def require_alike(model: Model, files: Any) -> int:
    """Let each machine of the cluster load the model, and return how many cores there are.

    Raises
    ------
    ConfigurationError
        If a machine must not judge; each is named with its reason.
    """
    import ray  # noqa: PLC0415
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    check = ray.remote(complaint)
    asked = {
        node_name(node): check.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(model, files)
        for node in nodes
    }
    complaints = []
    for name, answer in asked.items():
        try:
            said = ray.get(answer)
        except Exception as error:  # noqa: BLE001  # such as a Carina there that has no such function
            said = f"it could not be asked ({type(error).__name__}). Is the same Carina installed there?"
        if said is not None:
            complaints.append(f"{name}: {said}")
    if complaints:
        msg = f"{len(complaints)} of {len(nodes)} machines must not judge. {' '.join(complaints)}"
        raise ConfigurationError(msg)
    return max(1, int(sum(node["Resources"]["CPU"] for node in nodes)))


@contextmanager
def told_of_machines(note: Callable[[str], None]) -> Iterator[None]:
    """Say it when no machine is left that judges: Ray waits for the next one without a word."""
    import ray  # noqa: PLC0415

    done = Event()

    def look() -> None:
        there = True
        while not done.wait(_LOOK_S):
            with suppress(Exception):  # Ray's head is gone, which ends the batch with an error of its own
                found = any(node["Alive"] and node["Resources"].get("CPU") for node in ray.nodes())
                if found != there:
                    note(_MACHINE_IS_BACK if found else _NO_MACHINE)
                there = found

    watcher = Thread(target=look, name="machines", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def quiet_data() -> Any:
    """Return the settings of Ray Data: what dies too often is told by its absence, and nothing is printed."""
    import ray.data  # noqa: PLC0415

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    return context


def numbers(count: int) -> Any:
    """Return a dataset of so many blocks, each with its number in the column id, made by tasks of a share of a core.

    `ray.data.range` takes a whole core for each, which a machine with one core never has beside what judges there.
    """
    import pyarrow as pa  # noqa: PLC0415
    import ray.data  # noqa: PLC0415
    from ray.data.block import BlockMetadata  # noqa: PLC0415

    class Numbers(ray.data.Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> int:
            return 8 * count

        def get_read_tasks(self, parallelism: int, **_: Any) -> list[Any]:  # noqa: ARG002  # it is in the signature
            told = BlockMetadata(num_rows=1, size_bytes=8, input_files=None, exec_stats=None)
            return [ray.data.ReadTask(lambda n=n: [pa.table({"id": [n]})], told) for n in range(count)]

    return ray.data.read_datasource(Numbers(), override_num_blocks=count, num_cpus=_NUMBER_CPU)


def mapped(dataset: Any, work: Any, **settings: Any) -> Any:
    """Return a dataset that work was mapped over, each block by itself; `RETRIES` must be among the settings of tasks.

    Ray Data would otherwise try again without end what ends its process.
    """
    with warnings.catch_warnings():
        # From Ray 2.64 on retries are to be given otherwise; 2.60 has no other way.
        warnings.filterwarnings("ignore", message=".*ray_remote_args")
        return dataset.map_batches(work, **settings)


def stream(job: Job, model: Model, files: Any, cores: int) -> Iterator[dict[str, Any]]:
    """Yield what `write_unit` says of each unit, in the order in which they are done.

    A unit whose process died more often than it is tried is not told of.
    """
    import ray.data  # noqa: PLC0415

    quiet_data()
    pool = ray.data.ActorPoolStrategy(size=min(cores, job.count), max_tasks_in_flight_per_actor=2)
    reading = mapped(numbers(job.count), read_unit, fn_kwargs={"job": job}, num_cpus=_READ_CPU, max_retries=RETRIES)
    judging = mapped(
        reading,
        JudgeUnit,
        fn_constructor_args=(job, model, partial(_fetch, [files])),
        compute=pool,
        num_cpus=_JUDGE_CPU,
        max_task_retries=RETRIES,
    )
    units = mapped(judging, write_unit, fn_kwargs={"job": job}, num_cpus=_WRITE_CPU)
    yield from units.iter_rows()
