"""The pictures of an evaluation: what is in them, that nothing is cut off or covered, and that bytes repeat."""

import functools
import io
import threading
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from PIL import Image

from carina.errors import DataError
from carina.reports.drawing.composition import compose
from carina.reports.drawing.confusion import confusion_table, draw_confusion, draw_rates
from carina.reports.drawing.drawing import LIGHT, Area, Dot, Drawing, Stroke, Words, file_keys
from carina.reports.drawing.learning_curves import draw_learning
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.png import to_png
from carina.reports.drawing.reliability import draw_reliability
from carina.reports.drawing.threshold_curves import draw_threshold_curves
from carina.reports.evaluated import Evaluated
from carina.reports.evaluation_folder import PICTURES, pictures_of, write_pictures
from carina.reports.html.page import Report, Section
from carina.statistics.curve_bands import curves_with_bands
from unit.reports.drawing.pictures import (
    contrast,
    evaluated_of,
    history_of,
    texts_covered,
    texts_outside,
    words_of,
)

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
PUBLISHED = np.array([[488, 234, 2], [18, 2014, 7], [2, 47, 220]])
NOTICE = "LEAK ALLOWED: 37 test images were also trained on"
LONG = (
    "Tuberculosis",
    "Pulmonary oedema with pleural effusions",
    "Pneumothorax",
    "Idiopathic interstitial lung fibrosis",
    "chronic_obstructive_pulmonary_disease_xy",
    "Normal",
    "Community-acquired bacterial pneumonia",
    "Cardiomegaly (cardiothoracic ratio >0.5)",
    "W" * 40,
    "Sarcoidosis stage II or above",
    "$Aspergilloma$ x_1^2 $",
    "Hodgkin lymphoma of the mediastinum xyz",
)


def confusion_of(k: int) -> Any:
    rng = np.random.default_rng(1)
    confusion = rng.integers(0, 12, (k, k))
    confusion[np.arange(k), np.arange(k)] = rng.integers(60, 200, k)
    return confusion


HARD = {
    "published": (PUBLISHED, FINDINGS),
    "two": (confusion_of(2), ("A", "B")),
    "eight long": (confusion_of(8), LONG[:8]),
    "twelve long": (confusion_of(12), LONG),
    "absent": (np.array([[30, 2, 1, 4], [3, 50, 2, 6], [1, 1, 20, 0], [0, 0, 0, 0]]), (*FINDINGS, "Other opacity")),
    "tiny": (np.array([[2, 0, 0], [1, 3, 0], [0, 0, 0]]), FINDINGS),
}


def curves_of(evaluated: Evaluated, *, roc: bool = True) -> list[Drawing]:
    curves = curves_with_bands(evaluated.truth, evaluated.probabilities, evaluated.findings, evaluated.groups)
    return draw_threshold_curves(evaluated, curves, roc=roc)


def drawings_of(evaluated: Evaluated) -> list[Drawing]:
    """Return every kind of drawing that a picture of an evaluation is made of."""
    curves = [*curves_of(evaluated), *curves_of(evaluated, roc=False)]
    rates = [draw_rates(evaluated), draw_rates(evaluated, ("sensitivity",), name="recall_per_class")]
    return [draw_confusion(evaluated), *rates, *curves, *draw_reliability(evaluated), *draw_learning(evaluated)]


@functools.cache
def hard_drawings(case: Any) -> Any:
    return drawings_of(evaluated_of(*HARD[case], name="held-out images of a data set " * 5))


@pytest.mark.parametrize("case", HARD)
def test_no_text_is_cut_off_or_covers_another(case: str) -> None:
    for drawing in hard_drawings(case):
        sheet = compose("x", "held-out test images " * 9, [drawing] * 3, columns=2, notice=f"{NOTICE}. " * 5)
        for one in (drawing, sheet):
            assert texts_outside(one) == []
        assert texts_covered(drawing) == [], drawing.name


def test_large_counts_fit_their_cells() -> None:
    evaluated = evaluated_of(PUBLISHED, FINDINGS)
    evaluated.content["metrics"] = {"findings": ["A", "B"], "confusion": [[1234567, 12], [7, 7654321]]}
    drawing = draw_confusion(evaluated)
    assert "1,234,567" in words_of(drawing)
    assert texts_covered(drawing) == texts_outside(drawing) == []


def test_the_confusion_matrix_shows_counts_row_shares_and_axis_titles() -> None:
    words = [part.text for part in hard_drawings("published")[0].parts if isinstance(part, Words)]
    for told in ("488", "67.4 %", "2,014", "98.8 %", "81.8 %", "n = 724", "True finding", "Called finding"):
        assert words.count(told) == 1, told
    assert words.count("0.3 %") == 2  # 2 of 724 and 7 of 2039, of the row and not of the column


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(0, 9, "0.0 %"), (1, 99999, "< 0.1 %"), (99998, 99999, "> 99.9 %"), (9, 9, "100.0 %")],
)
def test_a_share_never_rounds_some_to_none(count: int, total: int, expected: str) -> None:
    evaluated = evaluated_of(PUBLISHED, FINDINGS)
    evaluated.content["metrics"] = {"findings": ["A", "B"], "confusion": [[count, total - count], [0, 0]]}
    assert expected in words_of(draw_confusion(evaluated))


@pytest.mark.parametrize("ink", ["s1", "s2"])
def test_text_stands_out_from_every_shade_of_a_cell(ink: str) -> None:
    evaluated = evaluated_of(PUBLISHED, FINDINGS)
    evaluated.content["metrics"] = {"findings": ["A", "B"], "confusion": [[100, 0], [100, 0]]}
    parts = draw_confusion(evaluated).parts
    tint = max(part.opacity for part in parts if isinstance(part, Area) and part.fill == ink and part.says)
    mixed = [
        round(tint * int(LIGHT[ink][at : at + 2], 16) + (1 - tint) * int(LIGHT["shade"][at : at + 2], 16))
        for at in (1, 3, 5)
    ]
    assert contrast(LIGHT["ink"], "#" + "".join(f"{part:02x}" for part in mixed)) >= 4.5


def test_an_absent_finding_keeps_its_column_and_has_neither_cells_nor_curve_nor_panel() -> None:
    confusion, recall, _, roc, *rest = hard_drawings("absent")
    assert "not applicable: no image of it" in words_of(confusion)
    assert words_of(confusion).count("Other opacity") == 2  # column and row
    tinted = [part for part in confusion.parts if isinstance(part, Area) and part.says]
    assert len(tinted) == 12
    assert "n/a" in words_of(recall)
    assert "Other opacity: AUROC n/a (no image with this finding)" in words_of(roc)
    assert not [part for part in roc.parts if isinstance(part, Stroke) and part.ink == "s4"]
    assert [drawing.name for drawing in rest if drawing.name.startswith("reliability")] == [
        *("reliability_calls", "reliability_covid_19", "reliability_normal", "reliability_viral_pneumonia")
    ]


def test_twelve_curves_differ_by_more_than_colour_and_carry_their_area() -> None:
    roc = next(drawing for drawing in hard_drawings("twelve long") if drawing.name == "roc")
    looks = {(part.ink, part.dash) for part in roc.parts if isinstance(part, Stroke) and part.width == 2}
    assert len(looks) == 13  # with that of chance in the key
    assert words_of(roc).count("AUROC") == 12


def test_the_operating_point_is_marked_where_it_lies() -> None:
    evaluated = evaluated_of(PUBLISHED, FINDINGS)
    roc = curves_of(evaluated)[0]
    reached = {name: evaluated.estimate("operating_point", "reached", name) for name in ("sensitivity", "specificity")}
    (star,) = (part for part in roc.parts if isinstance(part, Area) and part.says == "threshold 0.3700")
    middle = np.mean(star.points, axis=0)
    left, top = 60.0, min(point[1] for part in roc.parts if isinstance(part, Stroke) for point in part.points)
    across = (middle[0] - left) / (WIDTH - 80)
    assert across == pytest.approx(1 - reached["specificity"].value, abs=0.003)
    assert 1 - (middle[1] - top) / 340 == pytest.approx(reached["sensitivity"].value, abs=0.003)
    assert "shipped operating point: P(COVID-19) ≥ 0.37: sensitivity" in words_of(roc)


def test_reliability_shows_every_bin_where_it_lies() -> None:
    evaluated = evaluated_of(PUBLISHED, FINDINGS)
    calls, first, *_ = draw_reliability(evaluated)
    bins = evaluated.metrics["calibration"]["bins"]
    dots = [part for part in calls.parts if isinstance(part, Dot)]
    assert [(dot.x - 60) / (WIDTH - 80) for dot in dots] == pytest.approx([part["mean_probability"] for part in bins])
    rises = np.diff([dot.y for dot in dots]) / -270
    assert rises == pytest.approx(np.diff([part["share"] for part in bins]))
    slope = evaluated.metrics["calibration"]["per_finding"]["COVID-19"]["slope"]["value"]
    assert f"slope {slope:.2f}" in words_of(first)


@pytest.mark.parametrize("epochs", [1, 6, 60])
def test_learning_curves_mark_the_epoch_that_was_kept(epochs: int) -> None:
    history, best = history_of(epochs), (epochs + 1) // 2
    loss, accuracy = draw_learning(evaluated_of(PUBLISHED, FINDINGS, history=history, best=best))
    assert (loss.name, accuracy.name) == ("loss_curve", "accuracy_curve")
    words = words_of(loss)
    assert f"epoch {best}, which was kept: {history['val_loss'][best - 1]:.3f}" in words
    assert {"training images", "train-validation split", "Epoch", "Loss"} <= {
        part.text for part in loss.parts if isinstance(part, Words)
    }
    assert "Not drawn" not in words
    assert texts_covered(loss) == texts_outside(loss) == []


def test_learning_curves_say_what_is_not_drawn_and_go_on() -> None:
    lost = history_of(4).with_columns(val_loss=pl.Series([0.5, float("nan"), float("inf"), None]))
    words = words_of(draw_learning(evaluated_of(PUBLISHED, FINDINGS, history=lost, best=0))[0])
    assert "Not drawn: 3 of 4 epochs, where a value is not a number." in words
    assert "which was kept" not in words
    nothing = history_of(3).with_columns(loss=pl.lit(float("nan")), val_loss=pl.lit(float("nan")))
    assert draw_learning(evaluated_of(PUBLISHED, FINDINGS, history=nothing, best=2))
    huge = history_of(60).with_columns(loss=pl.when(pl.col("epoch") == 1).then(3e7).otherwise(pl.col("loss")))
    drawing = draw_learning(evaluated_of(PUBLISHED, FINDINGS, history=huge))[0]
    assert "The highest value, 3e+07, is beyond the panel." in words_of(drawing)
    assert texts_covered(drawing) == texts_outside(drawing) == []


@pytest.mark.parametrize(
    ("history", "best", "message"),
    [
        (history_of(3).drop("val_loss"), 1, "lacks val_loss"),
        (history_of(3).head(0), 0, "holds no epoch"),
        (history_of(3), 9, "Epoch 9 was kept, but the history has epochs 1 to 3 only"),
    ],
)
def test_a_history_that_does_not_fit_is_refused(history: pl.DataFrame, best: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        draw_learning(evaluated_of(PUBLISHED, FINDINGS, history=history, best=best))


def report_of(evaluated: Evaluated) -> Report:
    """Return as much of a report as pictures are made of."""
    section = Section("all", "All", "All", "", tuple(drawings_of(evaluated)))
    return Report("a", "b", "c", (section,), {}, evaluated.content["notice"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluated]:
    evaluated = evaluated_of(PUBLISHED, FINDINGS, notice=NOTICE)
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, report_of(evaluated), evaluated, "by-hand on a-set")
    return folder, evaluated


def test_the_baseline_pictures_have_the_notice_as_a_banner(pictures: tuple[Path, Evaluated]) -> None:
    folder, _ = pictures
    assert {path.name for path in folder.iterdir()} == {f"{name}.png" for name in PICTURES}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.info.keys() == {"dpi"}
            assert picture.info["dpi"] == pytest.approx((144, 144), abs=0.1)
            rgb = picture.convert("RGB")
            banner = tuple(int(LIGHT["alarm"][at : at + 2], 16) for at in (1, 3, 5))
            assert {rgb.getpixel((x, 2)) for x in (0, rgb.width // 2, rgb.width - 1)} == {banner}, path.name
            assert rgb.getpixel((2, rgb.height - 2)) == (255, 255, 255)


def test_each_baseline_picture_has_its_drawings_and_no_others() -> None:
    evaluated = evaluated_of(PUBLISHED, FINDINGS)
    # As good a model as makes the corners of its curves worth showing.
    content = evaluated.content | {"metrics": evaluated.metrics | {"macro_auroc": {"value": 0.95}}}
    evaluated = replace(evaluated, content=content)
    drawn = [drawing for drawing in drawings_of(evaluated) if drawing.name != "recall_per_class"]
    report = replace(report_of(evaluated), sections=(Section("all", "All", "All", "", tuple(drawn)),))
    pictured = pictures_of(report, evaluated)
    assert {name: [drawing.name for drawing in drawings] for name, drawings in pictured.items()} == {
        "confusion_matrix": ["confusion_matrix"],
        "recall_per_class": ["recall_per_class"],
        "sens_spec_per_class": ["findings"],
        "roc": ["roc", "roc_corner"],
        "reliability": [
            *("reliability_calls", "reliability_covid_19", "reliability_normal", "reliability_viral_pneumonia")
        ],
        "accuracy_curve": ["accuracy_curve"],
        "loss_curve": ["loss_curve"],
    }
    (recall,) = pictured["recall_per_class"]
    assert "Sensitivity" in words_of(recall)
    assert "Specificity" not in words_of(recall)


def test_no_finding_names_a_file_of_another_drawing_or_folder() -> None:
    drawn = draw_reliability(evaluated_of(PUBLISHED, ("Calls", "../../x", "Nodule/Mass")))
    keys = ("calls", "calls_2", "______x", "nodule_mass")
    assert [drawing.name for drawing in drawn] == [f"reliability_{key}" for key in keys]
    assert file_keys(["calls", "A b", "a/b", "a_b_2", "a_b"]) == {
        "calls": "calls", "A b": "a_b", "a/b": "a_b_2", "a_b_2": "a_b_2_2", "a_b": "a_b_3",
    }  # fmt: skip


def test_two_figures_or_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    drawing = draw_confusion(evaluated_of(PUBLISHED, FINDINGS))
    table = confusion_table(evaluated_of(PUBLISHED, FINDINGS))
    drawn = Report("a", "b", "c", (Section("s", "s", "s", "", (drawing, drawing)),), {})
    with pytest.raises(ValueError, match="are called confusion_matrix"):
        drawn.drawings()
    listed = Report(
        "a", "b", "c", (Section("s", "s", "s", "", (), (table,)), Section("t", "t", "t", "", (), (table,))), {}
    )
    with pytest.raises(ValueError, match="are called confusion_matrix"):
        listed.write_figures(tmp_path)


def test_without_a_notice_there_is_no_banner() -> None:
    sheet = compose("x", "title", [hard_drawings("published")[0]])
    assert not [part for part in sheet.parts if isinstance(part, Area) and part.fill == "alarm"]


def test_the_notice_is_on_every_figure_that_is_written(pictures: tuple[Path, Evaluated], tmp_path: Path) -> None:
    _, evaluated = pictures
    drawing = draw_confusion(evaluated)
    Report("a", "b", "c", (Section("s", "s", "s", "", (drawing,)),), {}, NOTICE).write_figures(tmp_path)
    assert NOTICE in (tmp_path / "confusion_matrix.svg").read_text("utf-8")
    assert contrast(LIGHT["paper"], LIGHT["alarm"]) >= 7


def test_bytes_repeat_whatever_style_the_caller_has_set_and_in_every_thread() -> None:
    drawing = hard_drawings("published")[0]
    expected = to_png(drawing)
    style = {"font.size": 30, "lines.linewidth": 9, "figure.dpi": 40, "path.simplify": False, "text.color": "red"}
    with mpl.rc_context(style):
        assert to_png(drawing) == expected
    drawn = []
    threads = [threading.Thread(target=lambda: drawn.append(to_png(drawing))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [expected] * 4


def test_a_name_that_looks_like_a_formula_stays_as_it_is() -> None:
    drawing = draw_confusion(evaluated_of(np.array([[5, 1], [1, 5]]), (r"$\alpha$ $\wrong{$", "a_b^c $")))
    assert r"$\wrong{$" in words_of(drawing)
    with Image.open(io.BytesIO(to_png(drawing))) as picture:
        assert picture.size == (round(3 * drawing.width), round(3 * drawing.height))


def test_pyplot_which_keeps_a_state_is_not_used() -> None:
    for path in (files("carina.reports") / "drawing").iterdir():
        if path.name.endswith(".py"):
            assert "pyplot" not in path.read_text("utf-8"), path.name
