"""What the columns of a table mean: names of the user's, known names, and two that fit one field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carina.datasets.table_columns import choose_columns
from carina.datasets.table_reading import read_table
from carina.errors import ConfigurationError, DataError


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Any]:
    def write(header: Any) -> Any:
        path = tmp_path / "t.csv"
        path.write_text(f"{header}\n{','.join('xyzvw'[: header.count(',') + 1])}\n", encoding="utf-8")
        return read_table(path)

    return write


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("path,finding", {"path": "path", "finding": "finding"}),
        (" Path ,FINDING", {"path": "Path", "finding": "FINDING"}),
        ("Image,Label,patientId", {"path": "Image", "finding": "Label", "patient": "patientId"}),
        ("file_name,class,Patient ID", {"path": "file_name", "finding": "class", "patient": "Patient ID"}),
        ("Image Path,Diagnosis,Gender", {"path": "Image Path", "finding": "Diagnosis", "sex": "Gender"}),
        # A field's own name goes before another for it.
        ("filename,path,label,Finding", {"path": "path", "finding": "Finding"}),
        ("id,what", {}),
    ],
)
def test_names_that_are_known(table: Callable[..., Any], header: str, chosen: dict[str, Any]) -> None:
    assert choose_columns(table(header), {}) == chosen


def test_names_that_the_user_gives(table: Callable[..., Any]) -> None:
    it = table("Image,Label,Other Label")
    assert choose_columns(it, {"finding": "other_label"}) == {"path": "Image", "finding": "Other Label"}
    # A column has one meaning.
    assert choose_columns(it, {"source": "Label"}) == {"path": "Image", "source": "Label"}
    with pytest.raises(
        ConfigurationError, match=r"--column finding=x: .*t\.csv has no column 'x'. It has: Image, Label"
    ):
        choose_columns(it, {"finding": "x"})
    with pytest.raises(
        ConfigurationError, match=r"--column size=Label: there is no field 'size'. Choose one of: path,"
    ):
        choose_columns(it, {"size": "Label"})


def test_two_columns_for_one_field(table: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"the columns 'image' and 'filename', which both fit 'path'\. Choose: "):
        choose_columns(table("image,filename,finding"), {})
    with pytest.raises(DataError, match="has two columns 'finding' with different contents"):
        choose_columns(table("path,finding,finding"), {})
