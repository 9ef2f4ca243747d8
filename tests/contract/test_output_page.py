"""The page on what ``carina predict`` writes names every field, code and sentence that the code has, and no other."""

import ast
import csv
import inspect
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from carina.decisions.triage import PRIORITIES, READING_PLACES, REASON_CODES
from carina.errors import InputErrorCode
from carina.inference.prediction import NO_NUMBER, AnyPrediction
from carina.inference.predictor import Predictor
from carina.inference.results import Csv, JsonLines
from carina.phantoms.phantom import draw_phantom
from carina.radiographs import gate, intended_use
from carina.radiographs.doubts import SENTENCES
from unit.inference.small_model import FINDINGS, write_small_run

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "output.md").read_text("utf-8")


def table(header: str) -> dict[str, str]:
    """Return the rows below each table with such a header, in order: the first column, and the rest of the row."""
    rows: dict[str, str] = {}
    for found in re.findall(rf"^\| {re.escape(header)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        for line in found.splitlines():
            first, rest = line.removeprefix("| ").removesuffix(" |").split(" | ", 1)
            assert first not in rows, first
            rows[first.strip("`")] = rest
    return rows


def fields(content: dict[str, Any], before: str = "") -> Iterator[str]:
    """Yield the names of fields as the page gives them; findings are those of a model."""
    for name, value in content.items():
        nested = isinstance(value, dict) and name != "probabilities"
        if not nested or name in ("gate", "explanation"):
            yield before + name
        if nested:
            yield from fields(value, f"{before}{name}.")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, list[AnyPrediction]]:
    """Return a predictor, and what it says of a phantom, of no file, and of what is no radiograph."""
    folder = tmp_path_factory.mktemp("page")
    film = folder / "film.png"
    Image.fromarray(draw_phantom("COVID-19", seed=3, size=128).pixels).save(film)
    predictor = Predictor(write_small_run(folder / "run"))
    # The run has no gate: only of an image that is refused all the same the row says something of it.
    Image.fromarray(np.eye(128, dtype=np.uint8) * 255).save(folder / "two-valued.png")
    paths = [film, folder / "none.png", folder / "two-valued.png"]
    return predictor, list(predictor.predict(paths, explain=True))


def test_every_field_of_a_json_row_is_named(rows: tuple[Predictor, list[AnyPrediction]]) -> None:
    predictor, (judged, failed, refused) = rows
    as_json = JsonLines(predictor, explained=True)
    objects = [json.loads(as_json.row(prediction, Path("film.png"))) for prediction in (judged, refused)]
    assert objects[1]["gate"]["accepted"] is False
    found = {name for content in objects for name in fields(content)}
    assert set(table("field")) == found
    assert list(table("field of an error")) == list(fields(json.loads(as_json.row(failed, None))))


def test_every_column_is_named_in_order(rows: tuple[Predictor, list[AnyPrediction]]) -> None:
    (header,) = csv.reader(io.StringIO(Csv(rows[0], explained=True).header))
    for finding in FINDINGS[1:]:
        header.remove(f"probability:{finding}")
    header[header.index(f"probability:{FINDINGS[0]}")] = "probability:NAME"
    assert list(table("column")) == header


def test_all_codes_are_there() -> None:
    priorities = table("priority")
    assert set(priorities) == set(PRIORITIES)
    assert list(priorities) == sorted(priorities, key=READING_PLACES.__getitem__)  # type: ignore[arg-type]
    assert sorted(re.findall(r"`([a-z-]+)`", " ".join(priorities.values()))) == sorted(REASON_CODES)
    assert sorted(table("code")) == sorted(get_args(InputErrorCode))


def sentences_in(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the texts of several words in a function's body, and how those begin into which something is put."""
    definition = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(definition, ast.FunctionDef)
    for statement in definition.body[1:]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 2:
                yield node.value


def test_the_reservations_are_those_that_are_said() -> None:
    told, whole = list(table("sentence")), {*SENTENCES.values(), gate.NO_GATE}
    assert whole <= set(told)
    functions = (intended_use.reservations_of, intended_use.reservations)
    said = {text for function in functions for text in sentences_in(function)} - {"own range without outliers"}
    said.add(intended_use._OUTLIERS)
    others = [sentence for sentence in told if sentence not in whole]
    assert [text for text in said if not any(text in sentence for sentence in others)] == []
    assert [sentence for sentence in others if not any(text in sentence for text in said)] == []


def test_every_reason_to_refuse_is_there() -> None:
    told = "\n".join(table("reason"))
    for reason in (*gate.REASONS.values(), gate.UNFAMILIAR, gate.NO_LUNGS, NO_NUMBER):
        assert reason in told, reason
    for function in (intended_use.refusals, intended_use.pixel_refusals):
        for text in sentences_in(function):
            assert text.strip() in told, text
