"""What other precisions than float32 change, and what they save; and how near the graph is to its Keras model.

    python benchmarks/precisions.py RUN [--cache DIR] [--images 400] [--rounds 15] [--test] --out OUT.json

Needs the train extra, and the data sets that the run was trained on where they were. On the calibration images:

- Keras and the graph in float32: the largest difference of a probability.
- Three ways to 8-bit integers, each measured against float32 on both engines: ONNX Runtime's `quantize_static`, a scale
  a channel, ranges from training images; that of `carina export --int8`; the same with the first convolutions, which
  are the most sensitive ones, left in float32.
- bf16, where the processor has it; else every step of the graph rounded to bf16, which only says what that changes.

`--test` measures `carina export --int8` on the test split, too: once, when nothing is chosen any more.

Speed is processor time on one core from tensor to outputs, in batches of 16, all graphs in each round, one after the
other: what else the machine does then counts little. Ratios are to float32 on the same engine, the median over rounds.
"""

import argparse
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto, helper

from carina.benchmark.arithmetic import matrix_products, multiply_adds
from carina.bundles.int8_twin import TwinLimits
from carina.bundles.run_folder import KERAS_FILE, LUNGS_FILE, ONNX_FILE, FinishedRun, open_run
from carina.bundles.safety import last_part
from carina.datasets.manifest import open_dataset
from carina.evaluation.int8_parity import compare
from carina.learning.data.frames import Frames
from carina.learning.data.training_data import reopen_training_data
from carina.learning.export.quantise import quantise
from carina.learning.export.make_twins import ROUNDED_ON, shown
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import Backend, available_precisions, installed_backends, load_engine
from carina.runtime.machine import describe_machine, library_versions
from carina.storage.cache_folder import default_cache_folder

BATCH = 16
LEFT_IN_FLOAT = (9, 39)
ALLOWED = TwinLimits()
Greys = NDArray[np.uint8]


def batches(greys: Greys, run: FinishedRun) -> Iterator[NDArray[np.float32]]:
    """Yield the tensors of what the network is shown."""
    for start in range(0, len(greys), BATCH):
        yield to_tensor(greys[start : start + BATCH], run.preprocessing.pixel_range)


def logits(graph: Path, greys: Greys, run: FinishedRun, backend: Backend = "auto") -> NDArray[np.float32]:
    """Return what a graph gives, float32 ``(n, findings)``."""
    return np.concatenate([o["logits"] for o in load_engine(graph, backend=backend).stream(batches(greys, run))])


def against_keras(folder: Path, greys: Greys, run: FinishedRun) -> dict[str, Any]:
    """Return how far the graph is from the Keras model that it was exported from."""
    model = keras.models.load_model(folder / KERAS_FILE, compile=False)
    of_keras = np.concatenate([np.asarray(model(tensors, training=False)) for tensors in batches(greys, run)])
    found: dict[str, Any] = {"images": len(greys)}
    for backend in installed_backends():
        of_graph = logits(folder / ONNX_FILE, greys, run, backend)
        pair = [run.policy.probabilities(each) for each in (of_keras, of_graph)]
        found[backend] = {
            "largest_difference_of_a_logit": float(np.abs(of_keras - of_graph).max()),
            "largest_difference_of_a_probability": float(np.abs(pair[0] - pair[1]).max()),
        }
    return found


def plainly(graph: Path, greys: Greys, run: FinishedRun, out: Path) -> None:
    """Write the graph as ONNX Runtime's own quantiser makes it: convolutions, a scale a channel, ranges as seen."""
    from onnxruntime.quantization import (  # noqa: PLC0415  # warns when it is imported
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        left = batches(greys, run)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            tensors = next(self.left, None)
            return None if tensors is None else {"tensor": tensors}

    logging.getLogger().setLevel(logging.ERROR)
    prepared = out.with_suffix(".prepared.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        # Seven bits for weights: without dot-product instructions eight overflow in pairs.
        quantize_static(
            str(prepared),
            str(out),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def rounded_to_bf16(graph: Path, out: Path) -> None:
    """Write a graph in which what every step reads and gives is rounded to bf16, and computed in float32."""
    model, nodes = onnx.load(graph), []
    outputs = {value.name for value in model.graph.output}

    def cast(name: str, gives: str) -> None:
        nodes.append(helper.make_node("Cast", [name], [f"{gives}/bf16"], to=TensorProto.BFLOAT16))
        nodes.append(helper.make_node("Cast", [f"{gives}/bf16"], [gives], to=TensorProto.FLOAT))

    for number, node in enumerate(model.graph.node):
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            for i in (0, 1):
                cast(node.input[i], f"read/{number}/{i}")
                node.input[i] = f"read/{number}/{i}"
        nodes.append(node)
        gives = node.output[0]
        if node.op_type in ("Conv", "Mul", "Add", "Clip") and gives not in outputs:
            node.output[0] = f"{gives}/exact"
            cast(f"{gives}/exact", gives)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, out)


def speeds(graphs: Mapping[str, Path], greys: Greys, run: FinishedRun, rounds: int) -> dict[str, Any]:
    """Return images a second of processor time, and ratios to the first graph, on each engine."""
    tensors = next(batches(greys, run))
    products = [each for each in matrix_products(1, (1024,)) if each.library == "OpenVINO"]
    found: dict[str, Any] = {}
    for backend in installed_backends():
        engines = {name: load_engine(path, backend=backend, threads=1) for name, path in graphs.items()}
        tasks: dict[str, Any] = {name: lambda engine=engine: engine.run(tensors) for name, engine in engines.items()}
        if products:
            tasks["matrix product"] = products[0].compute
        took: dict[str, list[float]] = {name: [] for name in tasks}
        for number in range(rounds + 1):
            for name, task in tasks.items():
                started = time.process_time()
                task()
                if number:
                    took[name].append(time.process_time() - started)
        reference = next(iter(graphs))
        found[backend] = {
            name: {
                "images_a_second_of_a_core": round(len(tensors) / statistics.median(took[name]), 1),
                "times_float32": round(
                    statistics.median(a / b for a, b in zip(took[reference], took[name], strict=True)), 3
                ),
            }
            for name in graphs
        }
        needed = multiply_adds(graphs[reference])
        if products and needed:
            gflops = products[0].operations / statistics.median(took["matrix product"]) / 1e9
            limit = gflops * 1e9 / (2 * needed)
            found[backend]["matrix_product_gflops"] = round(gflops, 1)
            for name in graphs:
                share = found[backend][name]["images_a_second_of_a_core"] / limit
                found[backend][name]["share_of_float32_matrix_product_limit"] = round(share, 3)
    return found


def parities(
    reference: Path, graphs: Mapping[str, Path], greys: Greys, truth: NDArray[np.integer], run: FinishedRun
) -> dict[str, Any]:
    """Return what graphs change beside the reference, on each engine."""
    found: dict[str, Any] = {name: {} for name in graphs}
    for backend in installed_backends():
        before = logits(reference, greys, run, backend)
        for name, graph in graphs.items():
            parity = compare(before, logits(graph, greys, run, backend), truth, run.policy, engine=backend)
            share = round(parity.changed / parity.images, 5)
            found[name][backend] = parity.model_dump() | {"changed_share": share, "allowed": parity.within(ALLOWED)}
            print(name, parity.in_words(), flush=True)
    return found


def read(
    frames: Frames, rows: pl.DataFrame, run: FinishedRun, most: int | None = None
) -> tuple[Greys, NDArray[np.int64]]:
    """Return what the network is shown of rows, and the places of their findings."""
    greys, kept = shown(frames, rows)
    return greys[:most], np.array([run.findings.index(finding) for finding in kept["finding"]])[:most]


def write(result: Mapping[str, Any], out: Path) -> None:
    """Write what is known so far."""
    out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description="What other precisions than float32 change and save.")
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    parser.add_argument("--images", type=int, default=400, help="calibration images that Keras judges, too")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--test", action="store_true", help="also measure on the test split of the run's first data set"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    folder, run = arguments.run, open_run(arguments.run)
    _, data = reopen_training_data(folder)
    frames = Frames(run.preprocessing, folder / LUNGS_FILE, arguments.cache)
    taken = data.train_rows.sample(min(data.train_rows.height, 2 * ROUNDED_ON), seed=0, shuffle=True)
    train = read(frames, taken, run)[0]
    greys, truth = read(frames, data.stopping_rows, run)
    # From end to end: rows are in the order of the import, one finding after the other.
    some = np.linspace(0, len(greys) - 1, min(arguments.images, len(greys))).astype(int)
    result: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/precisions.py", *(last_part(word) for word in sys.argv[1:])]),
        "model": {"name": run.name, "sha256": run.model_sha256},
        "recipe": {
            "rounded_on": ROUNDED_ON,
            "measured_on": f"{len(greys)} images of the {run.stopping_split} split of {data.name}",
            "limits": ALLOWED.model_dump(),
            "speed": f"processor time of one core, batch {BATCH}, {arguments.rounds} rounds",
        },
        "machine": describe_machine(),
        "versions": library_versions(),
        "keras": against_keras(folder, greys[some], run),
    }
    print(result["keras"], flush=True)
    with TemporaryDirectory(prefix="carina-precisions-") as temporary:
        place = Path(temporary)
        graphs = {"plain": place / "plain.onnx", "own": place / "own.onnx"}
        plainly(folder / ONNX_FILE, train[:ROUNDED_ON], run, graphs["plain"])
        made = quantise(
            folder / ONNX_FILE, lambda some: to_tensor(some, run.preprocessing.pixel_range), train[:ROUNDED_ON]
        )
        made.write(graphs["own"])
        order = list(made.rounded)
        for number in LEFT_IN_FLOAT:
            name = f"own, the first {number} of {len(order)} convolutions in float32"
            graphs[name] = place / f"own-{number}.onnx"
            made.write(graphs[name], without=order[:number])
        result["bytes"] = {name: path.stat().st_size for name, path in graphs.items()}
        result["speed"] = speeds({"float32": folder / ONNX_FILE} | graphs, greys, run, arguments.rounds)
        print(json.dumps(result["speed"], indent=1), flush=True)
        write(result, arguments.out)
        result["parity"] = parities(folder / ONNX_FILE, graphs, greys, truth, run)
        write(result, arguments.out)
        if arguments.test:
            rows = open_dataset(data.datasets[0].folder).rows("test")
            known = rows.filter(pl.col("finding").is_in(run.findings))
            test, of_test = read(frames, known, run)
            result["test"] = parities(folder / ONNX_FILE, {"own": graphs["own"]}, test, of_test, run)
            write(result, arguments.out)
        if "bf16" not in available_precisions("auto"):
            rounded_to_bf16(folder / ONNX_FILE, place / "bf16.onnx")
            before, after = (
                logits(path, greys[some], run, "onnxruntime") for path in (folder / ONNX_FILE, place / "bf16.onnx")
            )
            simulated = compare(before, after, truth[some], run.policy, engine="ONNX Runtime, rounded")
            largest = float(np.abs(before - after).max())
            result["bf16"] = simulated.model_dump() | {"largest_difference_of_a_logit": largest}
    write(result, arguments.out)


if __name__ == "__main__":
    main()
