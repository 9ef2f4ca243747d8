"""How findings spread over priorities, from the triage of each row."""

import numpy as np
import polars as pl
import pytest

from carina.decisions.band_fitting import fit_bands
from carina.decisions.calibration import Calibration
from carina.decisions.operating_point import OperatingPoint
from carina.decisions.policy import Policy
from carina.errors import ConfigurationError
from carina.evaluation.priorities import READING_ORDER, spread_of_bands, spread_of_flag

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")


def policy() -> Policy:
    """Return a policy whose bands begin above 0.9, which a fifth of the calibration patients has whatever they show."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [600, 1000, 400])
    probabilities = np.full((2000, 3), 0.001)
    probabilities[np.arange(2000), labels] = 0.998
    drawn = rng.random(2000)
    probabilities[drawn < 0.1] = [0.9, 0.05, 0.05]
    probabilities[drawn > 0.9] = [0.05, 0.9, 0.05]
    bands = fit_bands(probabilities, labels, FINDINGS, "COVID-19", fitting=np.arange(2000) % 3 == 0, chosen_on="a test")
    same = Calibration(
        method="none", scale=(1, 1, 1), offset=(0, 0, 0), fitted_on="a test", images=9, nll_before=0, nll_after=0
    )
    point = OperatingPoint(
        finding="COVID-19", rule="youden", threshold=0.5, chosen_on="a test",
        positives=600, true_positives=550, negatives=1400, true_negatives=1390,
    )  # fmt: skip
    return Policy(findings=FINDINGS, flag_finding="COVID-19", calibration=same, operating_points=(point,), bands=bands)


def table(rows: list[tuple[str, float, float]], assessable: list[bool] | None = None) -> pl.DataFrame:
    """Return a prediction table of true findings and P(COVID-19), P(Normal)."""
    covid, normal = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    return pl.DataFrame(
        {
            "finding": [row[0] for row in rows],
            "assessable": [True] * len(rows) if assessable is None else assessable,
            "probability:COVID-19": covid,
            "probability:Normal": normal,
            "probability:Viral Pneumonia": 1 - covid - normal,
        }
    )


ROWS = [
    ("COVID-19", 0.998, 0.001),  # fast-track
    ("COVID-19", 0.6, 0.3),  # expedite: flagged
    ("COVID-19", 0.2, 0.3),  # expedite: most probable is viral
    ("COVID-19", 0.1, 0.89),  # secondary-review
    ("Normal", 0.001, 0.998),  # routine
    ("Normal", 0.001, 0.998),  # not assessable
    ("Normal", 0.45, 0.5),  # secondary-review
]


def test_bands_by_hand() -> None:
    made = policy()
    bands = made.thresholds_at()
    assert bands.routine is not None
    assert bands.fast_track is not None
    assert min(bands.routine, bands.fast_track) > 0.9
    spread = spread_of_bands(table(ROWS, [True] * 5 + [False, True]), made)
    assert spread.priorities == READING_ORDER == ("fast-track", "expedite", "secondary-review", "routine")
    # What could not be judged stands with the second readings.
    assert spread.images.tolist() == [[1, 2, 1, 0], [0, 0, 2, 1], [0, 0, 0, 0]]
    without_column = table(ROWS).drop("assessable")
    assert spread_of_bands(without_column, made).images.tolist() == [[1, 2, 1, 0], [0, 0, 1, 2], [0, 0, 0, 0]]


def test_a_prevalence_at_which_nothing_is_promised_empties_the_bands() -> None:
    spread = spread_of_bands(table(ROWS), policy(), prevalence=0.0001)
    assert spread.images[:, 0].tolist() == [0, 0, 0]


def test_flag_by_hand_with_a_tie() -> None:
    spread = spread_of_flag(table(ROWS), "COVID-19", 0.45)
    assert spread.images.tolist() == [[2, 2], [1, 2], [0, 0]]
    assert (spread.findings, spread.priorities, spread.flagged) == (FINDINGS, ("flagged", "not flagged"), 1)


def test_what_arrives_leaves_out_findings_that_nobody_has_seen() -> None:
    spread = spread_of_flag(table(ROWS), "COVID-19", 0.45)
    arriving = spread.arriving("COVID-19")
    assert arriving.findings == ("COVID-19", "Normal")
    assert arriving.mix.tolist() == pytest.approx([4 / 7, 3 / 7])
    assert arriving.chances.tolist() == [pytest.approx([1 / 2, 1 / 2]), pytest.approx([1 / 3, 2 / 3])]
    assert spread.arriving("COVID-19", 0.1).mix.tolist() == pytest.approx([0.1, 0.9])
    with pytest.raises(ConfigurationError, match="holds no image"):
        spread.arriving("Viral Pneumonia", 0.1)
