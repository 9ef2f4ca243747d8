"""The model card says what the files hold, and nothing of another model."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carina.bundles.bundle import BundleDescription, Recalibration
from carina.bundles.golden import Tolerances
from carina.bundles.run_folder import open_run
from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import PolicySettings, fit_policy
from carina.errors import ConfigurationError, DataError
from carina.evaluation.audit.audit_results import AUDIT_FORMAT
from carina.reports.model_card import model_card, prepare_card


@pytest.fixture(scope="module")
def described(tiny_run: Path) -> BundleDescription:
    run = open_run(tiny_run).model_dump(mode="json")
    more = {"format": "carina-bundle-1", "name": "tiny", "version": "1", "created": "2026-01-01T00:00:00Z"}
    return BundleDescription.model_validate(
        run | more | {"carina": "0", "recipe": {"name": "tiny"}, "tolerances": Tolerances()}
    )


def estimate(
    value: float | None, low: float | None = 0.5, high: float | None = 0.99, note: str | None = None
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "note": note}


def write_evaluation(folder: Path, described: BundleDescription, **changes: object) -> Path:
    three = {"sensitivity": estimate(0.875), "specificity": estimate(0.96), "auroc": estimate(0.97, None, None)}
    none = {"sensitivity": estimate(None, note="no image | with it"), "specificity": estimate(1.0)} | {
        "auroc": estimate(None, note="one kind only")
    }
    content = {
        "format": "carina-evaluation-1",
        "notice": None,
        "data": {"name": "hospital: x", "split": "test", "images": 77, "findings": {"COVID-19": 50, "Normal": 27}},
        "metrics": {
            "accuracy": estimate(0.91234, 0.85, 0.95),
            "macro_auroc": estimate(0.98),
            "calibration": {"ece": estimate(0.021, 0.01, 0.03)},
            "per_finding": {"COVID-19": three, "Viral Pneumonia": none},
        },
        "operating_point": {"chosen": {"finding": "COVID-19"}, "reached": three},
        "leak_check": {
            "images_checked": 80, "same_pixels": 1, "near_duplicates": 2, "dropped": 3, "stopped_on": 4
        },
        "model": described.model_dump(mode="json"),
    }  # fmt: skip
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(content | changes))
    return folder


def front_matter(card: str) -> list[str]:
    assert card.startswith("---\n")
    return card.split("---\n")[1].splitlines()


def test_without_evaluations_it_says_so(described: BundleDescription) -> None:
    card = model_card(described, [], None)
    lines = front_matter(card)
    assert "license: apache-2.0" in lines
    assert "pipeline_tag: image-classification" in lines
    assert not any(line.startswith("model-index") for line in lines)
    for said in (
        "No figures were attached",
        "No audit was attached",
        "makes no diagnosis",
        "carina verify",
        "## Limits",
    ):
        assert said in card
    assert "carina recalibrate BUNDLE DATASET --out" in card


def test_figures_stand_with_their_intervals_for_people_and_machines(
    described: BundleDescription, tmp_path: Path
) -> None:
    (tmp_path / "audit").mkdir()
    audit = {"format": AUDIT_FORMAT, "sentence": "It looks\nat the lungs.", "model_sha256": described.model_sha256}
    (tmp_path / "audit" / "audit.json").write_text(json.dumps(audit))
    evaluation = write_evaluation(tmp_path / "one", described, notice="LEAK ALLOWED: 3")
    card = prepare_card([evaluation, evaluation], tmp_path / "audit")(described)
    assert "| accuracy | 0.912 (0.850 to 0.950) |" in card
    assert "| calibration error (ECE) | 0.021 (0.010 to 0.030) |" in card
    assert "| sensitivity, COVID-19 | 0.875 (0.500 to 0.990) |" in card
    assert "| AUROC, COVID-19 | 0.970 (no interval) |" in card
    assert "| sensitivity, Viral Pneumonia | not applicable (no image \\| with it) |" in card
    assert "Audit: It looks at the lungs." in card
    assert "**LEAK ALLOWED: 3**" in card
    assert "1 trained on to the pixel, 2 nearly; 3 left out; 4 decided" in card
    assert card.count("### `hospital: x`, test split (77 images)") == 2
    (index,) = [line for line in front_matter(card) if line.startswith("model-index: ")]
    (model,) = json.loads(index.removeprefix("model-index: "))
    assert model["name"] == "tiny"
    assert model["results"][0]["dataset"] == {"name": "hospital: x", "type": "hospital-x", "split": "test"}
    assert {"type": "accuracy", "name": "accuracy", "value": 0.91234} in model["results"][0]["metrics"]
    assert all(isinstance(metric["value"], float) for metric in model["results"][1]["metrics"])


def test_it_says_where_each_finding_was_not_tested(described: BundleDescription, tmp_path: Path) -> None:
    card = prepare_card([write_evaluation(tmp_path / "one", described)])(described)
    assert "- COVID-19: 50 images of `hospital: x`, and nowhere else that it did not learn from." in card
    assert "- Viral Pneumonia: **on no image of a data set that it did not learn from**." in card
    # Other images of a data set that it learned from show no other place.
    own = prepare_card([tmp_path / "one"])(described.model_copy(update={"dataset": "phantoms + hospital: x"}))
    assert "- COVID-19: **on no image of a data set that it did not learn from**." in own


def test_the_front_matter_is_yaml_as_the_hub_reads_it(described: BundleDescription, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with a development dependency")
    evaluation = write_evaluation(tmp_path / "one", described)
    card = prepare_card([evaluation])(described.model_copy(update={"name": "a-name", "version": "1.0"}))
    told = yaml.safe_load("\n".join(front_matter(card)))
    assert set(told) == {"license", "library_name", "pipeline_tag", "tags", "model-index"}
    # What https://github.com/huggingface/hub-docs/blob/main/modelcard.md requires of a model index.
    (model,) = told["model-index"]
    assert model["name"] == "a-name"
    for result in model["results"]:
        assert result["task"]["type"] == told["pipeline_tag"] == "image-classification"
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", result["dataset"]["type"])
        assert result["dataset"]["name"]
        assert all(metric["type"] and isinstance(metric["value"], float) for metric in result["metrics"])
        assert len({metric["name"] for metric in result["metrics"]}) == len(result["metrics"])


def test_every_command_on_the_card_exists(described: BundleDescription) -> None:
    reference = (Path(__file__).parents[3] / "docs" / "reference.md").read_text("utf-8")
    use = model_card(described, [], None).split("## How to verify")[1].replace("carina data\n", "carina data ")
    commands = re.findall(r"carina ((?:data )?[a-z]+)([^`#\n]*)", use)
    assert {name for name, _ in commands} == {"verify", "predict", "recalibrate", "data import"}
    for name, rest in commands:
        page = reference.split(f"## carina {name}\n")[1].split("\n## ")[0]
        for option in re.findall(r"--[a-z-]+", rest):
            assert f"`{option}`" in page, (name, option)


def test_figures_of_another_model_are_refused(described: BundleDescription, tmp_path: Path) -> None:
    told = described.model_dump(mode="json")
    other = write_evaluation(tmp_path / "other", described, model=told | {"model_sha256": "0" * 64})
    with pytest.raises(ConfigurationError, match=r"other judged another model"):
        prepare_card([other])(described)
    moved = write_evaluation(tmp_path / "moved", described, model=told | {"policy": {}})
    with pytest.raises(ConfigurationError, match=r"moved judged this model with other thresholds"):
        prepare_card([moved])(described)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "carina-evaluation-0"}', '{"format": "carina-evaluation-1"}'])
def test_what_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="is an empty folder, not an evaluation"):
        prepare_card([tmp_path])
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json is damaged|another version of Carina\. Evaluate again"):
        prepare_card([tmp_path])
    with pytest.raises(ConfigurationError, match="is an evaluation, not an audit"):
        prepare_card([], tmp_path)
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"audit\.json is damaged"):
        prepare_card([], tmp_path)


def test_an_audit_of_another_model_is_refused(described: BundleDescription, tmp_path: Path) -> None:
    audit = {"format": AUDIT_FORMAT, "sentence": "It looks at the lungs.", "model_sha256": "00" * 32}
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    with pytest.raises(ConfigurationError, match="audited another model than the one that is written"):
        prepare_card([], tmp_path)(described)


def test_training_data_and_recalibration_are_told(described: BundleDescription) -> None:
    assert "carina data check" in model_card(described, [], None)
    public = described.model_copy(update={"dataset": "covid19-radiography"})
    card = model_card(public, [], None)
    assert "the finding is nearly the source" in card
    assert "children" in card
    origin = Recalibration(
        bundle_sha256="0" * 64, dataset="ours", data_fingerprint="f", images=50, left_out_leaks=3, left_out_refused=2
    )
    card = model_card(described.model_copy(update={"recalibration": origin}), [], None)
    assert "Recalibrated on 50 images of `ours`; 3 more were left out" in card


def test_bands_are_told_as_shares_of_patients(described: BundleDescription) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], (600, 1500, 300))
    logits = rng.normal(size=(2400, 3))
    logits[np.arange(2400), labels] += 5
    rule = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.98)
    policy = fit_policy(logits, labels, described.findings, rule, PolicySettings(), chosen_on="toy data")
    card = " ".join(model_card(described.model_copy(update={"policy": policy}), [], None).split())
    as_frequent = "where findings are as frequent as in the calibration data (COVID-19 25 %)."
    assert f"With 95 % confidence at most 2 % of it is not Normal, {as_frequent}" in card
    assert f"With 95 % confidence at most 5 % of it is anything but COVID-19, {as_frequent}" in card
    assert "nothing can be promised" in model_card(described, [], None)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"method": "end-to-end"}, "`calibration` decided when training ended"),
        ({"method": "fine-tune", "fine_tuning": {"keep": "best"}}, "`calibration` decided when training ended"),
        ({"method": "fine-tune", "fine_tuning": {"keep": "last"}}, "The number of epochs was fixed beforehand"),
    ],
)
def test_what_ended_the_training_is_told(described: BundleDescription, recipe: dict[str, object], says: str) -> None:
    assert says in model_card(described.model_copy(update={"recipe": recipe}), [], None)
