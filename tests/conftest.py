"""What several test files share: a small data set, run, bundle and evaluation, and what is said of skipped tests."""

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from threadpoolctl import ThreadpoolController

from amount import sampled
from carina.bundles.verification import Verification
from carina.bundles.writing import export_bundle
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset, open_dataset
from carina.learning.recipe import Recipe, load_recipe
from carina.phantoms.phantom import write_phantoms
from quick_training import remember_in, train_quickly
from shared import made_once, shared_folder

# A test on a busy machine takes as long as it takes.
settings.register_profile("carina", deadline=None, max_examples=sampled(100))
settings.load_profile("carina")

# pytest-xdist's processes share the cores already.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


# The rooms whose tests take longest, and those that need TensorFlow: one process begins with them.
_FIRST = ("unit/learning", "contract", "end_to_end")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests: a slow one that begins last is waited for by all other processes."""
    tests = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        place = item.path.relative_to(tests).as_posix()
        return next((rank for rank, room in enumerate(_FIRST) if place.startswith(room)), len(_FIRST))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Leave the cores to the other processes of the tests, and what was imported to itself.

    OpenBLAS' threads spin for a while after each product. The garbage collector would look again and again at the
    million objects of Keras, SciPy and others.
    """
    ThreadpoolController().limit(limits=1, user_api="blas")
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def _remember(tmp_path_factory: pytest.TempPathFactory) -> None:
    remember_in(shared_folder(tmp_path_factory) / "exported")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    train_quickly(graphs=item.get_closest_marker("graphs") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    train_quickly()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a skipped test fail where ``CARINA_ALL_PROGRAMS`` says that every program is installed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CARINA_ALL_PROGRAMS"):
        report.outcome = "failed"
        report.longrepr = f"This test was skipped, though CARINA_ALL_PROGRAMS is set: {skip_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say in one line what was not tested."""
    reasons = sorted({skip_reason(report) for report in terminalreporter.stats.get("skipped", [])})
    if reasons:
        count = len(terminalreporter.stats["skipped"])
        terminalreporter.write_line(
            f"Not tested on this machine ({count} tests skipped): {'; '.join(reasons)}. "
            "`make services` installs missing programs on Debian."
        )


def skip_reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ").rstrip(".")


TINY_RECIPE = """
name = "tiny"
method = "{method}"
split = "{split}"
[preprocessing]
size = 64
[backbone]
weights = "none"
alpha = 0.35
taps = ["block_6_expand_relu", "out_relu"]
[augmentation]
rotation_turns = 0.02
shift = 0.05
[training]
epochs = 3
batch_size = 32
patience = 3
class_weights = "balanced"
[operating_point]
target = 0.8
"""


@pytest.fixture(scope="session")
def phantom_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a small data set, not to be altered."""

    def make(folder: Path) -> None:
        manifest = write_phantoms(folder / "images", count=120, size=96, difficulty=0.0, seed=7)
        import_dataset(manifest, folder / "dataset")

    return open_dataset(made_once(tmp_path_factory, "phantoms", make) / "dataset")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_folder(tmp_path_factory) / "cache"


def tiny_recipe(folder: Path, *, method: str = "cached-embeddings", split: str = "train-calibration-test") -> Recipe:
    path = folder / f"tiny-{method}-{split}.toml"
    path.write_text(TINY_RECIPE.format(method=method, split=split), encoding="utf-8")
    return load_recipe(str(path))


@pytest.fixture(scope="session")
def tiny_run(phantom_dataset: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of a small training, not to be altered."""

    def make(folder: Path) -> None:
        from carina.learning.train import train

        train_quickly()
        train(phantom_dataset.folder, tiny_recipe(folder), folder / "run", cache=cache, command="test")

    return made_once(tmp_path_factory, "runs", make) / "run"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Verification]:
    """Return the small run's bundle, not to be altered, and what its verification said."""
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    return out, export_bundle(tiny_run, out, name="tiny-bundle", version="1.2.3", write_card=lambda b: f"# {b.name}\n")
