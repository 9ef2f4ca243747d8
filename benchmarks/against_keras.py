"""Carina against a Keras pipeline that does the same, in one run and in the same rounds.

    python benchmarks/against_keras.py [BUNDLE] [--quick] [--out FILE.json]

Carina computes in f32; beside it, in the same rounds, stands Carina in int8, where the bundle offers it. Then the same
is measured, of small files alone, as if the processor had fewer instructions (see masked_processor.py). It takes about
four minutes on two cores that do nothing else.

Needs the train extra. The Keras pipeline is the usual one: Pillow decodes and resizes inside tf.data, and
`model.predict` runs the model.keras that the same bundle holds. A bundle has no lung segmenter for Keras: the pipeline
seeks lungs with ONNX Runtime, which is faster than Keras would, and crops, asks the gate and decides by Carina's.
Beside it stands all that `carina bench` measures: ONNX Runtime for both graphs, and the processor's limit.

    python benchmarks/against_keras.py --one BUNDLE FILE

is the same pipeline as a script for one image: what is timed against `carina predict FILE`.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from carina.bundles.bundle import open_model, released_bundle
from carina.bundles.run_folder import GATE_FILE, KERAS_FILE, LUNGS_FILE
from carina.decisions.triage import Triage, choose_triage
from carina.radiographs.gate import read_gate
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import frame, to_tensor

_BATCH = 32
# Instruction sets whose figures are asked for, beside the processor's own.
_HIDDEN = ("AVX-512 VNNI", "AVX2")
NOTE = "Keras: Pillow and tf.data read, ONNX Runtime seeks lungs (a bundle has no Keras model for it), predict judges."


class KerasPipeline:
    """Files become decisions as one usually does it with Keras."""

    def __init__(self, folder: Path) -> None:
        self.run = open_model(folder)
        self.model = keras.models.load_model(folder / KERAS_FILE, compile=False)
        self.lung_finder = None
        if self.run.preprocessing.crop == "lungs":
            self.lung_finder = LungFinder(folder / LUNGS_FILE, backend="onnxruntime")
        self.gate = None if self.run.gate is None else read_gate(folder / GATE_FILE)

    def logits(self, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits of tensors, by `model.predict`."""
        return np.asarray(self.model.predict(tensors, batch_size=_BATCH, verbose=0))

    def decide(self, paths: Sequence[Path]) -> NDArray[np.float64]:
        """Take every decision, and return the probabilities."""
        if len(paths) == 1:
            logits = self.logits(self._tensors(self._read(str(paths[0]))[np.newaxis]))
        else:
            logits = np.asarray(self.model.predict(self._dataset(paths), verbose=0))
        probabilities = self.run.policy.probabilities(logits)
        for row in probabilities:
            self.triage(row)
        return probabilities

    def triage(self, probabilities: NDArray[np.float64]) -> Triage:
        """Return the decision on one row of probabilities."""
        return choose_triage(dict(zip(self.run.findings, probabilities.tolist(), strict=True)), self.run.policy)

    def _dataset(self, paths: Sequence[Path]) -> tf.data.Dataset:
        size = self.run.preprocessing.size

        def read(path: tf.Tensor) -> tf.Tensor:
            return tf.numpy_function(lambda name: self._read(name.decode()), [path], tf.uint8)

        def crop(wholes: tf.Tensor) -> tf.Tensor:
            tensors = tf.numpy_function(self._tensors, [wholes], tf.float32)
            return tf.ensure_shape(tensors, (None, size, size, 3))

        named = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
        return named.map(read, tf.data.AUTOTUNE).batch(_BATCH).map(crop).prefetch(tf.data.AUTOTUNE)

    def _read(self, name: str) -> NDArray[np.uint8]:
        size = (self.run.preprocessing.read_size,) * 2
        with Image.open(name) as image:
            if image.mode.startswith("I"):
                grey = np.asarray(image.convert("F").resize(size, Image.Resampling.BOX))
                # 12 bits in 16, as Carina takes them to be.
                return np.clip(np.rint(grey * (255 / 4095)), 0, 255).astype(np.uint8)
            return np.asarray(image.convert("L").resize(size, Image.Resampling.BOX))

    def _tensors(self, wholes: NDArray[np.uint8]) -> NDArray[np.float32]:
        preprocessing = self.run.preprocessing
        greys, found = list(wholes), [None] * len(wholes)
        if self.lung_finder is not None:
            seen = self.lung_finder.find(greys)
            found = list(seen.lungs)
            if self.gate is not None:
                # What it says is left aside: of phantoms it refuses all, and the network is asked all the same.
                self.gate.judge(seen.features, greys, found)
        framed = [frame(whole, lungs, preprocessing) for whole, lungs in zip(wholes, found, strict=True)]
        return to_tensor(np.stack(framed), preprocessing.pixel_range)


def predict_one(folder: Path, film: Path) -> None:
    """Print the decision on one file, as a script would."""
    pipeline = KerasPipeline(folder)
    (probabilities,) = pipeline.decide([film])
    print(json.dumps({"probabilities": probabilities.tolist(), "priority": pipeline.triage(probabilities).priority}))


def measure(folder: Path, *, quick: bool, instructions: str | None) -> Any:
    """Return the figures of Carina in f32 and in int8, and of the Keras pipeline, in the same rounds."""
    # What draws phantoms and times; the script for one image does without.
    from carina.benchmark.bench import FULL, QUICK, run_bench  # noqa: PLC0415
    from carina.benchmark.contestants import Contestant, carina_itself  # noqa: PLC0415
    from carina.benchmark.films import LARGE, MEDIUM, SMALL  # noqa: PLC0415
    from carina.inference.predictor import Predictor  # noqa: PLC0415

    if quick:
        plan = QUICK
    else:
        # Keras takes most of the time, and its median needs no seven rounds.
        bulk, singles = {SMALL: 128, MEDIUM: 16, LARGE: 6}, {SMALL: 40, MEDIUM: 6, LARGE: 2}
        plan = replace(FULL, rounds=3, tensors=128, bulk=bulk, singles=singles, many=500, matrix_sizes=(1024,))
    if instructions is not None:
        of_small = {"films": {SMALL: 48}, "bulk": {SMALL: 96}, "singles": {SMALL: 12}}
        plan = replace(plan, **of_small, tensors=64, many=0)
    pipeline = KerasPipeline(folder)
    rivals = []
    if "int8" in getattr(pipeline.run, "offered", ()):
        predictor = Predictor(folder, precision="int8")
        rivals.append(carina_itself(predictor, folder, "auto", "int8", None, name="Carina int8"))
    script = None
    if instructions is None:
        script = (sys.executable, str(Path(__file__).resolve()), "--one", str(folder))
    rivals.append(Contestant("Keras", pipeline.logits, pipeline.decide, command=script))
    return run_bench(folder, precision="f32", plan=plan, rivals=rivals, notes=(NOTE,), instructions=instructions)


def with_fewer_instructions(folder: Path, *, quick: bool) -> Any:
    """Return the figures with each instruction set that can be hidden; a sentence where none can."""
    from masked_processor import SETS, build_mask, masked  # noqa: PLC0415  # the script for one image does without

    from carina.runtime.machine import instruction_set  # noqa: PLC0415

    with TemporaryDirectory(prefix="carina-mask-") as place:
        library = build_mask(Path(place))
        if library is None:
            return "This machine cannot hide instructions from a process: see benchmarks/masked_processor.py."
        newest = instruction_set()
        older = SETS[SETS.index(newest) + 1 :] if newest in SETS else ()
        found = []
        for each in (each for each in _HIDDEN if each in older):
            # Graphs that were compiled for all instructions are not to be taken from the cache.
            environment = masked(library, each) | {"CARINA_CACHE": str(Path(place, each))}
            command = [sys.executable, __file__, str(folder), "--hidden", each, *(["--quick"] if quick else [])]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        return found


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description="Carina against a Keras pipeline that does the same.")
    parser.add_argument("bundle", type=Path, nargs="?", help="by default the released one")
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--hidden", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="also write all figures as JSON to this file")
    arguments = parser.parse_args()
    folder = arguments.bundle or released_bundle()
    bench = measure(folder, quick=arguments.quick, instructions=arguments.hidden)
    if arguments.hidden:
        print(json.dumps(bench.to_json()))
        return
    print(bench.table(), flush=True)
    older = with_fewer_instructions(folder, quick=arguments.quick)
    print(older if isinstance(older, str) else "\n\n".join(map(_in_short, older)))
    if arguments.out is not None:
        command = {"command": " ".join(["python", "benchmarks/against_keras.py", *sys.argv[1:]])}
        content = command | bench.to_json() | {"fewer_instructions": older}
        arguments.out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _in_short(bench: dict[str, Any]) -> str:
    lines = [f"With {bench['instructions']}:"]
    for row in bench["rows"]:
        figures = {"Carina": row["figure"], **row["rivals"]}
        of_all = ", ".join(f"{name} {figure['value']:.4g}" for name, figure in figures.items())
        shares = {"Carina": row["share_of_parts"], **row["rivals_share_of_parts"]}
        of_parts = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items() if share is not None)
        lines.append(
            f"{row['measured']}, {row['statistic']} ({row['unit']}): {of_all}"
            + (of_parts and f"; of parts: {of_parts}")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        predict_one(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
