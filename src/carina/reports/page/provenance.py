"""Section 9: how the figures came to be, and the reporting checklists, filled as far as the software knows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence

import numpy as np
import tomli_w

from carina.harmless import without_folders
from carina.reports.page.checklists import TITLES, Checklist, Who, read_checklist
from carina.reports.page.content import Evaluated
from carina.reports.page.html import element
from carina.reports.page.section import Section
from carina.reports.page.tables import Table

_WHO: dict[Who, str] = {"software": "answered here", "partly": "partly; authors add", "authors": "authors must"}


def build_provenance(evaluated: Evaluated) -> Section:
    """Return the ninth section."""
    section = Section("made", "How it was made", "How it was made")
    caption = f"How it was made: {evaluated.label}"
    section.table(Table("provenance", caption, ("What", "Value"), tuple(facts_rows(evaluated))))
    if evaluated.recipe:
        section.add(
            element(
                "details",
                element("summary", "The recipe, every default written out"),
                element("pre", element("code", _harmless_recipe(evaluated.recipe)), tabindex=0),
            )
        )
    section.add(element("h3", "Reporting checklists"))
    facts = checklist_facts(evaluated)
    for name, title in TITLES.items():
        items = read_checklist(name)
        table = checklist_table(name, facts)
        section.tables.append(table)
        counts = {who: sum(item.who == who for item in items) for who in _WHO}
        words = (
            f"{title}: {counts['software']} items answered, {counts['partly']} in part, {counts['authors']} for the "
            "authors"
        )
        section.add(element("details", element("summary", words), table.to_html()))
    section.paragraph(
        "Items in our own short words; the checklists are at doi:10.1136/bmj-2023-078378 (TRIPOD+AI) and "
        "doi:10.1148/ryai.240300 (CLAIM 2024).",
        class_="note",
    )
    return section


def checklist_table(name: Checklist, facts: Mapping[str, str]) -> Table:
    """Return a checklist with what is known filled in."""
    rows = tuple(
        (item.number, item.asks, _WHO[item.who], item.answer.format_map(facts)) for item in read_checklist(name)
    )
    return Table(
        name, f"{TITLES[name]}, as far as the software can fill it", ("Item", "Asks for", "Who", "Answer"), rows
    )


def facts_rows(evaluated: Evaluated) -> list[tuple[str, str]]:
    """Return what made the figures: a name and its value a row."""
    content, model = evaluated.content, evaluated.model
    parts = [f"{stage} {seconds:.0f} s" for stage, seconds in model["seconds"].items() if stage != "total"]
    stages = f" ({', '.join(parts)})" if parts else ""
    rows = [
        ("Evaluated by", f"Carina {content['carina']} on {content['machine']}"),
        ("Command", content["command"]),
        ("Data fingerprint", content["data"]["fingerprint"]),
        ("Model", f"{model['name']}{_version(model)}"),
        ("Graph, SHA-256", model["model_sha256"]),
        ("Trained by", model["command"]),
        ("Trained on", f"{model['dataset']}, fingerprint {model['data_fingerprint']}"),
        (
            "Training",
            f"{model['epochs']} epochs, kept {model['best_epoch']}; {model['seconds']['total']:.0f} s in all{stages}",
        ),
        ("Memory at most, training", f"{model['peak_memory_mb']:,.0f} MB"),
        ("Started from", model["weights"]),
        ("Time an image, judging", _time_an_image(evaluated)),
        ("Versions", _versions(content["versions"])),
        ("Versions, training", _versions(model["versions"])),
        ("Training machine", model["machine"]),
    ]
    if judging := content.get("judging"):
        words = f"{judging['seconds']:.0f} s with all intervals, at most {judging['peak_memory_mb']:,.0f} MB of memory"
        rows.insert(2, ("Evaluation", words))
    if bundle := content.get("bundle_sha256"):
        rows.insert(5, ("Bundle, SHA-256 of SHA256SUMS", str(bundle)))
    return [(what, str(value)) for what, value in rows]


def checklist_facts(evaluated: Evaluated) -> Mapping[str, str]:
    """Return what the checklists' answers are filled with."""
    content, model, data = evaluated.content, evaluated.model, evaluated.content["data"]
    leaks, point = content["leak_check"], content["operating_point"]["chosen"]
    same = data["fingerprint"] == model["data_fingerprint"]
    recipe = tomllib.loads(evaluated.recipe) if evaluated.recipe else {}
    sources = [str(name) for name in evaluated.table["source"].drop_nulls().unique().sort()]
    weights = recipe.get("training", {}).get("class_weights")
    audit = evaluated.audit["sentence"] if evaluated.audit else "No audit was attached (carina audit)."
    unknown = [name for name in ("age", "sex", "view", "source") if evaluated.table[name].null_count()]
    return {
        "findings": _listed(evaluated.findings),
        "flag": evaluated.flag,
        "threshold": f"{evaluated.threshold:.4f}",
        "chosen_on": str(point["chosen_on"]),
        "data": str(data["name"]),
        "split": str(data["split"]),
        "n": f"{data['images']:,}",
        "groups": f"{data['patients_or_groups']:,}",
        "sources": ", ".join(sources) or "the manifest names none",
        "data_choices": (
            "What was chosen at import stands in the data set's dataset.json; who was eligible before is yours."
        ),
        "preprocessing": _preprocessing_words(model["preprocessing"]),
        "missing": (
            "No image of the split is left out of a figure. Not known of some images: "
            f"{', '.join(unknown) or 'nothing'}."
        ),
        "partition": (
            "Train, calibration and test by a hash of each group's pixels; patients and near-duplicates are never "
            "parted. "
            f"Trained on {model['images'].get('train', 0):,}, judged on {data['images']:,} ({data['split']} split)."
        ),
        "recipe_words": f"Recipe {model['name']}, {model['epochs']} epochs, epoch {model['best_epoch']} kept.",
        "updating": "None in this evaluation; carina recalibrate fits probabilities and thresholds anew for a site.",
        "imbalance": (
            f"Class weights: {weights or 'none'}; thresholds are chosen on calibration data by rule, not at 0.5."
        ),
        "difference": (
            "The same collection as trained on, another split." if same else "Another collection than trained on."
        ),
        "fingerprint": str(data["fingerprint"])[:16],
        "carina": str(content["carina"]),
        "dropped": f"{leaks['dropped']:,}",
        "not_assessable": f"{data.get('not_assessable', 0):,}",
        "model_hash": f"SHA-256 {str(model['model_sha256'])[:16]}…",
        "audit_words": str(audit),
        "leaks": f"{leaks['same_pixels'] + leaks['near_duplicates']} of {leaks['images_checked']:,} images",
        "versions": _versions(content["versions"]),
        "weights": str(model["weights"]),
        "selection": (
            f"Epoch {model['best_epoch']} of {model['epochs']}; what is chosen is chosen on the "
            f"{model['stopping_split']} split, never on the test split."
        ),
        "overlay_words": (
            "What each part of the image adds to the call lies over the images of section 7."
            if evaluated.gallery is not None
            else "No images were embedded in this report."
        ),
        "internal": f"The {data['split']} split of the collection trained on." if same else "Not in this report.",
        "external": "Not in this report: the data are of the collection trained on."
        if same
        else f"{data['name']}, another collection than trained on.",
    }


def _preprocessing_words(preprocessing: Mapping[str, object]) -> str:
    crop = "the box around the lungs" if preprocessing["crop"] == "lungs" else "the whole image"
    stretch = (
        f", grey levels evened between percentiles {preprocessing['stretch']}" if preprocessing.get("stretch") else ""
    )
    return f"{crop}, {preprocessing['size']} × {preprocessing['size']} pixels, grey{stretch}"


def _time_an_image(evaluated: Evaluated) -> str:
    times = evaluated.table["elapsed_ms"].to_numpy()
    return f"median {np.median(times):.0f} ms, 95 % under {np.quantile(times, 0.95):.0f} ms"


def _version(model: Mapping[str, object]) -> str:
    return f" {model['version']}" if "version" in model else ""


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _harmless_recipe(text: str) -> str:
    return tomli_w.dumps(without_folders(tomllib.loads(text)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
