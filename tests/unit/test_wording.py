"""Numbers stand with the right noun."""

from carina.wording import counted, were


def test_one_is_no_plural() -> None:
    assert [counted(count, "image") for count in (0, 1, 2, 1200)] == ["0 images", "1 image", "2 images", "1,200 images"]
    assert counted(2, "study", "studies") == "2 studies"
    assert [were(count) for count in (0, 1, 2)] == ["were", "was", "were"]
