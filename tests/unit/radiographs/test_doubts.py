"""Each doubt has a sentence of its own, and is shown with a result in a fixed order."""

from typing import get_args

from carina.radiographs.doubts import SENTENCES, Doubt, SingleValued, in_order
from carina.radiographs.header import Header
from carina.radiographs.intended_use import refusals, reservations

DOUBTS = [doubt for words in get_args(Doubt) for doubt in get_args(words)]
CLEAN = Header("CR", "chest", "PA", 45.0)


def test_every_doubt_has_a_sentence_of_its_own() -> None:
    assert set(SENTENCES) == set(DOUBTS)
    assert len(set(SENTENCES.values())) == len(DOUBTS)
    for sentence in SENTENCES.values():
        assert (sentence[0].isupper(), sentence.endswith("."), sentence.isprintable()) == (True, True, True)


def test_doubts_are_said_once_and_in_order() -> None:
    assert in_order(["age", "colour", "window", "colour"]) == ("colour", "window", "age")
    said = Header("CR", "chest", "PA", 45.0, doubts=("colour", "uid"), several=("Modality", "PatientAge"))
    assert reservations(said) == (
        SENTENCES["colour"],
        SENTENCES["uid"],
        "The header gives several values where there should be one: Modality, PatientAge.",
    )
    assert reservations(CLEAN) == refusals(said) == ()


def test_an_age_that_cannot_be_read_is_not_said_to_be_missing() -> None:
    assert reservations(Header("CR", "chest", "PA", None, doubts=("age",))) == (SENTENCES["age"],)
    assert "does not give the patient's age" in reservations(Header("CR", "chest", "PA", None))[0]


def test_attributes_of_one_value_are_named_as_in_dicom() -> None:
    from carina.radiographs.dicom.tags import TAGS

    assert {name for names in get_args(SingleValued) for name in get_args(names)} <= set(TAGS)
