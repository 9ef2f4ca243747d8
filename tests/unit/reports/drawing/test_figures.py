"""The pictures of an evaluation: what stands in them, that nothing is cut off or covered, and that bytes repeat."""

import functools
import itertools
import subprocess
import sys
import threading

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from carina.errors import DataError
from carina.evaluation.intervals import Estimate
from carina.evaluation.metrics import at_operating_point, measure
from carina.reports.drawing import curve_figures, figures
from carina.reports.drawing.sheet import label_of

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


def table_of(confusion):
    """Return truth and probabilities whose most probable finding gives a confusion matrix."""
    k = len(confusion)
    truth = np.repeat(np.repeat(np.arange(k), k), confusion.ravel())
    called = np.repeat(np.tile(np.arange(k), k), confusion.ravel())
    raw = np.random.default_rng(5).uniform(0.05, 0.4, (len(truth), k))
    raw[np.arange(len(truth)), called] += 0.5
    return truth, raw / raw.sum(axis=1, keepdims=True)


def metrics_of(confusion, findings):
    return _metrics_of(tuple(map(tuple, confusion.tolist())), findings)


@functools.cache
def _metrics_of(rows, findings):
    truth, probabilities = table_of(np.array(rows))
    return truth, probabilities, measure(truth, probabilities, findings, replicates=5)


def confusion_of(k):
    rng = np.random.default_rng(1)
    confusion = rng.integers(0, 12, (k, k))
    confusion[np.arange(k), np.arange(k)] = rng.integers(60, 200, k)
    return confusion


def history_of(epochs):
    at = np.arange(1, epochs + 1)
    return pl.DataFrame(
        {
            "epoch": at,
            "loss": np.exp(-at / 5),
            "accuracy": 1 - 0.4 * np.exp(-at / 5),
            "val_loss": 0.2 + np.exp(-at / 4),
            "val_accuracy": 0.9 - 0.3 * np.exp(-at / 4),
            "seconds": np.ones(epochs),
        }
    )


def evaluation_figures(confusion, findings, title="test images of a data set", notice=None):
    """Return every kind of figure of an evaluation, by name."""
    truth, probabilities, metrics = metrics_of(confusion, findings)
    point = (findings[0], at_operating_point(truth, probabilities, 0, 0.37))
    words = {"title": title, "notice": notice}
    return {
        "confusion": figures.build_confusion_matrix(confusion, findings, **words),
        "recall": figures.build_recall_per_class(metrics, **words),
        "sens spec": figures.build_sensitivity_specificity(metrics, **words),
        "roc": curve_figures.build_roc(truth, probabilities, metrics, operating_point=point, **words),
        "reliability": curve_figures.build_reliability(metrics, **words),
    }


def all_figures(confusion, findings, title="test images of a data set", notice=None):
    """Return every kind of figure, by name."""
    split = {"stopping_split": "train-validation", "best_epoch": 3, "title": title, "notice": notice}
    return {
        **evaluation_figures(confusion, findings, title, notice),
        "accuracy": figures.build_history(history_of(6), quantity="accuracy", **split),
        "loss": figures.build_history(history_of(60), quantity="loss", **split),
    }


def texts_of(figure):
    """Return every text that shows, and of the ticks only those within their panel."""
    ink, *panels = figure.axes
    ticks = [tick.label1 for axes in panels for axis in (axes.xaxis, axes.yaxis) for tick in axis._update_ticks()]
    assert len(figure.findobj(Text)) >= len(ink.texts) + len(ticks)
    return [text for text in [*ink.texts, *ticks] if text.get_text().strip()]


def words_of(figure):
    """Return all that is written, line breaks made spaces."""
    return [" ".join(text.get_text().split()) for text in texts_of(figure)]


def boxes_of(figure):
    renderer = figure.canvas.get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts_of(figure)]


def overlap(one, other):
    """Return by how many pixels two boxes overlap in the direction in which they overlap less."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return min(wide, high)


def contrast(one, other):
    """Return the contrast ratio of WCAG 2.2."""

    def luminance(color):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


HARD = {
    "published": (PUBLISHED, FINDINGS),
    "two": (confusion_of(2), ("A", "B")),
    "eight long": (confusion_of(8), LONG[:8]),
    "twelve long": (confusion_of(12), LONG),
    "large counts": (np.array([[1234567, 12], [7, 7654321]]), ("Tuberculosis", "Normal")),
    "absent": (np.array([[30, 2, 1, 4], [3, 50, 2, 6], [1, 1, 20, 0], [0, 0, 0, 0]]), (*FINDINGS, "Other opacity")),
    "tiny": (np.array([[2, 0, 0], [1, 3, 0], [0, 0, 0]]), FINDINGS),
}


@pytest.mark.parametrize("case", [name for name in HARD if name != "large counts"])
def test_no_text_is_cut_off_or_covers_another(case):
    title = "held-out test images of a data set with a name that does not fit into a single line of any figure"
    build = all_figures if case == "published" else evaluation_figures
    for kind, figure in build(*HARD[case], title=title, notice=f"{NOTICE}. {NOTICE}. {NOTICE}.").items():
        boxes = boxes_of(figure)
        assert len(boxes) > 4, kind
        for text, box in boxes:
            assert box.x0 >= 2, (kind, text)
            assert box.y0 >= 2, (kind, text)
            assert box.x1 <= figure.bbox.x1 - 2, (kind, text)
            assert box.y1 <= figure.bbox.y1 - 2, (kind, text)
        edges = np.array([box.extents for _, box in boxes])
        low = np.maximum(edges[:, None, :2], edges[None, :, :2])
        high = np.minimum(edges[:, None, 2:], edges[None, :, 2:])
        covered = np.argwhere(np.triu(((high - low) >= 1).all(axis=2), 1))
        assert not [(kind, boxes[one][0], boxes[other][0]) for one, other in covered]


def test_a_name_that_looks_like_a_formula_stays_as_it_is():
    figure = figures.build_confusion_matrix(np.eye(2, dtype=int), (r"$\alpha$ $\wrong{$", "a_b^c $"), title="cost $5 $")
    assert not any(text.get_parse_math() for text in figure.axes[0].texts)
    figure.canvas.draw()


def test_large_counts_fit_their_cells():
    figure = figures.build_confusion_matrix(*HARD["large counts"], title="a hospital's archive")
    boxes = boxes_of(figure)
    assert not any(overlap(one, other) >= 1 for (_, one), (_, other) in itertools.combinations(boxes, 2))
    assert "1234567" in words_of(figure)


def test_confusion_text_stays_within_its_cell():
    figure = figures.build_confusion_matrix(confusion_of(12), LONG, title="x")
    renderer = figure.canvas.get_renderer()
    cells = [patch.get_window_extent(renderer) for patch in figure.findobj(Rectangle) if patch.get_fill()]
    for text, box in boxes_of(figure):
        if text.endswith("%"):
            assert any(
                cell.x0 <= box.x0 and box.x1 <= cell.x1 and cell.y0 <= box.y0 and box.y1 <= cell.y1 for cell in cells
            ), text


def test_confusion_matrix_shows_counts_row_shares_and_axis_titles():
    words = words_of(figures.build_confusion_matrix(PUBLISHED, FINDINGS, title="test images"))
    assert words.count("488") == words.count("67.4 %") == 1
    assert words.count("234") == words.count("32.3 %") == 1
    assert {"2014", "98.8 %", "81.8 %", "COVID-19 n = 724", "True finding", "Called finding"} <= set(words)
    assert words[0] == "Confusion matrix: test images"
    assert words.count("0.3 %") == 2  # 2 of 724 and 7 of 2039, of the row and not of the column


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(0, 9, "0.0 %"), (1, 99999, "< 0.1 %"), (99998, 99999, "> 99.9 %"), (9, 9, "100.0 %")],
)
def test_a_share_never_rounds_some_to_none(count, total, expected):
    assert expected in words_of(
        figures.build_confusion_matrix(np.array([[count, total - count], [0, 0]]), ("A", "B"), title="x")
    )


def test_text_stands_out_from_every_shade_of_a_cell():
    for share in range(0, 1001, 125):
        figure = figures.build_confusion_matrix(np.array([[share, 1000 - share], [0, 5]]), ("A", "B"), title="x")
        # The first cell and the two texts in it are drawn first.
        cell = next(patch for patch in figure.findobj(Rectangle) if patch.get_fill() and patch.get_linewidth() == 0.8)
        text = next(text for text in figure.findobj(Text) if text.get_text() == str(share))
        assert contrast(text.get_color(), cell.get_facecolor()[:3]) >= 4.5, share


def test_the_published_cells_are_not_all_of_one_text_color():
    figure = figures.build_confusion_matrix(PUBLISHED, FINDINGS, title="x")
    colors = {text.get_text(): text.get_color() for text in texts_of(figure)}
    assert (colors["2014"], colors["18"]) == ("#ffffff", "#000000")


def test_the_notice_is_a_banner_over_every_figure():
    for kind, figure in all_figures(PUBLISHED, FINDINGS, notice=NOTICE).items():
        text = next(text for text in texts_of(figure) if " ".join(text.get_text().split()) == NOTICE)
        banners = [patch for patch in figure.findobj(Rectangle) if to_rgb(patch.get_facecolor()) == to_rgb("#a50f15")]
        assert len(banners) == 1, kind
        box, banner = (item.get_window_extent(figure.canvas.get_renderer()) for item in (text, banners[0]))
        assert (banner.x0, banner.x1, banner.y1) == pytest.approx((0, figure.bbox.x1, figure.bbox.y1)), kind
        assert banner.y0 < box.y0, kind
        assert box.y1 < banner.y1, kind
        assert contrast(text.get_color(), banners[0].get_facecolor()) >= 7, kind
        assert text.get_fontsize() >= 13, kind
        # All that is not the notice stands below it.
        assert all(other.y1 <= banner.y0 for word, other in boxes_of(figure) if word != text.get_text()), kind


def test_without_a_notice_there_is_no_banner():
    for kind, figure in all_figures(PUBLISHED, FINDINGS).items():
        assert not any(to_rgb(p.get_facecolor()) == to_rgb("#a50f15") for p in figure.findobj(Rectangle)), kind


def test_every_letter_is_at_least_11_points_and_the_title_starts_at_the_left():
    for kind, figure in all_figures(*HARD["two"], title="TITLE").items():
        assert min(text.get_fontsize() for text in texts_of(figure)) >= 11, kind
        title = next(box for text, box in boxes_of(figure) if "TITLE" in text)
        assert title.x0 == min(box.x0 for _, box in boxes_of(figure)) or title.x0 < 45, kind


def test_bars_show_value_interval_and_count():
    _, _, metrics = metrics_of(PUBLISHED, FINDINGS)
    recall = figures.build_recall_per_class(metrics, title="x")
    both = figures.build_sensitivity_specificity(metrics, title="x")
    assert {"0.67 (0.64–0.71)", "0.82 (0.77–0.86)", "Viral Pneumonia n = 269"} <= set(words_of(recall))
    assert not any("0.72" in word for word in words_of(recall))
    assert {"0.67 (0.64–0.71)", "0.72 (0.69–0.74)", "Specificity"} <= set(words_of(both))
    widths = [patch.get_width() for patch in recall.axes[1].patches]
    assert widths == pytest.approx([488 / 724, 2014 / 2039, 220 / 269])
    # An interval is a line from low to high: one level line and two caps a bar.
    level = [line for line in recall.axes[1].lines if len(set(line.get_ydata())) == 1]
    assert level[0].get_xdata() == pytest.approx(
        (metrics.per_finding[0].sensitivity.low, metrics.per_finding[0].sensitivity.high)
    )
    hatches = [patch.get_hatch() for patch in both.axes[1].patches]
    assert hatches == [None, "///"] * 3


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(0.931, 0.912, 0.948, "Wilson"), "0.93 (0.91–0.95)"),
        (Estimate(1.0, 0.9, 1.0, "Wilson"), "1.00 (0.90–1.00)"),
        (Estimate(0.998, 0.994, 0.9991, "Wilson"), "0.998 (0.994–0.999)"),
        (
            Estimate(0.9912, 0.9871, 0.9938, "Wilson"),
            "0.991 (0.987–0.994)",
        ),
        (Estimate(0.5, None, None, "none", note="no spread"), "0.50 (no interval)"),
        (Estimate(None, None, None, "none", note="no image"), "n/a"),
    ],
)
def test_a_label_is_honest(estimate, expected):
    assert label_of(estimate) == expected


def test_what_does_not_exist_is_written_na():
    built = evaluation_figures(*HARD["tiny"])
    assert words_of(built["confusion"]).count("not applicable: no image of it") == 1
    assert any(
        "No image shows Viral Pneumonia: such calls are errors." in word for word in words_of(built["confusion"])
    )
    assert words_of(built["recall"]).count("n/a") == 1
    assert words_of(built["sens spec"]).count("n/a") == 1
    assert "Viral Pneumonia AUROC n/a: no image with this finding" in words_of(built["roc"])


def test_roc_curves_differ_by_more_than_colour_and_carry_their_auroc():
    truth, probabilities, metrics = metrics_of(confusion_of(12), LONG)
    figure = curve_figures.build_roc(truth, probabilities, metrics, title="x")
    curves = [line for line in figure.axes[1].lines if line.get_marker() != "None" and len(line.get_xdata()) > 2]
    assert len(curves) == 12
    assert len({line.get_marker() for line in curves}) == 12
    assert len({(line.get_marker(), str(line._dash_pattern)) for line in curves}) == 12
    expected = label_of(metrics.per_finding[0].auroc)
    assert f"Tuberculosis AUROC {expected}" in words_of(figure)
    areas = [np.trapezoid(line.get_ydata(), line.get_xdata()) for line in curves]
    assert areas == pytest.approx([item.auroc.value for item in metrics.per_finding])


def test_the_operating_point_is_marked_where_it_lies():
    truth, probabilities, metrics = metrics_of(PUBLISHED, FINDINGS)
    reached = at_operating_point(truth, probabilities, 0, 0.37)
    figure = curve_figures.build_roc(truth, probabilities, metrics, title="x", operating_point=("COVID-19", reached))
    (star,) = (line for line in figure.axes[1].lines if line.get_marker() == "*")
    assert (*star.get_xdata(), *star.get_ydata()) == (1 - reached.specificity.value, reached.sensitivity.value)
    assert any("Operating point: COVID-19 where its probability is ≥ 0.37" in word for word in words_of(figure))
    without = curve_figures.build_roc(truth, probabilities, metrics, title="x")
    assert not any(line.get_marker() == "*" for line in without.axes[1].lines)


def test_an_absent_finding_keeps_its_column_and_has_neither_cells_nor_curve_nor_panel():
    confusion, findings = HARD["absent"]
    built = evaluation_figures(confusion, findings)
    words = words_of(built["confusion"])
    assert words.count("Other opacity") == words.count("Other opacity n = 0") == 1  # column and row
    assert {"4", "10.8 %", "6", "9.8 %"} <= set(words)  # calls of it
    assert not any(word in ("n/a", "< 0.1 %") for word in words)
    # Twelve cells, one strip; three frames.
    cells = [patch for patch in built["confusion"].findobj(Rectangle) if patch.get_linewidth() == 0.8]
    assert len(cells) == 13
    assert len([patch for patch in built["confusion"].findobj(Rectangle) if patch.get_linewidth() == 2.5]) == 3
    purple = to_rgb("#cc79a7")  # of the fourth curve
    for line in (*built["roc"].axes[0].lines, *built["roc"].axes[1].lines):
        assert to_rgb(line.get_color()) != purple
    assert "Other opacity AUROC n/a: no image with this finding" in words_of(built["roc"])
    assert any("n/a: no image to count." in word for word in words_of(built["recall"]))
    assert words_of(built["recall"]).count("n/a") == words_of(built["sens spec"]).count("n/a") == 1
    assert len(built["reliability"].axes) == 1 + 4  # the sheet, the calls, three findings
    assert any("No image shows Other opacity." in word for word in words_of(built["reliability"]))


def test_reliability_shows_every_bin_where_it_lies():
    _, _, metrics = metrics_of(PUBLISHED, FINDINGS)
    figure = curve_figures.build_reliability(metrics, title="x")
    parts = [metrics.calibration.bins, *(item.bins for item in metrics.calibration.per_finding)]
    for axes, bins in zip(figure.axes[1:], parts, strict=True):
        diagonal, *whiskers, points = axes.lines
        assert diagonal.get_xdata() == pytest.approx(diagonal.get_ydata())
        assert points.get_xdata() == pytest.approx([part.mean_probability for part in bins])
        assert points.get_ydata() == pytest.approx([part.share.value for part in bins])
        assert [tuple(line.get_ydata()) for line in whiskers] == [(part.share.low, part.share.high) for part in bins]
    item = metrics.calibration.per_finding[0]
    expected = f"n = 724. ECE {item.ece.value:.3f} ({item.ece_if_calibrated.value:.3f}) slope {item.slope.value:.2f}"
    assert any(word.startswith(expected) for word in words_of(figure))
    # A finding looks as among the ROC curves, and no two panels alike.
    assert len({(axes.lines[-1].get_marker(), axes.lines[-1].get_color()) for axes in figure.axes[1:]}) == 4


@pytest.mark.parametrize("epochs", [1, 6, 60])
def test_history_draws_both_lines_and_marks_the_best_epoch(epochs):
    history, best = history_of(epochs), (epochs + 1) // 2
    figure = figures.build_history(
        history, quantity="loss", stopping_split="train-validation", best_epoch=best, title="baseline: loss"
    )
    training, stopping, *_ = figure.axes[1].lines
    assert training.get_ydata() == pytest.approx(history["loss"].to_numpy())
    assert stopping.get_ydata() == pytest.approx(history["val_loss"].to_numpy())
    assert training.get_marker() != stopping.get_marker()
    assert training._dash_pattern != stopping._dash_pattern
    (star,) = (line for line in figure.axes[1].lines if line.get_marker() == "*")
    assert (*star.get_xdata(), *star.get_ydata()) == pytest.approx((best, history["val_loss"][best - 1]))
    words = words_of(figure)
    assert {"Training", "train-validation", "Epoch", "Loss"} <= set(words)
    assert f"Best epoch {best} (kept): {history['val_loss'][best - 1]:.3f}" in words
    ticks = [word for word in words if word.isdigit()]
    assert "0" not in ticks
    assert ticks


def test_history_says_what_it_could_not_draw_and_goes_on():
    history = history_of(4).with_columns(val_loss=pl.Series([0.5, float("nan"), float("inf"), None]))
    figure = figures.build_history(history, quantity="loss", stopping_split="s", best_epoch=0, title="x")
    words = words_of(figure)
    assert "Not drawn: 3 of 4 epochs, where a value is not a number." in words
    assert not any(word.startswith("Best epoch") for word in words)
    lost = history_of(3).with_columns(loss=pl.lit(float("nan")), val_loss=pl.lit(float("nan")))
    words_of(figures.build_history(lost, quantity="loss", stopping_split="s", best_epoch=2, title="x"))


def test_a_huge_loss_does_not_run_into_the_axis_title():
    history = history_of(4).with_columns(loss=pl.col("loss") * 3e7)
    figure = figures.build_history(history, quantity="loss", stopping_split="s", best_epoch=1, title="x")
    boxes = boxes_of(figure)
    assert not any(overlap(one, other) >= 1 for (_, one), (_, other) in itertools.combinations(boxes, 2))


def test_what_does_not_fit_together_is_refused():
    truth, probabilities, metrics = metrics_of(PUBLISHED, FINDINGS)
    reached = at_operating_point(truth, probabilities, 0, 0.5)
    with pytest.raises(DataError, match=r"has shape \(3, 3\) for 2 findings. Give \(2, 2\)"):
        figures.build_confusion_matrix(PUBLISHED, ("A", "B"), title="x")
    with pytest.raises(DataError, match="Draw the table that was measured"):
        curve_figures.build_roc(truth[1:], probabilities[1:], metrics, title="x")
    with pytest.raises(DataError, match=r"operating point is for 'Opacity'\. Known: COVID-19, Normal"):
        curve_figures.build_roc(truth, probabilities, metrics, title="x", operating_point=("Opacity", reached))
    words = {"stopping_split": "s", "title": "x", "quantity": "loss"}
    with pytest.raises(DataError, match="lacks val_loss"):
        figures.build_history(history_of(3).drop("val_loss"), best_epoch=1, **words)
    with pytest.raises(DataError, match="holds no epoch"):
        figures.build_history(history_of(3).head(0), best_epoch=0, **words)
    with pytest.raises(DataError, match="Best epoch 9 is not in the history of epochs 1 to 3"):
        figures.build_history(history_of(3), best_epoch=9, **words)


def draw_all(folder):
    """Write one PNG of each kind and return them in order."""
    truth, probabilities, metrics = metrics_of(PUBLISHED, FINDINGS)
    words = {"title": "test images", "notice": NOTICE}
    paths = [folder / f"{name}.png" for name in ("confusion", "recall", "both", "roc", "reliability", "history")]
    figures.draw_confusion_matrix(PUBLISHED, FINDINGS, paths[0], **words)
    figures.draw_recall_per_class(metrics, paths[1], **words)
    figures.draw_sensitivity_specificity(metrics, paths[2], **words)
    curve_figures.draw_roc(truth, probabilities, metrics, paths[3], **words)
    curve_figures.draw_reliability(metrics, paths[4], **words)
    figures.draw_history(history_of(6), paths[5], quantity="loss", stopping_split="s", best_epoch=3, **words)
    return paths


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_all(tmp_path_factory.mktemp("drawn"))


def test_files_are_png_that_repeat_byte_for_byte_and_tell_nothing_of_their_maker(drawn, tmp_path):
    for first, second in zip(drawn, draw_all(tmp_path), strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert 10_000 < first.stat().st_size < 400_000
        with Image.open(first) as picture:
            assert picture.format == "PNG"
            assert picture.info.keys() == {"dpi"}
            assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)
            assert 1100 <= picture.width <= 2000
            assert picture.convert("RGB").getpixel((2, picture.height - 2)) == (255, 255, 255)


def test_a_style_that_the_caller_has_set_changes_nothing(drawn, tmp_path):
    style = {"font.size": 30, "lines.linewidth": 9, "axes.grid": False, "figure.dpi": 40, "savefig.bbox": "tight"}
    with mpl.rc_context({**style, "figure.constrained_layout.use": True, "text.color": "red", "axes.labelsize": 40}):
        styled = draw_all(tmp_path)
    for first, second in zip(drawn, styled, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_threads_do_not_disturb_each_other(tmp_path):
    def draw(path):
        figures.draw_confusion_matrix(PUBLISHED, FINDINGS, path, title="test images")

    paths = [tmp_path / f"{number}.png" for number in range(4)]
    threads = [threading.Thread(target=draw, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in paths}) == 1


def test_neither_pyplot_nor_a_setting_of_matplotlib_is_touched():
    code = (
        "import sys, matplotlib as mpl; "
        # Reading the setting "backend" would itself load pyplot.
        "now = lambda: {name: mpl.rcParams[name] for name in mpl.rcParams if name != 'backend'}; before = now(); "
        "import numpy as np; from carina.reports.drawing import figures; "
        "figures.build_confusion_matrix(np.eye(2, dtype=int), ('A', 'B'), title='x'); "
        "assert now() == before; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_canvas_is_the_one_without_a_display():
    figure = figures.build_confusion_matrix(PUBLISHED, FINDINGS, title="x")
    assert type(figure.canvas) is FigureCanvasAgg
    assert not [line for line in figure.axes[0].lines if isinstance(line, Line2D)]
