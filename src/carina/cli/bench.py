"""``carina bench``: how fast a model predicts on this machine."""

import json
from pathlib import Path
from typing import Annotated

from carina.bundles.bundle import released_bundle
from carina.cli.console import print_result, progress_bars
from carina.cli.options import BackendOption, PrecisionOption, ThreadsOption, argument, switch

EXAMPLE = "bench --quick"


def bench_command(
    bundle: Annotated[
        Path | None, argument("BUNDLE", "A bundle or a finished run. Default: the released bundle.")
    ] = None,
    as_json: Annotated[bool, switch("Print the result as JSON.", "--json")] = False,
    quick: Annotated[bool, switch("Use fewer images and rounds, for a rough answer.", "--quick")] = False,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Measure how fast a model predicts on this machine.

    Speed, latency and memory on synthetic radiographs, each compared with ONNX Runtime and with the machine's limits.
    """
    from carina.benchmark.bench import FULL, QUICK, run_bench  # noqa: PLC0415  # what draws phantoms, for this alone

    with progress_bars() as bar:
        bench = run_bench(
            bundle or released_bundle(),
            backend=backend,
            precision=precision,
            threads=threads,
            plan=QUICK if quick else FULL,
            progress=bar("measuring"),
        )
    print_result(json.dumps(bench.to_json(), ensure_ascii=False) if as_json else bench.table())
