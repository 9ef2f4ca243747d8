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
from carina.errors import ConfigurationError, DataError
from carina.findings import NORMAL
from carina.reports.evaluation_files import METRICS_FILE, read_audit, read_metrics

_KNOWN_DATASET = "covid19-radiography"
_OF_THE_CALL = (
    "Where no operating point is named, sensitivity and specificity are those of calling the likeliest finding."
)


@dataclass(frozen=True, slots=True)
class EvaluatedOn:
    """What one evaluation folder tells a card.

    Attributes
    ----------
    dataset, split, images
        What was judged.
    figures
        In words, measure by measure, with intervals.
    values
        For machines: measure, its name in words, number.
    leaks
        How many images the model had learned from or stopped on.
    model
        What the folder says of the model that it judged.
    notice
        What stands over every output, or none.
    """

    dataset: str
    split: str
    images: int
    figures: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str, float], ...]
    leaks: str
    model: Mapping[str, Any]
    notice: str | None


def prepare_card(evaluations: Sequence[Path] = (), audit: Path | None = None) -> WriteCard:
    """Return what writes a bundle's card; the folders are read at once, before any work is done.

    Parameters
    ----------
    evaluations
        Folders of `carina evaluate`.
    audit
        A folder of `carina audit`.

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
            _require_same_model(folder, evaluation.model, bundle)
        return model_card(bundle, read, sentence)

    return write_card


def model_card(bundle: BundleDescription, evaluations: Sequence[EvaluatedOn], audit: str | None) -> str:
    """Return the card, Markdown with YAML front matter.

    Parameters
    ----------
    bundle
        What the bundle says of itself.
    evaluations
        What it reached.
    audit
        What an audit said of it, in a sentence.
    """
    sections = (
        _front_matter(bundle, evaluations),
        f"# {bundle.name} {bundle.version}\n",
        _purpose(bundle),
        _training_data(bundle),
        _reached(evaluations, audit),
        _decisions(bundle),
        _limits(bundle),
        _use(bundle),
    )
    return "\n".join(sections)


def _front_matter(bundle: BundleDescription, evaluations: Sequence[EvaluatedOn]) -> str:
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
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: carina",
        "pipeline_tag: image-classification",
        "tags: [medical-imaging, chest-x-ray, radiology, triage, mobilenetv2, onnx]",
    ]
    # JSON is YAML: no value can break out of its quotes.
    if evaluations:
        lines.append(f"model-index: {json.dumps([index], ensure_ascii=False)}")
    return "\n".join([*lines, "---", ""])


def _slug(name: str) -> str:
    """Return a name as a data set's identifier may be written."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "unnamed"


def _purpose(bundle: BundleDescription) -> str:
    return f"""\
Tells {_listed(bundle.findings)} apart on frontal chest radiographs, and orders a reading list by it.

## Intended use

Research, and the ordering of a reading list under the eyes of a radiologist. It supports a reader's judgement and never
replaces it: it is no medical device and makes no diagnosis. A flag says only what to read first; a radiograph without
one is still to be read. It is for frontal radiographs of the ages that it learned from (see below: in public
collections adults and small children come from different places), and for the findings above and no others: every
other disease is called one of them.
"""


def _training_data(bundle: BundleDescription) -> str:
    images = ", ".join(f"{count} in {split}" for split, count in bundle.images.items())
    text = f"""\
## Training data

Data set `{bundle.dataset}` (fingerprint `{bundle.data_fingerprint[:16]}`), images: {images}. Recipe
`{bundle.recipe.get("name", "unnamed")}`, started from: {bundle.weights}. {_end_of_training(bundle)}
"""
    if bundle.dataset.startswith(_KNOWN_DATASET):
        return f"""{text}
In this data set (COVID-19 Radiography Database) the finding is nearly the source: COVID-19 comes from adults, mostly in
Spain, most normals from adults in the United States, viral pneumonia from children aged 1 to 5 in Guangzhou, and no
COVID-19 image shares a source with a normal one. Figures on its own test images are in part recognition of scanners and
of ages. Models like this one have reached an AUROC of 0.99 inside and 0.70 to 0.76 at other hospitals (DeGrave et al.
2021, doi:10.1038/s42256-021-00338-7).
"""
    return f"""{text}
Where findings come from different sources, a model learns to tell sources apart: `carina data check` says whether they
do in this data set.
"""


def _end_of_training(bundle: BundleDescription) -> str:
    recipe = bundle.recipe
    if recipe.get("method") == "fine-tune" and recipe.get("fine_tuning", {}).get("keep") == "last":
        return "The number of epochs was fixed beforehand."
    return f"`{bundle.stopping_split}` decided when training ended."


def _reached(evaluations: Sequence[EvaluatedOn], audit: str | None) -> str:
    text = "## What it reached\n\n"
    if not evaluations:
        text += "No figures were attached to this bundle. Measure it: `carina evaluate BUNDLE DATASET --out DIR`.\n"
    for evaluation in evaluations:
        text += f"### `{evaluation.dataset}`, {evaluation.split} split ({evaluation.images} images)\n\n"
        text += f"**{evaluation.notice}**\n\n" if evaluation.notice else ""
        text += f"{_OF_THE_CALL}\n\n"
        text += "| figure | value (95 % interval) |\n|---|---|\n"
        text += "".join(f"| {name} | {value} |\n" for name, value in evaluation.figures)
        text += f"\n{evaluation.leaks}\n\n"
    text += f"\nAudit: {audit}\n" if audit else "\nNo audit was attached.\n"
    return text


def _decisions(bundle: BundleDescription) -> str:
    point, calibration = bundle.operating_point, bundle.policy.calibration
    bands = bundle.policy.thresholds_at()
    text = f"""\
## Decisions

- Probabilities: {calibration.method} calibration, fitted on {calibration.images} images of {calibration.fitted_on}.
- Operating point: P({point.finding}) >= {point.threshold:.4f} ({point.in_words()}), chosen on {point.chosen_on}: there
  sensitivity {_share(point.sensitivity, point.sensitivity_bounds())}, specificity
  {_share(point.specificity, point.specificity_bounds())}.
"""
    flag = bundle.policy.flag_finding
    for name, of, threshold, share, wrong in (
        ("routine", NORMAL, bands.routine, bands.routine_share, f"not {NORMAL}"),
        ("fast-track", flag, bands.fast_track, bands.fast_track_share, f"anything but {flag}"),
    ):
        text += (
            f"- No {name} band: nothing can be promised on these data.\n"
            if threshold is None
            else f"- Band {name}: P({of}) >= {threshold:.6g}. With {100 * bands.confidence:g} % confidence at most "
            f"{100 * share:.3g} % of it is {wrong}, where findings are as frequent as in the calibration data ({flag} "
            f"{100 * bands.prevalence:.3g} %).\n"
        )
    if (origin := bundle.recalibration) is not None:
        text += (
            f"- Recalibrated on {origin.images} images of `{origin.dataset}`; {origin.left_out_leaks} more were left "
            f"out because the model had been trained on them, {origin.left_out_refused} because it does not judge "
            "them. The weights are those of the bundle it was made from.\n"
        )
    return text + _adaptation(bundle)


def _adaptation(bundle: BundleDescription) -> str:
    """Return whose films an adapted model learned from, and where it may be used; nothing for another model."""
    text = "".join(f"- {each.in_words()}\n" for each in bundle.lineage)
    if (site := bundle.adaptation) is None:
        return text
    films = ", ".join(f"{finding} {count}" for finding, count in site.per_finding.items())
    return f"""{text}
## For one site alone

The last layer was fitted again to {site.images} labelled films of {site.patients} patients of one site ({films}; files
written from {site.first_file} to {site.last_file}). {site.left_out_leaks} more were left out because the model had been
trained on them, {site.left_out_refused} because it does not judge them. On films of the site that it had not learned
from, the macro AUROC was {site.macro_auroc_before:.3f} before and {site.macro_auroc_after:.3f} after (95 % interval of
the difference: {site.gain_low:+.3f} to {site.gain_high:+.3f}).

Use it at that site and nowhere else: it was not tested anywhere else and may be worse there. A finding without films
kept the weights of the parent. Training data, recipe, history and `model.keras` are those of the first bundle named
above. Each probability, threshold and promise was fitted to films that the judging weights had not seen; the weights
in this bundle learned from all of them.
"""


_LIMITS = """\
## Limits

- Probabilities, thresholds and bands hold for radiographs like those that they were chosen on. Another hospital,
  device, age group or mix of findings moves them; recalibration mends the thresholds and not what the network looks at.
- Not for lateral views, computed tomography, photographs of films, or any body part but the chest.
- Copies and near-duplicates of training images are found by their hashes; mirrored or strongly cropped ones are not.
"""


_LUNGS_ALONE = """\
- The network is shown nothing but the box around the two lungs. Where no two are found, `carina predict` says so and
  gives no finding; where they are found wrongly, it is shown something else.
"""


_OTHER_LUNGS = """\
- The network learned with boxes that another lung segmenter drew; gate, probabilities, thresholds and bands were fitted
  with this one.
"""


def _limits(bundle: BundleDescription) -> str:
    lungs = _LUNGS_ALONE if bundle.preprocessing.crop == "lungs" else ""
    return _LIMITS + lungs + (_OTHER_LUNGS if bundle.learned_with_lungs_sha256 else "") + _gate(bundle)


def _gate(bundle: BundleDescription) -> str:
    gate = bundle.gate
    if gate is None:
        return (
            "- There is no gate: an image that is no frontal chest radiograph, or lies on its side, gets probabilities "
            "like any other.\n"
        )
    kinds = sum(kind not in ("radiograph", "varied") for kind in gate.images)
    reached, count = f"{gate.reached:.1%}", f"{gate.calibration_images:,}"
    return f"""\
- Before any finding a gate asks whether the image is an upright frontal chest radiograph in natural polarity. It was
  fitted to {gate.radiographs:,} training radiographs and {kinds} kinds of other images, and lets {reached} of {count}
  calibration radiographs through. Images of a kind that nobody thought of may pass; a film that was mirrored left to
  right does pass.
"""


def _use(bundle: BundleDescription) -> str:
    tolerance = bundle.tolerances
    return f"""\
## How to verify, predict and recalibrate

```console
$ carina verify BUNDLE                  # every byte, then the golden examples on this machine
$ carina predict --bundle BUNDLE PATH
$ carina recalibrate BUNDLE DATASET --out NEW
```

`golden.npz` holds synthetic radiographs, no patient's. They must be met within {tolerance.logit:g} (logit) and
{tolerance.probability:g} (probability). `sha256sum -c SHA256SUMS` checks the files without Carina; the hash of
SHA256SUMS itself stands for the whole, and tells who made it only if you compare it with one that you trust.
`training_images.txt` holds hashes alone. Recalibration needs an imported data set of your own, such as `carina data
import SRC --out DATASET --test-only` makes, and says whether there were enough images.
"""


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


def _require_same_model(folder: Path, judged: Mapping[str, Any], bundle: BundleDescription) -> None:
    told = bundle.model_dump(mode="json")
    for key, what in (("model_sha256", "another model"), ("policy", "this model with other thresholds")):
        if judged.get(key) != told[key]:
            msg = f"{folder} judged {what}; its figures cannot stand on this card. Evaluate the run that is exported."
            raise ConfigurationError(msg)


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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}"
