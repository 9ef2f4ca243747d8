"""What a training flags: the recipe's word, else its data sets'; contradictions are said, and nothing is guessed."""

import json
from pathlib import Path

import pytest

from carina.datasets.importing import import_dataset
from carina.datasets.manifest import open_dataset
from carina.errors import ConfigurationError
from carina.learning.data.training_data import gather_training_data
from carina.learning.flagging import settle_flag
from carina.learning.recipe import Recipe, load_recipe
from make import write_tree


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small data sets of one source: tb and asthma flag what they are called, the others hold fewer findings."""
    folder = tmp_path_factory.mktemp("sets")
    source = write_tree(folder / "source", {"Healthy": 4, "TB": 4, "Asthma": 4}, size=32)
    for flag in ("TB", "Asthma"):
        import_dataset(source, folder / flag.lower(), flag=flag)
    for name in ("TB", "Asthma"):
        import_dataset(source, folder / f"only-{name.lower()}", findings=[name])
    import_dataset(source, folder / "without-asthma", findings=["normal", "tb"])
    return folder


def recipe(finding: str | None = None) -> Recipe:
    plain = load_recipe("head")
    return plain.model_copy(update={"operating_point": plain.operating_point.model_copy(update={"finding": finding})})


def settled(given: Recipe, *sets: Path) -> tuple[str | None, str]:
    said: list[str] = []
    found = settle_flag(given, gather_training_data(sets, given), said.append)
    return found.operating_point.finding, " ".join(said)


def test_a_data_set_says_what_is_flagged(folders: Path) -> None:
    assert open_dataset(folders / "tb").description.flag_finding == "TB"
    flag, said = settled(recipe(), folders / "tb")
    assert flag == "TB"
    assert said == ("Flagged finding: TB (as its data set was imported). Also not normal, and not flagged: Asthma.")
    assert settled(recipe(), folders / "asthma")[0] == "Asthma"


def test_the_recipes_word_counts_and_the_contradiction_is_said(folders: Path) -> None:
    flag, said = settled(recipe("Asthma"), folders / "tb")
    assert flag == "Asthma"
    assert "Flagged finding: Asthma (the recipe says so)." in said
    assert "tb was imported to flag TB; this model flags Asthma, since the recipe says so." in said
    assert "was imported to flag" not in settled(recipe("TB"), folders / "tb")[1]


def test_data_sets_that_contradict_each_other_are_refused(folders: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"different findings: tb flags TB, asthma flags Asthma. Name it in"):
        settled(recipe(), folders / "tb", folders / "asthma")
    assert settled(recipe("TB"), folders / "tb", folders / "asthma")[0] == "TB"
    assert settled(recipe(), folders / "tb", folders / "only-asthma")[0] == "TB"


def test_single_findings_joined_are_a_question(folders: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing says which of them is normal or flagged"):
        settled(recipe(), folders / "only-tb", folders / "only-asthma")


def test_a_data_set_of_an_earlier_carina(folders: Path, tmp_path: Path) -> None:
    """What is certain goes on without a word in dataset.json; what is not is asked."""
    for name in ("tb", "without-asthma"):
        old = tmp_path / name
        old.mkdir()
        for file in (folders / name).iterdir():
            (old / file.name).write_bytes(file.read_bytes())
        described = json.loads((old / "dataset.json").read_text())
        del described["flag_finding"], described["choices"]["normal"], described["choices"]["flag"]
        (old / "dataset.json").write_text(json.dumps(described))
    assert settled(recipe(), tmp_path / "without-asthma")[0] == "TB"
    with pytest.raises(
        ConfigurationError, match=r"flagged, which means read first: Asthma or TB. Import again with --flag"
    ):
        settled(recipe(), tmp_path / "tb")
