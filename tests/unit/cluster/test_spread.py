"""Work that is spread over a cluster gives what it gives on one machine, in order."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from carina.cluster.spread import spread_on
from carina.datasets.importing import import_dataset, unreadable
from carina.datasets.manifest import DETAILS_FILE, MANIFEST_FILE
from carina.errors import CarinaError
from carina.evaluation.audit.audit import AuditSettings, run_audit
from carina.phantoms.phantom import write_phantoms
from unit.evaluation.audit.planted import write_model, write_planted

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore"),  # Ray warns of its own settings, and leaves sockets open
]


def square(number: int) -> int:
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number < 0:
        message = "no squares below zero"
        raise ValueError(message)
    return number * number


def test_results_are_in_order_and_what_dies_takes_nothing_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    with spread_on("auto", size=4, lost=lambda number: f"{number} was lost") as spread:
        found = list(spread(square, list(range(20))))
        assert found == [f"{n} was lost" if n == 13 else n * n for n in range(20)]
        assert list(spread(square, [])) == []
        with pytest.raises(ValueError, match="no squares"):
            list(spread(square, [2, -1]))
    with spread_on("auto") as spread, pytest.raises(CarinaError, match="13 on the cluster ended its process twice"):
        list(spread(square, [12, 13]))


def test_an_import_on_a_cluster_is_the_import_on_one_machine(tmp_path: Path) -> None:
    manifest = write_phantoms(tmp_path / "images", count=40, size=96, difficulty=0.2, seed=3)
    images = sorted((tmp_path / "images").rglob("*.png"))
    images[7].write_bytes(images[8].read_bytes())
    images[9].write_bytes(images[9].read_bytes()[:200])
    import_dataset(manifest, tmp_path / "one")
    with spread_on("auto", size=8, cores=0.5, lost=unreadable) as spread:
        import_dataset(manifest, tmp_path / "many", spread=spread)
    for name in (MANIFEST_FILE, "errors.csv", "left_out.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    one, many = (np.load(tmp_path / each / DETAILS_FILE) for each in ("one", "many"))
    np.testing.assert_array_equal(one, many)


def test_an_audit_on_a_cluster_is_the_audit_on_one_machine(tmp_path: Path) -> None:
    dataset = write_planted(tmp_path / "border", "border")
    model = write_model(tmp_path / "model", dataset)
    settings = AuditSettings(train_images=90, test_images=40, explained_images=6, replicates=40)
    one = run_audit(model, dataset, settings=settings, cache=tmp_path / "cache")
    with spread_on("auto") as spread:
        many = run_audit(model, dataset, settings=settings, cache=tmp_path / "cache", spread=spread)
    assert many == one
