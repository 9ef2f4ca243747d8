"""Pictures of explanations: what they show and where, what they are called, and what is not in them."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from carina.decisions.calibration import Calibration
from carina.inference.explanation import lettering, overlay, overlay_files
from carina.inference.explanation.explain import Explanation
from carina.inference.explanation.overlay import NOTE, draw_overlay, encode_png
from carina.inference.explanation.overlay_files import overlay_name, write_overlays
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.lung_mask import Lungs
from make import write_image
from unit.inference.small_model import FINDINGS

SIDE = 800


def explained(
    cells: np.ndarray,
    *,
    grey: np.ndarray | None = None,
    seen: tuple[float, float, float, float] = (0.25, 0.25, 0.75, 0.75),
    lungs: Lungs | None = None,
    findings: tuple[str, ...] = ("A", "B"),
) -> Explanation:
    """Return an explanation whose evidence for the first of two findings is `cells`."""
    calibration = Calibration(
        method="none", scale=(1.0, 1.0), offset=(0.0, 0.0), fitted_on="", images=0, nll_before=0, nll_after=0
    )
    both = np.stack([cells, -cells], axis=-1).astype(np.float32)
    grey = np.full((SIDE, SIDE), 100, np.uint8) if grey is None else grey
    return Explanation(findings, both, both.sum(axis=(0, 1)), calibration, seen, lungs, grey)


def test_colours_tell_for_from_against_and_leave_the_rest_alone() -> None:
    cells = np.array([[1.0, -1.0], [0.0, 0.5]])
    picture = draw_overlay(explained(cells), "A", 0.9)
    assert picture.dtype == np.uint8
    # The middles of the four cells; the frame is the middle of the film.
    (red, _, blue), against, nothing, half = (
        picture[y, x].astype(int) for y, x in ((300, 300), (300, 500), (500, 300), (500, 500))
    )
    assert red - blue > 100
    assert against[2] - against[0] > 100
    np.testing.assert_allclose(nothing, [100, 100, 100], atol=1)
    # Half as much evidence, half as much colour.
    np.testing.assert_allclose(half - 100, (picture[300, 300].astype(int) - 100) / 2, atol=2)
    outside = picture[:SIDE].copy()
    outside[190:610, 190:610] = 100
    assert (outside == 100).all()
    # The other finding's picture has the colours the other way round.
    other = draw_overlay(explained(cells), "B", 0.1)
    assert (other[300, 300].astype(int)[2] > other[300, 300].astype(int)[0]).all()


def test_colours_are_told_apart_without_red_or_green_vision() -> None:
    """Source: Machado et al. 2009, doi:10.1109/TVCG.2009.113, severity 1.0."""
    protan = np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    )
    deutan = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
    linear = (np.array([overlay._FOR, overlay._AGAINST]) / 255) ** 2.2
    for seen_by in (protan, deutan):
        for_it, against = np.clip(linear @ seen_by.T, 0, 1) ** (1 / 2.2)
        assert np.abs(for_it - against).max() > 0.4


def test_a_weak_map_stays_pale_and_a_strong_one_has_full_colour() -> None:
    weak, strong = (draw_overlay(explained(np.full((1, 1), value)), "A", 0.5)[400, 400] for value in (0.01, 2.9))
    assert np.ptp(weak.astype(int)) < 20
    assert np.ptp(strong.astype(int)) > 100
    assert [overlay._end_of_scale(value) for value in (0.0, 0.1, 0.11, 0.99, 1.0, 1.01, 24.0)] == pytest.approx(
        [0.1, 0.1, 0.15, 1.0, 1.0, 1.5, 30.0]
    )


def test_the_legend_says_what_it_is_and_what_not(words: list[str]) -> None:
    mask = np.zeros((160, 160), np.bool_)
    mask[:, :80] = True
    cells = np.array([[1.5, 0.5], [0.0, -1.0]])
    draw_overlay(explained(cells, lungs=Lungs(mask)), "A", 0.9996)
    text = " ".join(words)
    assert words[0] == "A   P = 0.9996"
    assert "All cells together +1.0, bias +0.0" in text
    assert "2 × 2 cells, drawn smooth" in text
    assert "75 % of what speaks for it lies inside the lungs (white), which fill 50 % of the frame." in text
    assert words[-1] == NOTE == "Contributions to the logit; not where the disease is. For research."
    words.clear()
    draw_overlay(explained(cells), "A", 0.5)
    assert "this model does not look for them" in " ".join(words)
    words.clear()
    draw_overlay(explained(-np.ones((2, 2)), lungs=Lungs(mask)), "A", 0.5)
    assert "Nothing speaks for A." in words


def test_evidence_against_another_finding_is_drawn_and_said(words: list[str]) -> None:
    """With the second finding's cells the other way round, the odds have twice the evidence."""
    cells = np.array([[1.0, -1.0], [0.0, 0.5]])
    picture = draw_overlay(explained(cells), "A", 0.9, against="B")
    np.testing.assert_array_equal(picture[:SIDE], draw_overlay(explained(2 * cells), "A", 0.9)[:SIDE])
    text = " ".join(words)
    assert "Orange: the cell raises the odds of A against B; blue: it lowers them. All cells together +1.0" in text


def test_a_scale_may_be_held_from_following_weak_evidence() -> None:
    weak, strong = (explained(np.array([[share, 0.0], [0.0, 0.0]])) for share in (0.06, 0.6))
    held = draw_overlay(weak, "A", 0.5, smallest_full=0.5)
    following, full = draw_overlay(weak, "A", 0.5, smallest_full=0.05), draw_overlay(strong, "A", 0.5)
    np.testing.assert_array_equal(following[:SIDE], full[:SIDE])
    spot = np.s_[SIDE * 3 // 8, SIDE * 3 // 8]
    assert int(held[spot][0]) - int(held[spot][2]) < 0.2 * (int(full[spot][0]) - int(full[spot][2]))


@pytest.mark.parametrize("shape", [(32, 32), (60, 50), (2000, 300), (300, 2000), (2048, 1500), (64, 2048)])
def test_every_size_has_a_legend_that_can_be_read(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []
    wrapped = lettering.wrapped

    def noting(text: str, font: Any, room: Any) -> Any:
        found = wrapped(text, font, room)
        lines.extend((font.getlength(line), room, line) for line in found)
        return found

    monkeypatch.setattr(lettering, "wrapped", noting)
    grey = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    mask = np.zeros((160, 160), np.bool_)
    mask[20:140, 20:70] = mask[20:140, 90:140] = True
    names = ("A finding with a long name of its own", "B")
    picture = draw_overlay(explained(np.eye(3), grey=grey, lungs=Lungs(mask), findings=names), names[0], 0.5)
    assert picture.shape[1] >= 640
    assert picture.shape[2] == 3
    factor = -(-720 // max(shape))
    assert picture.shape[0] > shape[0] * factor
    assert all(length <= room for length, room, line in lines if " " in line)
    # The last line of text is in the picture, and it is not empty.
    assert picture[-60:].max() > 100


def test_outside_the_frame_the_film_is_as_it_was() -> None:
    grey = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (900, 1000)).astype(np.uint8), (0, 0), 2)
    picture = draw_overlay(explained(np.ones((2, 2)), grey=grey), "A", 0.5)
    np.testing.assert_array_equal(picture[:220, :1000], np.repeat(grey[:220, :, np.newaxis], 3, axis=2))
    np.testing.assert_array_equal(picture[680:900, :1000], np.repeat(grey[680:, :, np.newaxis], 3, axis=2))


def test_lungs_are_outlined_where_they_are() -> None:
    mask = np.zeros((160, 160), np.bool_)
    mask[40:120, 40:70] = mask[40:120, 90:120] = True
    without, with_lungs = (
        draw_overlay(explained(np.zeros((2, 2)), lungs=lungs), "A", 0.5)[:SIDE].astype(int)
        for lungs in (None, Lungs(mask))
    )
    changed = np.abs(with_lungs - without).max(axis=2) > 0
    border = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) - cv2.erode(mask.astype(np.uint8), np.ones((5, 5)))
    near = cv2.resize(border, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    assert changed.any()
    assert not (changed & ~near).any()


def test_names_are_unique_the_same_every_time_and_say_no_folder(tmp_path: Path) -> None:
    one, other = Path("Jane Doe/study/IM0001.png"), Path("John/study/IM0001.png")
    assert overlay_name(one) == overlay_name(one) != overlay_name(other)
    for path in (one, other):
        name = overlay_name(path)
        assert name.startswith("IM0001-")
        assert name.endswith(".png")
        assert "J" not in name.removeprefix("IM0001")
    # Names of every kind can be written.
    for strange in ("a" * 250, "ü" * 120, "IM0001", ".hidden.png", "a b?*<>.tar.gz", "caf\udce9.png", "肺" * 80):
        (tmp_path / overlay_name(Path("folder") / strange)).touch()


def test_pictures_are_written_for_what_was_judged_alone(
    predictor: Predictor, films: list[Path], tmp_path: Path
) -> None:
    black = write_image(tmp_path / "black.png", np.tile(np.array([[0, 1]], np.uint8), (64, 32)))
    paths = [*films, black, tmp_path / "gone.png", *films[:2]]
    out = tmp_path / "deep" / "pictures"
    written = list(write_overlays(predictor.predict(paths, explain=True), out))
    assert [prediction.path for prediction, _ in written] == paths
    pictures = [picture for _, picture in written]
    assert pictures[6:8] == [None, None]
    assert sorted(out.iterdir()) == sorted({picture for picture in pictures if picture is not None})
    assert len(list(out.iterdir())) == len(films)
    for (prediction, _), picture in zip(written, pictures, strict=True):
        if picture is None:
            continue
        assert isinstance(prediction, Prediction)
        with Image.open(picture) as image:
            assert image.mode == "RGB"
            assert not image.info
            assert image.width == 128 * 6
        # No name, no folder and no text at all accompanies the pixels.
        content = picture.read_bytes()
        assert prediction.path is not None
        assert prediction.path.stem.encode() not in content
        assert tmp_path.name.encode() not in content
    # The same again is the same, to the byte.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    list(write_overlays(predictor.predict(paths, explain=True), out))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_without_explanations_nothing_is_drawn(predictor: Predictor, films: list[Path], tmp_path: Path) -> None:
    written = list(write_overlays(predictor.predict(films), tmp_path))
    assert [picture for _, picture in written] == [None] * len(films)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_is_no_picture(
    predictor: Predictor, films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(picture: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(overlay_files, "encode_png", full)
    with pytest.raises(OSError, match="No space left"):
        list(write_overlays(predictor.predict(films, explain=True), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_png_loses_nothing() -> None:
    picture = np.random.default_rng(2).integers(0, 255, (50, 40, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_letters_without_matplotlib(monkeypatch: pytest.MonkeyPatch, predictor: Predictor, films: list[Path]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    lettering.font.cache_clear()
    (prediction,) = predictor.predict(films[:1], explain=True)
    assert isinstance(prediction, Prediction)
    assert prediction.explanation is not None
    why = replace(prediction.explanation)
    assert draw_overlay(why, FINDINGS[0], 0.5).shape[1] == 128 * 6
    lettering.font.cache_clear()
