"""Data sets with a signal planted in a known place, and a model without TensorFlow that sees coarse pixels."""

import csv
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from carina.bundles.run_folder import TRAINING_IMAGES_FILE
from carina.bundles.training_images import TrainingImages, write_training_images
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset
from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import PolicySettings, fit_policy
from carina.evaluation.audit.audited_model import AuditedModel
from carina.evaluation.audit.heads import fit_head
from carina.phantoms.phantom import Phantom, draw_phantom
from carina.radiographs.preprocess import Preprocessing, resize_grey, to_tensor
from carina.radiographs.read import read_radiograph
from carina.runtime.engine import load_engine

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
SIZE = 64
POOL = 4
SIDE = SIZE // POOL


@cache
def draw_healthy(seed: int) -> Phantom:
    """Return a phantom, not to be altered: to draw it takes longer than all that is done with it."""
    return draw_phantom("Normal", seed=seed, size=SIZE, difficulty=0.0)


def write_planted(folder: Path, where: str, *, count: int = 420, sources: tuple[str, ...] = ("a", "b")) -> Dataset:
    """Return healthy phantoms whose finding shows as a shade: in the ``border``, the ``lungs`` or ``both``.

    The source shows as a shade of the lowest rows, whatever the finding.
    """
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(8)
    rows = []
    for number in range(count):
        finding = number % 3
        source = int(rng.integers(len(sources)))
        pixels, mask = draw_healthy(number)
        level = pixels.astype(np.float64)
        shade = 26.0 * (finding - 1) + rng.normal(0, 4)
        border = np.ones_like(mask)
        border[7:-7, 7:-7] = False
        if where in ("lungs", "both"):
            level[mask] += shade
        if where in ("border", "both"):
            level[border & ~mask] += shade
        level[-8:] = 40 + 150 * source / max(1, len(sources) - 1)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.clip(level, 1, 254).astype(np.uint8))
        cv2.imwrite(str(folder / "images" / f"mask-{number}.png"), mask.astype(np.uint8) * 255)
        age = int(rng.integers(3, 80))
        paths = (f"images/{number}.png", f"images/mask-{number}.png")
        rows.append((*paths, FINDINGS[finding], f"P{number}", sources[source], age, ("AP", "PA")[number // 3 % 2]))
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "mask", "finding", "patient", "source", "age", "view"))
        writer.writerows(rows)
    return import_dataset(folder / "manifest.csv", folder / "dataset").dataset


def write_graph(path: Path, kernel: np.ndarray, bias: np.ndarray, *, marking: np.ndarray | None = None) -> None:
    """Write a network that averages 4 × 4 pixels of one channel (the embedding) and has a linear head.

    Its contributions are made by `marking` instead of the kernel, if given: a map that marks something else.
    """
    nodes = [
        helper.make_node("AveragePool", ["nchw"], ["pooled"], kernel_shape=[POOL, POOL], strides=[POOL, POOL]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "kernel", "bias"], ["logits"]),
        helper.make_node("Transpose", ["pooled"], ["map"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["map", "marking"], ["contributions"]),
    ]
    nodes.insert(0, helper.make_node("Transpose", ["grey"], ["nchw"], perm=[0, 3, 1, 2]))
    nodes.insert(0, helper.make_node("Slice", ["tensor", "starts", "ends", "axes"], ["grey"]))
    initial = {
        "starts": np.array([0]),
        "ends": np.array([1]),
        "axes": np.array([3]),
        "kernel": kernel.astype(np.float32),
        "bias": bias.astype(np.float32),
        "marking": (kernel if marking is None else marking).astype(np.float32).reshape(SIDE, SIDE, -1),
    }
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(bias)]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", SIDE * SIDE]),
            helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["n", SIDE, SIDE, len(bias)]),
        ],
        [numpy_helper.from_array(value, name) for name, value in initial.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def write_lung_graph(path: Path) -> None:
    """Write a segmenter that finds lung in two fixed boxes wherever the film is not black."""
    boxes = np.zeros((1, 160, 160, 1), dtype=np.float32)
    boxes[:, 40:120, 30:70] = boxes[:, 40:120, 90:130] = 1
    nodes = [
        helper.make_node("ReduceMax", ["tensor"], ["brightest"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Greater", ["brightest", "black"], ["seen"]),
        helper.make_node("Cast", ["seen"], ["there"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["there", "boxes"], ["lung"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lungs",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", 160, 160, 3])],
        [helper.make_tensor_value_info("lung", TensorProto.FLOAT, ["n", 160, 160, 1])],
        [numpy_helper.from_array(boxes, "boxes"), numpy_helper.from_array(np.array(-0.9, np.float32), "black")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def write_model(folder: Path, dataset: Dataset, *, preprocessing: Preprocessing | None = None) -> AuditedModel:
    """Return a model that was fitted on the train split of a planted data set."""
    folder.mkdir(parents=True)
    preprocessing = preprocessing or Preprocessing(size=SIZE)
    graph = folder / "model.onnx"
    write_graph(graph, np.zeros((SIDE * SIDE, 3)), np.zeros(3))
    engine = load_engine(graph)

    def seen(split: Any) -> Any:
        rows = dataset.rows(split)
        greys = np.stack([resize_grey(read_radiograph(Path(path)), SIZE) for path in rows["path"]])
        labels = np.array([FINDINGS.index(finding) for finding in rows["finding"]])
        return engine.run(to_tensor(greys, preprocessing.pixel_range))["embedding"], labels, rows["group"].to_numpy()

    train, labels, _ = seen("train")
    chosen, chosen_labels, groups = seen("calibration")
    head = fit_head(train, labels, chosen, chosen_labels)
    write_graph(graph, head.kernel, head.bias)
    rule = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.9)
    policy = fit_policy(
        head.logits(chosen), chosen_labels, FINDINGS, rule, PolicySettings(), chosen_on="calibration", groups=groups
    )
    write_learned_from(folder, dataset)
    sha256 = hashlib.sha256(graph.read_bytes()).hexdigest()
    return AuditedModel(folder, "planted", graph, sha256, FINDINGS, preprocessing, policy, None)


def write_learned_from(folder: Path, dataset: Dataset, split: str = "train") -> None:
    """Say that a model learned from a split of a data set."""
    rows = dataset.rows(split)
    details = np.asarray(dataset.details[rows["row"].to_numpy()])
    images = TrainingImages.of(rows["sha256"].to_list(), "train", rows["perceptual_hash"].to_numpy(), details)
    write_training_images(folder / TRAINING_IMAGES_FILE, images)
