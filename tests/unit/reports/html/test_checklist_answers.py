"""What the checklists are answered with is true of the evaluation that they stand under."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carina.reports.evaluated import read_evaluated
from carina.reports.evaluation_files import read_audit
from carina.reports.html.checklist_answers import checklist_facts
from carina.reports.html.checklists import TITLES, read_checklist
from carina.reports.html.sections.provenance_section import checklist_table
from unit.reports.evaluations import audit_of, write_evaluated

# The numbers of Collins et al. 2024, doi:10.1136/bmj-2023-078378: 27 items with 52 parts.
_PARTS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
TRIPOD_AI = [f"{number}{part}" for number in range(1, 28) for part in _PARTS.get(number, [""])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_evaluated(tmp_path / "first", n=120)


def changed(folder: Path, **model: Any) -> dict[str, str]:
    content = json.loads((folder / "metrics.json").read_text("utf-8"))
    for key, value in model.items():
        part, _, name = key.partition("__")
        content[part] = value if not name else content[part] | {name: value}
    (folder / "metrics.json").write_text(json.dumps(content), "utf-8")
    return checklist_facts(read_evaluated(folder))


def test_they_have_the_items_of_the_published_checklists() -> None:
    assert [item.number for item in read_checklist("tripod_ai")] == TRIPOD_AI
    assert len(TRIPOD_AI) == 52
    assert [item.number for item in read_checklist("claim_2024")] == [str(number) for number in range(1, 45)]
    assert all(item.asks and item.answer for name in TITLES for item in read_checklist(name))


@pytest.mark.parametrize("name", list(TITLES))
def test_every_place_for_a_fact_is_filled(folder: Path, name: str) -> None:
    table = checklist_table(name, checklist_facts(read_evaluated(folder)))
    assert not re.search(r"[{}]|\bnan\b", " ".join(str(cell) for row in table.rows for cell in row))


def test_a_split_of_the_set_trained_on_is_internal(folder: Path) -> None:
    facts = changed(folder)
    assert facts["internal"] == "The test split of a collection trained on."
    assert facts["external"].startswith("Not by this evaluation")
    assert "another split" in facts["difference"]


def test_one_of_several_sets_trained_on_is_no_external_set(folder: Path) -> None:
    facts = changed(folder, model__dataset="a-set + b-set", model__data_fingerprint="98" * 32)
    assert facts["internal"] == "The test split of a collection trained on."
    assert facts["external"].startswith("Not by this evaluation")
    assert (
        facts["difference"]
        == "a-set is one of the collections trained on (a-set and b-set); judged is a split of its own."
    )


def test_another_set_is_external_even_under_the_same_name(folder: Path) -> None:
    facts = changed(folder, model__dataset="a-set", model__data_fingerprint="98" * 32, leak_check__dropped=7)
    assert facts["internal"] == "Not in this report."
    assert facts["external"].startswith("a-set, another collection")
    assert "less 7 images that the model had learned from" in facts["partition"]


def test_the_audit_names_the_external_sets_that_it_asked(folder: Path, tmp_path: Path) -> None:
    evaluated = replace(read_evaluated(folder), audit=read_audit(audit_of(tmp_path / "audit", "ab" * 32)))
    assert checklist_facts(evaluated)["external"].endswith("The audit (section 6) asks elsewhere.")


def test_how_the_model_was_selected(folder: Path) -> None:
    facts = changed(folder)
    assert facts["selection"] == (
        "Epoch 2 of 3, thresholds and bands were chosen on the calibration split; none of the images judged here had a "
        "part in that."
    )
    assert "12 of the images judged here had a part" in changed(folder, leak_check__stopped_on=12)["selection"]
    (folder / "recipe.toml").write_text('method = "fine-tune"\n[fine_tuning]\nkeep = "last"\nbalance = 0.5\n', "utf-8")
    facts = changed(folder)
    assert facts["selection"].startswith("The number of epochs was fixed beforehand")
    assert "drawn more evenly (balance 0.5)" in facts["imbalance"]
    assert "deeper layers trained in stages" in facts["recipe_words"]
