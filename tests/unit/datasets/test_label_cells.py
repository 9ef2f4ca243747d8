"""What a cell says that an image shows, and what renaming makes of several findings."""

import polars as pl
import pytest

from carina.datasets.label_cells import is_unknown, leave_out_unclear, read_label, rename_label
from carina.errors import DataError


@pytest.mark.parametrize("cell", ["", " ", "-1", "-1.0", "NaN", "None", "NA", "n/a", "#N/A", "?", "Unknown", "TODO"])
def test_unknown(cell: str) -> None:
    assert is_unknown(cell)
    assert read_label(cell) == cell.strip()


@pytest.mark.parametrize("cell", ["0", "1", "No", "Normal", "No Finding", "nodule", "negative", "N"])
def test_not_unknown(cell: str) -> None:
    assert not is_unknown(cell)


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (" Nodule ", "Nodule"),
        ("Mass|Nodule", "Mass|Nodule"),
        ("Mass; Nodule,", "Mass|Nodule"),
        ("Mass, Nodule", "Mass|Nodule"),
        ("Mass\nNodule", "Mass|Nodule"),
        ("['Mass', 'Nodule']", "Mass|Nodule"),
        ("Mass|Mass", "Mass"),
        ("No Lung Opacity / Not Normal", "No Lung Opacity / Not Normal"),
        ("Viral+Bacterial", "Viral+Bacterial"),
    ],
)
def test_several(cell: str, label: str) -> None:
    assert read_label(cell) == label


def test_renaming_parts_and_the_whole() -> None:
    assert rename_label("A|B", {"A": "C", "B": "C"}) == "C"
    assert rename_label("A|B", {"A": "C"}) == "B|C"
    assert rename_label("A|B", {"A": "C", "B": "C", "A|B": "D"}) == "D"


def test_what_is_not_one_known_finding_is_left_out() -> None:
    before = pl.Series("finding", ["A", "A|?", "A|B", "?", "x"])
    images = pl.DataFrame({"finding": ["A", "A|?", "A|B", "?", "?"]})
    kept, unclear, notes = leave_out_unclear(images, before)
    # What the user named is meant, even if its name is among the unknown ones.
    assert kept["finding"].to_list() == ["A", "?"]
    assert unclear["finding"].to_list() == ["A|?", "A|B", "?"]
    assert [note.split(":")[0] for note in notes] == [
        "2 images were left out, since the finding is not known",
        "1 image was left out, since several findings are named",
    ]
    with pytest.raises(DataError, match="No image has one known finding"):
        leave_out_unclear(images[1:4], before[1:4])
