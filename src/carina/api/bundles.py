"""Runs become bundles, and bundles are fitted to another hospital."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from carina.api.accepted_forms import DatasetLike, ModelLike, dataset_of, folder_of
from carina.bundles.bundle import open_bundle
from carina.bundles.hub_address import hub_repository
from carina.bundles.run_folder import open_run
from carina.bundles.verification import Verification
from carina.bundles.writing import Twins, export_bundle
from carina.decisions.operating_point import ThresholdRule
from carina.errors import ConfigurationError
from carina.evaluation import recalibrate as recalibration
from carina.evaluation.adaptation import adapt as adaptation
from carina.extras import needed_for
from carina.progress import Progress, no_progress
from carina.reports.model_card import prepare_card
from carina.storage.atomic import require_absent
from carina.storage.cache_folder import default_cache_folder

RECALIBRATED, ADAPTED = "+recalibrated", "+site"


def export(
    run: ModelLike,
    out: str | PathLike[str],
    *,
    name: str | None = None,
    version: str = "1.0.0",
    evaluation: Sequence[str | PathLike[str]] = (),
    audit: str | PathLike[str] | None = None,
    hub: str | None = None,
    int8: bool = False,
    progress: Progress = no_progress,
) -> Verification:
    """Write a finished run as a sealed bundle, and return what it was verified to be.

    Parameters
    ----------
    run
        A finished run.
    out
        The bundle folder to write; it must not exist.
    name
        Of the bundle; by default the name of the recipe.
    version
        Of the bundle.
    evaluation
        Folders that `carina.evaluate` wrote, for the model card.
    audit
        A folder that `carina.audit` wrote, for the model card.
    hub
        ``owner/name`` of the repository on a hub where it will lie: the card then says how it is loaded from there.
    int8
        Also offer the classifier in 8-bit integers, which is faster, with thresholds of its own. It is left out where
        it would be worse. The data sets that the run was trained on must be where they were.
    progress
        Told how far the 8-bit version is.

    Raises
    ------
    BundleError
        If the run is none, or the bundle does not give what the run gives.
    ConfigurationError
        If `out` exists, `hub` is no name of a repository, or `int8` is asked for and what it needs is not installed.
    DataError
        If a folder is no evaluation.
    """
    folder, out = folder_of(run), Path(out)
    if hub is not None:
        hub_repository(f"hf://{hub}")
    card = prepare_card([Path(each) for each in evaluation], None if audit is None else Path(audit), hub)
    described = open_run(folder)
    require_absent(out, what="bundle")
    twins = _make_twins(folder, progress) if int8 else None
    return export_bundle(folder, out, name=name or described.name, version=version, write_card=card, twins=twins)


def _make_twins(run: Path, progress: Progress) -> Twins:
    with needed_for("--int8", "train"):
        from carina.learning.export.make_twins import make_twins  # noqa: PLC0415  # TensorFlow, for this option alone
    from carina.evaluation.twin_trial import try_twin  # noqa: PLC0415  # tables, for this option alone

    return make_twins(run, try_twin=try_twin, progress=progress)


def recalibrate(
    bundle: ModelLike,
    dataset: DatasetLike,
    out: str | PathLike[str],
    *,
    version: str | None = None,
    specificity: float | None = None,
    sensitivity: float | None = None,
    hold_out: bool = False,
    progress: Progress = no_progress,
) -> recalibration.Recalibrated:
    """Write a bundle with the same weights and thresholds for another hospital, and return what changed.

    Parameters
    ----------
    bundle
        A bundle. It is not changed.
    dataset
        Its calibration split is used, or all images of a test-only data set.
    out
        The bundle folder to write; it must not exist.
    version
        Of the new bundle; by default the old version and ``+recalibrated``.
    specificity, sensitivity
        What the operating point must reach on these images, above 0 and below 1: one of both. By default the bundle's
        own rule stays.
    hold_out
        Also measure the old and the new policy on patients held out.
    progress
        Told how many images are judged.

    Raises
    ------
    BundleError, ConfigurationError, DataError, LeakError
        See `carina.evaluation.recalibrate.recalibrate`.
    """
    rule = _rule_of(specificity, sensitivity)
    folder = folder_of(bundle)
    old_version = open_bundle(folder)[0].version
    return recalibration.recalibrate(
        folder,
        dataset_of(dataset),
        Path(out),
        version=version or old_version.removesuffix(RECALIBRATED) + RECALIBRATED,
        write_card=prepare_card(),
        rule=rule,
        hold_out=hold_out,
        progress=progress,
    )


def _rule_of(specificity: float | None, sensitivity: float | None) -> ThresholdRule | None:
    if specificity is not None and sensitivity is not None:
        msg = "Choose one of specificity and sensitivity (--specificity and --sensitivity): the other one follows."
        raise ConfigurationError(msg)
    target = sensitivity if specificity is None else specificity
    if target is None:
        return None
    if not 0 < target < 1:
        msg = f"The operating point is to reach {target}. Give a number above 0 and below 1, such as 0.95."
        raise ConfigurationError(msg)
    return ThresholdRule(rule="sensitivity-at-least" if specificity is None else "specificity-at-least", target=target)


def adapt(
    bundle: ModelLike,
    site: DatasetLike,
    out: str | PathLike[str],
    *,
    version: str | None = None,
    flag: str | None = None,
    add: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    progress: Progress = no_progress,
) -> adaptation.Adapted:
    """Write a bundle whose last layer is fitted to a site, if it is better there, and return what it brought.

    Parameters
    ----------
    bundle
        A bundle. It is not changed.
    site
        All images of a test-only data set are used, or the train and calibration splits of another one.
    out
        The bundle folder to write; it must not exist. It is not written if the new model is not better.
    version
        Of the new bundle; by default the old version and ``+site``.
    flag
        The finding to flag; by default the one that the bundle flags.
    add, leave_out
        Findings of the site that the bundle does not know and is to learn, and findings that it is to leave out.
    progress
        Told how many images are judged.

    Raises
    ------
    BundleError, ConfigurationError, DataError, LeakError
        See `carina.evaluation.adaptation.adapt.adapt`.
    """
    folder = folder_of(bundle)
    old_version = open_bundle(folder)[0].version
    settings = adaptation.AdaptSettings(
        version=version or old_version.removesuffix(ADAPTED) + ADAPTED,
        add=tuple(add),
        leave_out=tuple(leave_out),
        flag_finding=flag,
    )
    return adaptation.adapt(
        folder,
        dataset_of(site),
        Path(out),
        settings,
        write_card=prepare_card(),
        cache=default_cache_folder(),
        progress=progress,
    )
