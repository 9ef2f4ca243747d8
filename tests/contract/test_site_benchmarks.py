"""What the benchmarks of a site found, as their results say it: nothing lost, nothing doubled, nothing told."""

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[2] / "results"


def result(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return content


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kills_lose_and_double_nothing(database: str) -> None:
    found = result(f"killed_site_{database}")
    assert found["database"] == database
    # Every kind of process was killed, most of them at work.
    assert set(found["kills"]) >= {"first", "web", "worker", "listener", "outbox", "judge of worker"}
    assert sum(found["kills"].values()) >= 20
    assert found["kills while all parts worked"] > 0.5 * sum(found["kills"].values())
    assert found["acknowledged"] >= 500
    assert min(found["verdicts"], found["answers"]) > 0
    assert (found["lost"], found["doubled"], found["not judged"], found["verdicts lost"]) == (0, 0, 0, 0)
    assert (found["answered twice"], found["answers lost"], found["not answered"]) == (0, 0, 0)
    assert found["chain broken at"] is None


def test_planted_identifiers_are_where_they_belong_and_nowhere_else() -> None:
    found = result("planted_identifiers")
    assert found["planted"] == 200
    assert set(found["found_where_none_should_be"].values()) == {0}
    assert min(found["found_where_they_belong"].values()) > 50
    assert {"log --json", "log as lines", "metrics (HTTP 200)", "webhooks", "alerts"} <= set(
        found["found_where_none_should_be"]
    )
    assert min(found["notices_looked_at"], found["alerts_looked_at"], found["studies_deleted"]) > 0
