"""The gate: what it lets through, what it says of what it refuses, and what it makes of a damaged file."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.radiographs.corruptions import ODDITIES
from carina.radiographs.gate import (
    NO_LUNGS,
    REASONS,
    UNFAMILIAR,
    Gate,
    Verdict,
    plain_problem,
    read_gate,
    write_gate,
)
from carina.radiographs.lung_mask import Lungs
from carina.storage.arrays import read_arrays, write_arrays
from make import make_grey

WHOLE = make_grey(1, (224, 224))
LUNGS = Lungs(np.ones((160, 160), np.bool_))
ORDINARY, ON_ITS_SIDE, INVERTED, FAR = (0.0, 0.0, 0.0), (3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0)


def make_gate() -> Gate:
    """A gate of three features: the first speaks for a quarter turn, the second for inversion, the last for nothing."""
    return Gate(
        centre=np.zeros(3, np.float32),
        scale=np.ones(3, np.float32),
        matrix=np.eye(3, dtype=np.float32),
        offset=np.zeros(3, np.float32),
        weights=np.array([[0, 2, 0], [0, 0, 2], [0, 0, 0]], np.float32),
        biases=np.array([3, 0, 0], np.float32),
        kinds=("radiograph", "clockwise", "inverted"),
        distance_weight=2.0,
        largest_strangeness=1.0,
        ordinary_log_odds=1.0,
        acceptance=0.99,
        reached=0.995,
        calibration_images=200,
        lungs_sha256="ab" * 32,
    )


def judge(*features: tuple[float, float, float], gate: Gate | None = None) -> list[Verdict]:
    rows = np.array(features, np.float32)
    return (gate or make_gate()).judge(rows, [WHOLE] * len(rows), [LUNGS] * len(rows))


def test_an_ordinary_image_is_let_through() -> None:
    (verdict,) = judge(ORDINARY)
    assert verdict.accepted
    assert (verdict.reasons, verdict.refused, verdict.kind) == ((), None, "radiograph")
    assert verdict.log_odds == pytest.approx(3 - np.log(2))
    assert verdict.distance == 0.0
    assert verdict.strangeness == pytest.approx(np.log(2) - 3)


def test_the_reason_names_the_kind() -> None:
    (verdict,) = judge(ON_ITS_SIDE)
    assert not verdict.accepted
    assert verdict.kind == "clockwise"
    assert verdict.refused == "it looks rotated by 90° clockwise"
    assert verdict.distance == pytest.approx(np.sqrt(3))
    assert verdict.log_odds == pytest.approx(3 - 6, abs=0.01)
    assert verdict.strangeness == pytest.approx(2 * np.sqrt(3) + 3, abs=0.01)


def test_where_no_kind_stands_out_none_is_named() -> None:
    gate = replace(make_gate(), kinds=("radiograph", "clockwise", "inverted", "noise"))
    gate = replace(gate, weights=np.ones((3, 4), np.float32), biases=np.array([-3, 0, 0, 0], np.float32))
    (verdict,) = judge(ORDINARY, gate=gate)
    assert verdict.reasons == ("it does not look like a frontal chest radiograph",)


def test_what_is_far_from_all_radiographs_is_refused_though_it_resembles_no_kind() -> None:
    (verdict,) = judge(FAR)
    assert verdict.kind == "radiograph"
    assert verdict.reasons == (UNFAMILIAR,)


@pytest.mark.parametrize(
    ("log_odds", "kind", "says"),
    [
        (0.9, "clockwise", REASONS["clockwise"]),
        (1.1, "clockwise", UNFAMILIAR),
        (-0.1, "other", REASONS["other"]),
        (0.1, "other", UNFAMILIAR),
    ],
)
def test_a_kind_is_named_only_where_it_is_likely(log_odds: float, kind: str, says: str) -> None:
    gate = replace(make_gate(), kinds=("radiograph", kind), weights=np.zeros((3, 2), np.float32))
    gate = replace(gate, biases=np.array([log_odds, 0], np.float32))
    (verdict,) = judge((3.0, 3.0, 3.0), gate=gate)
    assert verdict.reasons == (says,)


def test_what_is_on_the_line_is_let_through() -> None:
    gate = make_gate()
    (verdict,) = judge(FAR)
    assert judge(FAR, gate=replace(gate, largest_strangeness=verdict.strangeness))[0].accepted
    below = np.nextafter(verdict.strangeness, -9)
    assert not judge(FAR, gate=replace(gate, largest_strangeness=below))[0].accepted


def test_a_feature_that_runs_wild_is_cut_off() -> None:
    (three,), (many,) = judge(FAR), judge((0.0, 0.0, 1000.0))
    assert (many.distance, many.strangeness) == (three.distance, three.strangeness)
    gate = replace(make_gate(), centre=np.array([0, 0, 994], np.float32), scale=np.array([1, 1, 2], np.float32))
    assert judge((0.0, 0.0, 1000.0), gate=gate)[0].distance == three.distance
    assert judge((0.0, 0.0, 996.0), gate=gate)[0].distance == pytest.approx(1 / np.sqrt(3))


def test_without_two_lungs_it_is_refused_and_both_reasons_are_given() -> None:
    features = np.array([ORDINARY, ON_ITS_SIDE], np.float32)
    only, also = make_gate().judge(features, [WHOLE] * 2, [None, None])
    assert only.reasons == (NO_LUNGS,)
    assert also.refused == f"it looks rotated by 90° clockwise, and {NO_LUNGS}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    for place in range(3):
        features = list(ORDINARY)
        features[place] = value
        with np.errstate(invalid="ignore"):
            (verdict,) = judge(tuple(features))
        assert not verdict.accepted


def test_batches_and_single_images_give_the_same() -> None:
    gate, rows = make_gate(), np.array([ORDINARY, ON_ITS_SIDE, INVERTED, FAR], np.float32)
    together = gate.judge(rows, [WHOLE] * 4, [LUNGS, None, LUNGS, LUNGS])
    single = [gate.judge(rows[i : i + 1], [WHOLE], [None if i == 1 else LUNGS])[0] for i in range(4)]
    assert together == single
    assert gate.judge(np.zeros((0, 0), np.float32), [], []) == []


@pytest.mark.parametrize(
    ("whole", "says"),
    [
        (np.full((224, 224), 90, np.uint8), "blank"),
        (WHOLE // 20 + 100, "blank"),
        (np.pad(WHOLE[:20, :20], 102, constant_values=3), "blank"),
        (np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8), "noise"),
        (np.repeat(np.random.default_rng(0).integers(0, 256, (224, 1)), 224, axis=1).astype(np.uint8), "noise"),
        (np.repeat(np.random.default_rng(0).integers(0, 256, (1, 224)), 224, axis=0).astype(np.uint8), "noise"),
        (WHOLE, None),
        (WHOLE // 5 + 100, None),
        (255 - cv2.resize(WHOLE, (100, 90)), None),
    ],
    ids=["flat", "low contrast", "a fleck", "noise", "stripes", "columns", "image", "faint image", "other size"],
)
def test_blank_and_noise_by_plain_measures(whole: NDArray[np.uint8], says: str | None) -> None:
    assert plain_problem(whole) == says
    (verdict,) = make_gate().judge(np.array([ON_ITS_SIDE], np.float32), [whole], [None])
    assert (verdict.kind == says) == (says is not None)
    if says is not None:
        # Nothing else is said of an empty image.
        assert verdict.reasons == (REASONS[says],)


def test_every_oddity_has_its_words() -> None:
    assert set(ODDITIES) | {"other"} == set(REASONS)
    assert len(set(REASONS.values())) == len(REASONS)
    for words in ("looks inverted", "looks rotated by 90°", "looks upside down", "does not look like a"):
        assert any(words in reason for reason in REASONS.values())
    for reason in (*REASONS.values(), UNFAMILIAR):
        assert reason.startswith("it ")


def test_a_file_gives_the_same_gate(tmp_path: Path) -> None:
    gate = make_gate()
    write_gate(tmp_path / "gate.npz", gate)
    again = read_gate(tmp_path / "gate.npz")
    for name in ("centre", "scale", "matrix", "offset", "weights", "biases"):
        np.testing.assert_array_equal(getattr(again, name), getattr(gate, name))
        assert getattr(again, name).dtype == np.float32
    for field in fields(Gate)[6:]:
        assert getattr(again, field.name) == getattr(gate, field.name)
    rows = np.array([ORDINARY, ON_ITS_SIDE, FAR], np.float32)
    assert again.judge(rows, [WHOLE] * 3, [LUNGS] * 3) == gate.judge(rows, [WHOLE] * 3, [LUNGS] * 3)


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": np.zeros((3, 2), np.float32)},
        {"matrix": np.full((3, 3), np.nan, np.float32)},
        {"matrix": np.zeros(3, np.float32)},
        {"weights": np.zeros((3, 4), np.float32)},
        {"biases": np.zeros((1, 3), np.float32)},
        {"offset": np.array(["a", "b", "c"])},
        {"kinds": np.array(["clockwise", "radiograph", "inverted"])},
        {"kinds": np.array(["radiograph", "clockwise", "sepia"])},
        {"kinds": np.array(["noise", "clockwise", "inverted"])},
        {"kinds": np.array("radiograph")},
        {"scale": np.array([1, 0, 1], np.float32)},
        {"centre": np.zeros(4, np.float32)},
        {"ordinary_log_odds": np.array(np.nan)},
        {"largest_strangeness": np.array(np.inf)},
        {"largest_strangeness": np.array("far")},
        {"calibration_images": np.array([200, 1])},
        {"lungs_sha256": np.array(7)},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "gate.npz"
    write_gate(path, make_gate())
    write_arrays(path, read_arrays(path) | change)
    with pytest.raises(BundleError, match=r"gate\.npz is damaged: its arrays do not fit together"):
        read_gate(path)


@pytest.mark.parametrize("change", [{"version": np.array(2)}, {"more": np.array(1)}, {"matrix": None}])
def test_another_version_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "gate.npz"
    write_gate(path, make_gate())
    content = read_arrays(path) | change
    write_arrays(path, {name: array for name, array in content.items() if array is not None})
    with pytest.raises(BundleError, match=r"gate\.npz is no gate that this version of Carina knows"):
        read_gate(path)


def test_missing_and_damaged_files_are_clear_errors(tmp_path: Path) -> None:
    path = tmp_path / "gate.npz"
    with pytest.raises(BundleError, match=r"gate\.npz is missing"):
        read_gate(path)
    path.write_bytes(b"PK no archive")
    with pytest.raises(BundleError, match=r"gate\.npz is damaged"):
        read_gate(path)


def test_a_matrix_of_half_width_takes_half_the_room_and_no_other_loses_a_digit(tmp_path: Path) -> None:
    gate = make_gate()
    narrow = replace(gate, matrix=gate.matrix.astype(np.float16).astype(np.float32))
    wide = replace(gate, matrix=narrow.matrix + np.float32(1e-4))
    for number, each in enumerate((narrow, wide)):
        write_gate(tmp_path / f"{number}.npz", each)
        np.testing.assert_array_equal(read_gate(tmp_path / f"{number}.npz").matrix, each.matrix)
        assert read_gate(tmp_path / f"{number}.npz").matrix.dtype == np.float32
    assert read_arrays(tmp_path / "0.npz")["matrix"].dtype == np.float16
    assert read_arrays(tmp_path / "1.npz")["matrix"].dtype == np.float32
