"""What a whole table says: priorities, errors, and how its images differ from those that the model learned from."""

import json
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from carina._version import __version__
from carina.bundles.bundle import open_bundle
from carina.bundles.run_folder import TRAINING_IMAGES_FILE
from carina.bundles.training_images import read_training_images
from carina.cluster.output_store import Store
from carina.cluster.table_parts import read_parts
from carina.inference.prediction import FOR_RESEARCH
from carina.inference.prediction_list import ROW_ORDER
from carina.notebook import lines_html, table_html
from carina.statistics.intervals import wilson_interval
from carina.wording import counted

SUMMARY_FILE, REPORT_FILE = "summary.json", "report.html"
_COLUMNS = (
    "pixel_sha256",
    "reduced",
    "finding",
    "priority",
    "gate_accepted",
    "error_code",
    "passed_over",
    "elapsed_ms",
)
_OF_ANSWERS = ("content_sha256", "error_code", "answers_to", "answers")


@dataclass(slots=True)
class Summary:
    """Counts over all rows of a table.

    Attributes
    ----------
    rows, priorities, findings, errors, passed_over
        How many rows there are, with each priority, most probable finding and error, and objects beside images.
    accepted, refused
        Images that the gate let pass, and that it refused.
    learned
        Images that the model was trained on, by the hash of their pixels.
    not_compared
        Images that were decoded at a lower resolution: their hash says nothing about that.
    milliseconds
        What all images took, on one core each.
    """

    rows: int = 0
    priorities: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    passed_over: int = 0
    accepted: int = 0
    refused: int = 0
    learned: int = 0
    not_compared: int = 0
    milliseconds: float = 0.0


def summarise(store: Store, bundle: Path) -> Summary:
    """Return the counts over a table; one part after the other is read."""
    learned = read_training_images(bundle / TRAINING_IMAGES_FILE).learned
    found = Summary()
    for _, table in read_parts(store, _COLUMNS):
        found.rows += table.num_rows
        aside = table.column("passed_over")
        found.passed_over += pc.sum(aside).as_py() or 0
        for name, counts in (("priority", found.priorities), ("finding", found.findings)):
            counts.update(value for value in table.column(name).to_pylist() if value is not None)
        failed = table.filter(pc.invert(aside)).column("error_code").to_pylist()
        found.errors.update(code for code in failed if code is not None)
        gate = Counter(table.column("gate_accepted").to_pylist())
        found.accepted += gate[True]
        found.refused += gate[False]
        found.learned += sum(sha256 in learned for sha256 in table.column("pixel_sha256").to_pylist())
        found.not_compared += sum(
            reduced is not None and reduced > 1 for reduced in table.column("reduced").to_pylist()
        )
        found.milliseconds += pc.sum(table.column("elapsed_ms")).as_py() or 0.0
    return found


def count_answers(store: Store) -> dict[str, int]:
    """Return how many images have answers, how many objects these are, and how many share a SOP Instance UID.

    An archive knows an image by this UID alone: of two images with one UID, answers to both would be taken for answers
    to one.
    """
    answered = objects = judged = 0
    images: dict[str, set[str]] = {}
    for _, table in read_parts(store, _OF_ANSWERS):
        judged += table.column("error_code").null_count
        for row in table.filter(pc.is_valid(table.column("answers"))).to_pylist():
            if row["answers"]:
                answered += 1
                objects += len(row["answers"])
                images.setdefault(row["answers_to"], set()).add(row["content_sha256"])
    shared = sum(len(contents) for contents in images.values() if len(contents) > 1)
    return {"images": answered, "objects": objects, "without": judged - answered, "same_uid": shared}


def say_answers(counts: dict[str, int]) -> str:
    """Return the counts of answers as sentences."""
    said = (
        f"Answers: {counted(counts['objects'], 'DICOM object')} to {counted(counts['images'], 'image')}, in the folder "
        f"answers. {counted(counts['without'], 'image')} without an answer: the column not_answered says why."
    )
    if counts["same_uid"]:
        said += (
            f" {counts['same_uid']:,} of the images share a SOP Instance UID with another image (column answers_to). "
            "An archive cannot tell their answers apart: find out which UID is right before you send any."
        )
    return said


def drift_of(found: Summary, bundle: Path) -> list[dict[str, Any]]:
    """Return how the images differ from those of the model, as rows: what, here, there, and what that means."""
    described, _ = open_bundle(bundle)
    rows: list[dict[str, Any]] = []
    seen = found.accepted + found.refused
    if described.gate is not None and seen:
        share, expected = found.accepted / seen, described.gate.reached
        reached = wilson_interval(found.accepted, seen)
        low, high = reached.low or 0.0, reached.high or 1.0
        word = "as there" if low <= expected <= high else "fewer than there" if share < expected else "more than there"
        rows.append(
            {
                "what": "images that the gate lets pass",
                "here": round(share, 6),
                "interval": [round(low, 6), round(high, 6)],
                "there": round(expected, 6),
                "there_images": described.gate.calibration_images,
                "said": word,
            }
        )
    bands = described.policy.bands
    if bands is not None and found.findings:
        patients = [a + b for a, b in zip(bands.fitting_patients, bands.testing_patients, strict=True)]
        called = found.findings.total()
        for finding, count in zip(described.findings, patients, strict=True):
            rows.append(
                {
                    "what": f"most probable finding {finding}, beside the share of patients who have it",
                    "here": round(found.findings[finding] / called, 6),
                    "there": round(count / sum(patients), 6),
                    "there_images": sum(patients),
                    "said": "another mix of patients moves it; it is no error",
                }
            )
    said = "figures over them would be too good" if found.learned else "none"
    if found.not_compared:
        said += f"; {counted(found.not_compared, 'image')} decoded at a lower resolution cannot be compared"
    rows.append(
        {
            "what": "images that the model was trained on",
            "here": found.learned,
            "there": None,
            "there_images": described.images.get("train"),
            "said": said,
        }
    )
    return rows


def write_summary(store: Store, bundle: Path, told: dict[str, Any], *, answering: bool = False) -> dict[str, Any]:
    """Write ``summary.json`` and ``report.html``, and return what the first holds.

    Parameters
    ----------
    store, bundle
        The table, and what judged it.
    told
        What is known of this run besides: what was listed, left out and judged now.
    answering
        Whether DICOM answers are written beside the table.
    """
    found = summarise(store, bundle)
    described, seal = open_bundle(bundle)
    content = {
        "carina": __version__,
        "model": {"name": described.name, "version": described.version, "bundle_sha256": seal.sha256},
        "rows": found.rows,
        "priorities": {said: found.priorities[said] for said in ROW_ORDER if found.priorities[said]},
        "findings": dict(found.findings),
        "errors": dict(found.errors.most_common()),
        "passed_over": found.passed_over,
        "core_seconds": round(found.milliseconds / 1000, 1),
        "drift": drift_of(found, bundle),
        **({"answers": count_answers(store)} if answering else {}),
        **told,
    }
    store.put(SUMMARY_FILE, (json.dumps(content, indent=2) + "\n").encode())
    store.put(REPORT_FILE, _page(content).encode())
    return content


def _page(content: dict[str, Any]) -> str:
    model = content["model"]
    total = max(1, content["rows"])
    priorities = [(said, f"{count:,}", f"{100 * count / total:.2f} %") for said, count in content["priorities"].items()]
    errors = [(code, f"{count:,}") for code, count in content["errors"].items()] or [("none", "0")]
    drift = [(row["what"], _shown(row["here"]), _shown(row["there"]), row["said"]) for row in content["drift"]]
    listed = (
        f"{counted(content['listed'], 'input')} listed; {content['rows']:,} rows, of which {content['passed_over']:,} "
        f"objects beside the images. Left out because they are no images: {sum(content['left_out'].values()):,}."
    )
    answers = f"<h2>Answers</h2><p>{lines_html(say_answers(content['answers']))}</p>" if "answers" in content else ""
    style = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    return "".join(
        (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Carina batch</title>',
            '<meta name="color-scheme" content="light dark">',
            f"<style>{style}</style></head><body><main><h1>Batch of {escape(model['name'])} ",
            f"{escape(model['version'])}</h1><p>{lines_html(listed)}</p>",
            f"<h2>Priorities</h2>{table_html(('priority', 'images', 'of all rows'), priorities)}",
            answers,
            f"<h2>Errors</h2>{table_html(('error', 'inputs'), errors)}",
            "<h2>Drift</h2><p>How these images differ from those that the model was calibrated on. A difference is a ",
            "reason to look, and no proof of harm.</p>",
            table_html(("what", "here", "there", "meaning"), drift),
            f"<p>{escape(FOR_RESEARCH)}</p></main></body></html>\n",
        )
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{100 * value:.2f} %"
