"""The model card: what a bundle is for, what it learned from, what it reached, and where it ends.

Hugging Face's layout: facts for machines between the dashes, then a page for people. Every figure is copied from the
files of `carina evaluate`, and only where these judged this very model with these very thresholds.

Source: Mitchell et al. 2019, "Model cards for model reporting", doi:10.1145/3287560.3287596.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carina.bundles.bundle import BundleDescription
from carina.bundles.writing import WriteCard
from carina.decisions.triage import mix_in_text
from carina.errors import ConfigurationError, DataError
from carina.findings import NORMAL
from carina.reports.evaluation_files import METRICS_FILE, difference_of_models, read_audit, read_metrics
from carina.reports.html.rendering import render
from carina.wording import listed

_KNOWN_DATASET = "covid19-radiography"


@dataclass(frozen=True, slots=True)
class EvaluatedOn:
    """What one evaluation folder tells a card."""

    dataset: str
    split: str
    images: int
    findings: Mapping[str, int]  # images of each finding that has any
    figures: tuple[tuple[str, str], ...]  # sentences, one per measure, with intervals
    values: tuple[tuple[str, str, float], ...]  # for machines: measure, its full name, number
    leaks: str  # how many images the model had learned from or stopped on
    model: Mapping[str, Any]  # what the folder says of the model that it judged
    notice: str | None  # the warning over every output, or none


def prepare_card(evaluations: Sequence[Path] = (), audit: Path | None = None, hub: str | None = None) -> WriteCard:
    """Return what writes a bundle's card; the folders are read at once, before any work is done.

    `hub` is the repository (``owner/name``) on a hub where the bundle will lie, or None.

    Raises
    ------
    DataError
        If a folder is no evaluation.
    ConfigurationError
        If the audit is none, or a folder turns out to be about another model when the card is written.
    """
    read = [_read_evaluation(folder) for folder in evaluations]
    audited = None if audit is None else read_audit(audit)

    def write_card(bundle: BundleDescription) -> str:
        if audited is not None and audited["model_sha256"] != bundle.model_sha256:
            msg = f"{audit} audited another model than the one that is written. Audit this one."
            raise ConfigurationError(msg)
        sentence = None if audited is None else " ".join(audited["sentence"].split())
        for folder, evaluation in zip(evaluations, read, strict=True):
            if what := difference_of_models(evaluation.model, bundle.model_dump(mode="json")):
                msg = f"{folder} judged {what}; its figures cannot be on this card. Evaluate the run that is exported."
                raise ConfigurationError(msg)
        return model_card(bundle, read, sentence, hub)

    return write_card


def model_card(
    bundle: BundleDescription, evaluations: Sequence[EvaluatedOn], audit: str | None, hub: str | None = None
) -> str:
    """Return the card, Markdown with YAML front matter."""
    index = {
        "name": bundle.name,
        "results": [
            {
                "task": {"type": "image-classification"},
                "dataset": {"name": evaluation.dataset, "type": _slug(evaluation.dataset), "split": evaluation.split},
                "metrics": [
                    {"type": kind, "name": name, "value": round(value, 6)} for kind, name, value in evaluation.values
                ],
            }
            for evaluation in evaluations
        ],
    }
    flag, thresholds = bundle.policy.flag_finding, bundle.policy.thresholds_at()
    recipe = bundle.recipe
    card = render(
        "model_card.md",
        bundle=bundle,
        findings=listed(bundle.findings),
        evaluations=evaluations,
        elsewhere=_tested_elsewhere(bundle, evaluations),
        index=json.dumps([index], ensure_ascii=False),
        audit=audit,
        hub=hub,
        fixed_epochs=recipe.get("method") == "fine-tune" and recipe.get("fine_tuning", {}).get("keep") == "last",
        known_dataset=bundle.dataset.startswith(_KNOWN_DATASET),
        calibration=bundle.policy.calibration,
        point=bundle.operating_point,
        share=_share,
        flag=flag,
        thresholds=thresholds,
        mix=mix_in_text(bundle.policy),
        bands=(
            ("routine", NORMAL, thresholds.routine, thresholds.routine_share, f"not {NORMAL}"),
            ("fast-track", flag, thresholds.fast_track, thresholds.fast_track_share, f"anything but {flag}"),
        ),
        other_kinds=0
        if bundle.gate is None
        else sum(kind not in ("radiograph", "varied") for kind in bundle.gate.images),
    )
    return str(card)


def _tested_elsewhere(
    bundle: BundleDescription, evaluations: Sequence[EvaluatedOn]
) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return for each finding the data sets that it was judged on and not learned from, with numbers of images."""
    learned_from = bundle.dataset.split(" + ")
    others = [one for one in evaluations if one.dataset not in learned_from]
    return {
        finding: tuple((one.dataset, count) for one in others if (count := one.findings.get(finding, 0)))
        for finding in bundle.findings
    }


def _slug(name: str) -> str:
    """Return a name as a data set's identifier may be written."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "unnamed"


def _read_evaluation(folder: Path) -> EvaluatedOn:
    content = read_metrics(folder)
    try:
        return _evaluated_on(content)
    except (ValueError, KeyError, TypeError):
        msg = f"{folder / METRICS_FILE} is damaged. Evaluate again."
        raise DataError(msg) from None


def _evaluated_on(content: Mapping[str, Any]) -> EvaluatedOn:
    metrics, reached = content["metrics"], content["operating_point"]["reached"]
    point = content["operating_point"]["chosen"]["finding"]
    named = [
        ("accuracy", "accuracy", metrics["accuracy"]),
        ("roc_auc", "macro AUROC", metrics["macro_auroc"]),
        # Evaluations written before calibration was measured have none.
        *([("ece", "calibration error (ECE)", of["ece"])] if (of := metrics.get("calibration")) else []),
        *(
            (kind, f"{name}, {finding}", of[kind])
            for finding, of in metrics["per_finding"].items()
            for kind, name in _KINDS.items()
        ),
        ("sensitivity", f"sensitivity at the operating point, {point}", reached["sensitivity"]),
        ("specificity", f"specificity at the operating point, {point}", reached["specificity"]),
    ]
    leaks = content["leak_check"]
    return EvaluatedOn(
        dataset=str(content["data"]["name"]),
        split=str(content["data"]["split"]),
        images=int(content["data"]["images"]),
        findings={str(finding): int(count) for finding, count in content["data"]["findings"].items()},
        figures=tuple((_cell(name), _estimate(estimate)) for _, name, estimate in named),
        values=tuple((kind, name, float(of["value"])) for kind, name, of in named if of["value"] is not None),
        leaks=(
            f"Leak check of {leaks['images_checked']} images: {leaks['same_pixels']} trained on to the pixel, "
            f"{leaks['near_duplicates']} nearly; {leaks['dropped']} left out; {leaks['stopped_on']} decided when "
            "training stopped or where thresholds lie."
        ),
        model=content["model"],
        notice=content["notice"],
    )


_KINDS = {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"}


def _estimate(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return _cell(f"not applicable ({estimate['note']})")
    if estimate["low"] is None or estimate["high"] is None:
        return f"{estimate['value']:.3f} (no interval)"
    return _share(estimate["value"], (estimate["low"], estimate["high"]))


def _share(value: float, bounds: tuple[float, float]) -> str:
    return f"{value:.3f} ({bounds[0]:.3f} to {bounds[1]:.3f})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
