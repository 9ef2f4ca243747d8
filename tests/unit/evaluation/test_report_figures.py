"""One dict of everything that a report shows: complete, as JSON, the same each time, and equal to its parts."""

import json
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from carina.decisions.operating_point import OperatingPoint
from carina.decisions.policy import Policy
from carina.errors import ConfigurationError
from carina.evaluation.metrics import at_operating_point
from carina.evaluation.predictions import findings_of, groups_of, probabilities_of, truth_of
from carina.evaluation.reading_room import ReadingRoom
from carina.evaluation.report_figures import REPORT_FIGURES_FORMAT, report_figures
from carina.evaluation.subgroups import measure_subgroups

RESULTS = Path(__file__).parents[3] / "results" / "head"
# Nothing below depends on which model and which images these results are of.


@pytest.fixture(scope="module")
def evaluated():
    """Return the prediction table, operating point and policy of the results that are in the repository."""
    content = json.loads((RESULTS / "metrics.json").read_text(encoding="utf-8"))
    return (
        pl.read_parquet(RESULTS / "predictions.parquet"),
        OperatingPoint.model_validate(content["operating_point"]["chosen"]),
        Policy.model_validate(content["model"]["policy"]),
        content,
    )


@pytest.fixture(scope="module")
def figures(evaluated):
    """Return the figures of these results after a journey as JSON."""
    table, point, policy, _ = evaluated
    history = pl.DataFrame({"epoch": [1, 2], "loss": [0.5, float("nan")]})
    given = report_figures(
        table,
        point,
        policy,
        prevalence=0.05,
        history=history,
        audit={"sentence": "so", "nan": float("nan")},
        replicates=200,
    )
    return json.loads(json.dumps(given, allow_nan=False))


def test_has_every_part(figures, evaluated) -> None:
    table, point, _, _ = evaluated
    assert figures["format"] == REPORT_FIGURES_FORMAT
    assert (figures["n"], figures["patients"]) == (table.height, table["group"].n_unique())
    assert (figures["finding"], figures["threshold"], figures["prevalence"]) == (point.finding, point.threshold, 0.05)
    assert tuple(figures["curves"]) == tuple(figures["operating_tables"]) == findings_of(table)
    assert figures["history"] == {"epoch": [1, 2], "loss": [0.5, None]}
    assert figures["audit"] == {"sentence": "so", "nan": None}
    assert figures["bands"]["prevalence"] == 0.05
    for curves in figures["curves"].values():
        assert len(curves["roc"]["sensitivity"]) <= 200
        assert len(curves["precision_recall"]["recall"]) <= 200
    assert len(json.dumps(figures)) < 400_000


def test_agrees_with_metrics_json(figures, evaluated) -> None:
    table, point, policy, content = evaluated
    covid = figures["operating_tables"][point.finding]
    flag = findings_of(table).index(point.finding)
    # At every shipped threshold, which all are rows, the counts are those of `carina evaluate`.
    assert covid["shipped_names"][:2] == ["operating point", point.in_words()]
    shipped = dict(zip(covid["shipped_names"], covid["shipped"], strict=True))
    for other in policy.operating_points:
        row = shipped[other.in_words()]
        assert covid["thresholds"][row] == other.threshold
        reached = at_operating_point(truth_of(table), probabilities_of(table), flag, other.threshold, groups_of(table))
        for name in ("true_positive", "false_positive", "false_negative", "true_negative"):
            assert covid[name][row] == getattr(reached, name)
    stated = content["operating_point"]["reached"]
    row = shipped["operating point"]
    assert covid["true_positive"][row] == stated["true_positive"]
    assert covid["true_positive"][row] / covid["positives"] == stated["sensitivity"]["value"]
    called = np.array(list(covid["called"].values()))
    assert called.sum(axis=0).tolist() == (np.array(covid["true_positive"]) + covid["false_positive"]).tolist()
    assert covid["called"][point.finding] == covid["true_positive"]
    assert list(covid["called"]) == list(figures["images"]) == list(findings_of(table))
    # One error in all: accuracy and risk at full coverage are the same thing.
    risk = figures["risk_coverage"]
    assert 1 - risk["risk"][-1] == pytest.approx(content["metrics"]["accuracy"]["value"], abs=1e-6)
    assert risk["low"][-1] == pytest.approx(1 - content["metrics"]["accuracy"]["high"], abs=2e-3)
    # All images together are the one part of a division of which nothing is known.
    sexes = next(part for part in figures["subgroups"]["divisions"] if part["by"] == "sex")
    assert sum(part["sensitivity"]["numerator"] for part in sexes["parts"]) == stated["true_positive"]
    nothing_known = table.drop("sex")
    (everybody,) = measure_subgroups(
        nothing_known, truth_of(table) == flag, probabilities_of(table)[:, flag], point.threshold, groups_of(table)
    )[1].parts
    assert everybody.name == "not known"
    assert everybody.to_json()["sensitivity"] == stated["sensitivity"]
    assert everybody.to_json()["auroc"] == content["metrics"]["per_finding"][point.finding]["auroc"]


def test_decision_curves_and_reading_rooms_agree_with_the_counts(figures, evaluated) -> None:
    _, point, policy, _ = evaluated
    covid = figures["operating_tables"][point.finding]
    row = covid["shipped"][0]
    sensitivity = covid["true_positive"][row] / covid["positives"]
    alarms = covid["false_positive"][row] / covid["negatives"]
    for name, prevalence in (("of_set", covid["positives"] / figures["n"]), ("stated", 0.05)):
        curve = figures["decision"][name]
        place = curve["thresholds"].index(0.2)
        expected = prevalence * sensitivity - (1 - prevalence) * alarms * 0.25
        assert curve["flag"]["value"][place] == pytest.approx(expected, abs=1e-6)
        assert curve["prevalence"] == pytest.approx(prevalence)
    assert figures["decision"]["stated_moved"]["calibrated_at"] == policy.thresholds_at().prevalence
    rooms = figures["reading_room"]
    flag = rooms["flag"]["expected"]
    assert rooms["room"]["utilisation"] == pytest.approx(0.8)
    (own,) = (item for item in flag["findings"] if item["finding"] == point.finding)
    assert own["share_flagged"] == pytest.approx(sensitivity)
    assert own["share"] == pytest.approx(0.05)
    others = [item for item in flag["findings"] if item is not own]
    assert sum(item["share"] * (1 - item["share_flagged"]) for item in others) == pytest.approx(0.95 * (1 - alarms))
    simulated = rooms["flag"]["simulated"]["findings"][point.finding]["flagged"]
    assert simulated["mean"]["value"] == pytest.approx(own["flagged"], rel=0.05)
    assert simulated["nine_of_ten"] > simulated["mean"]["value"]
    assert sum(map(sum, rooms["bands"]["spread"]["images"])) == figures["n"]
    fast_tracked = [row[0] for row in rooms["bands"]["spread"]["images"]]
    assert any(fast_tracked) == (policy.thresholds_at(0.05).fast_track is not None)


def test_is_the_same_each_time(evaluated) -> None:
    table, point, policy, _ = evaluated
    small = table.gather_every(10)
    first, again = (report_figures(small, point, policy, replicates=50) for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert json.dumps(report_figures(small, point, policy, replicates=50, seed=2)) != json.dumps(first)
    assert first["decision"]["stated"] is None
    assert first["history"] is None
    assert first["audit"] is None


def test_a_model_without_bands_and_a_set_without_the_finding(evaluated) -> None:
    table, point, _, _ = evaluated
    small = table.filter(pl.col("finding") != point.finding).gather_every(10)
    given = json.loads(json.dumps(report_figures(small, point, replicates=50), allow_nan=False))
    assert given["bands"] is None
    assert given["reading_room"]["bands"] is None
    assert given["curves"][point.finding]["note"] == "no image with this finding"
    assert given["decision"]["of_set"]["note"] == "no image with this finding"
    assert given["operating_tables"][point.finding]["positives"] == 0
    arriving = {item["finding"] for item in given["reading_room"]["flag"]["expected"]["findings"]}
    assert arriving == set(small["finding"])


def test_what_cannot_arrive_is_said_and_not_refused(evaluated) -> None:
    table, point, policy, _ = evaluated
    small = table.filter(pl.col("finding") != point.finding).gather_every(10)
    given = report_figures(small, point, policy, prevalence=0.05, replicates=50)
    assert given["reading_room"]["flag"]["expected"] is None
    assert "holds no image" in given["reading_room"]["flag"]["note"]
    overloaded = report_figures(table.gather_every(20), point, policy, room=ReadingRoom(30, 3), replicates=50)
    assert overloaded["reading_room"]["flag"]["expected"]["note"].startswith("Overloaded")
    assert overloaded["reading_room"]["flag"]["expected"]["without_flag"] is None
    json.dumps(overloaded, allow_nan=False)


def test_refuses_an_operating_point_of_another_model(evaluated) -> None:
    table, point, _, _ = evaluated
    with pytest.raises(ConfigurationError, match="operating point is for 'Tuberculosis'"):
        report_figures(table, point.model_copy(update={"finding": "Tuberculosis"}))
    with pytest.raises(ConfigurationError, match=r"prevalence is 1\.5"):
        report_figures(table, point, prevalence=1.5)


def test_ten_times_as_many_rows_take_seconds(evaluated) -> None:
    table, point, policy, _ = evaluated
    many = pl.concat([table] * 10).with_columns(group=pl.Series(np.arange(10 * table.height) // 3))
    start = time.process_time()
    report_figures(many, point, policy)
    # 4 s on one core of a two-core machine; room for a slower one.
    assert time.process_time() - start < 15
