"""How much of what a model knows is lungs: the questions, in the order in which they are asked."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.run_folder import TRAINING_IMAGES_FILE
from carina.bundles.training_images import read_training_images
from carina.datasets.manifest import Dataset, Split, labels_of
from carina.decisions.operating_point import OperatingPointRule
from carina.errors import ConfigurationError, DataError, LeakError
from carina.evaluation.audit.alterations import ALTERATIONS, SUMMARIES, AlterationSettings, Input
from carina.evaluation.audit.audit_results import (
    Audit,
    Counts,
    ExternalSet,
    HeadResult,
    LeftOutSource,
    ModelResult,
    RuledOut,
    SensitivityGap,
    SourceProbe,
)
from carina.evaluation.audit.audited_model import AuditedModel
from carina.evaluation.audit.evidence import try_explanations
from carina.evaluation.audit.gaps import sensitivity_gaps
from carina.evaluation.audit.judged import Judged
from carina.evaluation.audit.looks import Looker
from carina.evaluation.audit.probes import (
    FindingHead,
    Part,
    Pool,
    age_groups,
    ask_external,
    fit_finding_head,
    leave_source_out,
    probe_source,
    same_source_pairs,
    sources_of,
)
from carina.evaluation.audit.ruling_out import choose_threshold, ruled_out
from carina.evaluation.audit.share import auroc_by_finding, macro_auroc, mean_estimates, remaining_shares
from carina.evaluation.audit.words import further_verdicts, sentence_of, verdicts_of
from carina.evaluation.leaks import check_leaks
from carina.evaluation.predictions import rows_to_judge
from carina.findings import NORMAL
from carina.progress import Progress, no_progress
from carina.statistics.intervals import FloatArray, proportion_interval
from carina.storage.cache_folder import default_cache_folder

Spread = Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]]
"""What maps a function over a list, in order: Python's `map`, or a cluster."""

# A source of ten images that is thinned in proportion to the others would be gone.
_KEPT_OF_EACH = 50
_SURE = 0.5
# The embedding, and what holds no picture: where that tells the source, the files do.
_TELL_SOURCES: tuple[Input, ...] = ("shown", "histogram", "sharpness")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What an audit may be told."""

    train_images: int = 3000  # at most so many train heads; drawn by finding and source
    test_images: int = 1500  # at most so many of the test split and of the calibration split each
    explained_images: int = 120  # about so many of the test images try whether activation maps mark what is needed
    alterations: AlterationSettings = field(default_factory=AlterationSettings)  # how much is taken away
    # Of the bootstraps, and of every draw.
    replicates: int = 2000
    seed: int = 1234


def nobody_listens(_stage: str) -> Progress:
    """Give every stage a listener that listens to nothing."""
    return no_progress


def run_audit(
    model: AuditedModel,
    dataset: Dataset,
    *,
    external: Sequence[Dataset] = (),
    segmenter: Path | None = None,
    drop_leaks: bool = False,
    settings: AuditSettings | None = None,
    cache: Path | None = None,
    spread: Spread = map,
    progress_of: Callable[[str], Progress] = nobody_listens,
) -> Audit:
    """Return how much of what a model knows of a data set is lungs; `carina.audit` describes the arguments.

    Raises
    ------
    BundleError
        If the model does not say what it learned from, or a graph is damaged.
    ConfigurationError
        If lungs cannot be found for want of a segmenter.
    LeakError
        If the test split holds images that the model learned from, and they are not to be dropped.
    DataError
        If a split is empty, shows what the model does not know, or no lungs are found.
    """
    settings = settings or AuditSettings()
    segmenter = _require_segmenter(model, dataset, segmenter)
    looker = Looker(model, segmenter, cache or default_cache_folder(), settings.alterations)
    train, calibration, test, counts = _look_at_splits(looker, dataset, settings, progress_of, drop_leaks=drop_leaks)
    prior = _prior(dataset, model.findings)

    heads = _judge_heads(train, calibration, test, model, settings, spread, progress_of("Training heads"))
    by_model = _judge_model(test, model, prior, settings)
    probes, left_out, missing = _ask_about_sources(train, calibration, test, model, settings, spread, progress_of)
    pairs = same_source_pairs(train, calibration, test, model.findings, model.policy)
    ages = age_groups(test, model.policy)
    if not pairs:
        missing.append("same-source pairs: not applicable: no source shows two findings")
    if not ages:
        missing.append("age groups: not applicable: the manifest has no ages")
    seen = [Judged("the test split", test.rows, model.policy.probabilities(test.looks.logits["shown"]))]
    outside = tuple(
        _judge_external(looker, other, progress_of(f"Looking at {other.folder.name}"), seen) for other in external
    )
    if not outside:
        missing.append("external sets: none was named (--external)")
    gaps, set_aside, not_asked = _ask_about_groups(seen, calibration, model, settings)
    missing += not_asked
    explained = try_explanations(
        looker,
        draw_rows(test.rows, settings.explained_images, settings.seed),
        replicates=settings.replicates,
        seed=settings.seed,
        progress=progress_of("Trying the activation maps"),
    )
    if not explained:
        missing.append(
            "activation maps: not applicable: the model's graph has no output contributions; export it again"
        )
    sentence = sentence_of(heads, by_model)
    return Audit(
        model=model.name,
        model_sha256=model.sha256,
        dataset=dataset.folder.name,
        data_fingerprint=dataset.description.fingerprint,
        findings=model.findings,
        flag_finding=model.policy.flag_finding,
        lungs_from=_lungs_from(dataset, segmenter, model),
        counts=counts,
        heads=heads,
        by_model=by_model,
        source_probes=probes,
        left_out_sources=left_out,
        same_source_pairs=pairs,
        age_groups=ages,
        external_sets=outside,
        sensitivity_gaps=gaps,
        ruled_out=set_aside,
        explanation_tests=explained,
        not_applicable=tuple(missing),
        sentence=sentence,
        verdicts=(
            *verdicts_of(heads, by_model, probes, left_out),
            *further_verdicts(heads, gaps, set_aside, explained, model.policy.flag_finding),
        ),
        settings={
            **{name: value for name, value in asdict(settings).items() if name != "alterations"},
            **asdict(settings.alterations),
        },
    )


def _require_segmenter(model: AuditedModel, dataset: Dataset, named: Path | None) -> Path | None:
    if model.preprocessing.crop == "lungs" and named is not None and named != model.lungs:
        msg = "The model crops to the lungs by its own segmenter, so --lungs would audit another model. Leave it away."
        raise ConfigurationError(msg)
    segmenter = named or model.lungs
    if segmenter is None and dataset.manifest["mask"].null_count():
        msg = (
            f"{dataset.folder} has images without a lung mask, and the model has no segmenter. "
            "Name one that finds the lungs: --lungs lungs.onnx"
        )
        raise ConfigurationError(msg)
    return segmenter


def _lungs_from(dataset: Dataset, segmenter: Path | None, model: AuditedModel) -> str:
    masks = dataset.manifest.height - dataset.manifest["mask"].null_count()
    own = "the model's own segmenter" if segmenter == model.lungs else f"the segmenter {segmenter and segmenter.name}"
    if masks == dataset.manifest.height:
        return "the data set's masks"
    return own if not masks else f"the data set's masks where it has them, else {own}"


def draw_rows(rows: pl.DataFrame, limit: int, seed: int) -> pl.DataFrame:
    """Return at most about `limit` rows, drawn by finding and source in proportion, of small ones more than that.

    Of each at least fifty are drawn, or, if so many do not fit, as many of each.
    """
    if rows.height <= limit:
        return rows
    rng = np.random.default_rng(seed)
    kept = np.zeros(rows.height, dtype=np.bool_)
    strata = rows.with_row_index("place").group_by("finding", "source", maintain_order=True).agg("place")
    for places in strata.sort("finding", "source", nulls_last=True)["place"]:
        wanted = max(round(limit * len(places) / rows.height), min(_KEPT_OF_EACH, limit // strata.height))
        kept[rng.permutation(places.to_numpy())[:wanted]] = True
    return rows.filter(pl.Series(kept))


def _look_at_splits(
    looker: Looker,
    dataset: Dataset,
    settings: AuditSettings,
    progress_of: Callable[[str], Progress],
    *,
    drop_leaks: bool,
) -> tuple[Part, Part, Part, Counts]:
    """Return the three parts, of images with lungs; without them there would be nothing to take away."""
    findings = looker.model.findings
    splits: tuple[Split, ...] = ("train", "calibration", "test")
    rows = {split: rows_to_judge(dataset, split, findings) for split in splits}
    sizes = {split: rows[split].height for split in splits}
    rows["test"] = _without_leaks(looker.model, dataset, rows["test"], drop=drop_leaks)
    dropped = sizes["test"] - rows["test"].height
    parts, without = {}, 0
    for split in splits:
        limit = settings.train_images if split == "train" else settings.test_images
        drawn = draw_rows(rows[split], limit, settings.seed)
        looks = looker.look(drawn, progress=progress_of(f"Looking at the {split} split"))
        if not looks.found.any():
            msg = (
                f"No lungs were found in any of {drawn.height} images of {dataset.folder} ({split}), so there is "
                "nothing to black out. Check that these are frontal chest radiographs, or name another --lungs."
            )
            raise DataError(msg)
        without += int((~looks.found).sum())
        parts[split] = Part(drawn, labels_of(drawn, findings), looks).only(looks.found)
    train, calibration, test = (parts[split] for split in splits)
    counts = Counts(
        train=train.rows.height,
        calibration=calibration.rows.height,
        test=test.rows.height,
        of_train=sizes["train"],
        of_calibration=sizes["calibration"],
        of_test=sizes["test"],
        without_lungs=without,
        dropped=dropped,
    )
    return train, calibration, test, counts


def _without_leaks(model: AuditedModel, dataset: Dataset, rows: pl.DataFrame, *, drop: bool) -> pl.DataFrame:
    leaks = check_leaks(model.folder, dataset, rows)
    if leaks.learned.height and not drop:
        msg = f"{leaks.in_words(dataset.folder, 'test')} Leave them out with --drop-leaks."
        raise LeakError(msg)
    left = rows.filter(~pl.col("sha256").is_in(leaks.learned["sha256"].implode()))
    if left.is_empty():
        msg = f"Every image in {dataset.folder} (test) was trained on: nothing is left to judge."
        raise LeakError(msg)
    return left


def _prior(dataset: Dataset, findings: Sequence[str]) -> FloatArray:
    """Return the share of each finding in the calibration split: what probabilities say when they know nothing."""
    labels = dataset.rows("calibration")["finding"]
    return np.array([int((labels == finding).sum()) / len(labels) for finding in findings])


def _judge_heads(
    train: Part,
    calibration: Part,
    test: Part,
    model: AuditedModel,
    settings: AuditSettings,
    spread: Spread,
    progress: Progress,
) -> tuple[HeadResult, ...]:
    names = (*ALTERATIONS, *SUMMARIES)
    heads: list[FindingHead] = []
    for head in spread(partial(fit_finding_head, train, calibration, len(model.findings)), list(names)):
        heads.append(head)
        progress(len(heads), len(names))
    tables = [head.probabilities(test.looks.features[name]) for head, name in zip(heads, names, strict=True)]
    shares = remaining_shares(
        test.labels, tables[0], tables, test.groups, replicates=settings.replicates, seed=settings.seed
    )
    return tuple(
        HeadResult(
            name,
            head.head.l2,
            macro_auroc(test.labels, table, test.groups),
            auroc_by_finding(test.labels, table, test.groups),
            share,
        )
        for name, head, table, share in zip(names, heads, tables, shares, strict=True)
    )


def _judge_model(
    test: Part, model: AuditedModel, prior: FloatArray, settings: AuditSettings
) -> tuple[ModelResult, ...]:
    tables = [model.policy.probabilities(test.looks.logits[name]) for name in ALTERATIONS]
    shares = remaining_shares(
        test.labels, tables[0], tables, test.groups, replicates=settings.replicates, seed=settings.seed
    )
    distances = mean_estimates(
        np.stack([np.abs(table - prior).mean(axis=1) for table in tables], axis=1),
        test.labels,
        test.groups,
        replicates=settings.replicates,
        seed=settings.seed,
    )
    called = tables[0].argmax(axis=1)
    return tuple(
        ModelResult(
            name,
            macro_auroc(test.labels, table, test.groups),
            auroc_by_finding(test.labels, table, test.groups),
            share,
            distance,
            proportion_interval((table.argmax(axis=1) == called) & (table.max(axis=1) >= _SURE), test.groups),
        )
        for name, table, share, distance in zip(ALTERATIONS, tables, shares, distances, strict=True)
    )


def _ask_about_sources(
    train: Part,
    calibration: Part,
    test: Part,
    model: AuditedModel,
    settings: AuditSettings,
    spread: Spread,
    progress_of: Callable[[str], Progress],
) -> tuple[tuple[SourceProbe, ...], tuple[LeftOutSource, ...], list[str]]:
    """Return the source probes, what became of sources left out, and what could not be asked."""
    sources = sources_of(pl.concat([train.rows, test.rows]))
    if not sources:
        reason = "not applicable: the manifest names no source"
        return (), (), [f"source probe: {reason}", f"leave one source out: {reason}"]
    pools = [test.with_(calibration, name) for name in _TELL_SOURCES]
    shown = [finding for finding in model.findings if (pools[0].rows["finding"] == finding).any()]
    asked = [(pool, finding) for pool in pools for finding in shown]
    progress, steps = progress_of("Asking about sources"), len(asked) + len(sources)
    probes: list[SourceProbe] = []
    for probe in spread(partial(_probe, seed=settings.seed), asked):
        probes.append(probe)
        progress(len(probes), steps)
    missing = []
    left_out: list[LeftOutSource] = []
    if len(sources) < 2:
        missing.append(f"leave one source out: not applicable: all images are of one source ({sources[0]})")
        return tuple(probes), (), missing
    point = model.policy.operating_point
    rule = OperatingPointRule(**point.model_dump(include=set(OperatingPointRule.model_fields)))
    leave = partial(
        leave_source_out, train=train, calibration=calibration, test=test, findings=model.findings, rule=rule
    )
    for done, found in enumerate(spread(leave, sources), start=1):
        left_out += found
        progress(len(asked) + done, steps)
    return tuple(probes), tuple(left_out), missing


def _probe(asked: tuple[Pool, str], seed: int) -> SourceProbe:
    return probe_source(*asked, seed=seed)


def _ask_about_groups(
    seen: Sequence[Judged], calibration: Part, model: AuditedModel, settings: AuditSettings
) -> tuple[tuple[SensitivityGap, ...], tuple[RuledOut, ...], list[str]]:
    """Return the gaps and the shares of normals ruled out, here and elsewhere, and what could not be asked."""
    gaps: list[SensitivityGap] = []
    missing: list[str] = []
    for judged in seen:
        asked, not_asked = sensitivity_gaps(judged, model.policy, replicates=settings.replicates, seed=settings.seed)
        gaps += asked
        missing += not_asked
    if NORMAL not in model.findings:
        return tuple(gaps), (), [*missing, f"normals ruled out: not applicable: the model does not know {NORMAL}"]
    normal = model.findings.index(NORMAL)
    table = model.policy.probabilities(calibration.looks.logits["shown"])
    # The baseline's split trains on what other recipes calibrate on: a threshold chosen there would be too good.
    learned = read_training_images(model.folder / TRAINING_IMAGES_FILE).learned
    unseen = ~calibration.rows["sha256"].is_in(list(learned))
    calibrated = Judged("the calibration split", calibration.rows.filter(unseen), table[unseen.to_numpy()])
    threshold = choose_threshold(calibrated, normal)
    if threshold is None:
        missing.append(
            "normals ruled out at a threshold of the calibration split: not applicable: it has too few patients that "
            "the model was not trained on"
        )
    set_aside: list[RuledOut] = []
    for judged in seen:
        answers = ruled_out(judged, normal, threshold, replicates=settings.replicates)
        set_aside += answers
        if not answers:
            missing.append(
                f"normals ruled out, {judged.images_of}: not applicable: too few patients, or none, are {NORMAL}"
            )
    return tuple(gaps), tuple(set_aside), missing


def _judge_external(looker: Looker, dataset: Dataset, progress: Progress, seen: list[Judged]) -> ExternalSet:
    """Return what the model reaches on a set from elsewhere; add its images and their probabilities to `seen`."""
    rows = dataset.manifest.with_row_index("row")
    learned = check_leaks(looker.model.folder, dataset, rows).learned["sha256"]
    left = rows.filter(~pl.col("sha256").is_in(learned.implode()))
    name, dropped = dataset.folder.name, rows.height - left.height
    if left.is_empty():
        return ExternalSet(name, rows.height, dropped, (), "not applicable: the model learned from every image")
    looks = replace(looker, alterations=("shown",), summaries=()).look(left, progress=progress)
    probabilities: NDArray[np.float64] = looker.model.policy.probabilities(looks.logits["shown"])
    seen.append(Judged(name, left, probabilities))
    questions, note = ask_external(left, probabilities, looker.model.findings, looker.model.policy.flag_finding)
    return ExternalSet(name, rows.height, dropped, questions, note)
