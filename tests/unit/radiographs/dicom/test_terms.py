"""Words of headers become words of Carina's own; what is not known is not guessed."""

from typing import Any

import pytest

from carina.radiographs.dicom.terms import age_doubt, age_of, direction_of, modality_of, region_of, side_of, view_of

CT_CLASS, DX_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"


@pytest.mark.parametrize(
    ("word", "sop_class", "expected"),
    [
        ("CR", None, ("CR", None)),
        ("dx", None, ("DX", None)),
        ("OT", CT_CLASS, ("OT", None)),
        ("CT", DX_CLASS, (None, "CT")),
        ("US", None, (None, "US")),
        ("RF", None, (None, "RF")),
        (None, CT_CLASS, (None, "CT")),
        (None, DX_CLASS, ("DX", None)),
        ("SECRET", DX_CLASS, ("DX", None)),
        ("SECRET", None, (None, None)),
        (None, None, (None, None)),
    ],
)
def test_modality(word: str | None, sop_class: str | None, expected: tuple[Any, ...]) -> None:
    assert modality_of((word,) if word else (), sop_class) == expected


@pytest.mark.parametrize(
    ("word", "codes", "expected"),
    [
        ("CHEST", (), "chest"),
        ("Chest PA", (), "chest"),
        ("PORT_CHEST", (), "chest"),
        ("Thorax", (), "chest"),
        ("TÓRAX", (), "unknown"),
        ("TORAX", (), "chest"),
        ("ABDOMEN", (), "elsewhere"),
        ("KNEE", (), "elsewhere"),
        ("knees", (), "elsewhere"),
        ("RIB", (), "elsewhere"),
        ("T-SPINE", (), "elsewhere"),
        ("SOMETHING", (), "unknown"),
        (None, ("51185008",), "chest"),
        (None, ("T-D3000",), "chest"),
        (None, ("T-11300",), "unknown"),
        (None, (), None),
        ("", (), None),
    ],
)
def test_region(word: str | None, codes: tuple[Any, ...], expected: str | None) -> None:
    assert region_of((word,) if word else (), codes) == expected


@pytest.mark.parametrize(
    ("word", "codes", "expected"),
    [
        ("PA", (), "PA"),
        ("ap", (), "AP"),
        ("CHEST AP", (), "AP"),
        ("LL", (), "lateral"),
        ("RL", (), "lateral"),
        ("LATERAL", (), "lateral"),
        ("Chest lateral", (), "lateral"),
        ("LLD", (), "decubitus"),
        ("AP DECUBITUS", (), "decubitus"),
        ("RAO", (), "oblique"),
        ("PAPA", (), "unknown"),
        (None, ("399173006",), "lateral"),
        (None, ("R-10236",), "lateral"),
        (None, ("272479007",), "PA"),
        (None, ("399348003",), "AP"),
        # Codes come first.
        ("LATERAL", ("272479007",), "PA"),
        ("LATERAL", ("123",), "lateral"),
        (None, ("123",), "unknown"),
        (None, (), None),
    ],
)
def test_view(word: str | None, codes: tuple[Any, ...], expected: str | None) -> None:
    assert view_of((word,) if word else (), codes) == expected


@pytest.mark.parametrize(
    ("age", "birth", "taken", "expected"),
    [
        ("045Y", None, None, 45),
        ("45Y", None, None, 45),
        ("018M", None, None, 1.5),
        ("010W", None, None, 0.1916),
        ("003D", None, None, 0.0082),
        ("045Y", "20190101", "20200101", 45),
        (None, "19750615", "20200615", 45),
        ("45", "19750615", "20200615", 45),
        (None, "1975.06.15", "20200615", 45),
        (None, "20200615", "19750615", None),
        (None, "18000101", "20200101", None),
        ("999Y", None, None, None),
        ("999Y", "19750615", "20200615", 45),
        # Whatever unit was left out, it is a child.
        ("12", None, None, 12),
        ("012", None, None, 12),
        ("17", None, None, 17),
        ("0", None, None, 0),
        ("12", "20080615", "20200615", 12),
        ("12J", None, None, 12),
        # Years or months: nobody knows.
        ("18", None, None, None),
        ("45", None, None, None),
        ("45A", None, None, None),
        ("012 Y", None, None, 12),
        ("45 years", None, None, 45),
        ("18 months", None, None, 1.5),
        ("Y045", None, None, 45),
        ("12.5Y", None, None, 12),
        ("-12", None, None, None),
        ("SECRET", None, None, None),
        (None, "19750615", None, None),
        (None, "1975", "20200615", None),
        (None, None, None, None),
    ],
)
def test_age(age: str | None, birth: str | None, taken: str | None, expected: float | None) -> None:
    assert age_of(age, birth, taken) == (None if expected is None else pytest.approx(expected, abs=0.01))


@pytest.mark.parametrize(
    ("age", "birth", "taken", "expected"),
    [
        ("045Y", None, None, None),
        ("12", None, None, None),
        (None, None, None, None),
        (None, "1975", "2020", None),
        ("45", None, None, "age"),
        ("SECRET", None, None, "age"),
        ("999Y", None, "20200615", "age"),
        ("45", "19750615", "20200615", None),
        ("045Y", "19750615", "20200615", None),
        # One of them says a child.
        ("045Y", "20100615", "20200615", "age and birth"),
        ("010Y", "19750615", "20200615", "age and birth"),
        ("12", "19750615", "20200615", "age and birth"),
        # The day before and after a birthday.
        ("018Y", "20020616", "20200615", None),
        ("060Y", "19400101", "20200615", None),
    ],
)
def test_what_is_to_be_said_of_an_age(
    age: str | None, birth: str | None, taken: str | None, expected: str | None
) -> None:
    assert age_doubt(age, birth, taken) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("SECRET", "DX"), ("DX", None)), (("CT", "CR"), ("CR", None)), (("CT", "MR"), (None, "CT"))],
)
def test_of_several_modalities_the_one_of_radiographs_counts(words: tuple[str, str], expected: tuple[Any, ...]) -> None:
    assert modality_of(words, None) == expected


def test_of_several_regions_and_views_the_safe_one_counts() -> None:
    assert region_of(("ABDOMEN", "CHEST"), ()) == "chest"
    assert region_of(("ABDOMEN", "PELVIS"), ()) == "elsewhere"
    assert region_of(("ABDOMEN", "SECRET"), ()) == "unknown"
    assert view_of(("PA", "LL"), ()) == "lateral"
    assert view_of(("PA", "SECRET"), ()) == "PA"


def test_eighteen_is_told_to_within_days() -> None:
    assert age_of(None, "20020301", "20200225") < 18
    assert age_of(None, "20020301", "20200305") > 18


def test_sides_and_directions() -> None:
    assert [side_of(word) for word in ("L", "R", "B", "U", "x", None)] == [
        *("left", "right", "both", "unpaired"),
        *(None, None),
    ]
    assert [direction_of(word) for word in ("L", "RP", "A", "P", "H", "FR", "?", None)] == [
        *("left", "right", "front", "back", "head", "feet"),
        *(None, None),
    ]
