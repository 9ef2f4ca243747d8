"""What the user names becomes files, in the order named."""

from pathlib import Path

from carina.inference.inputs import image_files


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
