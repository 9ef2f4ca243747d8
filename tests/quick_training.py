"""What makes the trainings of tests cheap and not different: no graphs of TensorFlow, and nothing made twice.

To trace the graph of one training takes many times as long as the few steps that a test trains. Keras' exporter takes
seconds for a network that it has exported before, and so does the quantiser for a graph that it has rounded before.
Commands that a test starts as processes of their own know nothing of this file, and train as users do.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_exported: list[Path] = []
_quantised: dict[str, Any] = {}


def remember_in(folder: Path) -> None:
    """Keep what is exported in a folder, in which the other processes of a test run look, too."""
    folder.mkdir(exist_ok=True)
    _exported[:] = [folder]


def train_quickly(*, graphs: bool = False) -> None:
    """Set up what is loaded of TensorFlow and of Carina's exporter; what is not loaded is left alone.

    Parameters
    ----------
    graphs
        Let TensorFlow make graphs: for a training of so many steps that they pay.
    """
    tensorflow, export = sys.modules.get("tensorflow"), sys.modules.get("carina.learning.export.onnx_export")
    twin = sys.modules.get("carina.learning.export.make_twins")
    if tensorflow is not None:
        tensorflow.config.run_functions_eagerly(not graphs)
    if export is not None and export._export.__name__ != "remembered":
        _remember_exports(export)
    if twin is not None and twin.quantise.__name__ != "remembered":
        _remember_quantised(twin)


def _remember_exports(export: ModuleType) -> None:
    really = export._export

    def remembered(model: Any, path: Path, outputs: Sequence[str]) -> None:
        (folder,) = _exported
        kept = folder / f"{_key(model, outputs)}.onnx"
        if kept.exists():
            shutil.copyfile(kept, path)
            return
        really(model, path, outputs)
        whole = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(path, whole)
        whole.rename(kept)

    export._export = remembered


def _key(model: Any, outputs: Sequence[str]) -> str:
    """Return what tells two networks apart: layers with their settings and shapes, weights, and names of outputs."""
    digest = hashlib.sha256(repr((model.input.shape, outputs)).encode())
    for layer in model.layers:
        settings = {key: value for key, value in layer.get_config().items() if key != "name"}
        digest.update(repr((type(layer).__name__, settings, layer.output.shape)).encode())
    for weights in model.get_weights():
        digest.update(weights.tobytes())
    return digest.hexdigest()


def _remember_quantised(twin: ModuleType) -> None:
    really = twin.quantise

    def remembered(graph: Path, to_tensor: Any, frames: Any, **options: Any) -> Any:
        key = hashlib.sha256(graph.read_bytes() + frames.tobytes()).hexdigest()
        if key not in _quantised:
            _quantised[key] = really(graph, to_tensor, frames, **options)
        return _quantised[key]

    twin.quantise = remembered
