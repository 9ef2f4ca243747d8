"""Rows for programs: what they hold, and that they are read again as they were written."""

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from carina.decisions.triage import REASON_CODES, Triage
from carina.errors import InputError
from carina.inference.explanation.overlay_files import overlay_name
from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.predictor import Predictor
from carina.inference.results import Csv, JsonLines, RowError, RowFormat, path_in_words
from carina.radiographs.gate import NO_GATE
from unit.inference.small_model import FINDINGS

STRANGE = (
    "plain.png",
    'with "quotes", commas; and\ttabs.png',
    "two\nlines\r\nor more\r.png",
    "ünïcödé 肺.png",
    os.fsdecode(b"caf\xe9.png"),
    "=1+1.png",
    " spaces .png",
    "",
)


@pytest.fixture(scope="module")
def judged(predictor: Predictor, films: list[Path]) -> list[Prediction | FailedPrediction]:
    """Return a prediction, a refused one and a failed one under each strange path."""
    (good,) = predictor.predict(films[:1], explain=True)
    assert isinstance(good, Prediction)
    triage = Triage("not-assessable", "refused", "Not judged: no two lungs were found in it.")
    refused = replace(good, triage=triage, reasons=("no two lungs were found in it",), explanation=None)
    error = InputError("there is no such file. Check the path.", "not-found")
    found: list[Prediction | FailedPrediction] = []
    for name in STRANGE:
        path = Path("folder", name)
        found += [replace(good, path=path), FailedPrediction(path, error), replace(refused, path=path)]
    return found


def formats(predictor: Predictor) -> list[RowFormat]:
    return [
        kind(predictor, explained=explained, prevalence=0.25 if explained else None)
        for kind in (JsonLines, Csv)
        for explained in (False, True)
    ]


@pytest.mark.parametrize("which", range(4))
def test_rows_are_read_as_they_were_written(
    predictor: Predictor, judged: list[Prediction | FailedPrediction], tmp_path: Path, which: int
) -> None:
    rows = formats(predictor)[which]
    written = [rows.row(prediction, None).encode() for prediction in judged]
    file = tmp_path / "rows"
    file.write_bytes(rows.header.encode() + b"".join(written))
    with file.open("rb") as stream:
        stored = list(rows.read(stream))
    content = file.read_bytes()
    assert [content[row.start : row.end] for row in stored] == written
    assert [row.path for row in stored] == [path_in_words(prediction.path) for prediction in judged]
    assert [row.failed for row in stored] == [isinstance(prediction, FailedPrediction) for prediction in judged]
    assert rows.judged_by.model_sha256 == predictor.run.model_sha256
    assert {row.judged_by for row in stored if not row.failed} == {rows.judged_by}
    assert {row.judged_by for row in stored} <= {rows.judged_by, None}


@pytest.mark.parametrize("which", range(4))
def test_wherever_it_is_cut_whole_rows_are_read(
    predictor: Predictor, judged: list[Prediction | FailedPrediction], tmp_path: Path, which: int
) -> None:
    rows = formats(predictor)[which]
    file = tmp_path / "rows"
    content = (rows.header + "".join(rows.row(prediction, None) for prediction in judged[4:8])).encode()
    file.write_bytes(content)
    with file.open("rb") as stream:
        whole = list(rows.read(stream))
    assert len(whole) == 4
    near = {row.end + off for row in whole for off in range(-40, 60)}
    for cut in sorted(near.union(range(0, len(content), 7)) & set(range(len(content)))):
        file.write_bytes(content[:cut])
        with file.open("rb") as stream:
            assert list(rows.read(stream)) == [row for row in whole if row.end <= cut], cut


def test_what_json_says(predictor: Predictor, judged: list[Prediction | FailedPrediction]) -> None:
    good, failed, refused = (json.loads(JsonLines(predictor).row(prediction, None)) for prediction in judged[:3])
    assert list(good) == [
        *(
            "path",
            "sha256",
            "reduced",
            "finding",
            "probabilities",
            "triage",
            "gate",
            "reservations",
            "model",
            "elapsed_ms",
        ),
    ]
    # The model has no gate: nothing looked, and that is said.
    assert good["gate"] is None
    assert good["reservations"] == [NO_GATE]
    assert list(good["triage"]) == ["priority", "code", "reason", "prevalence", "flag_finding"]
    assert good["triage"]["code"] in REASON_CODES
    assert good["triage"]["flag_finding"] == "COVID-19"
    gated = judged[0]
    assert isinstance(gated, Prediction)
    assert json.loads(JsonLines(predictor).row(replace(gated, gated=True), None))["gate"] == {
        "accepted": True, "reasons": [],
    }  # fmt: skip
    assert list(failed) == ["path", "error"]
    assert (refused["finding"], refused["probabilities"]) == (None, None)
    assert refused["gate"] == {"accepted": False, "reasons": ["no two lungs were found in it"]}
    explained = JsonLines(predictor, explained=True)
    picture = Path("pictures") / overlay_name(Path("plain.png"))
    why = json.loads(explained.row(judged[0], picture))["explanation"]
    assert list(why) == ["finding", "overlay", "inside_lungs", "lungs_fill", "cells"]
    assert why["overlay"] == picture.name
    assert 0 < why["lungs_fill"] < 1
    assert why["cells"] == [4, 4]
    assert json.loads(explained.row(judged[2], None))["explanation"] is None
    assert "explanation" not in json.loads(explained.row(judged[1], None))


def test_what_csv_says(predictor: Predictor, judged: list[Prediction | FailedPrediction]) -> None:
    rows = Csv(predictor, explained=True)
    text = rows.header + "".join(rows.row(prediction, Path("x/picture.png")) for prediction in judged[:3])
    good, failed, refused = csv.DictReader(io.StringIO(text))
    assert good["finding"] in FINDINGS
    assert sum(float(good[f"probability:{finding}"]) for finding in FINDINGS) == pytest.approx(1, abs=1e-5)
    assert good["overlay"] == "picture.png"
    assert (good["reason_code"] in REASON_CODES, failed["reason_code"]) == (True, "")
    assert 0 < float(good["lungs_fill"]) < 1
    assert (failed["error_code"], failed["priority"], failed["overlay"]) == ("not-found", "", "")
    assert refused["finding"] == refused["probability:Normal"] == ""
    assert [row["gate_accepted"] for row in (good, failed, refused)] == ["", "", "false"]
    assert good["reservations"] == NO_GATE
    assert {row["flag_finding"] for row in (good, failed, refused)} == {"COVID-19"}
    gated = judged[0]
    assert isinstance(gated, Prediction)
    (accepted,) = csv.DictReader(io.StringIO(rows.header + rows.row(replace(gated, gated=True), None)))
    assert accepted["gate_accepted"] == "true"
    assert {row["model_sha256"] for row in (good, failed, refused)} == {predictor.run.model_sha256}


def test_reservations_stand_in_every_row(predictor: Predictor, judged: list[Prediction | FailedPrediction]) -> None:
    doubts = ("A first sentence, with a comma.", "A second.")
    good, failed = judged[0], judged[1]
    assert isinstance(good, Prediction)
    doubtful = replace(good, reservations=doubts)
    assert json.loads(JsonLines(predictor).row(doubtful, None))["reservations"] == list(doubts)
    for explained in (False, True):
        rows = Csv(predictor, explained=explained)
        text = rows.header + "".join(rows.row(prediction, None) for prediction in (doubtful, failed, good))
        said = [row["reservations"] for row in csv.DictReader(io.StringIO(text))]
        assert said == [" ".join(doubts), "", NO_GATE]
    assert all(doubt in doubtful._repr_html_() for doubt in doubts)


def test_bytes_that_are_no_utf_8_stay_apart() -> None:
    one, other = (Path(os.fsdecode(name)) for name in (b"caf\xe9.png", b"caf\xe8.png"))
    assert path_in_words(one) == r"caf\xe9.png"
    assert path_in_words(one) != path_in_words(other)
    assert path_in_words(None) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not json\n", "line 1 is not a result in JSON"),
        (b'["path"]\n', "line 1 is not a result in JSON"),
        (b'{"path": 3, "error": {}}\n', "line 1 is not a result in JSON"),
        (b'{"path": "a.png"}\n', "line 1 is not a result in JSON"),
        (b'{"path": "a.png", "error": {}}\n\n', "line 2 is not a result in JSON"),
        (b'{"path": "a.png", "error": {}}\n{"path": "\\udce9", "error": {}}\n', "line 2 is not a result in JSON"),
        (b"\xff\n", "line 1 is not a result in JSON"),
    ],
)
def test_other_lines_are_refused(predictor: Predictor, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "rows").write_bytes(content)
    with (tmp_path / "rows").open("rb") as stream, pytest.raises(RowError, match=message):
        list(JsonLines(predictor).read(stream))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,finding\n", "its header is not the one"),
        (b'{"path": "a.png", "error": {}}\n', "its header is not the one"),
        (b"HEADERa,b,c\na,b,c\n", "row 2 has 3 fields and not"),
        (b"HEADER\nmore\n", "row 2 has 0 fields and not"),
        (b"HEADER\xff\xff\xff\xff,b\n", "what follows row 1 is not a result in CSV"),
        (b"HEADERa\rb,c\nd\n", "what follows row 1 is not a result in CSV"),
    ],
)
def test_other_tables_are_refused(predictor: Predictor, tmp_path: Path, content: bytes, message: str) -> None:
    rows = Csv(predictor)
    (tmp_path / "rows").write_bytes(content.replace(b"HEADER", rows.header.encode()))
    with (tmp_path / "rows").open("rb") as stream, pytest.raises(RowError, match=message):
        list(rows.read(stream))


def test_rows_of_other_options_are_refused(
    predictor: Predictor, judged: list[Prediction | FailedPrediction], tmp_path: Path
) -> None:
    for kind in (JsonLines, Csv):
        for explained in (False, True):
            wrote, reads = kind(predictor, explained=explained), kind(predictor, explained=not explained)
            (tmp_path / "rows").write_text(wrote.header + wrote.row(judged[0], None))
            with (tmp_path / "rows").open("rb") as stream, pytest.raises(RowError):
                list(reads.read(stream))
