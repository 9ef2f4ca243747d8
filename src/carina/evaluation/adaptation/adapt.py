"""A bundle learns a site: its last layer and its policy are fitted to a hospital's own labelled films."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina._version import __version__
from carina.bundles.bundle import Adaptation, Ancestor, BundleDescription, open_bundle
from carina.bundles.graph_head import read_head, replace_head
from carina.bundles.run_folder import ONNX_FILE
from carina.bundles.training_images import TrainingImages
from carina.bundles.verification import Verification
from carina.bundles.writing import WriteCard, describe_bundle, write_bundle
from carina.datasets.manifest import Dataset
from carina.decisions.policy import Policy
from carina.errors import ConfigurationError, DataError, LeakError
from carina.evaluation.adaptation.adaptation_words import describe_adaptation
from carina.evaluation.adaptation.held_out import FEWEST, FitPolicy, HeldOut, hold_out
from carina.evaluation.adaptation.refit import cross_fit, refit_head, start_from
from carina.evaluation.adaptation.site import judge_rows
from carina.evaluation.leaks import check_leaks
from carina.evaluation.recalibrate import refit_policy
from carina.findings import NORMAL, order_findings
from carina.notebook import boxed, lines_html
from carina.progress import Progress, no_progress
from carina.storage.atomic import require_absent
from carina.wording import counted


@dataclass(frozen=True, slots=True)
class AdaptSettings:
    """What the site wants.

    Attributes
    ----------
    version
        Of the new bundle.
    add, leave_out
        Findings of the site that the model does not know and is to learn, and findings of the model that it is to
        forget.
    flag_finding
        The finding to flag; by default the one that the model flags.
    """

    version: str
    add: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    flag_finding: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """What became of a bundle at a site.

    Attributes
    ----------
    held_out
        The shipped and the adapted model on films that neither learned from.
    refused
        Why the adapted model must not replace the shipped one, all reasons in one sentence. None where a bundle was
        written.
    adaptation
        On what, and what was left out.
    untouched
        Findings of the model that no film of the site has: their weights stayed as they were shipped.
    old, new
        The policies before and after.
    verification
        What the new bundle was verified to be; none where none was written.
    left_out
        Precisions beside f32 that the bundle offered and the new one does not: its last layer is another.
    """

    held_out: HeldOut
    refused: str | None
    adaptation: Adaptation
    untouched: tuple[str, ...]
    old: Policy
    new: Policy
    verification: Verification | None
    left_out: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return what was measured and what became of it: one sentence per line."""
        lines = describe_adaptation(
            self.held_out, self.adaptation, self.old, self.new, untouched=self.untouched, refused=self.refused
        )
        lines += [f"{each} is left out: it was fitted to the last layer before." for each in self.left_out]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        return boxed(lines_html(self.summary()))


def adapt(
    bundle: Path,
    site: Dataset,
    out: Path,
    settings: AdaptSettings,
    *,
    write_card: WriteCard,
    cache: Path,
    progress: Progress = no_progress,
) -> Adapted:
    """Write a bundle whose last layer and policy are fitted to a site, if it is better there than the shipped one.

    Parameters
    ----------
    bundle
        What to adapt. It stays as it is.
    site
        Labelled films of the hospital: all of a data set that was imported with ``--test-only``, else those of its
        train and calibration splits, so that its test split stays for ``carina evaluate``.
    out
        The folder to write; it must not exist.
    settings
        Version, findings, flagged finding.
    write_card
        Gives the model card for what the new bundle says of itself.
    cache
        The folder that holds all caches.
    progress
        Told how many films are judged.

    Raises
    ------
    ConfigurationError
        If `out` exists, or a version or a finding cannot be one.
    BundleError
        If the bundle is not as it was sealed, or its graph has no last layer that can be fitted again.
    LeakError
        If the model was trained on every film.
    DataError
        If a film cannot be read, or the films are too few or of the wrong findings.
    """
    require_absent(out, what="bundle")
    described, seal = open_bundle(bundle)
    changed = describe_bundle(dict(described) | {"version": settings.version})
    given = _rows_of(site)
    findings, flag = _findings_of(described, given, site.folder, settings)
    leaked = check_leaks(bundle, site, given).learned["sha256"]
    rows = given.filter(~pl.col("sha256").is_in(leaked.implode()))
    if rows.is_empty():
        msg = f"Every image of {site.folder} was trained on: nothing is left to adapt to."
        raise LeakError(msg)
    films = judge_rows(bundle, described, rows, cache, progress=progress)
    refused = int((~films.accepted).sum())
    rows, films = rows.filter(pl.Series(films.accepted)), films[films.accepted]
    _require_enough(rows, flag, [each for each in findings if each not in described.findings], site.folder)
    # Where a file is gone, this says so before the long work.
    days = _days_of(rows)
    labels = np.array([findings.index(finding) for finding in rows["finding"]], dtype=np.int64)
    groups = rows["group"].to_numpy().astype(np.int64)
    start = start_from(described.findings, findings)
    fit = _policies(described.policy, findings, flag, f"{counted(rows.height, 'film')} of the site, each held out")
    try:
        held_out = hold_out(films, labels, groups, start, described.policy, fit)
        crossed = cross_fit(films, labels, groups, start)
        policy = fit(crossed.logits, labels, groups)
    except ConfigurationError as error:
        msg = f"{site.folder} cannot adapt this bundle: {error}"
        raise DataError(msg) from None
    (refit,) = refit_head(films, labels, groups, start, (crossed.strength,))
    gain, why_not = held_out.gain(), held_out.why_not()
    adaptation = Adaptation(
        data_fingerprint=site.description.fingerprint,
        images=rows.height,
        patients=len(np.unique(groups)),
        per_finding={finding: int((labels == place).sum()) for place, finding in enumerate(findings)},
        first_file=days[0],
        last_file=days[1],
        left_out_leaks=leaked.len(),
        left_out_refused=refused,
        strength=crossed.strength,
        macro_auroc_before=held_out.macro_auroc(held_out.shipped),
        macro_auroc_after=held_out.macro_auroc(held_out.adapted),
        gain_low=gain.low if gain.low is not None else -1.0,
        gain_high=gain.high if gain.high is not None else 1.0,
    )
    untouched = tuple(finding for finding, count in adaptation.per_finding.items() if not count)
    verification = None
    if why_not is None:
        graph = (bundle / ONNX_FILE).read_bytes()
        graph = replace_head(graph, refit.folded(read_head(graph)))
        parent = Ancestor(
            name=described.name, version=described.version, sha256=seal.sha256, by="adapt", images=rows.height
        )
        changes = {
            "findings": findings,
            "policy": policy,
            "model_sha256": hashlib.sha256(graph).hexdigest(),
            "created": datetime.now(UTC),
            "carina": __version__,
            "recalibration": None,
            "adaptation": adaptation,
            "lineage": (*described.lineage, parent),
            # They were shown to be no worse with the head that is replaced, and with no other.
            "twins": (),
        }
        new = changed.model_copy(update=changes)
        verification = write_bundle(
            bundle, out, new, write_card=write_card, more_images=_learned(site, rows), graph=graph
        )
    left_out = () if verification is None else described.offered
    return Adapted(held_out, why_not, adaptation, untouched, described.policy, policy, verification, left_out)


def _rows_of(site: Dataset) -> pl.DataFrame:
    """Return the films that may be learned from, with their index in the column ``row``."""
    if site.description.test_only:
        return site.rows("test")
    return pl.concat([site.rows("train"), site.rows("calibration")])


def _findings_of(
    described: BundleDescription, rows: pl.DataFrame, folder: Path, settings: AdaptSettings
) -> tuple[tuple[str, ...], str]:
    """Return the findings of the new model, in the order of its logits, and the one that it flags."""
    count: dict[str, int] = dict(rows.group_by("finding").len().iter_rows())
    if missing := [finding for finding in settings.add if finding not in count]:
        msg = f"--add {missing[0]!r}: no film of {folder} has it. It has: {', '.join(order_findings(count))}."
        raise ConfigurationError(msg)
    if unknown := [finding for finding in settings.leave_out if finding not in described.findings]:
        msg = f"--leave-out {unknown[0]!r}: the model has no such finding. It has: {', '.join(described.findings)}."
        raise ConfigurationError(msg)
    if there := [finding for finding in settings.leave_out if finding in count]:
        msg = (
            f"--leave-out {there[0]!r}: {folder} has {counted(count[there[0]], 'film')} of it. Keep the finding. Or "
            "leave its films out: import again with --findings, and name all findings but this one."
        )
        raise ConfigurationError(msg)
    added = dict.fromkeys(finding for finding in settings.add if finding not in described.findings)
    findings = (*(f for f in described.findings if f not in settings.leave_out), *added)
    if unknown := [finding for finding in order_findings(count) if finding not in findings]:
        told = ", ".join(f"{finding} ({count[finding]})" for finding in unknown)
        msg = (
            f"{folder} has findings that the adapted model would not know: {told}. It would know: "
            f"{', '.join(findings)}. To teach it a finding, add for example --add {unknown[0]!r}. To leave the films "
            "out, import again with --findings. If it is another word for a known finding, import with --rename."
        )
        raise DataError(msg)
    flag = settings.flag_finding or described.policy.flag_finding
    if flag not in findings or flag == NORMAL:
        choices = ", ".join(finding for finding in findings if finding != NORMAL)
        msg = f"The flagged finding is {flag!r}, which the adapted model cannot flag. Choose with --flag: {choices}."
        raise ConfigurationError(msg)
    return findings, flag


def _require_enough(rows: pl.DataFrame, flag: str, added: Sequence[str], folder: Path) -> None:
    """Raise where too few patients have the flagged finding, do not have it, or have a finding that is new."""
    patients = {finding: rows.filter(pl.col("finding") == finding)["group"].n_unique() for finding in (flag, *added)}
    patients[f"anything but {flag}"] = rows.filter(pl.col("finding") != flag)["group"].n_unique()
    for finding, count in patients.items():
        if count < FEWEST:
            msg = (
                f"{folder} cannot adapt this bundle: of the films that could be used, {counted(count, 'patient')} "
                f"with {finding}; at least {FEWEST} are needed. Add films and import again, or choose with --flag a "
                "finding that the site has."
            )
            raise DataError(msg)
    known = rows.filter(~pl.col("finding").is_in([*added])).partition_by("finding")
    if max((films["group"].n_unique() for films in known), default=0) < FEWEST:
        msg = (
            f"{folder} cannot adapt this bundle: no finding that the model knows has {FEWEST} patients or more among "
            "the films that could be used, so nothing shows whether the adapted model is better. Add films of one."
        )
        raise DataError(msg)


def _policies(old: Policy, findings: Sequence[str], flag: str, chosen_on: str) -> FitPolicy:
    def fit(logits: NDArray[np.floating], labels: NDArray[np.integer], groups: NDArray[np.integer]) -> Policy:
        return refit_policy(old, logits, labels, groups, chosen_on=chosen_on, findings=findings, flag_finding=flag)

    return fit


def _days_of(rows: pl.DataFrame) -> tuple[date, date]:
    """Return the days on which the first and the last file was written.

    Raises
    ------
    DataError
        If a file is gone.
    """
    try:
        times = [Path(path).stat().st_mtime for path in rows["path"]]
    except OSError as error:
        msg = f"{error.filename} is gone. Put it back, or import the data set again."
        raise DataError(msg) from None
    first, last = (datetime.fromtimestamp(time, UTC).date() for time in (min(times), max(times)))
    return first, last


def _learned(site: Dataset, rows: pl.DataFrame) -> TrainingImages:
    return TrainingImages.of(
        rows["sha256"].to_list(),
        "train",
        rows["perceptual_hash"].to_numpy(),
        np.asarray(site.details[rows["row"].to_numpy()]),
    )
