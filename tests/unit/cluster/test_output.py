"""One driver per output, and parts that neither lose a row nor have one twice."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from carina.cluster import lock
from carina.cluster.entries import Entry
from carina.cluster.lock import held
from carina.cluster.output_store import Store
from carina.cluster.pending import Counts, pending_units, write_listing
from carina.cluster.table_parts import encode, forget_failed, judged_keys, part_name, part_of, read_parts
from carina.errors import ConfigurationError

COLUMNS = pa.schema([("address", pa.string()), ("error_code", pa.string()), ("passed_over", pa.bool_())])


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    yield Store(str(tmp_path / "out") if request.param == "folder" else "memory://out")
    fsspec.filesystem("memory").store.clear()


def rows(*addresses: str, error: str | None = None) -> list[dict[str, object]]:
    return [{"address": address, "error_code": error, "passed_over": False} for address in addresses]


def put(store: Store, rows: list[dict[str, object]]) -> None:
    store.put(*part_of(rows, COLUMNS))


def test_a_second_driver_is_refused_until_the_first_is_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 0.5)
    said: list[str] = []
    with held(store, said.append):
        with pytest.raises(ConfigurationError, match="another carina batch is writing to it"), held(store, said.append):
            pass
        assert len(said) == (store.folder is None)
    with held(store, said.append) as lost:
        assert not lost.is_set()


def test_the_output_of_a_driver_that_died_is_taken_over_and_the_sleeper_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store("memory://taken")
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 0.05)
    monkeypatch.setattr(lock, "BEAT_S", 0.3)
    with held(store, lambda _: None) as lost:
        time.sleep(0.02)
        with held(store, lambda _: None) as mine:
            assert lost.wait(5)
            assert not mine.is_set()


def test_of_two_that_take_over_one_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("memory://both")
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 0.1)
    store.put("_carina/lock-1", b"died")
    outcomes: list[str] = []
    hold = threading.Event()

    def drive() -> None:
        try:
            with held(store, lambda _: None):
                outcomes.append("held")
                hold.wait(5)
        except ConfigurationError:
            outcomes.append("refused")
            hold.set()

    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert sorted(outcomes) == ["held", "refused"]


def test_the_same_addresses_make_the_same_part(store: Store) -> None:
    put(store, rows("a", "b"))
    put(store, rows("a", "b"))
    assert store.names(ending=".parquet") == [part_name(["a", "b"])]
    assert part_name(["a", "b"]) != part_name(["ab"]) != part_name(["b", "a"])


def test_what_failed_is_forgotten_and_the_rest_stays(store: Store) -> None:
    put(store, rows("a") + rows("b", error="not-found"))
    put(store, rows("c", error="not-found"))
    assert forget_failed(store) == 2
    assert [table.column("address").to_pylist() for _, table in read_parts(store, ["address"])] == [["a"]]
    assert forget_failed(store) == 0


def test_units_keep_their_borders_when_some_are_done(store: Store) -> None:
    entries = [Entry(f"{number}.png", f"{number}.png") for number in range(10)]
    put(store, rows(*(each.address for each in entries[4:8]), "2.png"))
    counts = Counts()
    listing = write_listing(store, "_carina/listing", pending_units(entries, judged_keys(store), counts, 4))
    found = [[each.address for each in listing.unit(number)] for number in range(listing.units)]
    assert found == [["0.png", "1.png", "3.png"], ["8.png", "9.png"]]
    assert (counts.listed, counts.judged_before, listing.inputs) == (10, 5, 5)


def test_a_part_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(TypeError):
        store.put("part-1.parquet", "no bytes")  # type: ignore[arg-type]
    (tmp_path / ".partial-1234.parquet").write_bytes(encode(pa.table({"address": ["a"]}))[:20])
    assert store.names(ending=".parquet") == []
    store.clean()
    assert list(tmp_path.iterdir()) == []
