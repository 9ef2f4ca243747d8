"""Result objects in a notebook: the same tables and figures, whole, and nothing that reaches what is around them."""

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import carina
from carina.errors import ConfigurationError
from carina.evaluation.audit.audit_results import Audit, Counts, HeadResult, ModelResult
from carina.evaluation.comparison import compare
from carina.evaluation.evaluate import SplitResult
from carina.evaluation.leaks import LeakCheck
from carina.evaluation.predictions import findings_of, groups_of, probabilities_of, truth_of
from carina.reports.evaluated import read_evaluated
from carina.reports.html.page import Report
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.intervals import Estimate
from carina.statistics.metrics import measure
from unit.reports.evaluations import FINDINGS, HOSTILE, audit_of, write_evaluated

PLAIN = {"div", "b", "table", "tr", "td", "th", "ul", "li"}


class Checker(HTMLParser):
    """Notes tags and attributes, and whether every tag is closed in turn."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.named, self.text = [], set(), {}, ""
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.named.setdefault(name, []).append(value)
        self.open += [] if tag == "img" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: Any) -> None:
        self.text += data


def plain(markup: str) -> str:
    """Return the text of markup that can neither change what is around it nor fetch anything."""
    checker = Checker(markup)
    assert checker.tags <= PLAIN
    assert set(checker.named) <= {"style"}
    assert not re.search(r"#[0-9a-f]{3}|rgb|white|black|url|position", " ".join(checker.named.get("style", [])))
    return checker.text


def page_in(markup: str) -> str:
    """Return the page in a frame that can run scripts and reach nothing."""
    checker = Checker(markup)
    assert checker.tags == {"iframe"}
    assert set(checker.named) == {"title", "srcdoc", "sandbox", "style"}
    assert checker.named["sandbox"] == ["allow-scripts"]
    (page,) = checker.named["srcdoc"]
    assert page.startswith("<!DOCTYPE html>")
    assert "default-src &#39;none&#39;" in page
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evaluated(tmp_path_factory.mktemp("notebook") / "first", n=240)


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return carina.open_report(str(folder))


def test_a_report_is_the_whole_page_in_a_frame(report: Report) -> None:
    assert page_in(report._repr_html_()) == report.to_html()


def test_each_table_and_figure_shows_itself(folder: Path, report: Report) -> None:
    text = plain(report.table("per_finding")._repr_html_())
    sensitivity = read_evaluated(folder).estimate("metrics", "per_finding", "COVID-19", "sensitivity")
    assert f"{100 * sensitivity.value:.1f}" in text
    assert f"{sensitivity.numerator} of {sensitivity.denominator}" in text
    shown = Checker(report.figure("roc")._repr_html_())
    assert shown.tags == {"img"}
    assert shown.named["src"][0].startswith("data:image/svg+xml;base64,")
    assert shown.named["alt"][0].startswith("ROC curves. COVID-19: AUROC")
    for section in report.sections:
        for table in section.tables:
            assert table.caption in html.unescape(plain(table._repr_html_()))
    with pytest.raises(KeyError):
        report.figure("nothing")


def test_several_side_by_side_and_their_tests(folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / "second"
    shutil.copytree(folder, twin)
    both = carina.open_report(folder, twin)
    assert "2 evaluations side by side" in page_in(both._repr_html_())
    assert both.to_html() in html.unescape(both._repr_html_())
    text = plain(carina.compare(str(folder), twin)._repr_html_())
    assert "Each on all of its own images" in text
    assert "first minus second, paired on the 240 images that they share" in text
    with pytest.raises(ConfigurationError, match="at least two"):
        carina.compare(folder)
    with pytest.raises(ConfigurationError, match="at least one"):
        carina.open_report()


def test_an_audit_is_a_page_of_its_own(tmp_path: Path) -> None:
    folder = audit_of(tmp_path / "audit", "ab" * 32)
    content = json.loads((folder / "audit.json").read_text("utf-8"))
    content |= {"model": HOSTILE, "dataset": "a-set", "carina": "0.1.0"}
    (folder / "audit.json").write_text(json.dumps(content), "utf-8")
    audit = carina.open_audit(folder)
    page = page_in(audit._repr_html_())
    assert "Sixty-nine of a hundred." in page
    assert "What is left of the AUROC above chance" in page
    assert "<img src=x" not in page
    audit.write_html(tmp_path / "audit.html")
    assert (tmp_path / "audit.html").read_text("utf-8") == page
    audit.write_figures(tmp_path / "figures")
    assert {"audit.svg", "audit.png", "audit_shares.csv"} <= {path.name for path in (tmp_path / "figures").iterdir()}


def test_an_audit_of_an_earlier_version_is_read_without_the_later_questions(tmp_path: Path) -> None:
    folder = audit_of(tmp_path / "audit", "ab" * 32)
    content = json.loads((folder / "audit.json").read_text("utf-8")) | {"model": "a", "dataset": "b", "carina": "0.3.0"}
    for key in ("sensitivity_gaps", "ruled_out", "explanation_tests"):
        del content[key]
    for key in ("heads", "source_probes"):
        content[key] = [item for item in content[key] if item["input"] not in ("histogram", "sharpness")]
    del content["source_probes"][0]["input"]
    for pair in content["same_source_pairs"]:
        del pair["histogram"], pair["sharpness"]
    (folder / "audit.json").write_text(json.dumps(content), "utf-8")
    page = page_in(carina.open_audit(folder)._repr_html_())
    assert "From the embedding: balanced accuracy" in page
    for later in ("Sharpness", "sharpness", "ruled out", "Do activation maps mark"):
        assert later not in page


def test_results_in_memory_are_plain_tables(folder: Path) -> None:
    table = pl.read_parquet(folder / "predictions.parquet")
    truth, probabilities, groups = truth_of(table), probabilities_of(table), groups_of(table)
    metrics = measure(truth, probabilities, findings_of(table), groups=groups, replicates=20)
    reached = at_operating_point(truth, probabilities, 0, 0.5, groups)
    leaks = LeakCheck(**dict.fromkeys(LeakCheck.__dataclass_fields__) | {"learned": table.head(0)})
    told = {"table": table, "metrics": metrics, "at_operating_point": reached, "leaks": leaks, "dropped": 3}
    told |= {"notice": HOSTILE, "flag_finding": HOSTILE}
    evaluation = SplitResult(**dict.fromkeys(SplitResult.__dataclass_fields__) | told)
    text = plain(evaluation._repr_html_())
    assert HOSTILE in text
    assert "0 found, 3 left out" in text
    for estimate in (metrics.accuracy, metrics.per_finding[1].auprc, reached.sensitivity):
        assert f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})" in text
    comparison = compare(truth, probabilities, probabilities[:, [1, 0, 2]], FINDINGS, groups=groups)
    text = plain(comparison._repr_html_())
    assert "A against B on the same 240 images" in text
    assert f"{comparison.tests[0].value_b:.3f}" in text


def test_an_audit_in_memory_is_its_sentence_and_a_table() -> None:
    estimate = Estimate(0.69, 0.66, 0.72, "bootstrap")
    head = HeadResult("thumbnail", 1.0, estimate, (estimate,), estimate)
    model = ModelResult("lungs-black", estimate, (estimate,), estimate, estimate, estimate)
    nothing = dict.fromkeys(Audit.__dataclass_fields__, ())
    counts = Counts(*[1] * len(Counts.__dataclass_fields__))
    told = {"sentence": HOSTILE, "verdicts": ("It leans.",), "counts": counts, "heads": (head,), "by_model": (model,)}
    text = plain(Audit(**nothing | told)._repr_html_())
    assert HOSTILE in text
    assert "It leans." in text
    assert "0.690 (0.660 to 0.720)" in text
    assert np.count_nonzero([word == "–" for word in re.findall("–", text)]) == 2
