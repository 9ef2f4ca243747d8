"""What other precisions reach and save, with each instruction set; and how near the graph is to its Keras model.

    python benchmarks/precisions.py BUNDLE RUN [--external DATASET] [--quantisers] [--rounds 15] --out OUT.json

BUNDLE was exported from RUN with --int8. Needs the train extra, and the data sets of the run where they were.

- What each precision reaches beside f32, with its own thresholds: on the calibration and test images as the bundle has
  it, and on another data set (`--external`).
- Each instruction set of this processor in turn (`masked_processor`): processor time of one core from what the network
  is shown to its outputs, float32 and int8 in turn in each round; and how far logits are from those with the first.
- With `--quantisers` others than Carina's: ONNX Runtime's `quantize_static` with weights of 8 and 7 bits and without a
  sign, each with thresholds of its own, and what it gives with each instruction set.
- Keras and the graph in float32: the largest difference of a probability.
"""

import argparse
import hashlib
import json
import logging
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from masked_processor import SETS, build_mask, masked
from numpy.typing import NDArray

from carina.bundles.bundle import in_precision, open_bundle
from carina.bundles.run_folder import KERAS_FILE, LUNGS_FILE, ONNX_FILE, FinishedRun, open_run
from carina.bundles.safety import last_part
from carina.bundles.twin import INT8_FILE
from carina.bundles.verification import pipeline_of
from carina.datasets.manifest import labels_of, open_dataset
from carina.decisions.policy import fit_policy
from carina.evaluation.adaptation.site import judge_images
from carina.evaluation.twin_trial import try_twin
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import Precision, installed_backends, load_engine
from carina.runtime.machine import describe_machine, library_versions
from carina.storage.cache_folder import default_cache_folder

BATCH = 4
QUANTISERS = {"8 bits": ("QInt8", False), "7 bits": ("QInt8", True), "8 bits without a sign": ("QUInt8", False)}
Greys = NDArray[np.uint8]


def given(engine: Any, greys: Greys, pixel_range: str) -> Iterator[Any]:
    """Yield what an engine takes of what the network is shown."""
    for start in range(0, len(greys), BATCH):
        part = greys[start : start + BATCH]
        yield part if engine.takes_bytes else to_tensor(part, pixel_range)


def logits(graph: Path, greys: Greys, run: FinishedRun, backend: str = "onnxruntime") -> NDArray[np.float32]:
    """Return what a graph gives, float32 ``(n, findings)``."""
    engine = load_engine(graph, backend=backend)  # type: ignore[arg-type]
    batches = given(engine, greys, run.preprocessing.pixel_range)
    return np.concatenate([outputs["logits"] for outputs in engine.stream(batches)])


def on_this_processor(graphs: Mapping[str, Path], greys: Path, pixel_range: str, rounds: int) -> dict[str, Any]:
    """Return processor time and a hash of the logits of each graph, with the instructions that this process has."""
    images = np.load(greys)
    engines = {name: load_engine(graph, backend="onnxruntime", threads=1) for name, graph in graphs.items()}
    tasks = {name: (engine, next(given(engine, images, pixel_range))) for name, engine in engines.items()}
    took: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 2):
        for name, (engine, batch) in tasks.items():
            started = time.process_time()
            for _ in range(4):
                engine.run(batch)
            if number > 1:
                took[name].append((time.process_time() - started) / 4)
    first = next(iter(took))
    found: dict[str, Any] = {}
    for name, engine in engines.items():
        given_logits = np.concatenate([o["logits"] for o in engine.stream(given(engine, images, pixel_range))])
        ratios = [a / b for a, b in zip(took[first], took[name], strict=True)]
        found[name] = {
            "images_a_second_of_a_core": round(BATCH / statistics.median(took[name]), 1),
            "times_float32": round(statistics.median(ratios), 3),
            "logits_sha256": hashlib.sha256(given_logits.tobytes()).hexdigest()[:16],
            "logits": given_logits.astype(float).round(6).tolist(),
        }
    return found


def with_each_set(graphs: Mapping[str, Path], greys: Greys, pixel_range: str, rounds: int, place: Path) -> Any:
    """Return `on_this_processor` for each instruction set, and how far its logits are from those with the first."""
    library = build_mask(place)
    if library is None:
        return "this machine cannot hide instructions from a process: see benchmarks/masked_processor.py"
    np.save(place / "greys.npy", greys)
    words = [f"{name}={graph}" for name, graph in graphs.items()]
    found: dict[str, Any] = {}
    for each in SETS:
        command = [sys.executable, __file__, "--here", str(place / "greys.npy"), pixel_range, str(rounds), *words]
        done = subprocess.run(command, env=masked(library, each), capture_output=True, check=True)
        found[each] = json.loads(done.stdout.splitlines()[-1])
    reference = {name: np.array(found[SETS[0]][name]["logits"]) for name in graphs}
    for of_set in found.values():
        for name, figures in of_set.items():
            apart = np.abs(np.array(figures.pop("logits")) - reference[name])
            figures["largest_difference_of_a_logit"] = float(apart.max())
    return found


def plainly(graph: Path, greys: Greys, run: FinishedRun, out: Path, weights: str, *, seven: bool) -> None:
    """Write the graph as ONNX Runtime's own quantiser makes it: a scale a channel, ranges by percentile."""
    from onnxruntime import quantization as q  # noqa: PLC0415  # warns when it is imported
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]
        left = (to_tensor(greys[i : i + 16], run.preprocessing.pixel_range) for i in range(0, len(greys), 16))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            tensors = next(self.left, None)
            return None if tensors is None else {"tensor": tensors}

    logging.getLogger().setLevel(logging.ERROR)
    prepared = out.with_suffix(".prepared.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        q.quantize_static(
            str(prepared),
            str(out),
            Reader(),
            quant_format=q.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "Clip"],
            per_channel=True,
            reduce_range=seven,
            activation_type=q.QuantType.QUInt8,
            weight_type=getattr(q.QuantType, weights),
            calibrate_method=q.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": 99.99},
        )


def of_quantisers(folder: Path, rounds: int, place: Path) -> dict[str, Any]:
    """Return what other quantisers reach with thresholds of their own, and give with each instruction set."""
    from carina.learning.data.frames import Frames  # noqa: PLC0415  # TensorFlow, for this alone
    from carina.learning.data.training_data import reopen_training_data  # noqa: PLC0415
    from carina.learning.export.make_twins import ROUNDED_ON, shown  # noqa: PLC0415

    run = open_run(folder)
    recipe, data = reopen_training_data(folder)
    frames = Frames(run.preprocessing, folder / LUNGS_FILE, default_cache_folder())
    taken = data.train_rows.sample(min(data.train_rows.height, ROUNDED_ON), seed=0, shuffle=True)
    train = shown(frames, taken)[0]
    greys, rows = shown(frames, data.stopping_rows)
    truth, groups = labels_of(rows, run.findings), rows["group"].to_numpy().astype(np.int64)
    rule = recipe.operating_point.model_copy(update={"finding": run.policy.flag_finding}).rule_for(run.findings)

    def policy_of(values: NDArray[np.float32]) -> Any:
        return fit_policy(values, truth, run.findings, rule, recipe.decisions, chosen_on="these", groups=groups)

    before = logits(folder / ONNX_FILE, greys, run)
    reference = before, policy_of(before)
    graphs, found = {"f32": folder / ONNX_FILE}, {}
    for name, (weights, seven) in QUANTISERS.items():
        graphs[name] = place / f"{name}.onnx"
        plainly(folder / ONNX_FILE, train, run, graphs[name], weights, seven=seven)
        after = logits(graphs[name], greys, run)
        trial = try_twin(reference, (after, policy_of(after)), truth, groups, engine="ONNX Runtime")
        found[name] = trial.model_dump()
        print(name, trial.in_words(), flush=True)
    sets = with_each_set(graphs, greys[:: max(1, len(greys) // 64)][:64], run.preprocessing.pixel_range, rounds, place)
    return {"reached": found, "instruction_sets": sets}


def on_another(bundle: Path, dataset: Path) -> list[dict[str, Any]]:
    """Return what each precision reaches beside f32 on the test images of another data set."""
    described, _ = open_bundle(bundle)
    opened = open_dataset(dataset)
    rows = opened.rows("test").filter(pl.col("finding").is_in(described.findings))
    judged, precisions = {}, tuple[Precision, ...](("f32", *described.offered))
    for precision in precisions:
        pipeline = pipeline_of(bundle, described, precision, "onnxruntime" if precision != "bf16" else "openvino", None)
        parts = list(judge_images(pipeline, rows.select("path", "sha256").iter_rows()))
        judged[precision] = [np.concatenate([getattr(p, name) for p in parts]) for name in ("logits", "accepted")]
    found = []
    for precision in described.offered:
        kept = judged["f32"][1] & judged[precision][1]
        before, after = ((judged[each][0][kept], in_precision(described, each).policy) for each in ("f32", precision))
        truth, groups = labels_of(rows, described.findings)[kept], rows["group"].to_numpy().astype(np.int64)[kept]
        trial = try_twin(before, after, truth, groups, engine=precision)
        print(dataset.name, precision, trial.in_words(), flush=True)
        found.append({"precision": precision, "dataset": dataset.name, **trial.model_dump()})
    return found


def against_keras(folder: Path, greys: Greys, run: FinishedRun) -> dict[str, Any]:
    """Return how far the graph is from the Keras model that it was exported from."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: PLC0415  # TensorFlow, for this alone

    model = keras.models.load_model(folder / KERAS_FILE, compile=False)
    tensors = to_tensor(greys, run.preprocessing.pixel_range)
    of_keras = np.concatenate(
        [np.asarray(model(tensors[i : i + 16], training=False)) for i in range(0, len(greys), 16)]
    )
    found: dict[str, Any] = {"images": len(greys)}
    for backend in installed_backends():
        of_graph = logits(folder / ONNX_FILE, greys, run, backend)
        pair = [run.policy.probabilities(each) for each in (of_keras, of_graph)]
        found[backend] = {
            "largest_difference_of_a_logit": float(np.abs(of_keras - of_graph).max()),
            "largest_difference_of_a_probability": float(np.abs(pair[0] - pair[1]).max()),
        }
    return found


def main() -> None:
    """Measure and write the JSON."""
    if sys.argv[1:2] == ["--here"]:
        images, pixel_range, rounds, *words = sys.argv[2:]
        graphs = {name: Path(graph) for name, graph in (word.split("=", 1) for word in words)}
        print(json.dumps(on_this_processor(graphs, Path(images), pixel_range, int(rounds))))
        return
    parser = argparse.ArgumentParser(description="What other precisions than float32 reach and save.")
    parser.add_argument("bundle", type=Path, help="exported with --int8")
    parser.add_argument("run", type=Path, help="the finished run that it was exported from")
    parser.add_argument("--external", type=Path, help="a data set, whose test images are judged, too")
    parser.add_argument("--images", type=int, default=300, help="calibration images that Keras judges, too")
    parser.add_argument("--quantisers", action="store_true", help="also measure other quantisers than Carina's")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    described, _ = open_bundle(arguments.bundle)
    run = open_run(arguments.run)
    rows = open_dataset(_first_dataset(arguments.run)).rows("calibration")
    some = rows[np.linspace(0, rows.height - 1, min(arguments.images, rows.height)).astype(int).tolist()]
    pipeline = pipeline_of(arguments.bundle, described, "f32", "onnxruntime", None)
    parts = judge_images(pipeline, some.select("path", "sha256").iter_rows())
    greys = np.concatenate([part.frames for part in parts])
    result: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/precisions.py", *(last_part(word) for word in sys.argv[1:])]),
        "model": {"name": described.name, "sha256": described.model_sha256},
        "machine": describe_machine(),
        "versions": library_versions(),
        "twins": [twin.model_dump(exclude={"policy"}) for twin in described.twins],
        "keras": against_keras(arguments.run, greys, run),
    }
    if arguments.external is not None:
        result["external"] = on_another(arguments.bundle, arguments.external)
    with TemporaryDirectory(prefix="carina-precisions-") as place:
        graphs = {"f32": arguments.bundle / ONNX_FILE, "int8": arguments.bundle / INT8_FILE}
        pixel_range = described.preprocessing.pixel_range
        result["instruction_sets"] = with_each_set(graphs, greys[:64], pixel_range, arguments.rounds, Path(place))
        print(json.dumps(result["instruction_sets"], indent=1), flush=True)
        _write(result, arguments.out)
        if arguments.quantisers:
            result["other_quantisers"] = of_quantisers(arguments.run, arguments.rounds, Path(place))
    _write(result, arguments.out)


def _first_dataset(run: Path) -> Path:
    return Path(json.loads((run / "started.json").read_text("utf-8"))["datasets"][0])


def _write(result: Mapping[str, Any], out: Path) -> None:
    out.write_text(json.dumps(result, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8")


if __name__ == "__main__":
    main()
