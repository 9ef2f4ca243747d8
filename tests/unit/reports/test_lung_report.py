"""The figures of the segmenter: the mean with its interval over patients, and pictures of phantoms alone."""

from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from carina.errors import DataError
from carina.radiographs.lungs import LungFinder
from carina.reports.drawing.drawing import GreyImage, Stroke, Words
from carina.reports.lung_report import draw_lung_examples, summarise_dice, write_lung_report


def table_of(values: list[float], patients: list[int] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "image": [f"{n}.png" for n in range(len(values))],
            "patient": patients or list(range(1, len(values) + 1)),
            "dice": values,
            "two_lungs": [value > 0 for value in values],
        }
    )


def test_mean_median_smallest_and_share() -> None:
    report = summarise_dice(table_of([0.0, 0.9, 0.94, 0.96]))
    assert report.mean.value == pytest.approx(0.7)
    assert report.median == pytest.approx(0.92)
    assert (report.smallest, report.images, report.patients) == (0.0, 4, 4)
    assert (report.without_two_lungs.numerator, report.without_two_lungs.value) == (1, 0.25)
    assert report.mean.low is not None
    assert report.mean.low < 0.7 < (report.mean.high or 0)


def test_images_of_one_patient_count_as_one_piece_of_evidence() -> None:
    rng = np.random.default_rng(2)
    of_patient = np.clip(rng.normal(0.93, 0.02, 20), 0, 1)
    alone = summarise_dice(table_of(list(np.repeat(of_patient, 10))))
    grouped = summarise_dice(table_of(list(np.repeat(of_patient, 10)), list(np.repeat(np.arange(20), 10))))
    assert grouped.mean.value == alone.mean.value
    assert grouped.mean.method == "bootstrap (stratified, by patient)"
    width = [(report.mean.high or 0) - (report.mean.low or 0) for report in (alone, grouped)]
    assert width[1] == pytest.approx(np.sqrt(10) * width[0], rel=0.15)
    # The standard error of a mean of twenty patients, by hand.
    assert width[1] == pytest.approx(2 * 1.96 * of_patient.std() / np.sqrt(20), rel=0.1)


def test_a_single_patient_gives_no_interval() -> None:
    report = summarise_dice(table_of([0.9, 0.95], [1, 1]))
    assert report.mean.low is None
    assert "no spread" in (report.mean.note or "")


def dark_is_lung(path: Path) -> Path:
    """A segmenter that calls dark lung: probability 1 / (1 + exp(4 + 20 x)) of the red channel."""
    slope = numpy_helper.from_array(np.float32([-20.0, 0, 0]).reshape(1, 3, 1, 1), "slope")
    nodes = [
        helper.make_node("Transpose", ["tensor"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "slope", "offset"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
        helper.make_node("Transpose", ["probability"], ["lung"], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "lungs",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", 160, 160, 3])],
        [helper.make_tensor_value_info("lung", TensorProto.FLOAT, ["n", 160, 160, 1])],
        [slope, numpy_helper.from_array(np.float32([-4.0]), "offset")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_examples_are_phantoms_with_two_outlines(tmp_path: Path) -> None:
    drawing = draw_lung_examples(LungFinder(dark_is_lung(tmp_path / "lungs.onnx")))
    panels = [part for part in drawing.parts if isinstance(part, GreyImage)]
    assert len(panels) == 6
    # The outline of the phantom's own lungs is known, and every outline is within a picture.
    drawn = [part for part in drawing.parts if isinstance(part, Stroke) and part.ink == "s2"]
    assert len(drawn) >= 2 * len(panels)
    for line in (part for part in drawing.parts if isinstance(part, Stroke)):
        points = np.array(line.points)
        inside = [
            (points >= (panel.x, panel.y)).all() and (points <= (panel.x + panel.width, panel.y + panel.height)).all()
            for panel in panels
        ]
        assert inside.count(True) == 1
    assert "Phantoms, not patients" in " ".join(part.text for part in drawing.parts if isinstance(part, Words))


def test_the_report_is_written_beside_the_segmenter(tmp_path: Path) -> None:
    dark_is_lung(tmp_path / "lungs.onnx")
    table_of([0.91, 0.95, 0.93]).write_csv(tmp_path / "dice.csv")
    report = write_lung_report(tmp_path, {"images": {"held_out": 3}, "command": "typed"})
    assert report.images == 3
    with Image.open(tmp_path / "examples.png") as image:
        assert image.width >= 800
    first = (tmp_path / "examples.png").read_bytes()
    write_lung_report(tmp_path, {})
    assert (tmp_path / "examples.png").read_bytes() == first


@pytest.mark.parametrize(
    "content", [None, "", "image,patient,dice,two_lungs\n", "image,patient,dice,two_lungs\na,x,y,z\n"]
)
def test_figures_that_are_missing_or_damaged(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "dice.csv").write_text(content)
    with pytest.raises(DataError, match=r"dice.csv is missing or damaged, or has no row"):
        write_lung_report(tmp_path, {})
