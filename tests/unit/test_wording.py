"""Numbers stand with the right noun."""

from carina.wording import counted, listed, were


def test_one_is_no_plural() -> None:
    assert [counted(count, "image") for count in (0, 1, 2, 1200)] == ["0 images", "1 image", "2 images", "1,200 images"]
    assert counted(2, "study", "studies") == "2 studies"
    assert [were(count) for count in (0, 1, 2)] == ["were", "was", "were"]


def test_names_are_listed_as_in_a_sentence() -> None:
    assert [listed("ABC"[:count]) for count in range(4)] == ["", "A", "A and B", "A, B and C"]
