"""Carina against a Keras pipeline that does the same, in one run and in the same rounds.

    python benchmarks/against_keras.py [BUNDLE] [--quick] [--out FILE.json]

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
import sys
from collections.abc import Sequence
from pathlib import Path

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


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description="Carina against a Keras pipeline that does the same.")
    parser.add_argument("bundle", type=Path, nargs="?", help="by default the released one")
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--out", type=Path, help="also write all figures as JSON to this file")
    arguments = parser.parse_args()
    # What draws phantoms and times; the script for one image does without.
    from carina.benchmark.bench import FULL, QUICK, run_bench  # noqa: PLC0415
    from carina.benchmark.contestants import Contestant  # noqa: PLC0415

    folder = arguments.bundle or released_bundle()
    pipeline = KerasPipeline(folder)
    script = (sys.executable, str(Path(__file__).resolve()), "--one", str(folder))
    bench = run_bench(
        folder,
        plan=QUICK if arguments.quick else FULL,
        rivals=[Contestant("Keras", pipeline.logits, pipeline.decide, command=script)],
        notes=(NOTE,),
    )
    print(bench.table())
    if arguments.out is not None:
        command = {"command": " ".join(["python", "benchmarks/against_keras.py", *sys.argv[1:]])}
        arguments.out.write_text(json.dumps(command | bench.to_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        predict_one(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
