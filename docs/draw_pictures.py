"""Draw the pictures of the tutorials and explanations: python docs/draw_pictures.py.

They hold synthetic images and the released model's own numbers, and no radiograph. The pictures of the report are taken
by docs/draw_report_pictures.py.
"""

import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image

import carina
from carina.bundles.bundle import open_model, released_bundle
from carina.findings import BASELINE_FINDINGS, NORMAL
from carina.inference.explanation.overlay import draw_overlay
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.lungs import LUNG_GRAPH, LungFinder
from carina.radiographs.preprocess import frame, resize_grey
from carina.radiographs.read import read_radiograph

ROOT = Path(__file__).parents[1]
PICTURES = Path(__file__).parent / "pictures"
_BLUE, _ORANGE, _GREY, _QUIET = "#2f6f9f", "#d55e00", "#767676", "#7d93a8"

sys.path.insert(0, str(ROOT / "tests"))

from make_dicom import encode_dicom  # noqa: E402  # a part of the tests, which are no package


def main() -> None:
    """Write docs/pictures/*.png."""
    mpl.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    )
    PICTURES.mkdir(exist_ok=True)
    for draw in (phantoms, gate, priorities, shown, way, activation_map, windows, findings, folders, precisions):
        draw()


def film(finding: str = "COVID-19", seed: int = 3, size: int = 256) -> NDArray[np.uint8]:
    """Return a synthetic image: uint8 ``(size, size)``."""
    return draw_phantom(finding, seed=seed, patient_seed=seed, difficulty=0.3, size=size).pixels


def save(figure: Any, name: str) -> None:
    """Write a figure as a small PNG of at most 256 colours."""
    written = io.BytesIO()
    figure.savefig(written, dpi=110, facecolor="white", bbox_inches="tight", pad_inches=0.12)
    plt.close(figure)
    with Image.open(written) as picture:
        write(picture.convert("RGB"), name)


def write(picture: Image.Image, name: str) -> None:
    """Write a picture as a PNG of at most 256 colours."""
    small = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(PICTURES / f"{name}.png", optimize=True)


def in_a_row(pictures: Iterable[tuple[NDArray[Any], str]], name: str, width: float = 2.1) -> None:
    """Write images side by side, each with a text below it."""
    shown = list(pictures)
    figure, axes = plt.subplots(1, len(shown), figsize=(width * len(shown), width + 0.6))
    for axis, (pixels, text) in zip(axes, shown, strict=True):
        axis.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        axis.set_xlabel(text, fontsize=9)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color="#c8c8c8")
    figure.tight_layout(w_pad=0.6)
    save(figure, name)


def phantoms() -> None:
    """Draw two synthetic images of each finding, normal first."""
    names = sorted(BASELINE_FINDINGS, key=lambda finding: finding != NORMAL)
    in_a_row([(film(finding, seed), finding) for finding in names for seed in (3, 11)], "phantoms", 1.6)


def gate() -> None:
    """Draw what the released model's gate says of an image that is turned, inverted and so on."""
    model, upright = carina.load_bundle(), film(NORMAL)
    text = np.full_like(upright, 245)
    for line in range(9):
        cv2.putText(text, "a page of text", (14, 34 + 25 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 20, 2, cv2.LINE_AA)
    images = [upright, np.rot90(upright, -1), upright[::-1], 255 - upright, text]
    told = []
    for image in images:
        answer = model.predict(np.ascontiguousarray(image))
        told.append("let through" if answer.accepted else "refused:\n" + answer.reasons[0].replace("it ", "", 1))
    in_a_row(zip(images, (wrapped(text) for text in told), strict=True), "gate")


def wrapped(text: str, width: int = 24) -> str:
    """Return a text in short lines."""
    lines = [""]
    for word in text.replace("\n", " \n ").split(" "):
        if word == "\n" or len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word.strip() + " " * bool(word.strip())
    return "\n".join(line.strip() for line in lines)


def priorities() -> None:
    """Draw the thresholds of the released model, on two axes."""
    policy = open_model(released_bundle()).policy
    bands, point = policy.thresholds_at(), policy.operating_point.threshold
    # The released model has both bands.
    fast_track, routine = bands.fast_track or 1.0, bands.routine or 1.0
    figure, axis = plt.subplots(figsize=(9, 3.3))
    flag = [
        (0, point, _GREY, "decided below"),
        (point, fast_track, "#e8a33d", "expedite"),
        (fast_track, 1, _ORANGE, "fast-track"),
    ]
    normal = [
        (0, 0.5, "#e8a33d", "another finding is more probable: expedite"),
        (0.5, routine, _BLUE, "secondary-review"),
        (routine, 1, _QUIET, "routine"),
    ]
    for height, parts in ((1, flag), (0, normal)):
        for low, high, colour, text in parts:
            # The upper end is stretched: a linear axis would not show the last band.
            left, right = place(low), place(high)
            axis.barh(height, right - left, left=left, color=colour, height=0.42, edgecolor="white")
            axis.text(
                (left + right) / 2, height, wrapped(text, 18), ha="center", va="center", color="white", fontsize=9
            )
            axis.text(left, height - 0.3, "" if low == 0.5 else f"{low:.3g}", ha="center", va="top", fontsize=8)
    axis.set(yticks=[1, 0], xlim=(-0.02, 1.02), ylim=(-0.6, 1.5), xticks=[])
    axis.set_yticklabels([f"1. P({policy.flag_finding})", "2. P(Normal),\nif nothing is flagged"])
    axis.spines[:].set_visible(False)
    axis.set_title(
        "What the released model makes of its probabilities (axes stretched towards 1)", fontsize=10, loc="left"
    )
    save(figure, "priorities")


def place(probability: float) -> float:
    """Return where a probability is drawn: the last tenth takes half of the axis."""
    ends = [0, 0.5, 0.9, 0.99, 1]
    return float(np.interp(probability, ends, [0, 0.25, 0.55, 0.8, 1]))


def steps(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image with its lungs outlined, and what the released model's network is shown of it."""
    preprocessing = open_model(released_bundle()).preprocessing
    path = PICTURES / "film.png"
    cv2.imwrite(str(path), pixels)
    grey = resize_grey(read_radiograph(path), preprocessing.read_size)
    path.unlink()
    (lungs,) = LungFinder(released_bundle() / LUNG_GRAPH, backend="onnxruntime").find([grey]).lungs
    if lungs is None:
        sys.exit("No lungs were found in the synthetic image: draw another one.")
    outlined = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    mask = cv2.resize(lungs.mask.astype(np.uint8), grey.shape, interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outlined, edges, -1, (240, 150, 40), 1)
    top, left, bottom, right = (round(share * len(grey)) for share in lungs.box)
    cv2.rectangle(outlined, (left, top), (right, bottom), (90, 170, 240), 1)
    return outlined, frame(grey, lungs, preprocessing)


def shown() -> None:
    """Draw the steps from the image to what the network is shown."""
    pixels = film()
    outlined, cropped = steps(pixels)
    texts = ["the image", "lungs found, box around them", "what the network is shown:\ncropped, grey levels stretched"]
    in_a_row(zip([pixels, outlined, cropped], texts, strict=True), "shown", 2.6)


def way() -> None:
    """Draw the steps from an image to a priority."""
    pixels = film()
    outlined, cropped = steps(pixels)
    answer = carina.load_bundle().predict(pixels)
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 2.9), width_ratios=[1, 1, 1, 0.9])
    titles = ["1. read", "4. find the lungs, 5. gate", "7. frame", "8. to 10. compute, calibrate, decide"]
    for axis, image, title in zip(axes, (pixels, outlined, cropped, None), titles, strict=True):
        axis.set_title(title, fontsize=9.5)
        if image is not None:
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    names = list(answer.probabilities)[::-1]
    axes[3].barh(names, [answer.probabilities[name] for name in names], color=_BLUE)
    axes[3].set(xlim=(0, 1))
    axes[3].set_xlabel(f"calibrated probability\n→ {answer.triage.priority} ({answer.triage.code})", fontsize=9.5)
    figure.tight_layout(w_pad=1)
    save(figure, "way")


def activation_map() -> None:
    """Draw what `carina predict --explain` writes for a synthetic image."""
    answer = carina.load_bundle().predict(film(size=256), explain=True)
    picture = draw_overlay(answer.explanation, answer.finding, answer.probabilities[answer.finding])
    write(
        Image.fromarray(picture).resize(
            (picture.shape[1] * 2 // 3, picture.shape[0] * 2 // 3), Image.Resampling.LANCZOS
        ),
        "activation-map",
    )


def windows() -> None:
    """Draw one image stored in three ways, and shown as a workstation does."""
    stored = 900 + film(NORMAL).astype(np.uint16) * 6
    cases = [
        ("no window: from the smallest\nto the largest value", {}),
        ("window 1600 / 900", {"WindowCenter": 1600.0, "WindowWidth": 900.0}),
        ("MONOCHROME1:\nblack and white turned back", {"photometric": "MONOCHROME1"}),
    ]
    pictures, path = [], PICTURES / "film.dcm"
    for text, said in cases:
        inverted = "photometric" in said
        pixels = stored.max() + stored.min() - stored if inverted else stored
        path.write_bytes(encode_dicom(pixels, stored=12, **{"WindowCenter": None, "WindowWidth": None, **said}))
        pictures.append((resize_grey(read_radiograph(path), 256), text))
    path.unlink()
    in_a_row([(np.clip(stored // 16, 0, 255), "the stored values, 12 bits,\nas they are"), *pictures], "dicom")


def boxes(
    figure_size: tuple[float, float],
    texts: list[tuple[float, float, str, str]],
    arrows: list[tuple[int, int, str]],
    name: str,
) -> None:
    """Write a picture of boxes with arrows between them, each with a word."""
    figure, axis = plt.subplots(figsize=figure_size)
    axis.set(xlim=(0, 10), ylim=(0, 10))
    axis.axis("off")
    for x, y, text, colour in texts:
        style = {"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": _GREY}
        axis.text(x, y, text, ha="center", va="center", fontsize=9, bbox=style, zorder=3)
    for start, end, text in arrows:
        (x1, y1), (x2, y2) = texts[start][:2], texts[end][:2]
        axis.annotate(
            "",
            (x2, y2),
            (x1, y1),
            arrowprops={"arrowstyle": "-|>", "color": _GREY, "shrinkA": 26, "shrinkB": 26},
            zorder=1,
        )
        axis.text(
            (x1 + x2) / 2,
            (y1 + y2) / 2,
            text,
            ha="center",
            va="center",
            fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            zorder=2,
        )
    save(figure, name)


def findings() -> None:
    """Draw how the import finds out which finding is normal."""
    pale, green, orange = "#eef3f8", "#e3f1e5", "#fdeadb"
    boxes(
        (9, 3.4),
        [
            (1.6, 8.3, "a folder's name:\nHealthy", pale),
            (1.6, 1.7, "a folder's name:\nTB", pale),
            (4.9, 8.3, "a word that is\nsurely normal?", "white"),
            (4.9, 1.7, "the only finding\nthat is not normal?", "white"),
            (8.5, 8.3, "Normal", green),
            (8.5, 5.0, "the import asks:\n--normal NAME, --flag NAME", pale),
            (8.5, 1.7, "flagged: read first", orange),
        ],
        [(0, 2, ""), (1, 3, ""), (2, 4, "yes"), (2, 5, "no"), (3, 5, "no"), (3, 6, "yes")],
        "findings",
    )


def folders() -> None:
    """Draw what the levels of folders are taken for."""
    rows = [
        ("siteA/", "source"),
        ("    patient 1/", "patient"),
        ("        Normal/", "finding"),
        ("            film.png", "image"),
        ("        Normal/masks/", "left out, counted"),
        ("siteB/", "source"),
        ("    patient 7/", "patient"),
        ("        TB/", "finding"),
    ]
    colours = {"source": _BLUE, "patient": _QUIET, "finding": _ORANGE}
    figure, axis = plt.subplots(figsize=(6.4, 2.7))
    for place_, (text, meaning) in enumerate(rows):
        axis.text(0, -place_, text, family="DejaVu Sans Mono", fontsize=10)
        axis.text(5.2, -place_, f"→ {meaning}", fontsize=10, color=colours.get(meaning, _GREY))
    axis.set(xlim=(0, 9), ylim=(-len(rows) + 0.5, 0.8))
    axis.axis("off")
    save(figure, "folders")


def precisions() -> None:
    """Draw how fast 8-bit integers are with each instruction set, and what they reach beside f32."""
    read = json.loads((ROOT / "results" / "precisions.json").read_text("utf-8"))
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), width_ratios=(1, 1.3))
    sets = read["instruction_sets"]
    bars = axes[0].barh(list(sets), [of["int8"]["times_float32"] for of in sets.values()], color=_BLUE)
    axes[0].bar_label(bars, fmt="{:.2f} ×", padding=3, fontsize=9)
    axes[0].axvline(1, color=_GREY)
    axes[0].margins(x=0.25)
    axes[0].invert_yaxis()
    axes[0].set_xlabel("speed of int8, of float32")
    (twin,) = (each for each in read["twins"] if each["precision"] == "int8")
    (trial,) = (each for each in twin["tests"] if each["engine"].startswith("ONNX"))
    pairs = [pair for pair in trial["pairs"] if "share" not in pair["measure"]]
    for place_, pair in enumerate(pairs):
        middle, ends = pair["twin"] - pair["classifier"], (pair["low"], pair["high"])
        axes[1].plot([100 * end for end in ends], [place_, place_], color=_BLUE)
        axes[1].plot(100 * middle, place_, "o", color=_BLUE)
    axes[1].set_yticks(range(len(pairs)), [pair["measure"] for pair in pairs])
    axes[1].set_ylim(len(pairs) - 0.5, -0.5)
    axes[1].axvline(0, color=_GREY)
    axes[1].set_xlabel("int8 less f32, test images, points (95 % interval)")
    figure.tight_layout()
    save(figure, "precisions")


if __name__ == "__main__":
    main()
