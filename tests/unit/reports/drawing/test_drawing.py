"""Drawings: one description, SVG for the page, SVG and PNG alone; colours that can be told apart and read."""

import io
import re
from typing import Any
from xml.etree import ElementTree as ET

import jinja2
import numpy as np
import pytest
from PIL import Image

from carina.reports.drawing.drawing import LIGHT, SERIES, Drawing
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.drawing.panel import Axis, build_panel
from carina.reports.drawing.png import to_png
from carina.reports.drawing.text_measure import fit_lines
from carina.reports.html.page import embed_json, read_asset
from carina.reports.html.rendering import render
from carina.reports.report_tables import Measured, ReportTable
from carina.reports.written_numbers import full_text, value_text
from carina.statistics.intervals import Estimate, not_applicable
from unit.reports.drawing.pictures import contrast


def a_drawing() -> Drawing:
    drawing = Drawing("one", "A <title>", "what it shows & says", 200, 100)
    drawing.line([(10, 10), (190, 90)], "s1", dash=(4, 2))
    drawing.box(20, 20, 40, 30, "s2", opacity=0.5, says="a box")
    drawing.mark(100, 50, "star", ink="s3")
    drawing.mark(120, 50, hollow=True)
    drawing.words(10, 95, "words < more", bold=True)
    drawing.words(10, 60, "up", turned=True)
    return drawing


def test_it_stands_alone_as_valid_svg_with_title_and_description() -> None:
    root = ET.fromstring(a_drawing().to_svg(alone=True))  # noqa: S314  # our own
    assert root.attrib["role"] == "img"
    name = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{name}title").text == "A <title>"
    assert root.find(f"{name}desc").text == "what it shows & says"


def test_it_becomes_a_picture_of_three_pixels_a_unit() -> None:
    with Image.open(io.BytesIO(to_png(a_drawing()))) as picture:
        assert picture.size == (600, 300)
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    # The box's middle is half vermillion, half paper.
    middle = pixels[3 * 30, 3 * 30].astype(int)
    assert abs(middle - (np.array([0xC2, 0x4A, 0x00]) + 255) / 2).max() < 40


def themes() -> list[dict[str, str]]:
    pairs = dict(re.findall(r"--([\w]+): light-dark\((#\w+, #\w+)\)", read_asset("page.css")))
    return [{name: colours.split(", ")[place] for name, colours in pairs.items()} for place in (0, 1)]


@pytest.mark.parametrize("theme", [0, 1])
def test_words_and_series_can_be_read_on_every_ground(theme: int) -> None:
    colours = themes()[theme]
    for ground in ("paper", "panel"):
        for name in ("ink", "muted", "link", *SERIES):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    assert contrast(colours["alarm"], "#ffffff") >= 4.5


def test_files_have_the_colours_of_the_light_theme() -> None:
    light = themes()[0]
    assert {name: light[name] for name in LIGHT} == LIGHT


def test_a_forest_says_why_there_is_no_figure() -> None:
    rows = [Row("north", "120 images", Estimate(0.9, 0.8, 0.95, "Wilson")), Row("tiny", "", not_applicable("too few"))]
    drawing = draw_forest("forest", "By source", rows, line=0.85)
    svg = drawing.to_svg()
    assert "90.0\u00a0% (80.0–95.0)" in svg
    assert "too few" in svg
    assert "north" in drawing.description


def test_no_words_of_a_forest_leave_it() -> None:
    rows = [
        Row("a name that is very long indeed " * 3, "1,234 images", Estimate(0.5, 0.1, 0.9, "x"), "A heading " * 12)
    ]
    for part in draw_forest("forest", "A title of some length " * 5, rows).parts:
        if hasattr(part, "text") and part.anchor == "start":
            assert part.x + 7.5 * len(part.text) < 560, part.text


@pytest.mark.parametrize(
    ("estimate", "kind", "said"),
    [
        (Estimate(0.93, 0.91, 0.95, "x"), "share", "93.0\u00a0% (91.0–95.0)"),
        (Estimate(0.99996, 0.9998, 0.99999, "x"), "share", "99.996\u00a0% (99.980–99.999)"),
        (Estimate(1.0, 0.97, 1.0, "x"), "share", "100.0\u00a0% (97.0–100.0)"),
        (Estimate(0.5, 0.2, 0.9999, "x"), "share", "50.00\u00a0% (20.00–99.99)"),
        (Estimate(0.5, 0.0001, 0.9, "x"), "share", "50.00\u00a0% (0.01–90.00)"),
        (Estimate(1.0, 0.99996, 1.0, "x"), "share", "100.000\u00a0% (99.996–100.000)"),
        (Estimate(1.0, 1 - 2e-9, 1 - 1e-16, "x"), "share", "100.0000000\u00a0% (99.9999998–100.0000000)"),
        (Estimate(0.0, 1e-17, 0.03, "x"), "share", "0.0\u00a0% (0.0–3.0)"),
        (Estimate(0.98, 0.95, 0.9998, "x"), "area", "0.9800 (0.9500–0.9998)"),
        (Estimate(0.98, 0.95, 1 - 2e-9, "x"), "area", "0.980000000 (0.950000000–0.999999998)"),
        (Estimate(0.997, 0.995, 0.998, "x"), "area", "0.997 (0.995–0.998)"),
        (Estimate(-0.0454, -0.155, 0.057, "x"), "share", "−4.5\u00a0% (−15.5 to 5.7)"),
        (Estimate(1.0094, 0.995, 1.03, "x"), "share", "100.9\u00a0% (99.5–103.0)"),
        (Estimate(153.2, 93.7, 249.1, "x"), "ratio", "153 (93.7–249)"),
        (Estimate(-0.17, -0.45, 0.1, "x"), "signed", "−0.17 (−0.45 to 0.10)"),
        (Estimate(0.5, None, None, "none", note="n"), "share", "50.0\u00a0% (no interval)"),
    ],
)
def test_numbers_are_written_with_their_interval_and_never_as_a_certainty(
    estimate: Estimate, kind: str, said: str
) -> None:
    assert full_text(estimate, kind) == said


def test_a_number_that_does_not_exist_says_why() -> None:
    assert value_text(not_applicable("no image")) == "n/a"
    assert full_text(not_applicable("no image")) == "n/a (no image)"


def test_no_text_of_the_data_can_end_its_script() -> None:
    assert "<" not in embed_json({"a": "</script>"})


def test_a_template_escapes_text_and_misses_no_name() -> None:
    table = ReportTable(
        "t", "<b>", ("Name", "Value"), (("one", Measured(Estimate(0.5, 0.25, 0.75, "x"))), ("&", "text"))
    )
    page = render("table_alone.html", table=table)
    assert '<th scope="row">&amp;</th>' in page
    assert "<b>" not in page
    assert '<span class="value">50.0\u00a0%</span> <span class="interval">(25.0–75.0)</span>' in page
    with pytest.raises(jinja2.UndefinedError, match="'table' is undefined"):
        render("table_alone.html")


def test_a_table_in_its_file_has_three_columns_for_an_estimate() -> None:
    table = ReportTable(
        "t", "Caption", ("Name", "Value"), (("one", Measured(Estimate(0.5, 0.25, 0.75, "x"))), ("two", "text"))
    )
    assert table.to_csv() == "Name,Value,Value low,Value high\none,0.5,0.25,0.75\ntwo,text,,\n"


def test_lines_are_broken_at_spaces() -> None:
    assert fit_lines("one two three", 40) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("points", "pieces"),
    [
        ([(0.2, 0.5), (0.8, 0.5)], [[(0.2, 0.5), (0.8, 0.5)]]),
        ([(-1, 0.5), (2, 0.5)], [[(0, 0.5), (1, 0.5)]]),
        ([(0, 2), (1, 2)], []),
        ([(-1, 0.5), (-0.5, 0.5)], []),
        ([(0.5, -1), (0.5, 3)], [[(0.5, 0), (0.5, 1)]]),
        ([(-0.5, 0.5), (0.5, 1.5)], [[(0, 1), (0, 1)]]),
        ([(0.2, 0.2), (0.4, 1.4), (0.8, 1.4), (0.9, 0.4)], [[(0.2, 0.2), (1 / 3, 1)], [(0.84, 1), (0.9, 0.4)]]),
    ],
)
def test_a_curve_is_cut_where_it_leaves_its_panel(points: list[Any], pieces: list[Any]) -> None:
    axis = Axis("share", 0, 1, ())
    panel = build_panel("p", "P", "", axis, axis)
    before = len(panel.drawing.parts)
    panel.curve(points, "s1")
    drawn = [part.points for part in panel.drawing.parts[before:]]
    assert len(drawn) == len(pieces)
    for line, piece in zip(drawn, pieces, strict=True):
        assert np.array(line) == pytest.approx(np.array([panel.at(x, y) for x, y in piece]))
