"""Naming findings: one name for each, Normal and the flagged one never guessed."""

import polars as pl
import pytest

from carina.datasets.naming import choose_flag, name_normal, resolve_finding, tell_alike, tell_flag, unify_spellings
from carina.errors import ConfigurationError
from carina.findings import COVID_19, LUNG_OPACITY, NORMAL, OTHER_OPACITY, VIRAL_PNEUMONIA


def images(**count: int) -> pl.DataFrame:
    return as_images(count)


def as_images(count: dict[str, int]) -> pl.DataFrame:
    return pl.DataFrame(
        {"finding": [name for name, n in count.items() for _ in range(n)]}, schema={"finding": pl.String}
    )


def counted(table: pl.DataFrame) -> dict[str, int]:
    return dict(table.group_by("finding").len().iter_rows())


def flag(
    count: dict[str, int], *, asked: str | None = None, normal: list[str] | None = None, test_only: bool = False
) -> tuple[str | None, str]:
    has_normal = NORMAL in count
    found, why = choose_flag(
        count,
        asked=asked,
        normal=normal,
        has_normal=has_normal,
        test_only=test_only,
        where="films",
    )
    known = has_normal or normal is not None
    return found, " ".join(tell_flag(found, why, count, test_only=test_only, knows_normal=known))


def test_spellings_become_the_commonest_one() -> None:
    table, notes = unify_spellings(as_images({"tb": 2, "TB": 5, "T_B": 1, "Normal": 3, "NORMAL": 1, "Asthma": 1}))
    assert counted(table) == {"TB": 8, NORMAL: 4, "Asthma": 1}
    assert notes == (
        "Taken as the finding Normal: Normal (3), NORMAL (1).",
        "Taken as the finding TB: TB (5), tb (2), T_B (1).",
    )


def test_a_word_in_two_unicode_forms_is_one_finding() -> None:
    composed, decomposed = "Tuberkul\u00f6se", "Tuberkulo\u0308se"
    table, (note,) = unify_spellings(as_images({decomposed: 4, composed: 2}))
    assert counted(table) == {composed: 6}
    # Both look the same to a person: their characters are told.
    assert note == (f"Taken as the finding {composed}: 'Tuberkulo\\u0308se' (4), 'Tuberkul\\xf6se' (2).")
    assert unify_spellings(as_images({decomposed: 4}))[0]["finding"].unique().to_list() == [composed]


def test_another_word_for_normal_is_said() -> None:
    table, notes = unify_spellings(images(Healthy=3, sano=1, TB=2))
    assert counted(table) == {NORMAL: 4, "TB": 2}
    assert notes == ("Taken as the finding Normal: Healthy (3), sano (1).",)


def test_signs_and_numbers_keep_findings_apart() -> None:
    count = {"TB": 1, "TB-": 1, "TB+": 1, "grade 1-1": 1, "grade 11": 1}
    table, notes = unify_spellings(as_images(count))
    assert counted(table) == count
    assert notes == ()


def test_names_are_found_in_whatever_spelling() -> None:
    assert resolve_finding("old-tb", ["Old TB", NORMAL]) == "Old TB"
    assert resolve_finding("healthy", ["Old TB", NORMAL]) == NORMAL
    assert resolve_finding("Asthma", ["Old TB"]) == "Asthma"


def test_a_person_says_what_is_normal() -> None:
    table, notes = name_normal(images(no_tb=3, benign=1, TB=2), ["No TB", "benign"])
    assert counted(table) == {NORMAL: 4, "TB": 2}
    assert notes == ("Taken as Normal, as you say: no_tb (3).", "Taken as Normal, as you say: benign (1).")
    same, said = name_normal(images(TB=2, COPD=1), ["NONE"])
    assert (counted(same), said) == ({"TB": 2, "COPD": 1}, ())


@pytest.mark.parametrize(
    ("count", "normal", "says"),
    [
        (
            {"TB": 2, "ok": 1},
            ["healthy"],
            r"no finding 'healthy' to be taken as Normal. The findings are: TB \(2\), ok \(1\).",
        ),
        (
            {"TB": 2, "Normal": 1},
            ["none"],
            r"but there is the finding Normal \(1 image\)\. If it is normal, leave out --normal none\..*=NAME",
        ),
        (
            {"TB": 2, "None": 3},
            ["none"],
            r"but there is the finding None \(3 images\)\..*--rename None=Normal instead\..*--rename None=NAME",
        ),
        ({"TB": 2}, ["none", "TB"], r"--normal none says that no image is normal, and --normal names a finding"),
    ],
)
def test_what_cannot_be_normal(count: dict[str, int], normal: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        name_normal(as_images(count), normal)


@pytest.mark.parametrize(
    ("count", "flagged", "why"),
    [
        ({NORMAL: 3, "Tuberculosis": 2}, "Tuberculosis", "the only one that is not normal"),
        ({NORMAL: 3, "TB": 2, OTHER_OPACITY: 9}, "TB", "the only one that is named"),
        ({NORMAL: 3, LUNG_OPACITY: 2}, LUNG_OPACITY, "the only one that is not normal"),
        ({NORMAL: 3, COVID_19: 2, "Asthma": 1}, COVID_19, "the default if it is there"),
        ({NORMAL: 3, COVID_19: 2}, COVID_19, "the only one that is not normal"),
    ],
)
def test_what_is_certain_is_flagged_and_said(count: dict[str, int], flagged: str, why: str) -> None:
    found, said = flag(count)
    assert found == flagged
    assert f"Flagged finding: {flagged} ({why}" in said
    assert "Normal: 3 images." in said
    others = ", ".join(name for name in count if name not in (NORMAL, flagged))
    assert ("Also not normal, and not flagged" in said) == bool(others)
    assert others in said


@pytest.mark.parametrize(
    ("count", "asks"),
    [
        ({"negative": 3, "positive": 2}, "If negative is normal, add: --normal negative. If no image is normal"),
        ({"0": 3, "1": 2}, "If 0 is normal, add: --normal 0."),
        ({"Control": 3, "TB": 2}, "If Control is normal, add: --normal Control."),
        ({"no tb": 3, "tb": 2}, "If no tb is normal, add: --normal 'no tb'."),
        (
            {"None": 3, "TB": 2},
            "If None is normal, add: --rename None=Normal. If no image is normal, add: --normal none",
        ),
        ({"NonTB": 3, "TB": 2}, "If NonTB is normal, add: --normal NonTB."),
        ({"Benign": 3, "Malignant": 2}, "If Benign is normal, add: --normal Benign."),
        ({"Ok": 3, "TB": 2}, "say so: --normal Ok or --normal TB. If no image is normal, add: --normal none."),
        ({COVID_19: 3, VIRAL_PNEUMONIA: 2}, "If no image is normal, add: --normal none."),
    ],
)
def test_without_a_certain_normal_a_person_is_asked(count: dict[str, int], asks: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        flag(count)
    assert "films has no finding that is surely normal. It has: " in str(refused.value)
    assert asks in str(refused.value)
    # What is flagged does not say what is normal.
    with pytest.raises(ConfigurationError, match="surely normal"):
        flag(count, asked=list(count)[-1])


def test_no_image_need_be_normal() -> None:
    found, said = flag({COVID_19: 3, VIRAL_PNEUMONIA: 2}, normal=["none"])
    assert found == COVID_19
    assert "No image is normal." in said
    with pytest.raises(ConfigurationError, match=r"several findings that could be flagged"):
        flag({"TB": 3, "Asthma": 2}, normal=["none"])


def test_several_findings_of_ones_own_are_a_question_and_never_the_alphabet() -> None:
    count = {NORMAL: 5, "TB": 3, "Old Asthma": 2}
    says = r"read first: Old Asthma \(2\), TB \(3\)\. .* Say which one is flagged: --flag 'Old Asthma' or --flag TB\."
    with pytest.raises(ConfigurationError, match=says):
        flag(count)
    found, said = flag(count, asked="old_asthma")
    assert found == "Old Asthma"
    assert "Flagged finding: Old Asthma (as you say). Normal: 5 images. Also not normal, and not flagged: TB." in said
    says = r"Tuberculosis \(2\) and TB \(3\) may be one .*: --rename Tuberculosis=TB\. Say which one is flagged: --flag"
    with pytest.raises(ConfigurationError, match=says):
        flag({NORMAL: 5, "TB": 3, "Tuberculosis": 2})
    with pytest.raises(
        ConfigurationError, match=r"does not know: old films\. To leave that out: --findings Normal,TB\."
    ):
        flag({NORMAL: 5, "TB": 3, "old films": 2})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("Asthma", r"films has no finding 'Asthma' to be flagged. It has: Normal \(5\), TB \(3\)."),
        ("sano", "normal finding"),
    ],
)
def test_what_cannot_be_flagged(asked: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        flag({NORMAL: 5, "TB": 3}, asked=asked)


@pytest.mark.parametrize("name", ["backup", "poor quality", "lateral", "New folder", "Stannosis"])
def test_an_unknown_name_is_never_flagged_without_a_question(name: str) -> None:
    says = rf"only {name} \(3 images\) could be flagged, .* Carina does not know this name.* --findings Normal\.$"
    with pytest.raises(ConfigurationError, match=says):
        flag({NORMAL: 5, name: 3})
    assert flag({NORMAL: 5, name: 3}, asked=name)[0] == name
    # Who says which of two is normal has said what the other one is.
    assert flag({NORMAL: 5, name: 3}, normal=["Healthy"])[0] == name
    assert f"Carina does not know: {name}. What is not a finding can" in flag({NORMAL: 5, COVID_19: 3, name: 3})[1]


@pytest.mark.parametrize("name", ["norml", "Nromal", "Normmal"])
def test_normal_misspelt_is_asked_about(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"another word for Normal.* If it is normal, add: --normal {name}\.$"
    ):
        flag({NORMAL: 5, name: 3})
    with pytest.raises(ConfigurationError, match=f"If {name} is normal, add: --normal {name}"):
        flag({name: 5, "TB": 3})


def test_one_finding_alone_flags_nothing() -> None:
    assert flag({"TB": 3}) == (None, "There is one finding only (TB): nothing is flagged.")
    assert flag({"TB": 3}, asked="tb", normal=["none"])[0] == "TB"


def test_what_may_be_normal_beside_normal_is_said() -> None:
    found, said = flag({NORMAL: 5, COVID_19: 3, "negative": 2})
    assert found == COVID_19
    assert "negative (2 images) is taken as a finding that is not normal. If it is normal, import again with" in said
    assert "--normal negative" in said


def test_a_test_set_flags_nothing_and_asks_nothing() -> None:
    found, said = flag({"negative": 3, "positive": 2}, test_only=True)
    assert found is None
    assert "No finding here is known to be normal: negative (3), positive (2). If negative is normal, add" in said
    assert flag({COVID_19: 3}, test_only=True) == (None, "")
    assert flag({NORMAL: 1, "TB": 3, "Asthma": 1}, test_only=True) == (None, "")
    with pytest.raises(ConfigurationError, match="--flag is for a data set to train on"):
        flag({COVID_19: 3}, asked=COVID_19, test_only=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("TB", "Tuberculosis"), ("Tubercolosis", "Tuberculosis"), ("Pneunomia", "Pneumonia"), ("Nodules", "Nodule")),
        *(("PE", "Pleural effusion"), ("Pneu", "Pneumothorax"), ("Oedema", "Edema")),
    ],
)
def test_names_that_are_alike_are_told_with_the_words_that_merge_them(one: str, other: str) -> None:
    (note,) = tell_alike({one: 2, other: 30, NORMAL: 9})
    merge = f"'{one}={other}'" if " " in other else f"{one}={other}"
    assert note.startswith(f"{one} (2) and {other} (30) may be one finding under two names. To make them one: ")
    assert note.endswith(f"To make them one: --rename {merge}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("Abnormal", NORMAL), ("infected", "uninfected"), ("typical", "atypical"), ("grade 1", "grade 2")),
        *(("Tuberculosis+", "Tuberculosis-"), ("PE", "Pneumonia"), ("TB", "Asthma"), ("left", "right")),
        ("symptomatic", "asymptomatic"),
    ],
)
def test_names_that_are_not_alike(one: str, other: str) -> None:
    assert tell_alike({one: 1, other: 1}) == ()


def test_only_a_few_alike_names_are_told() -> None:
    notes = tell_alike({f"pneumothorax{'abcde'[i]}": 1 for i in range(5)})
    assert len(notes) == 6
    assert notes[-1] == "5 more pairs of findings have names that are alike."
