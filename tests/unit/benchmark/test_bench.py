"""A benchmark of a small model: its figures come from the clock, its counts from the graphs, its ratios from both."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carina.benchmark import rounds as bench_rounds
from carina.benchmark.bench import Plan, run_bench
from carina.benchmark.bench_report import Bench, BenchRow, Limit
from carina.benchmark.contestants import Contestant
from carina.benchmark.films import SMALL
from carina.benchmark.rounds import RoundSpread
from carina.errors import ConfigurationError
from carina.runtime.machine import instruction_set
from unit.inference.small_model import CELLS, FINDINGS, write_small_run

TINY = Plan(
    rounds=2,
    films={SMALL: 2},
    tensors=20,
    bulk={SMALL: 18},
    singles={SMALL: 3},
    many=4,
    matrix_sizes=(16, 32),
    pause_s=0,
)
STEP = 0.25


class Ticking:
    """A clock by which everything takes a quarter of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += STEP
        return self.now

    def sleep(self, seconds: float) -> None:
        pass


def constant(findings: int = len(FINDINGS)) -> Contestant:
    """Return a rival that always says the same."""

    def decide(paths: Sequence[Path]) -> np.ndarray:
        return np.full((len(paths), findings), 1 / findings)

    return Contestant("Even", lambda tensors: np.zeros((len(tensors), findings), np.float32), decide)


@pytest.fixture(scope="module")
def bench(small_run: Path) -> Bench:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench_rounds, "time", Ticking())
        return run_bench(small_run, plan=TINY, rivals=[constant()], notes=("Even knows nothing.",))


def row(bench: Bench, measured: str, statistic: str = "bulk") -> BenchRow:
    (found,) = [row for row in bench.rows if (row.measured, row.statistic) == (measured, statistic)]
    return found


@pytest.mark.long
def test_figures_are_what_the_clock_says(bench: Bench) -> None:
    assert row(bench, "tensor to logits").figure.value == 20 / STEP
    assert row(bench, "lungs alone").figure.value == 20 / STEP
    assert row(bench, "decoding alone").figure.value == 18 / STEP
    assert row(bench, "file to decision").figure == RoundSpread(18 / STEP, 18 / STEP, 18 / STEP)
    for statistic in ("p50", "p95", "p99"):
        assert row(bench, "one file to decision", statistic).figure.value == 1000 * STEP
    assert row(bench, "command", "cold start").figure.value == STEP
    assert bench.limit.gflops.value == 2 * 32**3 / STEP / 1e9


@pytest.mark.long
def test_limits_follow_from_counts_and_parts(bench: Bench) -> None:
    model, lungs = bench.limit.multiply_adds["model.onnx"], bench.limit.multiply_adds["lungs.onnx"]
    assert model == CELLS * CELLS * 2 * len(FINDINGS)
    assert lungs is not None
    operations_a_second = 2 * 32**3 / STEP
    assert row(bench, "tensor to logits").limit == pytest.approx(operations_a_second / (2 * model))
    together = operations_a_second / (2 * (model + lungs))
    assert row(bench, "file to decision").limit == pytest.approx(together)
    assert row(bench, "one file to decision", "p50").limit == pytest.approx(1000 / together)
    assert row(bench, "file to decision").parts == pytest.approx(1 / (2 * STEP / 20 + STEP / 18))
    assert row(bench, "file to decision").rivals_parts == {"ONNX Runtime": row(bench, "file to decision").parts}
    assert row(bench, "decoding alone").limit is None


@pytest.mark.long
def test_rivals_stand_beside(bench: Bench) -> None:
    assert set(row(bench, "tensor to logits").rivals) == {"ONNX Runtime", "Even"}
    assert set(row(bench, "lungs alone").rivals) == {"ONNX Runtime"}
    assert row(bench, "file to decision").times("Even") == 1.0
    assert bench.agreement["ONNX Runtime"]["logit from tensor"] < 1e-4
    assert bench.agreement["ONNX Runtime"]["probability from file"] < 1e-4
    assert bench.agreement["Even"]["probability from file"] > 0.01
    assert bench.agreement["Even"]["probability from tensor"] > 0.01


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
@pytest.mark.long
def test_memory_is_that_of_a_process_of_its_own(bench: Bench) -> None:
    peaks = [row for row in bench.rows if row.statistic == "peak memory"]
    assert [row.given for row in peaks] == ["224² JPEG, one", "224² JPEG, 4"]
    assert all(30 < row.figure.value < 2000 for row in peaks)


@pytest.mark.long
def test_json_says_it_all(bench: Bench) -> None:
    content = json.loads(json.dumps(bench.to_json()))
    assert content["format"] == "carina-bench-1"
    assert set(content) == {
        *(
            "format",
            "model",
            "machine",
            "instructions",
            "versions",
            "engine",
            "precision",
            "threads",
            "rounds",
            "limit",
            "rows",
            "agreement",
        ),
        "notes",
    }
    assert set(content["limit"]) == {"gflops", "product", "multiply_adds"}
    for row in content["rows"]:
        assert set(row) == {
            *("instructions", "measured", "given", "statistic", "unit", "figure", "rivals", "limit", "parts"),
            *("rivals_parts", "times_as_good", "share_of_limit", "share_of_parts", "rivals_share_of_parts"),
        }
        assert row["instructions"] == instruction_set()
        assert set(row["figure"]) == {"value", "low", "high"}
        assert row["unit"] in ("images/s", "ms", "s", "MB")


@pytest.mark.long
def test_table_has_a_line_a_figure(bench: Bench) -> None:
    head, rows, foot = bench.table().split("\n\n")
    assert "small on " in head
    assert "model.onnx 0.0 million" in head
    assert rows.splitlines()[0].split() == [
        *("Carina", "rounds", "from–to", "ONNX", "Runtime", "Carina", "is", "Even", "Carina", "is", "limit", "reached"),
        *("of", "parts"),
    ]
    assert len(rows.splitlines()) == 1 + len(bench.rows)
    assert "Largest difference to Even: logit from tensor " in foot
    assert foot.endswith("Even knows nothing.")


def test_ratios_by_hand() -> None:
    limit = Limit(RoundSpread(100.0, 90.0, 110.0), "NumPy, 512²", {"a": 50_000_000, "b": 200_000_000, "c": None})
    # 10^11 operations a second, two for each multiply-add.
    assert limit.images_per_second("a") == 1000.0
    assert limit.images_per_second("a", "b") == 200.0
    assert limit.images_per_second("a", "c") is None
    rival = {"R": RoundSpread(50.0, 50.0, 50.0)}
    fast = BenchRow("m", "g", "bulk", "images/s", RoundSpread(200.0, 190.0, 210.0), rival, limit=400.0, parts=250.0)
    assert (fast.times("R"), fast.share_of_limit, fast.share_of_parts) == (4.0, 0.5, 0.8)
    slow = BenchRow("m", "g", "p50", "ms", RoundSpread(10.0, 9.0, 11.0), rival, limit=2.0)
    assert (slow.times("R"), slow.share_of_limit, slow.share_of_parts) == (5.0, 0.2, None)
    assert slow.times("nobody") is None
    beside = replace(fast, rivals_parts={"R": 80.0}).to_json()
    assert beside["rivals_share_of_parts"] == {"R": 0.625}


@pytest.mark.long
def test_a_model_that_sees_the_whole_film_has_no_search_for_lungs(tmp_path: Path) -> None:
    whole = write_small_run(tmp_path / "whole", crop="none")
    bench = run_bench(whole, plan=replace(TINY, rounds=1))
    assert "lungs alone" not in {row.measured for row in bench.rows}
    assert set(bench.limit.multiply_adds) == {"model.onnx"}


def test_a_command_that_fails_ends_it(small_run: Path) -> None:
    even = constant()
    failing = Contestant("Failing", even.logits, even.decide, command=(sys.executable, "-c", "raise SystemExit('no')"))
    with pytest.raises(ConfigurationError, match=r"failed with exit code 1: no"):
        run_bench(small_run, plan=TINY, rivals=[failing])
