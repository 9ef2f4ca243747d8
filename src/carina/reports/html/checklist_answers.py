"""What the reporting checklists are answered with: the facts of an evaluation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from carina.reports.evaluated import Evaluated
from carina.wording import listed


def checklist_facts(evaluated: Evaluated) -> Mapping[str, str]:
    """Return what the checklists' answers are filled with."""
    content, model, data = evaluated.content, evaluated.model, evaluated.content["data"]
    leaks, point = content["leak_check"], content["operating_point"]["chosen"]
    recipe = tomllib.loads(evaluated.recipe) if evaluated.recipe else {}
    sources = [str(name) for name in evaluated.table["source"].drop_nulls().unique().sort()]
    audit = evaluated.audit["sentence"] if evaluated.audit else "No audit was attached (carina audit)."
    unknown = [name for name in ("age", "sex", "view", "source") if evaluated.table[name].null_count()]
    return {
        "findings": listed(evaluated.findings),
        "flag": evaluated.flag,
        "threshold": f"{evaluated.threshold:.4f}",
        "chosen_on": str(point["chosen_on"]),
        "data": str(data["name"]),
        "split": str(data["split"]),
        "n": f"{data['images']:,}",
        "groups": f"{data['patients_or_groups']:,}",
        "sources": ", ".join(sources) or "the manifest names none",
        "data_choices": (
            "What was chosen at import is in the data set's dataset.json; who was eligible before is yours."
        ),
        "preprocessing": _preprocessing_words(model["preprocessing"]),
        "missing": (
            "No image is left out for what is not known of it. Not known of some images or of all: "
            f"{', '.join(unknown) or 'nothing'}."
        ),
        "partition": _partition_words(evaluated),
        "counts": (
            f"{_split_words(model['images'])}; judged here: {data['images']:,}. Counts are beside every figure."
        ),
        "recipe_words": f"{_training_words(recipe)} {model['epochs']} epochs; the full recipe is in section 9.",
        "model_words": _model_words(evaluated, recipe),
        "updating": "None in this evaluation; carina recalibrate fits probabilities and thresholds again for a site.",
        "imbalance": _imbalance_words(evaluated, recipe),
        "difference": _difference_words(evaluated),
        "fingerprint": str(data["fingerprint"])[:16],
        "carina": str(content["carina"]),
        "dropped": f"{leaks['dropped']:,}",
        "not_assessable": f"{data.get('not_assessable', 0):,}",
        "model_hash": f"SHA-256 {str(model['model_sha256'])[:16]}…",
        "audit_words": str(audit),
        "leaks": f"{leaks['same_pixels'] + leaks['near_duplicates']} of {leaks['images_checked']:,} images",
        "versions": versions_text(content["versions"]),
        "weights": str(model["weights"]),
        "selection": _selection_words(evaluated, recipe),
        "overlay_words": (
            "What each part of the image adds to the call lies over the images of section 7; that it depends on the "
            "trained weights is tested (docs/explanation/activation-maps.md)."
            if evaluated.gallery is not None
            else "No images were embedded in this report."
        ),
        "internal": (
            f"The {data['split']} split of a collection trained on." if evaluated.internal else "Not in this report."
        ),
        "external": _external_words(evaluated),
    }


def _partition_words(evaluated: Evaluated) -> str:
    data, dropped = evaluated.content["data"], evaluated.content["leak_check"]["dropped"]
    if not evaluated.internal:
        return (
            f"{data['name']} was no part of training and is judged as a whole, less {dropped:,} images that the model "
            f"had learned from. {_split_words(evaluated.model['images'])} of other data."
        )
    return (
        "By a hash of each group's pixels; patients and near-duplicates are never parted. "
        f"{_split_words(evaluated.model['images'])}; judged on {data['images']:,} ({data['split']} split)."
    )


def _split_words(images: Mapping[str, int]) -> str:
    names = {"train": "Trained on", "calibration": "calibrated and chosen on", "validation": "stopped on"}
    return ", ".join(f"{names.get(split, split)} {count:,}" for split, count in images.items())


def _difference_words(evaluated: Evaluated) -> str:
    name, trained = evaluated.content["data"]["name"], listed(evaluated.trained_on)
    if not evaluated.internal:
        return f"Other data than trained on ({trained}). In what they differ is yours to say."
    if len(evaluated.trained_on) > 1:
        return f"{name} is one of the collections trained on ({trained}); judged is a split of its own."
    return "The collection trained on, another split: nothing but chance is different."


def _external_words(evaluated: Evaluated) -> str:
    if not evaluated.internal:
        return f"{evaluated.content['data']['name']}, another collection than trained on; leak check in section 1."
    asked = [str(other["name"]) for other in (evaluated.audit or {}).get("external_sets", ())]
    words = "Not by this evaluation: its images are of a collection trained on."
    return f"{words} The audit (section 6) asks {listed(asked)}." if asked else words


def _selection_words(evaluated: Evaluated, recipe: Mapping[str, Any]) -> str:
    model, stopped_on = evaluated.model, evaluated.content["leak_check"]["stopped_on"]
    if recipe.get("fine_tuning", {}).get("keep") == "last":
        words = "The number of epochs was fixed beforehand and the last one kept; thresholds and bands were"
    else:
        words = f"Epoch {model['best_epoch']} of {model['epochs']}, thresholds and bands were"
    part = f"{stopped_on:,} of the images judged here" if stopped_on else "none of the images judged here"
    return f"{words} chosen on the {model['stopping_split']} split; {part} had a part in that."


def _imbalance_words(evaluated: Evaluated, recipe: Mapping[str, Any]) -> str:
    weights = recipe.get("training", {}).get("class_weights", "none")
    balance = recipe.get("fine_tuning", {}).get("balance")
    drawn = f"findings and sources drawn more evenly (balance {balance:g})" if balance else "images drawn as they come"
    method = "none" if evaluated.policy is None else evaluated.policy.calibration.method
    after = "are not calibrated afterwards" if method == "none" else f"are calibrated afterwards ({method} scaling)"
    return f"Class weights: {weights}; {drawn}; probabilities {after}."


def _training_words(recipe: Mapping[str, Any]) -> str:
    method = {
        "end-to-end": "A new head trained on a frozen backbone with varied images.",
        "cached-embeddings": "A linear head fitted on embeddings of a frozen backbone.",
        "fine-tune": "A linear head fitted on a frozen backbone, then deeper layers trained in stages.",
    }
    return method.get(str(recipe.get("method")), "No recipe is in this folder.")


def _model_words(evaluated: Evaluated, recipe: Mapping[str, Any]) -> str:
    backbone, size = recipe.get("backbone", {}), evaluated.model["preprocessing"]["size"]
    width = f"{backbone.get('alpha', 1):g}"
    taps = ", ".join(str(tap) for tap in backbone.get("taps", ())) or "its last feature map"
    return (
        f"Input {size} × {size} grey pixels, repeated to three channels; MobileNetV2 (width {width}); "
        f"averages of {taps}; a dense layer to {len(evaluated.findings)} logits; softmax. Layer by layer: model.onnx."
    )


def _preprocessing_words(preprocessing: Mapping[str, Any]) -> str:
    crop = "The box around the lungs" if preprocessing.get("crop") == "lungs" else "The whole image"
    ends = preprocessing.get("stretch")
    stretch = f", grey levels evened between percentiles {ends[0]:g} and {ends[1]:g}" if ends else ""
    return f"{crop}, {preprocessing['size']} × {preprocessing['size']} pixels, grey{stretch}"


def versions_text(versions: Mapping[str, str]) -> str:
    """Return libraries with their versions."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
