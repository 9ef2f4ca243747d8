"""Predictions in a notebook: whole and harmless HTML, readable on light and on dark."""

import base64
import copy
import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from carina.decisions.triage import Triage
from carina.errors import ConfigurationError, InputError
from carina.inference.prediction import NO_NUMBER, FailedPrediction, Prediction
from carina.inference.prediction_list import Predictions
from carina.inference.predictor import Predictor
from carina.inference.results import Csv

Several = Callable[..., Predictions]

EVIL = '<script>alert(1)</script><img src=x onerror="a()">\'&.png'


class Checker(HTMLParser):
    """Notes tags and attributes, and whether every tag is closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    assert checker.tags <= {"div", "b", "br", "table", "tr", "td", "th", "img"}
    assert set(checker.attributes) <= {"style", "src", "alt"}
    # No colours of its own, and nothing fetched from anywhere.
    styles = " ".join(checker.attributes.get("style", ()))
    assert not re.search(r"#[0-9a-f]{3}|rgb|white|black|url", styles)
    assert all(source.startswith("data:image/png;base64,") for source in checker.attributes.get("src", ()))
    html.encode("utf-8")
    return checker


@pytest.fixture(scope="module")
def prediction(predictor: Predictor, films: list[Path]) -> Prediction:
    (found,) = predictor.predict(films[:1], explain=True)
    assert isinstance(found, Prediction)
    return found


@pytest.fixture(scope="module")
def rows(predictor: Predictor) -> Csv:
    return Csv(predictor)


@pytest.fixture
def several(rows: Csv) -> Several:
    return lambda *items, **left_out: Predictions(items, rows=rows, left_out=left_out)


def test_one_prediction(prediction: Prediction) -> None:
    html = prediction._repr_html_()
    checker = checked(html)
    assert prediction.triage.priority in checker.text
    assert prediction.triage.reason in checker.text
    assert "For research" in checker.text
    for finding, probability in prediction.probabilities.items():
        assert finding in checker.text
        assert f"{probability:.3f}" in checker.text
        assert f"width:{100 * probability:.1f}%" in html
    assert prediction.path is not None
    assert prediction.path.name in checker.text
    assert str(prediction.path.parent) not in html
    (source,) = checker.attributes["src"]
    with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as image:
        assert 600 <= image.width <= 900
    assert "img" not in checked(replace(prediction, explanation=None)._repr_html_()).tags


def test_what_is_refused_or_failed_has_no_numbers(prediction: Prediction, several: Several) -> None:
    reason = "Not judged: no two lungs were found in it; nothing is said about its findings."
    triage = Triage("not-assessable", "refused", reason)
    refused = replace(prediction, reasons=("no two lungs",), triage=triage, explanation=None)
    failed = FailedPrediction(None, InputError("there is no such file. Check the path.", "not-found"))
    assert not re.search(r"0\.\d\d", checked(refused._repr_html_()).text)
    assert "no such file" in checked(failed._repr_html_()).text
    table = checked(several(prediction, refused, failed)._repr_html_())
    assert prediction.finding is not None
    assert table.text.count(prediction.finding) - prediction.triage.reason.count(prediction.finding) == 1
    assert "image 3" in table.text


def test_nothing_in_a_name_or_message_becomes_html(prediction: Prediction, several: Several) -> None:
    evil = replace(
        prediction,
        path=Path("x", EVIL.replace("/", "")),
        network_probabilities={EVIL: 1.0},
        triage=Triage("expedite", "other-finding", EVIL),
        explanation=None,
    )
    failed = FailedPrediction(Path(EVIL.replace("/", "")), InputError(EVIL, "not-found"))
    for html in (evil._repr_html_(), failed._repr_html_(), several(evil, failed)._repr_html_()):
        checker = checked(html)
        assert "script" not in checker.tags
        assert "onerror" not in checker.attributes
        assert "<script>alert(1)" in checker.text
    strange = replace(prediction, path=Path(os.fsdecode(b"caf\xe9.png")), explanation=None)
    assert "caf" in checked(strange._repr_html_()).text
    assert checked(several()._repr_html_()).text


def test_findings_of_the_users_own_stand_in_the_picture_as_text(prediction: Prediction) -> None:
    why = prediction.explanation
    assert why is not None
    named = replace(why, findings=('"><script>', *why.findings[1:]))
    evil = replace(prediction, explanation=named, network_probabilities={'"><script>': 1.0})
    checker = checked(evil._repr_html_())
    assert "script" not in checker.tags
    assert any('"><script>' in alt for alt in checker.attributes["alt"])


def test_a_refused_image_has_no_finding_as_in_the_output_for_programs(prediction: Prediction) -> None:
    triage = Triage("not-assessable", "refused", "Not judged: no two lungs were found in it.")
    refused = replace(prediction, reasons=("no two lungs were found in it",), triage=triage, explanation=None)
    assert (refused.finding, refused.probabilities, refused.accepted) == (None, None, False)
    assert refused.network_probabilities == prediction.probabilities
    for ask in (refused.judged, refused.plot):
        with pytest.raises(InputError, match="nothing is said about this image, because no two lungs were found in it"):
            ask()


def test_no_number_is_no_refusal_of_the_gate(prediction: Prediction) -> None:
    triage = Triage("not-assessable", "no-number", "Not judged: the model gave no number.")
    nothing = replace(prediction, triage=triage, gated=True, network_probabilities={"Normal": float("nan")})
    assert (nothing.finding, nothing.probabilities, nothing.reasons) == (None, None, ())
    assert nothing.accepted is True
    assert nothing.refused == NO_NUMBER


def test_a_prediction_draws_its_explanation(prediction: Prediction) -> None:
    assert prediction.plot().mode == "RGB"
    other = next(name for name in prediction.network_probabilities if name != prediction.finding)
    assert prediction.plot(other, against=prediction.finding).tobytes() != prediction.plot().tobytes()
    with pytest.raises(ConfigurationError, match=r"no explanation. Use model\.explain"):
        replace(prediction, explanation=None).plot()
    with pytest.raises(ConfigurationError, match="does not know 'Measles'"):
        prediction.plot("Measles")


def test_whoever_takes_a_failed_image_for_a_judged_one_is_told_what_failed() -> None:
    failed = FailedPrediction(
        Path("folder/film.png"), InputError("there is no such file. Check the path.", "not-found")
    )
    for name in ("triage", "finding", "probabilities", "explanation", "plot", "accepted"):
        with pytest.raises(
            AttributeError, match=rf"film\.png could not be judged, so it has no {name}: there is no such"
        ):
            getattr(failed, name)
    with pytest.raises(AttributeError, match="has path, error and passed_over"):
        failed.score  # noqa: B018
    assert copy.deepcopy(failed).path == failed.path
