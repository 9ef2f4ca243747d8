"""What lies below a folder: links are followed and end, images are told by their bytes, the rest is named."""

from pathlib import Path

from carina.datasets.importing import import_dataset
from carina.datasets.listing import list_source
from make import encode, make_sheet, write_films, write_image
from make_dicom import encode_dicom


def names(source: Path) -> list[str]:
    return [Path(path).relative_to(source).as_posix() for path in list_source(source).images["path"]]


def test_links_are_followed_once_and_end(tmp_path: Path) -> None:
    write_films(tmp_path / "elsewhere", "tb/1.png", "one.png")
    write_films(tmp_path / "films", "Normal/2.png", "Normal/deep/3.png")
    films = tmp_path / "films"
    (films / "TB").symlink_to(tmp_path / "elsewhere" / "tb")
    (films / "Normal" / "one.png").symlink_to(tmp_path / "elsewhere" / "one.png")
    (films / "Normal" / "a link").symlink_to(films / "Normal" / "deep")
    (films / "Normal" / "deep" / "round").symlink_to(films)
    (films / "Normal" / "itself").symlink_to(films / "Normal" / "itself")
    (films / "Normal" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert names(films) == ["Normal/2.png", "Normal/deep/3.png", "Normal/gone.png", "Normal/one.png", "TB/1.png"]
    listing = list_source(films)
    assert "Left out: 2 folders, each because it is a link to a folder that is taken already." in listing.notes
    assert {Path(path).name for path in listing.left_out["path"]} == {"a link", "round", "itself"}
    (tmp_path / "link").symlink_to(films)
    assert len(names(films)) == list_source(tmp_path / "link").images.height


def test_images_are_told_by_their_bytes_and_the_rest_is_named(tmp_path: Path) -> None:
    png = encode(make_sheet(1, 48), "PNG")
    contents = {
        "Normal/a.jfif": encode(make_sheet(2, 48), "JPEG"),
        "Normal/b.jpe": encode(make_sheet(3, 48), "JPEG"),
        "Normal/no ending": png,
        "TB/c.txt": encode(make_sheet(4, 48), "PNG"),
        "TB/IM0001": encode_dicom(make_sheet(5, 48)),
        "TB/wrong.png": encode_dicom(make_sheet(6, 48), PatientID="P6"),
        "TB/d.avif": b"\0\0\0 ftypavif",
        "TB/e": b"\0\0\0 ftypheic",
        "TB/labels.csv": b"BMI,age",
        "TB/films.zip": b"PK\x03\x04",
        "README": b"text",
    }
    for name, content in contents.items():
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).write_bytes(content)
    report = import_dataset(tmp_path / "films", tmp_path / "out", test_only=True)
    manifest = report.dataset.manifest
    assert sorted(Path(path).name for path in manifest["path"]) == [
        *("IM0001", "a.jfif", "b.jpe", "c.txt", "no ending", "wrong.png")
    ]
    stored = dict(manifest.select("path", "file_format").rows())
    assert {Path(path).name: name for path, name in stored.items()} == {
        "IM0001": "DICOM", "a.jfif": "JPEG", "b.jpe": "JPEG", "c.txt": "PNG", "no ending": "PNG", "wrong.png": "DICOM",
    }  # fmt: skip
    # A header is read whatever the file is called.
    assert manifest.filter(manifest["path"].str.ends_with("wrong.png"))["patient"].null_count() == 0
    errors = report.dataset.unreadable()
    assert [message.split(".")[0] for message in errors["message"]] == [
        *("this is an AVIF file", "this is a HEIC file")
    ]
    assert "Left out, since they are not images: 1 .csv file, 1 ZIP archive, 1 file without an ending." in report.notes
    assert report.left_out == 3
    assert report.summary().count(f"What was left out is named in {report.dataset.folder / 'left_out.csv'}.") == 1


def test_how_a_file_stores_its_pixels_is_kept(tmp_path: Path) -> None:
    grey = make_sheet(1, 48)
    write_image(tmp_path / "films" / "a" / "1.png", grey)
    write_image(tmp_path / "films" / "a" / "2.tif", (make_sheet(2, 48).astype("uint16") * 200), "TIFF")
    write_image(tmp_path / "films" / "b" / "3.jpg", make_sheet(3, 48)[..., None].repeat(3, axis=2), "JPEG")
    write_image(tmp_path / "films" / "b" / "4.png", make_sheet(4, 48).astype("uint16") * 200)
    manifest = import_dataset(tmp_path / "films", tmp_path / "out", test_only=True).dataset.manifest
    assert manifest.select("file_format", "bit_depth", "colour").rows() == [
        ("PNG", 8, "grey"),
        ("TIFF", 16, "grey"),
        ("JPEG", 8, "RGB"),
        ("PNG", 16, "grey"),
    ]
