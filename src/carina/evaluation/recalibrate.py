"""A bundle is fitted to another hospital: the same weights, with new probabilities and thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina._version import __version__
from carina.bundles.bundle import Ancestor, BundleDescription, Recalibration, open_bundle
from carina.bundles.pipeline import Pipeline
from carina.bundles.training_images import TrainingImages
from carina.bundles.twin import INT8_FILE, Twin, TwinPrecision
from carina.bundles.verification import Verification, golden_engine, pipeline_of
from carina.bundles.writing import WriteCard, describe_bundle, write_bundle
from carina.datasets.manifest import Dataset, Split, labels_of
from carina.decisions.change import describe_change
from carina.decisions.operating_point import OperatingPoint, OperatingPointRule, ThresholdRule
from carina.decisions.policy import Policy, PolicySettings, fit_policy
from carina.errors import ConfigurationError, DataError, LeakError
from carina.evaluation.adaptation.adaptation_words import describe_test
from carina.evaluation.adaptation.held_out import HeldOut, hold_out_policy
from carina.evaluation.adaptation.site import judge_images
from carina.evaluation.leaks import check_leaks
from carina.evaluation.predictions import groups_of, rows_to_judge
from carina.notebook import boxed, lines_html
from carina.progress import Progress, no_progress
from carina.runtime.engine import available_precisions
from carina.storage.atomic import require_absent


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """What a recalibration made of a bundle.

    Attributes
    ----------
    old, new
        The policies before and after.
    recalibration
        On what, and what was left out.
    verification
        What the new bundle was verified to be.
    held_out
        The old and the new policy on images of patients whom the new one was not fitted to; none unless asked for.
    precisions
        The precisions beside f32 whose thresholds were fitted to the same images.
    left_out
        Those that the bundle offered and the new one does not, since this machine cannot compute them.
    """

    old: Policy
    new: Policy
    recalibration: Recalibration
    verification: Verification
    held_out: HeldOut | None = None
    precisions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def summary(self, *, prevalence: float | None = None) -> str:
        """Return in numbers what changed, and whether there were enough images.

        Parameters
        ----------
        prevalence
            Of the flagged finding (0 to 1), at which old and new triage bands are compared; by default each at that of
            its own calibration data.

        Raises
        ------
        ConfigurationError
            If the prevalence lies outside 0 to 1.
        """
        origin = self.recalibration
        said = (
            f"Recalibrated on {origin.images} images of {origin.dataset}; left out: {origin.left_out_leaks} that the "
            f"model was trained on, {origin.left_out_refused} that it does not judge."
        )
        also = [f"The thresholds of {each} were fitted to the same images." for each in self.precisions]
        also += [f"{each} is left out: this machine cannot compute it." for each in self.left_out]
        return "\n".join([said, *describe_change(self.old, self.new, prevalence=prevalence), *also, *self._held_out()])

    def _held_out(self) -> list[str]:
        if self.held_out is None:
            return []
        tests = (*self.held_out.calls(), *self.held_out.briers())
        said = "Each figure below is for images of patients whom the judging policy was not fitted to."
        return [said, *map(describe_test, tests)]

    def _repr_html_(self) -> str:
        return boxed(lines_html(self.summary()))


def recalibrate(
    bundle: Path,
    dataset: Dataset,
    out: Path,
    *,
    version: str,
    write_card: WriteCard,
    rule: ThresholdRule | None = None,
    hold_out: bool = False,
    progress: Progress = no_progress,
) -> Recalibrated:
    """Write a bundle with the same weights and a policy fitted on another data set, and return what changed.

    The rules stay as they were, but for the one of the operating point if another `rule` is named: the same figure is
    aimed at, the same promises are made, with other data. Images that
    the model was trained on are left out, as they are or nearly: it is surer of them than it will ever be of others.

    Parameters
    ----------
    dataset
        Images of the hospital: those of its calibration split, or all of one that was imported with ``--test-only``.
    hold_out
        Also measure old and new policy by cross-validation: each image by a policy fitted to other patients.

    Raises
    ------
    ConfigurationError
        If `out` exists or `version` cannot be one.
    BundleError
        If the bundle is not as it was sealed.
    LeakError
        If the model was trained on every image.
    DataError
        If an image cannot be judged, or the images cannot choose a threshold.
    """
    require_absent(out, what="bundle")
    described, seal = open_bundle(bundle)
    changed = describe_bundle(dict(described) | {"version": version})
    split: Split = "test" if dataset.description.test_only else "calibration"
    given = rows_to_judge(dataset, split, described.findings)
    leaked = check_leaks(bundle, dataset, given).learned["sha256"]
    rows = given.filter(~pl.col("sha256").is_in(leaked.implode()))
    if rows.is_empty():
        msg = f"Every image of {dataset.folder} ({split}) was trained on: nothing is left to recalibrate on."
        raise LeakError(msg)
    here = tuple(each for each in described.offered if each == "int8" or each in available_precisions("openvino"))
    # Every precision judges all images: its thresholds are for what it gives itself.
    every = (1 + len(here)) * rows.height
    judged = rows
    logits, accepted = _logits(pipeline_of(bundle, described, "f32", "auto", None), rows, progress, (0, every))
    rows, logits = rows.filter(pl.Series(accepted)), logits[accepted]
    if rows.is_empty():
        msg = f"No image of {dataset.folder} ({split}) would be judged. Are they frontal chest radiographs?"
        raise DataError(msg)
    recalibration = Recalibration(
        bundle_sha256=seal.sha256,
        dataset=dataset.folder.resolve().name,
        data_fingerprint=dataset.description.fingerprint,
        images=rows.height,
        left_out_leaks=given.height - len(accepted),
        left_out_refused=int((~accepted).sum()),
    )
    _require_flagged(rows, described.policy.flag_finding, dataset.folder, split)
    policy, held_out = _fit(described.policy, logits, rows, recalibration, rule, hold_out=hold_out)
    parent = Ancestor(
        name=described.name,
        version=described.version,
        sha256=seal.sha256,
        by="recalibrate",
        images=recalibration.images,
    )
    changes = {
        "policy": policy,
        "created": datetime.now(UTC),
        "carina": __version__,
        "recalibration": recalibration,
        "lineage": (*described.lineage, parent),
        "twins": _refit_twins(bundle, described, here, judged, recalibration, rule, progress),
    }
    new = changed.model_copy(update=changes)
    images = TrainingImages.of(
        rows["sha256"].to_list(),
        "calibration",
        rows["perceptual_hash"].to_numpy(),
        np.asarray(dataset.details[rows["row"].to_numpy()]),
    )
    int8 = (bundle / INT8_FILE).read_bytes() if "int8" in here else None
    verification = write_bundle(bundle, out, new, write_card=write_card, more_images=images, int8_graph=int8)
    lost = tuple(each for each in described.offered if each not in here)
    return Recalibrated(described.policy, policy, recalibration, verification, held_out, here, lost)


def _refit_twins(
    bundle: Path,
    described: BundleDescription,
    precisions: Sequence[TwinPrecision],
    rows: pl.DataFrame,
    recalibration: Recalibration,
    rule: ThresholdRule | None,
    progress: Progress,
) -> tuple[Twin, ...]:
    """Return the twins with policies that were fitted to the same images; what was refused before stays refused."""
    refitted = []
    for number, precision in enumerate(precisions, 1):
        twin = described.twin(precision)
        if twin is None or twin.policy is None:  # never: it is offered
            continue
        pipeline = pipeline_of(bundle, described, precision, golden_engine(precision), None)
        start = number * rows.height, (1 + len(precisions)) * rows.height
        logits, accepted = _logits(pipeline, rows, progress, start)
        of_twin = rows.filter(pl.Series(accepted))
        policy, _ = _fit(twin.policy, logits[accepted], of_twin, recalibration, rule, hold_out=False)
        refitted.append(twin.model_copy(update={"policy": policy}))
    return (*refitted, *(each for each in described.twins if not each.accepted))


def _require_flagged(rows: pl.DataFrame, flag: str, folder: Path, split: Split) -> None:
    """Raise where the images cannot choose a threshold: all of them have the flagged finding, or none."""
    positives = int((rows["finding"] == flag).sum())
    if 0 < positives < rows.height:
        return
    has = f"no image of {flag}" if not positives else f"images of {flag} only"
    missing = f"images of {flag}" if not positives else "images without it"
    msg = (
        f"{folder} ({split}) cannot recalibrate this bundle: its {rows.height} images that could be used hold {has}, "
        f"which this model flags. Add {missing} to the source, and import it again."
    )
    raise DataError(msg)


def _logits(
    pipeline: Pipeline, rows: pl.DataFrame, progress: Progress, part: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the logits of each row, float32 ``(n, findings)``, and whether its radiograph would be judged at all.

    `part` is how many images are done before, and how many there are in all, for `progress`.
    """
    logits, accepted = [], []
    done, total = part
    for judged in judge_images(pipeline, rows.select("path", "sha256").iter_rows()):
        logits.append(judged.logits)
        # What prediction refuses, its logits decide nothing.
        accepted.append(judged.accepted)
        done += len(judged.lungs)
        progress(done, total)
    return np.concatenate(logits), np.concatenate(accepted)


def _fit(
    old: Policy,
    logits: NDArray[np.float32],
    rows: pl.DataFrame,
    recalibration: Recalibration,
    rule: ThresholdRule | None,
    *,
    hold_out: bool,
) -> tuple[Policy, HeldOut | None]:
    labels, groups = labels_of(rows, old.findings), groups_of(rows)

    def fit(logits: NDArray[np.floating], labels: NDArray[np.integer], groups: NDArray[np.integer]) -> Policy:
        chosen_on = f"{recalibration.images} images of {recalibration.dataset}"
        return refit_policy(old, logits, labels, groups, chosen_on=chosen_on, rule=rule)

    try:
        held_out = hold_out_policy(logits, labels, groups, old, fit) if hold_out else None
        return fit(logits, labels, groups), held_out
    except ConfigurationError as error:
        # The bundle's own rules are sound; what they cannot be applied to is the data.
        msg = f"{recalibration.dataset} cannot recalibrate this bundle: {error}"
        raise DataError(msg) from None


def refit_policy(
    old: Policy,
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer],
    *,
    chosen_on: str,
    findings: Sequence[str] | None = None,
    flag_finding: str | None = None,
    rule: ThresholdRule | None = None,
) -> Policy:
    """Return a policy by the rules of another one, fitted to other data; see `carina.decisions.policy.fit_policy`.

    Parameters
    ----------
    findings, flag_finding
        Of the new policy; by default those of the old one.
    rule
        Of the operating point; by default that of the old one. The old rule's threshold is kept beside it.

    Raises
    ------
    ConfigurationError
        If the rules cannot be applied to the data.
    """
    first = old.operating_point
    settings = PolicySettings(
        calibration=old.calibration.method,
        extra_operating_points=tuple(_rule_of(point) for point in old.operating_points),
        alpha=old.bands.alpha,
        beta=old.bands.beta,
        confidence=old.bands.confidence,
    )
    wanted = OperatingPointRule(finding=flag_finding or first.finding, **(rule or _rule_of(first)).model_dump())
    return fit_policy(logits, labels, findings or old.findings, wanted, settings, chosen_on=chosen_on, groups=groups)


def _rule_of(point: OperatingPoint) -> ThresholdRule:
    return ThresholdRule.model_validate(point.model_dump(include=set(ThresholdRule.model_fields)))
