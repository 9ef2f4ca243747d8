"""Normals that are ruled out, counted by hand."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from carina.evaluation.audit.judged import Judged
from carina.evaluation.audit.ruling_out import SAME_IMAGES, choose_threshold, ruled_out


def judged(normals: Any, abnormal: Any, *, sources: Any = None, findings: Any = None) -> Judged:
    """Return images of these values of 1 - P(Normal); each is a patient of its own."""
    p = np.concatenate([normals, abnormal])
    rows = pl.DataFrame(
        {
            "finding": ["Normal"] * len(normals) + (findings or ["COVID-19"] * len(abnormal)),
            "source": pl.Series(sources or [None] * len(p), dtype=pl.String),
            "group": np.arange(len(p)),
        }
    )
    return Judged("a set", rows, np.stack([p, 1 - p], axis=1))


def ask(images: Judged, threshold: float | None) -> Any:
    return ruled_out(images, 1, threshold, replicates=200)


def test_the_threshold_keeps_99_of_100() -> None:
    abnormal = np.append(0.1, np.linspace(0.5, 0.9, 99))
    threshold = choose_threshold(judged(np.linspace(0.0, 0.6, 100), abnormal), 1)
    # The lowest may be lost; the threshold lies between the next and the image below it.
    assert 0.49 < threshold <= 0.5
    assert choose_threshold(judged(np.linspace(0, 1, 9), abnormal), 1) is None
    assert choose_threshold(judged(np.linspace(0, 1, 50), abnormal[:9]), 1) is None


def test_the_share_is_counted_in_all_and_per_source_at_the_threshold_of_other_images() -> None:
    normals, abnormal = np.repeat([0.1, 0.3], 20), np.append(np.repeat(0.5, 38), [0.05, 0.15])
    answers = ask(judged(normals, abnormal, sources=["a"] * 20 + ["b"] * 15 + ["c"] * 5 + ["d"] * 40), 0.2)
    shares = {item.source: item.ruled_out for item in answers if item.threshold is not None}
    assert shares[None].value == 0.5
    assert (shares[None].low, shares[None].high) == pytest.approx((0.352, 0.648), abs=0.001)
    assert [shares[source].value for source in "abc"] == [1.0, 0.0, None]
    assert shares["c"].denominator == 5
    # Source d has no normals: what is said of it is how many of its findings are kept.
    kept = {item.source: item.sensitivity for item in answers if item.threshold is not None}
    assert (shares["d"].value, kept["d"].value) == (None, 38 / 40)
    assert answers[0].sensitivity.value == 38 / 40
    same = answers[-1]
    # Of 40 none may be lost, so that nothing above 0.05 is ruled out.
    assert (same.chosen_on, same.threshold, same.ruled_out.value) == (SAME_IMAGES, None, 0.0)
    assert same.sensitivity.note == "at least 99 % by choice"


def test_on_the_same_images_it_is_the_share_below_all_but_one_percent() -> None:
    rng = np.random.default_rng(2)
    normals, abnormal = rng.beta(2, 5, 300), rng.beta(5, 2, 200)
    (answer,) = ask(judged(normals, abnormal), None)
    # Of 200 two may be lost.
    assert answer.ruled_out.value == pytest.approx(np.mean(normals < np.sort(abnormal)[2]))
    assert answer.ruled_out.low < answer.ruled_out.value < answer.ruled_out.high


def test_findings_that_the_model_does_not_know_are_kept_and_unlabelled_images_take_no_part() -> None:
    kinds = ["Tuberculosis"] * 15 + ["unknown"] * 15
    images = judged(np.zeros(20), np.repeat([1.0, 0.0], 15), findings=kinds)
    assert ask(images, 0.5)[0].sensitivity.value == 1.0
    assert ask(images, 0.5)[0].sensitivity.denominator == 15
    assert ask(judged([], np.ones(20)), 0.5) == ()
