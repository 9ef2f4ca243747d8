"""What the benchmarks of a site found, as their results say it: nothing lost, nothing doubled, nothing told."""

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[2] / "results"


def result(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return content


KILLED = sorted(RESULTS.glob("killed_site_*.json"))


@pytest.mark.parametrize("path", KILLED, ids=[path.stem for path in KILLED])
def test_kills_lose_and_double_nothing(path: Path) -> None:
    found = result(path.stem)
    assert path.stem == f"killed_site_{found['database']}"
    assert sum(found["kills"].values()) >= 20
    assert found["acknowledged"] >= 500
    assert found["verdicts"] > 0
    assert (found["lost"], found["doubled"], found["not judged"], found["verdicts lost"]) == (0, 0, 0, 0)
    assert found["chain broken at"] is None
    # An older result has no answers, and its kills mostly met a site that was starting.
    if "answers" in found:
        assert set(found["kills"]) >= {"first", "web", "worker", "listener", "outbox", "judge of worker"}
        assert found["kills while all parts worked"] > 0.5 * sum(found["kills"].values())
        assert found["answers"] > 0
        assert (found["answered twice"], found["answers lost"], found["not answered"]) == (0, 0, 0)


def test_a_site_recovers_from_each_fault_with_a_clear_word() -> None:
    trials = result("site_faults")["trials"]
    assert set(trials) == {"full disk", "lost database", "dying judge", "clock set back"}
    for name, found in trials.items():
        assert found["all_judged"], name
        assert found["words_afterwards"] == [], name
        assert found["words"] or found["its_page_says_so"], name


def test_planted_identifiers_are_where_they_belong_and_nowhere_else() -> None:
    found = result("planted_identifiers")
    assert found["planted"] == 200
    assert set(found["found_where_none_should_be"].values()) == {0}
    assert min(found["found_where_they_belong"].values()) > 50
    assert {"log --json", "log as lines", "metrics (HTTP 200)", "webhooks", "alerts"} <= set(
        found["found_where_none_should_be"]
    )
    assert min(found["notices_looked_at"], found["alerts_looked_at"], found["studies_deleted"]) > 0
