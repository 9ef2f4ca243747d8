"""Where a table's images are found: as written, under a name that fits, and never in a folder that contradicts it."""

import unicodedata
from pathlib import Path

import pytest

from carina.datasets.image_paths import find_images
from carina.errors import DataError
from make import touch_images


def find(folder: Path, name: str) -> tuple[str, bool] | None:
    (found,) = find_images([name], [2], folder, folder / "t.csv")
    if not found.exists:
        assert found.path == str(folder / name)
        return None
    return found.path.removeprefix(f"{folder}/"), found.searched


@pytest.mark.parametrize(
    ("name", "there", "found"),
    [
        ("a/b.png", "a/b.png", ("a/b.png", False)),
        ("b.png", "images_001/images/b.png", ("images_001/images/b.png", True)),
        ("a\\b.png", "a/b.png", ("a/b.png", True)),
        (".\\A\\B.PNG", "a/b.png", ("a/b.png", True)),
        ("C:\\Users\\me\\data\\a\\b.png", "a/b.png", ("a/b.png", True)),
        ("/home/other/data/a/b.png", "a/b.png", ("a/b.png", True)),
        ("CheXpert-v1.0-small/train/p1/b.jpg", "train/p1/b.jpg", ("train/p1/b.jpg", True)),
        ("b", "a/b.png", ("a/b.png", True)),
        ("b.png", "a/b.jpg", ("a/b.jpg", True)),
        ("1.2.840.7", "a/1.2.840.7.dcm", ("a/1.2.840.7.dcm", True)),
        ("1.2.840.7", "a/1.2.840", None),
        (unicodedata.normalize("NFD", "é.png"), "a/é.png", ("a/é.png", True)),
        ("north/b.png", "south/b.png", None),
        ("north/b.png", "x/north/b.png", ("x/north/b.png", True)),
        ("C:\\north\\b.png", "x/north/b.png", None),  # an absolute path is whole
        ("../a/b.png", "a/b.png", None),
        ("", "a/b.png", None),
        ("b.png", ".hidden/b.png", None),
        ("b.png", "__MACOSX/b.png", None),
    ],
)
def test_what_fits(tmp_path: Path, name: str, there: str, found: tuple[str, bool] | None) -> None:
    touch_images(tmp_path, there)
    assert find(tmp_path, name) == found


def test_masks_bear_the_names_of_their_images(tmp_path: Path) -> None:
    touch_images(tmp_path, "images/b.png", "lung masks/b.png")
    assert find(tmp_path, "b.png") == ("images/b.png", True)
    assert find(tmp_path, "Lung Masks/b.png") == ("lung masks/b.png", True)


def test_several_files_that_fit_are_named(tmp_path: Path) -> None:
    touch_images(tmp_path, "north/b.png", "south/b.png")
    with pytest.raises(DataError, match=r"t\.csv, row 2: 2 files fit 'b', such as .*north/b\.png and .*south/b\.png"):
        find(tmp_path, "b")
    assert find(tmp_path, "South/b") == ("south/b.png", True)


def test_linked_folders_are_searched_and_circles_end(tmp_path: Path) -> None:
    touch_images(tmp_path / "far", "b.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "here")
    assert find(tmp_path / "here", "b.png") == ("link/b.png", True)
