"""A model without TensorFlow whose every cell is known: its features are the mean grey and contrast of squares."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from carina.bundles.run_folder import LUNGS_FILE, ONNX_FILE, RUN_FILE, FinishedRun
from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import PolicySettings, fit_policy
from carina.radiographs.preprocess import Preprocessing
from unit.evaluation.audit.planted import write_lung_graph

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
SIZE, CELLS = 64, 4
# Rows: mean grey and mean deviation of a cell. A bright one speaks for COVID-19, a dark one for Normal.
KERNEL = np.array([[20.0, -12.0, 2.0], [0.0, 0.0, 10.0]], np.float32)
BIAS = np.array([-8.0, 4.0, 0.5], np.float32)
# Where `write_lung_graph` finds them, of 160 squares a side: top, left, bottom, right of the box around both.
LUNG_BOX = (40 / 160, 30 / 160, 120 / 160, 130 / 160)


def write_small_run(folder: Path, *, crop: str = "lungs", contributions: bool = True, bias: np.ndarray = BIAS) -> Path:
    """Return a finished run of the model, without what training leaves beside its graphs."""
    folder.mkdir(parents=True)
    write_small_graph(folder / ONNX_FILE, contributions=contributions, bias=bias)
    lungs_sha256 = None
    if crop == "lungs":
        write_lung_graph(folder / LUNGS_FILE)
        lungs_sha256 = sha256_of(folder / LUNGS_FILE)
    rng = np.random.default_rng(3)
    labels = rng.integers(0, len(FINDINGS), 300)
    logits = rng.normal(size=(300, len(FINDINGS))) * 2 + 2.0 * np.eye(len(FINDINGS))[labels] * (1.0, 2.0, 3.0)
    rule = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.9)
    run = FinishedRun(
        name="small",
        findings=FINDINGS,
        preprocessing=Preprocessing(
            size=SIZE, pixel_range="zero-one", crop=crop, whole_size=96, stretch=None, crop_margin=0.05
        ),
        stopping_split="calibration",
        policy=fit_policy(logits, labels, FINDINGS, rule, PolicySettings(), chosen_on="invented logits"),
        weights="none",
        weights_sha256=None,
        model_sha256=sha256_of(folder / ONNX_FILE),
        lungs_sha256=lungs_sha256,
        dataset="none",
        data_fingerprint="0",
        images={},
        epochs=1,
        best_epoch=1,
        seconds={},
        peak_memory_mb=0.0,
        versions={},
        machine="",
        command="",
        finished=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (folder / RUN_FILE).write_text(run.model_dump_json())
    return folder


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_small_graph(path: Path, *, contributions: bool = True, bias: np.ndarray = BIAS) -> None:
    """Write the graph: of the tensor's first channel, the mean and the mean deviation of 16 x 16 pixels are weighed."""
    square = SIZE // CELLS
    pool = {"kernel_shape": [square, square], "strides": [square, square]}
    initial = {
        "starts": np.array([0]),
        "ends": np.array([1]),
        "axes": np.array([3]),
        "cell_axes": np.array([1, 2]),
        "kernel": KERNEL / CELLS**2,
        "bias": bias.astype(np.float32),
        "sizes": np.array([1, 1, square, square], np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["tensor", "starts", "ends", "axes"], ["grey"]),
        helper.make_node("Transpose", ["grey"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["mean"], **pool),
        helper.make_node("Resize", ["mean", "", "sizes"], ["means"], mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric"),
        helper.make_node("Sub", ["nchw", "means"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["deviation"]),
        helper.make_node("AveragePool", ["deviation"], ["contrast"], **pool),
        helper.make_node("Concat", ["mean", "contrast"], ["channels"], axis=1),
        helper.make_node("Transpose", ["channels"], ["map"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["map", "kernel"], ["contributions"]),
        helper.make_node("ReduceSum", ["contributions", "cell_axes"], ["summed"], keepdims=0),
        helper.make_node("Add", ["summed", "bias"], ["logits"]),
    ]  # fmt: skip
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(bias)])]
    if contributions:
        shape = ["n", CELLS, CELLS, len(bias)]
        outputs.append(helper.make_tensor_value_info("contributions", TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", SIZE, SIZE, 3])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in initial.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def spotted(height: int, width: int, *spots: tuple[float, float], grey: int = 60) -> np.ndarray:
    """Return uint8 (height, width): even grey, with a bright spot around each (down, across), as shares."""
    # A little texture: what has two grey values is no film.
    pixels = (grey + np.indices((height, width)).sum(axis=0) % 9).astype(np.uint8)
    pixels[0, 0] = 0
    for down, across in spots:
        centre = (round(across * width), round(down * height))
        cv2.ellipse(pixels, centre, (round(0.05 * width), round(0.05 * height)), 0, 0, 360, 250, cv2.FILLED)
    return pixels
