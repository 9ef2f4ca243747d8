"""The page of one evaluation: whole, escaped, without paths or patients, and its figures those of metrics.json."""

import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from carina.bundles.bundle import open_bundle, released_bundle
from carina.decisions.operating_point import OperatingPoint
from carina.decisions.triage import choose_triage
from carina.errors import ConfigurationError, DataError
from carina.radiographs.gate import NO_LUNGS
from carina.reports.evaluated import read_evaluated
from carina.reports.html.open_reports import build_report, open_report, write_report
from carina.reports.html.page import Report
from carina.reports.html.sections.gallery_section import choose_rows
from carina.reports.written_numbers import full_text
from unit.reports.evaluations import HOSTILE, audit_of, write_evaluated

FLAG_KEYS = ("covid_19", "nodule_mass")
KEYS = ["summary", "findings", "explorer", "curves", "groups", "audit", "gallery", "room", "made"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evaluated(tmp_path_factory.mktemp("page") / "first", prevalence=0.05)


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return open_report(folder)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.to_html()


class Outline(HTMLParser):
    """Notes headings, ids, addresses and inline handlers."""

    def __init__(self, page: Any) -> None:
        super().__init__(convert_charrefs=True)
        self.ids, self.headings, self.addresses, self.handlers, self.styles = [], [], [], [], 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.headings += [tag] if re.fullmatch("h[1-6]", tag) else []
        self.addresses += [named[key] for key in ("src", "href") if key in named]
        self.handlers += [key for key in named if key.startswith("on")]
        self.styles += "style" in named


def test_it_has_all_sections_in_their_order(report: Report, page: str) -> None:
    assert [section.key for section in report.sections] == KEYS
    assert re.findall(r'<section id="(\w+)"', page) == KEYS


def test_nothing_is_loaded_and_nothing_runs_but_what_is_hashed(page: str) -> None:
    outline = Outline(page)
    assert all(address.startswith(("#", "data:image/")) for address in outline.addresses)
    assert outline.handlers == []
    assert outline.styles == 0
    assert re.search(r"default-src &#39;none&#39;", page)
    assert "unsafe-inline" not in page
    # It holds names of standards, but no address that anything could be fetched from.
    assert set(re.findall(r"https?://[^\s\"'<)]+", page)) == {"http://www.w3.org/2000/svg"}


def test_headings_descend_without_gaps_and_ids_are_unique(page: str) -> None:
    outline = Outline(page)
    assert len(set(outline.ids)) == len(outline.ids)
    levels = [int(heading[1]) for heading in outline.headings]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_paths_and_patients_never_appear(page: str) -> None:
    for private in ("/home/", "someone", "secret-place", "patient-", "images/", ".png"):
        assert private not in page, private


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = write_evaluated(tmp_path / "hostile", n=120, sources=("north", HOSTILE, "tiny"))
    content = json.loads((folder / "metrics.json").read_text("utf-8"))
    content["data"]["name"] = HOSTILE
    content["notice"] = HOSTILE
    (folder / "metrics.json").write_text(json.dumps(content), "utf-8")
    page = open_report(folder).to_html()
    assert "<img src=x" not in page
    assert page.count("</script>") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    json.loads(data[1])


def test_every_headline_figure_stands_with_its_interval(report: Report, page: str, folder: Path) -> None:
    evaluated = read_evaluated(folder)
    text = " ".join(re.sub(r"<[^>]+>", " ", page).replace("&#39;", "'").split())
    for path, kind in (
        (("operating_point", "reached", "sensitivity"), "share"),
        (("metrics", "macro_auroc"), "area"),
    ):
        value, interval = full_text(evaluated.estimate(*path), kind).replace("\u00a0", " ").split(" (")
        assert value in text
        assert interval.rstrip(")") in text


def test_each_image_has_the_priority_that_triage_gives_it(page: Any, folder: Any) -> None:
    evaluated = read_evaluated(folder)
    expected = []
    for item in choose_rows(evaluated):
        of_finding = dict(zip(evaluated.findings, evaluated.probabilities[item.row].tolist(), strict=True))
        refused = None if evaluated.table["assessable"][item.row] else NO_LUNGS
        expected.append((choose_triage(of_finding, evaluated.policy, refused=refused).priority, str(item.row)))
    assert len({priority for priority, _ in expected}) > 2
    assert re.findall(r'<p class="note"><b>([a-z-]+)</b> .*?· row (\d+) ·', page) == expected


def test_how_it_was_made_names_bundle_time_and_memory(page: str) -> None:
    for told in ("ef" * 32, "ab" * 32, "12 s with all intervals, at most 456 MB", "carina train a-set --out run"):
        assert told in page


def test_the_stated_prevalence_is_answered(page: str, report: Report) -> None:
    assert "PPV, at the stated prevalence" in page
    assert "decision_curve_stated" in {drawing.name for section in report.sections for drawing in section.drawings}


def test_the_same_folder_gives_the_same_bytes(folder: Path, page: str, tmp_path: Path) -> None:
    again = open_report(folder)
    assert again.to_html() == page


@pytest.mark.parametrize("shown", [(1, 2), (0,), (1,)])
def test_a_set_without_every_finding_is_shown(tmp_path: Path, shown: tuple[Any, ...]) -> None:
    page = open_report(write_evaluated(tmp_path / "some", n=90, shown=shown)).to_html()
    assert "n/a" in page
    assert "NaN" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_a_part_that_is_too_small_says_so(page: str) -> None:
    assert "too few: " in page


def test_a_source_that_is_the_finding_is_said(tmp_path: Path) -> None:
    folder = write_evaluated(tmp_path / "confounded", n=200)
    table = pl.read_parquet(folder / "predictions.parquet")
    table = table.with_columns(source=pl.col("finding").replace_strict({"COVID-19": "a"}, default="b"))
    table.write_parquet(folder / "predictions.parquet")
    assert "No source has images with and without COVID-19" in open_report(folder).to_html()


def test_old_evaluations_without_calibration_and_policy_are_shown(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    content = json.loads((old / "metrics.json").read_text("utf-8"))
    del content["metrics"]["calibration"], content["model"]["policy"], content["bundle_sha256"]
    del content["model"]["preprocessing"]["crop"]
    (old / "metrics.json").write_text(json.dumps(content), "utf-8")
    (old / "history.csv").unlink()
    pl.read_parquet(old / "predictions.parquet").drop("assessable").write_parquet(old / "predictions.parquet")
    page = open_report(old).to_html()
    assert "not recorded; carina report --bundle names it" in page
    assert "not measured by the version of Carina that evaluated" in page


@pytest.mark.parametrize(
    ("break_it", "message"), [("missing", r"predictions\.parquet is missing or damaged"), ("format", "another version")]
)
def test_what_is_no_evaluation_is_refused(folder: Path, tmp_path: Path, break_it: str, message: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    if break_it == "missing":
        (broken / "predictions.parquet").unlink()
    else:
        (broken / "metrics.json").write_text('{"format": "older"}', "utf-8")
    with pytest.raises(DataError, match=message):
        open_report(broken)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("gallery.parquet", b""), ("gallery.parquet", b"PAR1"), ("history.csv", b"")),
        *(("history.csv", b"a,b\n1,2,3\n\xff\xfe"), ("recipe.toml", b"="), ("recipe.toml", b"\xff\xfe")),
    ],
)
def test_a_damaged_file_is_named(folder: Any, tmp_path: Path, name: str, content: Any) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"^{re.escape(str(broken / name))} is damaged\. Evaluate again\.$"):
        read_evaluated(broken)


def test_an_audit_of_this_model_stands_beside_the_figures(folder: Path, tmp_path: Path) -> None:
    audit = audit_of(tmp_path / "audit", "ab" * 32)
    page = open_report(folder, audits=[audit]).to_html()
    assert page.count("Sixty-nine of a hundred.") >= 2
    assert "What is left of the AUROC above chance" in page
    assert "a against 3 findings" in page


def test_an_audit_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    audit = audit_of(tmp_path / "audit", "00" * 32)
    with pytest.raises(ConfigurationError, match="another model"):
        open_report(folder, audits=[audit])
    with pytest.raises(ConfigurationError, match="another model than those"):
        write_report([folder], tmp_path / "x.html", audits=[audit])
    twins = [audit_of(tmp_path / name, "ab" * 32) for name in ("one", "two")]
    with pytest.raises(ConfigurationError, match=r"one and \S+two audited the same model\. Name one of them\.$"):
        open_report(folder, audits=twins)
    with pytest.raises(ConfigurationError, match="audited the same model"):
        open_report(folder, audits=twins[:1] * 2)
    (audit / "audit.json").write_text("{}", "utf-8")
    with pytest.raises(ConfigurationError, match=r"audit\.json is damaged"):
        open_report(folder, audits=[audit])


def test_a_bundle_of_the_evaluated_model_is_named_and_another_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="judged another model than"):
        open_report(folder, bundle=released_bundle())
    released = tmp_path / "released"
    shutil.copytree(folder, released)
    content = json.loads((released / "metrics.json").read_text("utf-8"))
    described = open_bundle(released_bundle())[0].model_dump(mode="json")
    content["model"] |= {key: described[key] for key in ("model_sha256", "policy")}
    (released / "metrics.json").write_text(json.dumps(content), "utf-8")
    report = open_report(released, bundle=released_bundle())
    assert report.title == "carina-mobilenetv2 on a-set, test split"
    assert hashlib.sha256((released_bundle() / "SHA256SUMS").read_bytes()).hexdigest() in report.to_html()
    content["model"]["policy"]["bands"]["alpha"] = 0.5
    (released / "metrics.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(ConfigurationError, match="this model with other thresholds than"):
        open_report(released, bundle=released_bundle())
    with pytest.raises(ConfigurationError, match="A bundle is named for one evaluation"):
        write_report([folder, released], tmp_path / "x.html", bundle=released_bundle())


def test_several_stand_side_by_side(folder: Path, tmp_path: Path) -> None:
    other = write_evaluated(tmp_path / "second", seed=9, n=300)
    out = write_report([folder, other], tmp_path / "both.html", figures=tmp_path / "figures")
    page = out.read_text("utf-8")
    assert "2 evaluations side by side" in page
    for name in ("first", "second"):
        assert f"{name}, shipped operating point: P(COVID-19)" in page
    assert "second against first: no paired test is possible" in page
    assert (tmp_path / "figures" / "side_by_side.csv").is_file()
    with pytest.raises(ConfigurationError, match="--out FILE"):
        write_report([folder, other])
    with pytest.raises(ConfigurationError, match="named twice"):
        write_report([folder, folder], tmp_path / "x.html")


def test_side_by_side_models_and_data_are_named_and_unknown_findings_said(folder: Path, tmp_path: Path) -> None:
    other = write_evaluated(tmp_path / "other", seed=9, n=300)
    flag, stranger = "COVID-19", "Nodule/Mass"
    content = json.loads((other / "metrics.json").read_text("utf-8").replace(flag, stranger))
    content["model"]["name"] = "another"
    content["metrics"]["per_finding"]["Other opacity"] = content["metrics"]["per_finding"]["Normal"]
    (other / "metrics.json").write_text(json.dumps(content), "utf-8")
    table = pl.read_parquet(other / "predictions.parquet")
    table = table.rename({f"probability:{flag}": f"probability:{stranger}"}).with_columns(
        pl.col("finding", "called").replace({flag: stranger}), pl.lit(0.0).alias("probability:Other opacity")
    )
    table.write_parquet(other / "predictions.parquet")
    page = write_report([folder, other], tmp_path / "both.html", figures=tmp_path / "figures").read_text("utf-8")
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg") if not path.stem.startswith("side_by_side")}
    assert drawn == {f"{kind}_{key}" for kind in ("roc", "precision_recall", "decision_curve") for key in FLAG_KEYS}
    assert "by-hand on a-set, another on a-set" in page
    assert "not a finding of this model" in page
    assert "not measured by the version" not in page


def test_paired_tests_and_warnings_name_no_folder(folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / "a-private-place" / folder.name
    twin.parent.mkdir()
    shutil.copytree(folder, twin)
    for changed, trained_on in ((folder, False), (twin, True)):
        table = pl.read_parquet(changed / "predictions.parquet").with_columns(trained_on=pl.lit(trained_on))
        table.write_parquet(changed / "predictions.parquet")
    page = write_report([folder, twin], tmp_path / "both.html").read_text("utf-8")
    assert (
        "LEAK ALLOWED: 600 of these images were trained on. first, a-set (1) minus first, a-set (2), paired on" in page
    )
    assert str(tmp_path) not in page
    assert "a-private-place" not in page


@pytest.mark.long
def test_three_thousand_images_fit_into_fifteen_megabytes(tmp_path: Path) -> None:
    """Without small images; those are 70 at most, of some 3 kB each, whatever the number of images."""
    folder = write_evaluated(tmp_path / "large", n=3000)
    assert len(build_report(read_evaluated(folder)).to_html()) < 3_000_000


def test_the_shipped_operating_point_reads_back(folder: Path) -> None:
    evaluated = read_evaluated(folder)
    point = OperatingPoint.model_validate(evaluated.content["operating_point"]["chosen"])
    assert evaluated.threshold == point.threshold
    assert np.array_equal(evaluated.groups, np.arange(600) // 2)
