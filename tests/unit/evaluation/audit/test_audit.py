"""The whole audit on data with a signal planted in a known place, and what it refuses."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import numpy_helper

from carina.datasets.manifest import Dataset
from carina.errors import BundleError, ConfigurationError, DataError, LeakError
from carina.evaluation.audit.audit import AuditSettings, draw_rows, run_audit
from carina.evaluation.audit.audited_model import open_audited
from carina.evaluation.audit.evidence import try_explanations
from carina.evaluation.audit.looks import Looker
from carina.evaluation.audit.words import result_on
from carina.progress import no_progress
from carina.radiographs.preprocess import Preprocessing
from unit.evaluation.audit.planted import (
    FINDINGS,
    SIZE,
    write_graph,
    write_learned_from,
    write_lung_graph,
    write_model,
    write_planted,
)

QUICK = AuditSettings(explained_images=30, replicates=300)
# Where it matters only that an audit is made.
SMALL = AuditSettings(train_images=90, test_images=40, explained_images=6, replicates=40)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return what makes the data set, the model and the audit of a planted signal, each once."""
    folder = tmp_path_factory.mktemp("planted")
    known = {}

    def make(where: Any) -> Any:
        if where not in known:
            dataset = write_planted(folder / where, where)
            model = write_model(folder / f"{where}-model", dataset)
            audit = run_audit(
                model, dataset, settings=QUICK, cache=folder / "cache", external=[dataset_of_test(dataset)]
            )
            known[where] = dataset, model, audit
        return known[where]

    return make


def dataset_of_test(dataset: Dataset) -> Dataset:
    """Return the test images as a set from elsewhere."""
    rows = dataset.manifest.with_row_index("row").filter(pl.col("split") == "test")
    outside = Dataset(dataset.folder, dataset.description, rows.drop("row"))
    outside.__dict__["details"] = np.asarray(dataset.details[rows["row"].to_numpy()])
    return outside


def altered(dataset: Dataset, **columns: Any) -> Dataset:
    if "mask" in columns:
        columns["mask_sha256"] = pl.lit(None, pl.String)
    changed = Dataset(dataset.folder, dataset.description, dataset.manifest.with_columns(**columns))
    changed.__dict__["details"] = dataset.details
    return changed


@pytest.mark.long
def test_a_signal_in_the_border_remains_whole_without_lungs(made: Callable[..., Any]) -> None:
    _, _, audit = made("border")
    for name in ("lungs-black", "border-alone"):
        share = result_on(audit.heads, name).share
        assert share.value > 0.85, name
        assert share.low > 0.75
    # The box takes some of the border at the sides.
    assert result_on(audit.heads, "box-black").share.value > 0.6
    # The model, which was fitted on films with lungs, is also put off by the black.
    assert result_on(audit.by_model, "lungs-black").share.value > 0.55
    assert abs(result_on(audit.heads, "lungs-alone").share.value) < 0.3
    assert audit.verdicts[0].startswith("The model leans on what is not lung")
    assert audit.verdicts[1].startswith("These data can be told apart without lungs")


def test_a_signal_in_the_lungs_is_gone_without_them(made: Callable[..., Any]) -> None:
    _, _, audit = made("lungs")
    assert result_on(audit.heads, "shown").macro_auroc.value > 0.8
    for name in ("lungs-black", "box-black", "border-alone"):
        share = result_on(audit.heads, name).share
        assert abs(share.value) < 0.35, name
        assert share.low < 0.1
    assert abs(result_on(audit.by_model, "lungs-black").share.value) < 0.35
    assert result_on(audit.heads, "lungs-alone").share.value > 0.8
    assert audit.verdicts[0].startswith("Without lungs the model loses most of what it knows")
    assert audit.verdicts[1].startswith("Without lungs these data are hard to tell apart")


def test_the_sentence_says_both_numbers(made: Callable[..., Any]) -> None:
    _, _, audit = made("border")
    remains, reached = result_on(audit.by_model, "lungs-black").share, result_on(audit.heads, "lungs-black").share
    assert f"Of the AUROC above chance, {100 * remains.value:.0f} % (" in audit.sentence
    assert f"a new last layer, trained on images without lungs, reaches {100 * reached.value:.0f} % (" in audit.sentence
    content = json.loads(json.dumps(audit.to_json(), allow_nan=False))
    assert content["sentence"] == audit.sentence
    assert content["heads"][0]["share"]["value"] == 1.0


def test_the_planted_source_is_found_and_the_other_questions_are_answered(made: Callable[..., Any]) -> None:
    _, _, audit = made("lungs")
    asked = [(input_, finding) for input_ in ("shown", "histogram", "sharpness") for finding in FINDINGS]
    assert [(probe.input, probe.finding) for probe in audit.source_probes] == asked
    for probe in audit.source_probes[:3]:
        assert probe.chance == 0.5
        assert probe.balanced_accuracy.value > 0.9
        assert probe.macro_auroc.value > 0.9
    assert {(item.source, item.measure) for item in audit.left_out_sources} == {
        (source, measure) for source in "ab" for measure in ("sensitivity", "specificity")
    }
    pairs = {(pair.positive, pair.negative): pair for pair in audit.same_source_pairs if pair.source == "a"}
    # The darkest and the lightest lungs are told apart by them, in one source and without a cue from it.
    widest = pairs["COVID-19", "Viral Pneumonia"]
    assert widest.model.value > 0.9
    assert widest.head.value > 0.9
    assert widest.without_lungs.low < 0.5 < widest.without_lungs.high
    assert widest.thumbnail.value > 0.9
    assert [group.name for group in audit.age_groups] == ["under 18 years", "18 years and over"]
    (outside,) = audit.external_sets
    assert outside.images == audit.counts.of_test
    assert [question.score for question in outside.questions] == [f"P({finding})" for finding in FINDINGS]
    assert [(item.images_of, item.by) for item in audit.sensitivity_gaps if item.by != "age"] == [
        (images_of, by) for images_of in ("the test split", "dataset") for by in ("view", "source")
    ]
    # The view was dealt by turns.
    assert audit.sensitivity_gaps[0].gap.low < 0 < audit.sensitivity_gaps[0].gap.high
    assert {(item.images_of, item.source) for item in audit.ruled_out} == {
        (images_of, source) for images_of in ("the test split", "dataset") for source in (None, "a", "b")
    }
    assert [text.split(":")[0] for text in audit.not_applicable] == [
        f"sensitivity by sex, {images_of}" for images_of in ("the test split", "dataset")
    ]


def test_maps_that_mark_what_a_model_needs_are_told_from_maps_that_do_not(
    made: Callable[..., Any], tmp_path: Path
) -> None:
    dataset, model, audit = made("lungs")
    known = audit.explanation_tests[0]
    assert known.called is None
    assert 30 <= known.images < audit.counts.test
    assert known.sufficiency_gain.low > 0.2
    assert known.comprehensiveness.value - known.comprehensiveness_random.value == pytest.approx(
        known.comprehensiveness_gain.value
    )
    assert audit.explanation_tests[1].called in FINDINGS

    kernel, bias = (
        numpy_helper.to_array(value)
        for value in onnx.load(model.graph).graph.initializer
        if value.name in ("kernel", "bias")
    )
    kernel, bias = (kernel, bias) if kernel.ndim == 2 else (bias, kernel)
    shuffled = replace(model, graph=tmp_path / "shuffled.onnx")
    write_graph(shuffled.graph, kernel, bias, marking=np.random.default_rng(3).normal(size=kernel.shape))
    rows = draw_rows(dataset.rows("test"), 30, 1)
    how = {"replicates": 200, "seed": 1, "progress": no_progress}
    lost = try_explanations(Looker(shuffled, None, tmp_path, QUICK.alterations), rows, **how)[0].comprehensiveness_gain
    assert lost.high < 0.2 < known.comprehensiveness_gain.low
    without = replace(model, graph=tmp_path / "without.onnx")
    graph = onnx.load(model.graph)
    del graph.graph.output[-1]
    onnx.save(graph, without.graph)
    assert try_explanations(Looker(without, None, tmp_path, QUICK.alterations), rows, **how) == ()


def test_a_second_audit_comes_from_the_cache_and_says_the_same(
    made: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, model, _ = made("border")
    cache = tmp_path / "cache"
    first = run_audit(model, dataset, settings=SMALL, cache=cache)

    def fail(*args: Any, **kwargs: Any) -> None:
        pytest.fail("the network was asked again")

    monkeypatch.setattr("carina.evaluation.audit.looks.load_engine", fail)
    assert run_audit(model, dataset, settings=SMALL, cache=cache) == first


@pytest.mark.long
def test_a_damaged_shard_is_looked_at_again(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, _ = made("border")
    cache = tmp_path / "cache"
    first = run_audit(model, dataset, settings=SMALL, cache=cache)
    for path in cache.rglob("shard-*.npz"):
        path.write_bytes(b"damaged")
    assert run_audit(model, dataset, settings=SMALL, cache=cache) == first


def test_without_sources_and_ages_the_questions_are_not_applicable(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, _ = made("lungs")
    nameless = altered(dataset, source=pl.lit(None, pl.String), age=pl.lit(None, pl.Float64))
    audit = run_audit(model, nameless, settings=SMALL, cache=tmp_path)
    assert audit.source_probes == audit.left_out_sources == audit.same_source_pairs == audit.age_groups == ()
    assert "source probe: not applicable: the manifest names no source" in audit.not_applicable
    assert "leave one source out: not applicable: the manifest names no source" in audit.not_applicable
    assert "age groups: not applicable: the manifest has no ages" in audit.not_applicable


def test_lungs_that_are_nowhere_are_refused(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, _ = made("lungs")
    blank = tmp_path / "blank.png"
    import cv2

    cv2.imwrite(str(blank), np.zeros((SIZE, SIZE), np.uint8))
    with pytest.raises(
        DataError, match=r"No lungs were found in any of \d+ images of .* \(train\).*nothing to black out"
    ):
        run_audit(model, altered(dataset, mask=pl.lit(str(blank))), settings=SMALL, cache=tmp_path)


@pytest.mark.long
def test_images_without_lungs_are_left_out_and_counted(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, _ = made("lungs")
    import cv2

    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.zeros((SIZE, SIZE), np.uint8))
    first = pl.int_range(pl.len()) < 30
    some = altered(dataset, mask=pl.when(first).then(pl.lit(str(blank))).otherwise(pl.col("mask")))
    counts = run_audit(model, some, settings=QUICK, cache=tmp_path).counts
    assert counts.without_lungs == 30
    assert counts.train + counts.calibration + counts.test == 420 - 30


def test_a_mask_that_is_another_one_now_or_gone_is_refused(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, _ = made("lungs")
    assert dataset.manifest["mask_sha256"].null_count() == 0
    mask = Path(dataset.manifest.filter(pl.col("split") == "test")["mask"][0])
    before = mask.read_bytes()
    try:
        mask.write_bytes(before + b" ")
        with pytest.raises(DataError, match=re.escape(f"{mask} is not the lung mask that was imported. Put it back")):
            run_audit(model, dataset, settings=QUICK, cache=tmp_path)
        mask.unlink()
        with pytest.raises(DataError, match=re.escape(f"{mask}: the lung mask cannot be read")):
            run_audit(model, dataset, settings=QUICK, cache=tmp_path)
    finally:
        mask.write_bytes(before)


def test_no_masks_and_no_segmenter_is_refused(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, _ = made("lungs")
    with pytest.raises(ConfigurationError, match=r"images without a lung mask.*no segmenter.*--lungs lungs\.onnx"):
        run_audit(model, altered(dataset, mask=pl.lit(None, pl.String)), settings=SMALL, cache=tmp_path)


@pytest.mark.long
def test_a_segmenter_finds_lungs_where_there_is_no_mask(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, _ = made("lungs")
    graph = tmp_path / "lungs.onnx"
    write_lung_graph(graph)
    audit = run_audit(
        model, altered(dataset, mask=pl.lit(None, pl.String)), segmenter=graph, settings=SMALL, cache=tmp_path
    )
    assert audit.lungs_from == "the segmenter lungs.onnx"
    assert audit.counts.without_lungs == 0


@pytest.mark.long
def test_a_model_that_crops_is_audited_by_its_own_segmenter(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, _, _ = made("border")
    graph = tmp_path / "lungs.onnx"
    write_lung_graph(graph)
    model = write_model(tmp_path / "whole", dataset)
    cropping = replace(
        model,
        lungs=graph,
        preprocessing=Preprocessing(size=SIZE, whole_size=SIZE, crop="lungs", crop_margin=0.0),
    )
    audit = run_audit(cropping, dataset, settings=QUICK, cache=tmp_path)
    # The planted border is cut off, so only "border alone", which is shown whole, still has it.
    assert result_on(audit.heads, "border-alone").macro_auroc.value > 0.9
    assert result_on(audit.heads, "shown").macro_auroc.value < 0.75
    with pytest.raises(ConfigurationError, match="by its own segmenter, so --lungs would audit another model"):
        run_audit(cropping, dataset, segmenter=tmp_path / "other.onnx", settings=QUICK, cache=tmp_path)


def test_test_images_that_were_learned_are_refused_or_dropped(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, _, _ = made("border")
    model = write_model(tmp_path / "model", dataset)
    write_learned_from(model.folder, dataset, "test")
    with pytest.raises(LeakError, match=r"to the pixel.*--drop-leaks"):
        run_audit(model, dataset, settings=SMALL, cache=tmp_path)
    with pytest.raises(LeakError, match="nothing is left to judge"):
        run_audit(model, dataset, drop_leaks=True, settings=SMALL, cache=tmp_path)


def test_no_threshold_is_chosen_on_images_that_were_learned(made: Callable[..., Any], tmp_path: Path) -> None:
    dataset, _, audit = made("lungs")
    assert any(item.threshold is not None for item in audit.ruled_out)
    model = write_model(tmp_path / "model", dataset)
    write_learned_from(model.folder, dataset, "calibration")
    again = run_audit(model, dataset, settings=QUICK, cache=tmp_path)
    assert all(item.threshold is None for item in again.ruled_out)
    assert any("too few patients that the model was not trained on" in text for text in again.not_applicable)


def test_drawing_keeps_small_sources() -> None:
    rows = pl.DataFrame(
        {"finding": ["x"] * 1000 + ["y"] * 1030, "source": ["a"] * 1000 + ["b"] * 1000 + ["c"] * 30, "at": range(2030)}
    )
    drawn = draw_rows(rows, 400, 1)
    sizes = dict(drawn.group_by("source").len().iter_rows())
    assert sizes["c"] == 30
    assert 190 <= sizes["a"] <= 210
    assert draw_rows(rows, 400, 1).equals(drawn)
    assert not draw_rows(rows, 400, 2).equals(drawn)
    assert draw_rows(rows, 2030, 1).equals(rows)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a run or a bundle"):
        open_audited(tmp_path)
