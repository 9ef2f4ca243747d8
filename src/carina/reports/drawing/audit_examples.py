"""The pictures of an audit: one page that says how much is lungs, and what each alteration looks like on phantoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from carina.datasets.phantom import PHANTOM_FINDINGS, draw_phantom
from carina.errors import DataError
from carina.evaluation.audit.inputs import (
    ALTERATIONS,
    SUMMARIES,
    THUMBNAIL_SIZE,
    TITLES,
    AlterationSettings,
    Input,
    alter,
    lungs_of_mask,
    summarise,
)
from carina.evaluation.audit.results import Audit
from carina.evaluation.audit.words import LEANING, percent
from carina.evaluation.intervals import Estimate
from carina.findings import short_name
from carina.radiographs.lungs import Lungs
from carina.radiographs.preprocess import Preprocessing, resize_grey
from carina.radiographs.radiograph import build_radiograph
from carina.reports.drawing.sheet import (
    BLUE,
    GREY,
    INK,
    LEGEND_ROW,
    MARGIN,
    ORANGE,
    SMALL_PT,
    TEXT_PT,
    Entry,
    Sheet,
    build_sheet,
    draw_legend,
    hatch_patch,
    label_of,
    line_height,
    lines_height,
    wrap,
    write_png,
)

_INPUTS: tuple[Input, ...] = (*ALTERATIONS, *SUMMARIES)
_PAGE = 11.0
_ROW = 0.86
_ICON = 0.74
_FOREST_ROW = 0.27
_PARAGRAPH = 0.07
# More pairs of findings than this stand in the text alone: one page is one page.
_PAIRS = 3
_NOTHING_LEFT = "This model is shown nothing but the box around the lungs: when that is blacked out, nothing is left."
_HEAD_LOOK = Entry("a head trained anew on such images", BLUE, bar=True)
_MODEL_LOOK = Entry("the model as it is", ORANGE, bar=True, hatch="///")


def draw_audit(audit: Audit, path: Path, *, preprocessing: Preprocessing, settings: AlterationSettings) -> None:
    """Write the page of an audit as a PNG; arguments as `build_audit`."""
    write_png(build_audit(audit, preprocessing=preprocessing, settings=settings), path)


def draw_examples(path: Path, *, preprocessing: Preprocessing, settings: AlterationSettings) -> None:
    """Write what each alteration looks like on phantoms as a PNG; arguments as `build_examples`."""
    write_png(build_examples(preprocessing=preprocessing, settings=settings), path)


def build_audit(audit: Audit, *, preprocessing: Preprocessing, settings: AlterationSettings) -> Figure:
    """Return one page: the sentence, bars of the AUROC above chance for each input, and the further questions.

    Parameters
    ----------
    audit
        What was found.
    preprocessing, settings
        Of the model and of the audit: the small phantoms beside the bars are altered in the same way.
    """
    room = _PAGE - 2 * MARGIN
    sentence = wrap(audit.sentence, room - 0.4, 14, bold=True)
    verdicts = [wrap(verdict, room - 0.6, TEXT_PT) for verdict in audit.verdicts]
    statement = lines_height(len(sentence), 14) + 0.35
    statement += sum(lines_height(len(lines), TEXT_PT) + _PARAGRAPH for lines in verdicts)
    bars = LEGEND_ROW + 0.35 + len(_INPUTS) * _ROW + 0.75
    sections = _sections(audit)
    notes = wrap(_notes(audit, preprocessing), room, SMALL_PT)
    forest = sum(line_height(TEXT_PT) + 0.16 + len(section.rows) * _FOREST_ROW for section in sections) + 0.45
    body = statement + 0.2 + bars + forest + lines_height(len(notes), SMALL_PT) + 2 * MARGIN
    counts = audit.counts
    sheet = build_sheet(
        _PAGE,
        body,
        title=f"How much of this is lungs? {audit.model} on {audit.dataset}",
        caption=(
            f"{counts.test:,} test images; heads trained on {counts.train:,}, tuned on {counts.calibration:,} "
            f"calibration images. Lungs by {audit.lungs_from}. In brackets: 95 % intervals over test patients."
        ),
        notice=None,
    )
    top = body - 0.05
    _draw_statement(sheet, top, statement, sentence, verdicts)
    top -= statement + 0.2
    icons = phantom_views(PHANTOM_FINDINGS[0], preprocessing, settings)
    _draw_bars(sheet, top, audit, icons)
    _draw_forest(sheet, top - bars, sections)
    sheet.text(MARGIN, MARGIN, notes, size=SMALL_PT, color=GREY, ha="left", va="bottom")
    return sheet.figure


def _draw_statement(sheet: Sheet, top: float, height: float, sentence: list[str], verdicts: list[list[str]]) -> None:
    sheet.figure.patches.append(
        Rectangle(
            (MARGIN / sheet.width, (top - height) / sheet.height),
            1 - 2 * MARGIN / sheet.width,
            height / sheet.height,
            transform=sheet.figure.transFigure,
            facecolor="#f2f2f2",
            edgecolor=GREY,
            linewidth=0.8,
        )
    )
    sheet.text(MARGIN + 0.2, top - 0.15, sentence, size=14, bold=True, ha="left", va="top")
    below = top - 0.15 - lines_height(len(sentence), 14) - 0.12
    for lines in verdicts:
        sheet.text(MARGIN + 0.2, below, "•", ha="left", va="top")
        sheet.text(MARGIN + 0.4, below, lines, ha="left", va="top")
        below -= lines_height(len(lines), TEXT_PT) + _PARAGRAPH


def _draw_bars(sheet: Sheet, top: float, audit: Audit, icons: dict[Input, NDArray[np.uint8]]) -> None:
    left, width = 3.5, 3.35
    height = len(_INPUTS) * _ROW
    bottom = top - LEGEND_ROW - 0.35 - height
    draw_legend(sheet, MARGIN, top, [[_HEAD_LOOK, _MODEL_LOOK]])
    axes = sheet.axes(left, bottom, width, height)
    axes.set_xlim(0.5, 1.0)
    axes.set_ylim(height, 0)
    axes.xaxis.set_major_locator(FixedLocator([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]))
    axes.yaxis.set_major_locator(NullLocator())
    heading = bottom + height + 0.1
    reference = audit.head_on("shown").macro_auroc.value
    if reference is not None:
        half = 0.5 + LEANING * (reference - 0.5)
        axes.add_line(Line2D((half, half), (0, height), color=GREY, linewidth=1.6, linestyle=(0, (2, 2)), zorder=2))
        at = left + width * (half - 0.5) / 0.5
        sheet.text(at, heading, "half of what is above chance", size=SMALL_PT, color=GREY)
    sheet.text(left + width + 0.2, heading, "AUROC", bold=True, ha="left", size=SMALL_PT)
    sheet.text(left + width + 2.0, heading, "share above chance", bold=True, ha="left", size=SMALL_PT)
    for place, name in enumerate(_INPUTS):
        middle = place * _ROW + _ROW / 2
        _draw_icon(sheet, MARGIN, bottom + height - middle, icons[name])
        key = name == "lungs-black"
        lines = wrap(TITLES[name], left - MARGIN - _ICON - 0.3, TEXT_PT, bold=key)
        sheet.text(MARGIN + _ICON + 0.12, bottom + height - middle, lines, ha="left", bold=key)
        head = audit.head_on(name)
        found = [(head.macro_auroc, head.share, _HEAD_LOOK)]
        if name in ALTERATIONS:
            own = audit.model_on(name)
            found.append((own.macro_auroc, own.share, _MODEL_LOOK))
        for line, (area, share, look) in enumerate(found):
            y = middle + (line - (len(found) - 1) / 2) * 0.3
            _draw_bar(axes, y, area, look)
            sheet.text(left + width + 0.2, bottom + height - y, label_of(area), ha="left", size=SMALL_PT)
            text = "reference" if name == "shown" else percent(share) if share.value is not None else "n/a"
            sheet.text(left + width + 2.0, bottom + height - y, text, ha="left", size=SMALL_PT)
    words = "Mean one-vs-rest AUROC: 0.5 is chance, 1 is perfect"
    sheet.text(left + width / 2, bottom - 0.38, words, bold=True, va="top", size=SMALL_PT)


def _draw_icon(sheet: Sheet, x: float, y: float, pixels: NDArray[np.uint8]) -> None:
    box = (x / sheet.width, (y - _ICON / 2) / sheet.height, _ICON / sheet.width, _ICON / sheet.height)
    axes = sheet.figure.add_axes(box)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.xaxis.set_major_locator(NullLocator())
    axes.yaxis.set_major_locator(NullLocator())


def _draw_bar(axes: Axes, y: float, area: Estimate, look: Entry) -> None:
    """Draw a bar from chance; what lies below chance has none, only its whisker."""
    if area.value is None:
        return
    bar = Rectangle((0.5, y - 0.12), max(0.0, area.value - 0.5), 0.24, facecolor=look.color, edgecolor=INK, zorder=3)
    bar.set_linewidth(0.8)
    hatch_patch(bar, look.hatch)
    axes.add_patch(bar)
    if area.low is not None and area.high is not None:
        low, high = max(0.5, area.low), max(0.5, area.high)
        axes.add_line(Line2D((low, high), (y, y), color=INK, linewidth=1.8, zorder=4))
        for end in (low, high):
            axes.add_line(Line2D((end, end), (y - 0.06, y + 0.06), color=INK, linewidth=1.8, zorder=4))


@dataclass(frozen=True, slots=True)
class _Section:
    """Rows of the lower half under one heading; `chance` is marked where guessing reaches it."""

    heading: str
    rows: tuple[tuple[str, Estimate], ...]
    chance: tuple[float | None, ...]


def _sections(audit: Audit) -> list[_Section]:
    """Return the further questions, those alone that could be asked."""
    sections: list[tuple[str, list[tuple[str, Estimate, float | None]]]] = [
        (
            "The model makes the same call with P ≥ 0.5 where it sees:",
            [(TITLES[item.input], item.kept, None) for item in audit.by_model if item.input != "shown"],
        ),
        (
            "One source told from another by the embedding, within one finding: balanced accuracy",
            [
                (f"{item.finding} ({', '.join(item.sources)})", item.balanced_accuracy, item.chance)
                for item in audit.source_probes
                if item.chance is not None
            ],
        ),
        (
            "A source left out of a new head, at the model's own rule (the backbone may have seen it: optimistic)",
            [(f"{item.source}: {item.measure}", item.estimate, None) for item in audit.left_out_sources],
        ),
        (
            "Two findings of one source, where the source cannot help: AUROC",
            [
                # What is told apart by comes first: where the line is too long, its end is cut.
                (f"{what}: {pair.source}, {short_name(pair.positive)} or {short_name(pair.negative)}", area, 0.5)
                for pair in audit.same_source_pairs[:_PAIRS]
                for what, area in (
                    ("model", pair.model),
                    ("new head", pair.head),
                    ("new head, no lungs", pair.without_lungs),
                    ("16 × 16 pixels", pair.thumbnail),
                )
            ],
        ),
        ("Ages: AUROC of the model", [(item.name, item.macro_auroc, 0.5) for item in audit.age_groups]),
        (
            "Sets from elsewhere, what the model learned from left out: AUROC",
            [
                (f"{item.name}: {_question_of(question.positive, question.negative)}", question.auroc, 0.5)
                for item in audit.external_sets
                for question in item.questions
            ],
        ),
    ]
    return [
        _Section(heading, tuple((name, estimate) for name, estimate, _ in rows), tuple(mark for _, _, mark in rows))
        for heading, rows in sections
        if rows
    ]


def _question_of(positive: Sequence[str], negative: Sequence[str]) -> str:
    return f"{_some(positive)} against {_some(negative)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(short_name(name) for name in names) if len(names) < 3 else f"{len(names)} findings"


def _draw_forest(sheet: Sheet, top: float, sections: Sequence[_Section]) -> None:
    left, width = 5.3, 3.4
    for section in sections:
        sheet.text(MARGIN, top, section.heading, bold=True, ha="left", va="top")
        top -= line_height(TEXT_PT) + 0.06
        height = len(section.rows) * _FOREST_ROW
        axes = sheet.axes(left, top - height, width, height)
        axes.set_xlim(0, 1)
        axes.set_ylim(len(section.rows), 0)
        axes.yaxis.set_major_locator(NullLocator())
        axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        last = section is sections[-1]
        axes.tick_params(labelbottom=last)
        if last:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for place, ((name, estimate), chance) in enumerate(zip(section.rows, section.chance, strict=True)):
            y = place + 0.5
            at = top - y * _FOREST_ROW
            lines = wrap(name, left - MARGIN - 0.3, SMALL_PT)
            text = lines[0] if len(lines) == 1 else lines[0].rstrip(",") + " …"
            sheet.text(MARGIN + 0.15, at, text, ha="left", size=SMALL_PT)
            sheet.text(left + width + 0.2, at, label_of(estimate), ha="left", size=SMALL_PT)
            _draw_point(axes, y, estimate, chance)
        top -= height + 0.1


def _draw_point(axes: Axes, y: float, estimate: Estimate, chance: float | None) -> None:
    if chance is not None:
        axes.add_line(Line2D((chance, chance), (y - 0.5, y + 0.5), color=GREY, linewidth=1.6, linestyle=(0, (2, 2))))
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.add_line(Line2D((estimate.low, estimate.high), (y, y), color=INK, linewidth=1.8, zorder=3))
    point = Line2D((estimate.value,), (y,), color=BLUE, marker="o", markersize=6.5, linestyle="none", zorder=4)
    point.set(clip_on=False)
    axes.add_line(point)


def _notes(audit: Audit, preprocessing: Preprocessing) -> str:
    """Return how to read the page."""
    missing = f" Not asked: {'; '.join(audit.not_applicable)}." if audit.not_applicable else ""
    left_out = audit.counts.without_lungs
    if left_out:
        missing = f" {left_out} images in which no lungs were found take no part.{missing}"
    if preprocessing.crop == "lungs":
        missing = f" {_NOTHING_LEFT}{missing}"
    further = len(audit.same_source_pairs) - _PAIRS
    if further > 0:
        missing = f" {further} further pairs of one source stand in audit.txt.{missing}"
    return (
        "The pictures are phantoms, no patients. Small figures of the model as it is may also mean that black patches "
        "confuse it; a head trained anew on such images is not confused, so it says what can be known from them. "
        "What is not lung may still be honest (heart, devices, positioning): the audit says where a figure comes from, "
        "not why. "
        f"The model, or the data, is said to lean on what is not lung above {100 * LEANING:.0f} %. "
        f"Dashed in the lower half: chance.{missing}"
    )


def phantom_views(
    finding: str, preprocessing: Preprocessing, settings: AlterationSettings, *, seed: int = 11
) -> dict[Input, NDArray[np.uint8]]:
    """Return each input as a picture of one phantom: uint8 ``(size, size)``, the summaries drawn at a larger scale.

    Raises
    ------
    DataError
        If the phantom has no lungs.
    """
    phantom = draw_phantom(finding, seed=seed, size=max(256, preprocessing.read_size), difficulty=0.3)
    lungs = lungs_of_mask(phantom.lung_mask.astype(np.uint8) * 255)
    if lungs is None:
        msg = f"The phantom of seed {seed} has no lungs. Choose another seed."
        raise DataError(msg)
    whole = resize_grey(build_radiograph(phantom.pixels), preprocessing.read_size)
    return _views(whole, lungs, preprocessing, settings)


def _views(
    whole: NDArray[np.uint8], lungs: Lungs, preprocessing: Preprocessing, settings: AlterationSettings
) -> dict[Input, NDArray[np.uint8]]:
    views: dict[Input, NDArray[np.uint8]] = {
        name: alter(whole, lungs, lungs, name, preprocessing, settings) for name in ALTERATIONS
    }
    shown = views["shown"]
    small = np.rint(summarise(shown, whole, "thumbnail") * 255).astype(np.uint8)
    views["thumbnail"] = small.reshape(THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    views["histogram"] = _histogram_picture(summarise(shown, whole, "histogram")[:32], preprocessing.size)
    return views


def _histogram_picture(shares: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Return the grey bins as white bars on black, above a scale of the greys that they count."""
    picture = np.zeros((size, size), dtype=np.uint8)
    scale, gap = max(2, size // 10), max(1, size // 50)
    base = size - scale - gap
    edges = np.linspace(0, size, len(shares) + 1).round().astype(int)
    tallest = float(np.sort(shares)[-2]) or 1.0
    for place, (share, left, right) in enumerate(zip(shares, edges[:-1], edges[1:], strict=True)):
        height = round(min(1.0, float(share) / tallest) * (base - gap))
        picture[base - height : base, left:right] = 255
        picture[size - scale :, left:right] = round(255 * place / (len(shares) - 1))
    return picture


def build_examples(*, preprocessing: Preprocessing, settings: AlterationSettings) -> Figure:
    """Return every input of phantoms: a row a finding, a column an input.

    Parameters
    ----------
    preprocessing, settings
        Of the model and of the audit.
    """
    side, gap, left = 1.7, 0.1, 1.35
    labels = [wrap(TITLES[name], side, SMALL_PT) for name in _INPUTS]
    above = lines_height(max(len(lines) for lines in labels), SMALL_PT) + 0.1
    body = above + len(PHANTOM_FINDINGS) * (side + gap) + MARGIN
    sheet = build_sheet(
        left + len(_INPUTS) * (side + gap) + MARGIN,
        body,
        title="What an audit shows in place of a radiograph",
        caption=(
            "Phantoms, no patients. Lungs and box are blacked out with a rim of "
            f"{100 * settings.dilation:g} % of the film's side; the border is its outer {100 * settings.border:g} %."
            + (f" {_NOTHING_LEFT}" if preprocessing.crop == "lungs" else "")
        ),
        notice=None,
    )
    for column, lines in enumerate(labels):
        x = left + column * (side + gap)
        bottom = body - above + 0.06 + lines_height(len(lines), SMALL_PT)
        sheet.text(x + side / 2, bottom, lines, size=SMALL_PT, va="top")
    for row, finding in enumerate(PHANTOM_FINDINGS):
        y = body - above - row * (side + gap) - side
        sheet.text(MARGIN, y + side / 2, wrap(finding, left - MARGIN - 0.1, TEXT_PT), ha="left")
        views = phantom_views(finding, preprocessing, settings, seed=11 + row)
        for column, name in enumerate(_INPUTS):
            x = left + column * (side + gap)
            axes = sheet.figure.add_axes((x / sheet.width, y / sheet.height, side / sheet.width, side / sheet.height))
            axes.imshow(views[name], cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
    return sheet.figure
