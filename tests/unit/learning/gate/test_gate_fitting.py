"""Fitting the gate to features: what is let through, what is dropped, and where the line is drawn."""

from dataclasses import fields

import numpy as np
import pytest

from carina.errors import DataError
from carina.learning.gate.gate_fitting import VARIED, choose_line, fit_gate
from carina.radiographs.gate import Gate, Measures

FEATURES = 20
SCALES = np.linspace(0.1, 100, FEATURES)


def drawn_features(counts: dict[str, int], seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Features of which each kind moves four of its own; the last two never vary."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    features = rng.normal(size=(len(kinds), FEATURES)) * SCALES
    for place, kind in enumerate(("clockwise", "inverted", "other")):
        of_it = np.flatnonzero([each == kind for each in kinds])[:, np.newaxis]
        moved = np.arange(4 * place, 4 * place + 4)
        features[of_it, moved] += 5 * SCALES[moved]
    features[:, -2:] = 7.0
    return features.astype(np.float32), kinds


COUNTS = {"radiograph": 200, VARIED: 100, "clockwise": 80, "inverted": 60, "other": 50}


def fitted(counts: dict[str, int] | None = None, acceptance: float = 0.98, calibration: int = 300) -> tuple[Gate, int]:
    features, kinds = drawn_features(counts or COUNTS)
    origins = np.arange(len(kinds))
    others, _ = drawn_features({"radiograph": calibration}, seed=1)
    return fit_gate(features, kinds, origins, others, acceptance=acceptance, lungs_sha256="cd" * 32)


def measured(gate: Gate, kind: str, count: int = 500) -> Measures:
    features, _ = drawn_features({kind: count}, seed=2)
    return gate.measure(features)


def test_kinds_are_told_apart_and_radiographs_let_through() -> None:
    gate, dropped = fitted()
    assert dropped == 0
    assert gate.kinds == ("radiograph", "clockwise", "inverted", "other")
    radiographs = measured(gate, "radiograph")
    assert np.mean(radiographs.strangeness <= gate.largest_strangeness) > 0.95
    assert radiographs.distances.mean() == pytest.approx(1, abs=0.15)
    for number, kind in enumerate(gate.kinds[1:]):
        others = measured(gate, kind)
        assert np.mean(others.strangeness > gate.largest_strangeness) > 0.99
        assert np.mean(others.log_odds < gate.ordinary_log_odds) > 0.99
        assert np.mean(others.shares.argmax(axis=1) == number) > 0.99
        np.testing.assert_allclose(others.shares.sum(axis=1), 1)


def test_an_unknown_kind_is_refused_for_its_distance() -> None:
    gate, _ = fitted()
    features, _ = drawn_features({"radiograph": 300}, seed=3)
    features[:, 12:18] += 5 * SCALES[12:18]
    found = gate.measure(features)
    assert np.mean(found.strangeness > gate.largest_strangeness) > 0.99
    assert np.mean(found.log_odds > 0) > 0.5
    # A feature that never varied is not silent either.
    features, _ = drawn_features({"radiograph": 300}, seed=3)
    features[:, -2:] += 50
    assert np.mean(gate.measure(features).strangeness > gate.largest_strangeness) > 0.99


def test_it_says_what_was_asked_for_and_what_was_reached() -> None:
    gate, _ = fitted(acceptance=0.97)
    assert (gate.acceptance, gate.calibration_images, gate.lungs_sha256) == (0.97, 300, "cd" * 32)
    assert 0.97 <= gate.reached <= 0.99


def test_the_same_data_give_the_same_gate() -> None:
    (one, _), (other, _) = fitted(), fitted()
    for field in fields(Gate):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_radiograph_that_is_itself_on_its_side_is_dropped_with_all_that_was_made_of_it() -> None:
    features, kinds = drawn_features(COUNTS)
    turned, _ = drawn_features({"clockwise": 2, "radiograph": 1}, seed=5)
    # A film on its side among the radiographs, and a varied copy; turned once more it is upright, and called otherwise.
    features, kinds = np.concatenate([features, turned]), [*kinds, "radiograph", VARIED, "clockwise"]
    origins = np.array([*range(len(kinds) - 3), 9001, 9001, 9001])
    calibration, _ = drawn_features({"radiograph": 100}, seed=1)
    gate, dropped = fit_gate(features, kinds, origins, calibration, acceptance=0.99, lungs_sha256="")
    assert dropped == 1
    clean, _ = fit_gate(features[:-3], kinds[:-3], origins[:-3], calibration, acceptance=0.99, lungs_sha256="")
    np.testing.assert_array_equal(gate.matrix, clean.matrix)
    np.testing.assert_array_equal(gate.weights, clean.weights)


def test_no_more_than_a_fiftieth_is_dropped() -> None:
    features, kinds = drawn_features(COUNTS)
    # A third of what is called a radiograph is on its side: then that is what radiographs are here.
    kinds = ["radiograph" if kind == "clockwise" and number % 2 else kind for number, kind in enumerate(kinds)]
    calibration, _ = drawn_features({"radiograph": 100}, seed=1)
    gate, dropped = fit_gate(features, kinds, np.arange(len(kinds)), calibration, acceptance=0.99, lungs_sha256="")
    assert dropped <= 0.02 * (kinds.count("radiograph") + kinds.count(VARIED))
    assert np.isfinite(gate.matrix).all()


@pytest.mark.parametrize("radiographs", [10, 25])
def test_few_radiographs_make_a_gate_all_the_same(radiographs: int) -> None:
    gate, _ = fitted({"radiograph": radiographs, "clockwise": 6, "inverted": 6}, calibration=5)
    assert np.mean(measured(gate, "radiograph").strangeness <= gate.largest_strangeness) > 0.7
    assert gate.matrix.shape[1] <= max(2, radiographs // 5)


def test_features_that_say_nothing_make_a_gate_that_lets_everything_through() -> None:
    gate, _ = fit_gate(
        np.full((40, 5), 3, np.float32),
        ["radiograph"] * 20 + ["inverted"] * 20,
        np.arange(40),
        np.full((10, 5), 3, np.float32),
        acceptance=0.99,
        lungs_sha256="",
    )
    assert gate.measure(np.full((1, 5), 3, np.float32)).strangeness[0] <= gate.largest_strangeness


@pytest.mark.parametrize(
    ("counts", "calibration", "says"),
    [
        ({"radiograph": 9, "inverted": 9}, 5, "Received: 9, 5 and 1"),
        ({"radiograph": 30, VARIED: 30}, 5, "Received: 60, 5 and 0"),
        ({"radiograph": 30, "inverted": 9}, 1, "Received: 30, 1 and 1"),
    ],
)
def test_too_little_is_refused(counts: dict[str, int], calibration: int, says: str) -> None:
    with pytest.raises(DataError, match=says):
        fitted(counts, calibration=calibration)


def test_the_line_by_hand() -> None:
    # 199 radiographs at 0.98: floor(0.02 * 200) - 1 = 3 are left outside, 198, 197 and 196.
    assert choose_line(np.arange(199.0), 0.98) == 195.5
    assert choose_line(-np.arange(199.0), 0.98) == -2.5
    # With just enough for the promise none may be left outside, and the strangest is the line.
    assert choose_line(np.arange(99.0), 0.99) == 98.0


def test_with_too_few_for_a_promise_the_line_lies_beyond_the_strangest() -> None:
    assert choose_line(np.array([3.0, 1.0, 1.5]), 0.99) == pytest.approx(3.0 + 0.5 * (3.0 - 1.5))


def test_the_promise_is_kept_on_average() -> None:
    rng = np.random.default_rng(0)
    let_through = [np.mean(rng.normal(size=400) <= choose_line(rng.normal(size=150), 0.95)) for _ in range(400)]
    # floor(0.05 * 151) = 7 of 151 ranks lie outside on average: 0.954.
    assert np.mean(let_through) == pytest.approx(1 - 7 / 151, abs=0.004)
