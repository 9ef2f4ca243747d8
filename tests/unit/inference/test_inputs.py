"""What the user names becomes files, in the order named."""

from pathlib import Path
from tempfile import TemporaryDirectory

from carina.inference.inputs import image_files
from make import as_ordinary_user


def test_files_as_named_folders_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "deep/c.tif", "deep/d.dcm"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    named = [tmp_path / "gone.png", tmp_path / "folder", tmp_path / "folder" / "notes.txt"]
    found = [path.relative_to(tmp_path).as_posix() for path in image_files(named)]
    assert found == [
        "gone.png",
        *("folder/a.JPG", "folder/b.png", "folder/deep/c.tif", "folder/deep/d.dcm"),
        "folder/notes.txt",
    ]


def test_an_empty_folder_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert list(image_files([tmp_path / "empty"])) == [tmp_path / "empty"]


def test_a_folder_that_may_not_be_entered_is_not_passed_over() -> None:
    # Not tmp_path, whose parents an ordinary user may not enter either.
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "open.png").touch()
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed").chmod(0o000)
        with as_ordinary_user():
            found = list(image_files([folder, folder / "closed" / "inside.png"]))
        (folder / "closed").chmod(0o700)
    assert found == [folder / "open.png", folder / "closed", folder / "closed" / "inside.png"]
