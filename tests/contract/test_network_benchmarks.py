"""What the listener's benchmarks count is what they say, and their committed results hold what the README says."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lost_doubled_and_sent_again_are_told_apart() -> None:
    endurance = script("listener_endurance")
    # B has two answers of different UIDs, C one that came twice, D none; nobody acknowledged E.
    answers_to = {"a": "A", "b1": "B", "b2": "B", "c": "C", "e": "E"}
    counted = endurance.tally("ABCD", {"a": 1, "b1": 1, "b2": 1, "c": 2, "e": 1}, answers_to)
    assert counted == endurance.Tally(acknowledged=4, answered=4, lost=1, doubled=1, sent_again=1, never_asked_for=1)


def test_the_committed_trial_is_the_whole_one() -> None:
    counted = json.loads((ROOT / "results" / "listener_endurance.json").read_text("utf-8"))
    assert (counted["objects"], counted["kills"]) == (2000, 50)
    assert (counted["acknowledged"], counted["answered"]) == (2000, 2000)
    assert (counted["lost"], counted["doubled"]) == (0, 0)


def test_the_committed_rates_are_of_all_contestants_and_four_associations() -> None:
    results = json.loads((ROOT / "results" / "listener_throughput.json").read_text("utf-8"))
    measured = results["objects_per_second"]
    assert sum("4 associations" in case for case in measured) == 2
    for rates in measured.values():
        assert {len(values) for values in rates.values()} == {5}
        assert rates.keys() == {"carina", "bare", "written", "disk alone"}
