"""Every figure of the page as SVG and PNG, every table as CSV: all there, whole, and the same numbers as evaluated."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from carina.evaluation.priorities import spread_of_bands
from carina.reports.evaluated import Evaluated, read_evaluated
from carina.reports.evaluation_files import read_audit
from carina.reports.html.open_reports import build_report
from carina.reports.html.page import Report
from unit.reports.drawing.pictures import texts_outside
from unit.reports.evaluations import FINDINGS, audit_of, write_evaluated

FIGURES = {
    "findings": {"confusion_matrix", "findings"},
    "explorer": {"probabilities", "thousand", "triage_bands"},
    "curves": {
        *(
            "roc",
            "roc_corner",
            "precision_recall",
            "precision_recall_corner",
            "decision_curve",
            "decision_curve_stated",
        ),
        *("reliability_calls", "reliability_covid_19", "reliability_normal", "reliability_viral_pneumonia"),
        *("risk_coverage", "loss_curve", "accuracy_curve"),
    },
    "groups": {"groups_sensitivity", "groups_specificity", "groups_auroc"},
    "audit": {
        "audit",
        "audit_kept",
        "audit_sources",
        "audit_left_out",
        "audit_same_source",
        "audit_ages",
        "audit_external",
        "audit_gaps",
        "audit_ruled_out",
        "audit_explanations",
    },
    "room": {"reading_room", "reading_room_bands"},
}
TABLES = {
    *("headline", "confusion_matrix", "per_finding", "operating_point", "thresholds", "triage_bands", "roc_band"),
    *("precision_recall_band", "reliability", "decision_curve", "decision_curve_stated", "risk_coverage", "history"),
    *("groups", "audit_shares", "audit_questions", "gallery", "reading_room", "reading_room_bands", "provenance"),
    *("tripod_ai", "claim_2024"),
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    base = tmp_path_factory.mktemp("files")
    folder = write_evaluated(base / "first", prevalence=0.05)
    # As good a model as makes the corners of its curves worth showing.
    content = json.loads((folder / "metrics.json").read_text("utf-8"))
    content["metrics"]["macro_auroc"]["value"] = 0.95
    (folder / "metrics.json").write_text(json.dumps(content), "utf-8")
    return replace(read_evaluated(folder), audit=read_audit(audit_of(base / "audit", "ab" * 32)))


@pytest.fixture(scope="module")
def report(evaluated: Evaluated) -> Report:
    return build_report(evaluated)


@pytest.fixture(scope="module")
def files(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    report.write_figures(folder)
    return folder


def rows_of(files: Path, name: str) -> list[dict[str, str]]:
    with (files / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_section_has_its_figures_and_every_table_its_file(report: Report, files: Path) -> None:
    drawn = {
        section.key: {drawing.name for drawing in section.drawings} for section in report.sections if section.drawings
    }
    assert drawn == FIGURES
    names = set().union(*FIGURES.values())
    written = {path.name for path in files.iterdir()}
    assert written == {f"{name}.{kind}" for name in names for kind in ("svg", "png")} | {f"{n}.csv" for n in TABLES}


def test_every_picture_opens_at_three_pixels_a_unit(files: Path) -> None:
    for path in files.glob("*.svg"):
        root = ET.fromstring(path.read_text("utf-8"))  # noqa: S314  # our own
        assert root.find("{http://www.w3.org/2000/svg}desc").text
        with Image.open(path.with_suffix(".png")) as picture:
            assert picture.size == pytest.approx(
                (3 * float(root.attrib["width"]), 3 * float(root.attrib["height"])), abs=2
            )
            assert np.asarray(picture.convert("L")).std() > 5


def test_no_words_leave_their_figure(report: Report) -> None:
    for drawing in report.drawings().values():
        assert texts_outside(drawing) == [], drawing.name


def test_files_have_the_numbers_of_the_evaluation(files: Path, evaluated: Evaluated) -> None:
    content = evaluated.content
    sensitivity = next(row for row in rows_of(files, "per_finding") if row["Measure"] == "Sensitivity")
    for finding in FINDINGS:
        told = content["metrics"]["per_finding"][finding]["sensitivity"]
        assert float(sensitivity[finding]) == told["value"]
        assert float(sensitivity[f"{finding} low"]) == told["low"]
    reached = content["operating_point"]["reached"]
    (shipped,) = (row for row in rows_of(files, "thresholds") if row["Threshold"].endswith("(shipped)"))
    cells = [int(shipped[name]) for name in ("Found", "Missed", "False alarms", "True negatives")]
    names = ("true_positive", "false_negative", "false_positive", "true_negative")
    assert cells == [reached[name] for name in names]
    for name in ("sensitivity", "specificity"):
        for part, key in (("", "value"), (" low", "low"), (" high", "high")):
            assert float(shipped[f"{name.capitalize()}{part}"]) == pytest.approx(reached[name][key])
    risk = float(rows_of(files, "risk_coverage")[-1]["Risk"])
    assert 1 - risk == pytest.approx(content["metrics"]["accuracy"]["value"], abs=1e-6)
    bins = content["metrics"]["calibration"]["bins"]
    calls = [row for row in rows_of(files, "reliability") if row["Of"] == "calls"]
    assert [int(row["Images"]) for row in calls] == [part["n"] for part in bins]
    assert rows_of(files, "history")[1]["val_loss"] == "0.7"


def test_bands_and_rooms_are_those_of_triage(files: Path, evaluated: Evaluated) -> None:
    spread = spread_of_bands(evaluated.table, evaluated.policy)
    told = {row["Priority"]: row for row in rows_of(files, "triage_bands")}
    assert sum(float(row["of 1,000"]) for row in told.values()) == pytest.approx(1000, abs=0.3)
    fast = 1000 * spread.images[0, 0] / len(evaluated.truth)
    assert float(told["fast-track"]["COVID-19 in it"]) == pytest.approx(fast, abs=0.05)
    for name in ("reading_room", "reading_room_bands"):
        rows = rows_of(files, name)
        assert rows[0]["Mean, minutes"] == "30.0"
        assert float(rows[0]["Half are read within"]) == pytest.approx(30 * np.log(2), abs=0.7)
        assert float(rows[0]["Nine of ten within"]) == pytest.approx(30 * np.log(10), abs=1.5)
        covid = [row for row in rows if row["True finding"] == "COVID-19"]
        early, late = (
            next(row for row in covid if re.match(words, row["Which images"]))
            for words in ("those flagged|fast-track", "those not|read later")
        )
        assert float(early["Nine of ten within"]) < float(late["Nine of ten within"])
