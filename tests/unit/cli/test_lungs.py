"""``carina lungs train``: what it asks of the library, and that a failure leaves nothing."""

from pathlib import Path

from unit.cli.conftest import Typed


def test_bad_data_is_one_line_and_leaves_nothing(carina: Typed, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    code, _, err = carina("lungs", "train", tmp_path / "data", "--out", tmp_path / "out")
    assert code == 1
    assert "metadata.csv cannot be read as a table" in err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
