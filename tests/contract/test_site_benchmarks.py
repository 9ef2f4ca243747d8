"""What the benchmarks of a site found, as their results say it: nothing lost, nothing doubled, nothing told."""

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[2] / "results"


def needs(name: str, script: str) -> pytest.MarkDecorator:
    """Skip what has no result yet, and say what makes it."""
    made_by = f"python benchmarks/{script}.py --out results/{name}.json"
    return pytest.mark.skipif(not (RESULTS / f"{name}.json").is_file(), reason=f"no result yet: {made_by}")


def result(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return content


@pytest.mark.parametrize(
    "database",
    [pytest.param("sqlite", marks=needs("killed_site_sqlite", "killed_site")), "postgresql"],
)
def test_kills_lose_and_double_nothing(database: str) -> None:
    found = result(f"killed_site_{database}")
    assert found["database"] == database
    assert sum(found["kills"].values()) >= 20
    assert found["acknowledged"] >= 500
    assert found["verdicts"] > 0
    assert (found["lost"], found["doubled"], found["not judged"], found["verdicts lost"]) == (0, 0, 0, 0)
    assert found["chain broken at"] is None


@needs("site_faults", "site_faults")
def test_each_fault_ends_in_words_on_the_page_and_is_over_by_itself() -> None:
    trials = result("site_faults")["trials"]
    assert set(trials) == {"full disk", "lost database", "dying judge", "clock set back"}
    for name, found in trials.items():
        assert found["all_judged"], name
        assert found["words_afterwards"] == [] or name == "clock set back", name
        assert found["words"] or found["its_page_says_so"], name


def test_planted_identifiers_are_where_they_belong_and_nowhere_else() -> None:
    found = result("planted_identifiers")
    assert found["planted"] == 200
    assert set(found["found_where_none_should_be"].values()) == {0}
    assert min(found["found_where_they_belong"].values()) > 50


@needs("arrivals", "arrivals")
def test_films_that_arrive_are_all_judged() -> None:
    found = result("arrivals")
    assert found["sent"] == found["judged"] == found["judgements"]
    assert found["sent_to_priority_s"]["p95"] > 0
