"""What an audit leaves on disk: the sentence everywhere, every figure with its interval, pictures without patients."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import carina
from carina.cli import app
from carina.datasets.manifest import Dataset
from carina.errors import ConfigurationError, DataError
from carina.evaluation.audit.alterations import AlterationSettings
from carina.evaluation.audit.audit import AuditSettings, run_audit
from carina.evaluation.audit.audit_results import Audit, SameSourcePair
from carina.evaluation.audit.audited_model import AuditedModel
from carina.evaluation.audit.words import percent, result_on, sentence_of
from carina.radiographs.preprocess import Preprocessing
from carina.reports.audit_folder import audit_text, write_audit
from carina.reports.drawing.audit_examples import draw_audit, draw_examples, phantom_views
from carina.reports.drawing.drawing import Drawing
from carina.reports.written_numbers import full_text
from carina.statistics.intervals import Estimate, not_applicable
from unit.evaluation.audit.planted import SIZE, write_lung_graph, write_model, write_planted
from unit.reports.drawing.pictures import texts_covered, texts_outside, words_of

LOOKS = {"preprocessing": Preprocessing(size=SIZE), "settings": AlterationSettings()}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset, AuditedModel]:
    folder = tmp_path_factory.mktemp("report")
    dataset = write_planted(folder / "images", "border", count=240)
    return folder, dataset, write_model(folder / "model", dataset)


@pytest.fixture(scope="module")
def audit(planted: tuple[Path, Dataset, AuditedModel]) -> Audit:
    folder, dataset, model = planted
    settings = AuditSettings(explained_images=60, replicates=200)
    return run_audit(model, dataset, settings=settings, cache=folder / "cache")


def page_of(audit: Audit, looks: dict[str, AlterationSettings | Preprocessing] = LOOKS) -> Drawing:
    return draw_audit(json.loads(json.dumps(audit.to_json())), **looks)


def test_the_folder_holds_everything_and_the_sentence(audit: Audit, tmp_path: Path) -> None:
    out = tmp_path / "out"
    how = {"preprocessing": LOOKS["preprocessing"], "alterations": LOOKS["settings"], "command": "carina audit"}
    write_audit(audit, out, **how)
    assert {path.name for path in out.iterdir()} == {"audit.json", "audit.txt", "audit.png", "examples.png"}
    content = json.loads((out / "audit.json").read_text("utf-8"))
    assert content["sentence"] == audit.sentence
    assert content["format"] == "carina-audit-1"
    assert content["command"] == "carina audit"
    assert content["verdicts"] == list(audit.verdicts)
    assert audit.sentence in " ".join((out / "audit.txt").read_text("utf-8").split())
    for name in ("audit.png", "examples.png"):
        with Image.open(out / name) as picture:
            assert picture.size[0] > 1000
    with pytest.raises(ConfigurationError, match="already exists"):
        write_audit(audit, out, **how)


def test_an_audit_from_python_is_shown_drawn_and_saved(
    planted: tuple[Path, Dataset, AuditedModel], audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dataset, model = planted
    monkeypatch.setattr("carina.api.auditing.open_audited", lambda path: model)
    monkeypatch.setattr("carina.api.auditing.run_audit", lambda *_, **__: audit)
    result = carina.audit(model.folder, dataset, out=tmp_path / "out", command="carina audit")
    assert (result.sentence, result.verdicts, result.summary()) == (audit.sentence, audit.verdicts, audit_text(audit))
    assert audit.sentence in result._repr_html_()
    assert audit.sentence in result.report().to_html()
    with Image.open(tmp_path / "out" / "audit.png") as picture:
        assert result.plot().tobytes() == picture.tobytes()
    monkeypatch.setattr("carina.api.auditing.run_audit", lambda *_, **__: pytest.fail("it was judged first"))
    with pytest.raises(ConfigurationError, match="already exists"):
        carina.audit(model.folder, dataset, out=tmp_path / "out")


def test_a_failure_leaves_no_folder(
    planted: tuple[Path, Dataset, AuditedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, dataset, model = planted
    monkeypatch.setattr(
        "carina.api.auditing.open_audited", lambda path: replace(model, findings=("COVID-19", "Normal"))
    )
    with pytest.raises(DataError, match="does not know"):
        carina.audit(model.folder, dataset, out=tmp_path / "out", cache=folder / "cache")
    assert not list(tmp_path.iterdir())


def test_the_text_has_every_section_and_fits(audit: Audit) -> None:
    text = audit_text(audit)
    for heading in (
        "A new last layer, trained on such images",
        "The model as it is",
        "The source, told within one finding from the embedding, from grey levels alone",
        "A source left out of a new head",
        "Ages: AUROC of the model",
        "Sensitivity for COVID-19 at the operating point: each group less the one with most patients",
        "Normals ruled out: 1 - P(Normal) lies below a threshold",
        "Activation maps: probability of the called finding that is lost",
        "Not asked",
    ):
        assert heading in text, heading
    assert "external sets: none was named (--external)" in text
    shown = result_on(audit.heads, "lungs-black")
    assert f"{shown.macro_auroc.value:.3f} ({shown.macro_auroc.low:.3f}-{shown.macro_auroc.high:.3f})" in text
    assert percent(shown.share) in text


def test_the_page_says_the_sentence_and_the_verdicts(audit: Audit) -> None:
    page = words_of(page_of(audit))
    assert audit.sentence in page
    for verdict in audit.verdicts:
        assert verdict in page
    share = result_on(audit.heads, "lungs-black").share
    assert full_text(share) in page
    assert full_text(result_on(audit.by_model, "lungs-black").macro_auroc, "area") in page
    assert "The small pictures are phantoms, no patients" in page


def test_the_page_says_what_takes_no_part_and_what_a_cropping_model_cannot_see(audit: Audit) -> None:
    cropping = {**LOOKS, "preprocessing": Preprocessing(crop="lungs")}
    assert "take no part" not in words_of(page_of(audit))
    some = replace(audit, counts=replace(audit.counts, without_lungs=7))
    assert "7 images in which no lungs were found take no part." in words_of(page_of(some))
    for draw in (lambda looks: page_of(audit, looks), lambda looks: draw_examples(**looks)):
        assert "only the box around the lungs" in words_of(draw(cropping))
        assert "only the box around the lungs" not in words_of(draw(LOOKS))


def test_one_page_stays_one_page_and_says_what_is_left_out(audit: Audit) -> None:
    area = Estimate(0.9, 0.8, 0.95, "DeLong")
    pairs = tuple(SameSourcePair(f"source {place}", *("a", "b", 30, 30), *[area] * 6) for place in range(5))
    page = words_of(page_of(replace(audit, same_source_pairs=pairs)))
    assert "source 2: a (30) against b (30)" in page
    assert "source 3" not in page
    assert "2 further pairs of one source: see audit.txt." in page


def test_grey_levels_are_bars_above_their_scale() -> None:
    picture = phantom_views("Normal", Preprocessing(size=64), AlterationSettings())["histogram"]
    assert set(np.unique(picture[:-8])) == {0, 255}
    assert (np.diff(picture[-1].astype(int)) >= 0).all()
    assert (picture[-1, 0], picture[-1, -1]) == (0, 255)


def test_no_text_of_the_page_leaves_it_or_covers_another(audit: Audit) -> None:
    long = replace(audit, model="a recipe with a long name " * 6, not_applicable=("a long reason " * 20,))
    for drawing in (page_of(long), page_of(audit), draw_examples(**LOOKS)):
        assert texts_outside(drawing) == []
        assert texts_covered(drawing) == []


def test_an_audit_that_found_no_share_says_why(audit: Audit) -> None:
    nothing = not_applicable("the model itself is not better than chance, so nothing above chance can remain")
    heads = tuple(replace(item, share=nothing) for item in audit.heads)
    by_model = tuple(replace(item, share=nothing) for item in audit.by_model)
    sentence = sentence_of(heads, by_model)
    assert "n/a (the model itself is not better than chance" in sentence
    page_of(replace(audit, heads=heads, by_model=by_model, sentence=sentence))


def test_phantoms_of_every_size_and_crop_have_views() -> None:
    for preprocessing in (Preprocessing(size=64), Preprocessing(crop="lungs", stretch=(1, 99), whole_size=256)):
        views = phantom_views("Normal", preprocessing, AlterationSettings())
        assert all(view.dtype == np.uint8 for view in views.values())
        assert views["shown"].shape == (preprocessing.size,) * 2
        assert not np.array_equal(views["shown"], views["lungs-black"])


def test_a_run_is_audited_from_the_command_line(phantom_dataset: Dataset, tiny_run: Path, tmp_path: Path) -> None:
    graph = tmp_path / "lungs.onnx"
    write_lung_graph(graph)
    words = ["audit", tiny_run, phantom_dataset.folder, "--out", tmp_path / "out", "--lungs", graph, "--drop-leaks"]
    words += ["--train-images", 100, "--test-images", 100, "--cache", tmp_path / "cache"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out" / "audit.json").read_text("utf-8"))
    assert content["sentence"] in done.stdout
    assert content["lungs_from"] == "the segmenter lungs.onnx"
    assert content["settings"]["train_images"] == 100
