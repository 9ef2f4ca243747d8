"""What the benchmarks of ``carina batch`` found: no row is missing, doubled or different, however it was judged."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "results"


def result(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return content


def assert_the_rows_of_predict(rows: dict[str, Any], files: int) -> None:
    assert rows["rows"] == files
    assert (rows["missing"], rows["twice"], rows["different"]) == (0, 0, 0)
    assert rows["largest_difference_of_a_probability"] == 0


def test_two_nodes_give_the_rows_of_predict_and_do_twice_the_work_of_one() -> None:
    found = result("batch_equal")
    assert found["files"] >= 20_000
    for rows in found["rows against carina predict"].values():
        assert_the_rows_of_predict(rows, found["files"])
    assert found["efficiency of two nodes"] >= 0.9


def test_kills_lose_double_and_change_nothing() -> None:
    found = result("batch_killed")
    assert found["files"] >= 20_000
    assert min(found["killed"].values()) > 0
    assert_the_rows_of_predict(found["rows against carina predict"], found["files"])


def test_a_million_addresses_take_the_driver_little_more_memory_than_ten_thousand() -> None:
    assert result("batch_memory")["more_mb"] <= 200
