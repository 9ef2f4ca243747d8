"""What is looked for: dates and modalities, as they are typed and as archives name them."""

from datetime import date

import pytest

from carina.dicom.fetching.wanted import Wanted, dates_of, modalities_of
from carina.errors import ConfigurationError


def test_dates() -> None:
    today = date(2026, 1, 2)
    assert dates_of("today", today=today) == "20260102"
    assert dates_of("yesterday", today=today) == "20260101"
    for fine in ("20260102", "20260101-20260131", "20260101-", "-20260131"):
        assert dates_of(fine) == fine
    for wrong in ("", "-", "2026", "20261301", "2026010120260102", "tomorrow", "20260102\\1"):
        with pytest.raises(ConfigurationError, match=r"is no date\. Write 20260102"):
            dates_of(wrong)


def test_a_range_the_wrong_way_round() -> None:
    with pytest.raises(ConfigurationError, match=r"20260131-20260101 ends before it begins\. .*: 20260101-20260131\.$"):
        dates_of("20260131-20260101")


def test_modalities() -> None:
    assert modalities_of("cr, DX") == ("CR", "DX")
    for wrong in ("", "CR,", "CR\\DX", "C*"):
        with pytest.raises(ConfigurationError, match="are no modalities"):
            modalities_of(wrong)


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ([], True),
        ([""], True),
        (["CR"], True),
        (["cr "], True),
        (["OT", "DX"], True),
        (["MG"], False),
        (["MG", ""], False),
    ],
)
def test_an_archives_modality(given: list[str], *, fits: bool) -> None:
    assert Wanted("20260102").has_modality(given) is fits


@pytest.mark.parametrize(
    ("dates", "given", "fits"),
    [
        ("20260102", "20260102", True),
        ("20260102", "2026.01.02", True),
        ("20260102", "20260103", False),
        ("20260101-20260131", "20260131", True),
        ("20260101-20260131", "20260201", False),
        ("20260101-", "20251231", False),
        ("20260101-", "20991231", True),
        ("-20260131", "20260131", True),
        ("-20260131", "20260201", False),
        ("20260102", "", True),
        ("20260102", None, True),
        ("20260102", "soon", True),
    ],
)
def test_an_archives_date(dates: str, given: str | None, *, fits: bool) -> None:
    assert Wanted(dates).has_date(given) is fits
