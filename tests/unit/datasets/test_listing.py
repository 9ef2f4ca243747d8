"""What a source says of its images: the official layout, any tree, CSV and Parquet, and what is refused."""

import os
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from carina.datasets.listing import list_source
from carina.datasets.manifest import LISTING_SCHEMA
from carina.errors import ConfigurationError, DataError
from carina.findings import COVID_19, LUNG_OPACITY, NORMAL, VIRAL_PNEUMONIA
from make import (
    OFFICIAL_FOLDERS,
    as_ordinary_user,
    finding_counts,
    let_others_enter,
    make_grey,
    write_csv,
    write_image,
    write_official,
    write_tree,
)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tmp_path_factory.mktemp("official"))


def test_official_layout(official: Path) -> None:
    listing = list_source(official)
    assert listing.images.schema == LISTING_SCHEMA
    assert finding_counts(listing) == {COVID_19: 4, NORMAL: 4, VIRAL_PNEUMONIA: 4}
    assert not listing.images["path"].str.contains("masks").any()
    row = listing.images.row(by_predicate=pl.col("path").str.ends_with("/COVID-2.png"), named=True)
    assert row["path"] == str(official / "COVID" / "images" / "COVID-2.png")
    assert row["mask"] == str(official / "COVID" / "masks" / "COVID-2.png")
    assert any("Left out: 4 images of Lung Opacity, as in the published baseline" in note for note in listing.notes)


def test_official_sources_come_from_the_workbook(official: Path) -> None:
    images = list_source(official, findings=["covid", "Lung_Opacity", "normal", "Viral Pneumonia"]).images
    sources = images.group_by("finding").agg(pl.col("source").sort())
    assert dict(sources.iter_rows()) == {
        COVID_19: ["bimcv", "bimcv", "public", "public"],
        LUNG_OPACITY: ["rsna"] * 4,
        NORMAL: ["rsna"] * 4,
        VIRAL_PNEUMONIA: ["kermany"] * 4,
    }


def test_lung_opacity_when_it_is_named(official: Path) -> None:
    listing = list_source(official, findings=["Lung_Opacity", "COVID"])
    assert finding_counts(listing) == {COVID_19: 4, LUNG_OPACITY: 4}
    assert not any("images of Lung Opacity" in note for note in listing.notes)


def test_official_layout_without_workbooks(tmp_path: Path) -> None:
    listing = list_source(write_official(tmp_path, 2, workbooks=False))
    assert listing.images.height == 6
    assert listing.images["source"].null_count() == 6


def test_sources_that_are_not_known_go_by_their_host(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 3})
    book = openpyxl.Workbook()
    for row in (
        ("FILE NAME", "FORMAT", "SIZE", "URL"),
        ("COVID-1", "PNG", "1", "https://Radiopaedia.org/x"),
        ("COVID-2", "PNG", "1", " Own archive "),
        ("COVID-3", "PNG", "1", None),
        (None, None, None, None),
    ):
        book.active.append(row)
    book.save(tmp_path / "COVID.metadata.xlsx")
    assert list_source(tmp_path).images["source"].to_list() == ["radiopaedia.org", "own archive", None]


@pytest.mark.parametrize("damage", ["text", "cut", "columns", "empty"])
def test_damaged_workbook(tmp_path: Path, damage: str) -> None:
    write_official(tmp_path, 1)
    path = tmp_path / "COVID.metadata.xlsx"
    if damage == "text":
        path.write_text("not a workbook")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "empty":
        openpyxl.Workbook().save(path)
    else:
        book = openpyxl.Workbook()
        book.active.append(("NAME", "LINK"))
        book.save(path)
    with pytest.raises(DataError, match=r"COVID\.metadata\.xlsx cannot be read as the table FILE NAME"):
        list_source(tmp_path)


def test_any_tree(tmp_path: Path) -> None:
    write_tree(tmp_path, {"Tuberculosis": 2, "normal": 1})
    write_image(tmp_path / "Tuberculosis" / "hospital a" / "deep" / "x.JPG", make_grey(), "JPEG")
    (tmp_path / "Tuberculosis" / "notes.txt").touch()
    (tmp_path / "Tuberculosis" / ".hidden.png").touch()
    (tmp_path / "Tuberculosis" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "Tuberculosis" / ".ipynb_checkpoints" / "copy.png").touch()
    (tmp_path / "Tuberculosis" / "folder.png").mkdir()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "a.png").touch()
    listing = list_source(tmp_path)
    assert finding_counts(listing) == {"Tuberculosis": 3, NORMAL: 1}
    assert listing.notes == (
        "Left out, since they are not images: 1 empty file.",
        "Left out, since they are hidden: 3 folders, 1 image.",
    )
    assert sorted(listing.left_out.rows()) == sorted(
        (str(tmp_path / name), reason)
        for name, reason in (
            (".cache", "hidden: folder"),
            ("Tuberculosis/.hidden.png", "hidden: image"),
            ("Tuberculosis/.ipynb_checkpoints", "hidden: folder"),
            ("Tuberculosis/notes.txt", "no image: empty file"),
            ("__MACOSX", "hidden: folder"),
        )
    )
    assert listing.images["mask"].null_count() == 4


def test_two_folders_of_one_finding_are_one(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 1, "covid19": 2})
    assert finding_counts(list_source(tmp_path)) == {COVID_19: 3}


def test_the_order_is_by_name(tmp_path: Path) -> None:
    write_tree(tmp_path, {"b": 12, "a": 2})
    assert list_source(tmp_path).images["path"].to_list() == sorted(list_source(tmp_path).images["path"].to_list())


@pytest.mark.parametrize("depth", [1, 2])
def test_wrapped_folder(tmp_path: Path, depth: int) -> None:
    inner = tmp_path.joinpath(*["COVID-19_Radiography_Dataset"] * depth)
    write_official(inner, 1)
    (tmp_path / "__MACOSX").mkdir()
    assert finding_counts(list_source(tmp_path)) == {COVID_19: 1, NORMAL: 1, VIRAL_PNEUMONIA: 1}


def test_wrapped_manifest(tmp_path: Path) -> None:
    write_tree(tmp_path / "wrapped", {"COVID": 1, "Normal": 1})
    write_csv(
        tmp_path / "wrapped" / "manifest.csv", ["path", "finding", "patient"], [["COVID/COVID-1.png", "COVID", "7"]]
    )
    assert list_source(tmp_path).images["patient"].to_list() == ["7"]


def test_a_single_finding_is_not_taken_for_a_wrapping(tmp_path: Path) -> None:
    write_tree(tmp_path / "Normal", {"patient 1": 2, "patient 2": 1})
    assert finding_counts(list_source(tmp_path)) == {NORMAL: 3}
    write_image(tmp_path / "only" / "Asthma" / "images" / "a.png", make_grey())
    assert finding_counts(list_source(tmp_path / "only")) == {"Asthma": 1}


def test_names_that_are_not_text_are_left_out_and_said(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 1})
    (tmp_path / "COVID" / os.fsdecode(b"caf\xe9.png")).touch()
    folder = tmp_path / "COVID" / os.fsdecode(b"\xe9t\xe9")
    folder.mkdir()
    (folder / "1.png").touch()
    listing = list_source(tmp_path)
    assert listing.images.height == 1
    assert sorted(listing.notes) == [
        "Left out: 1 file, because its name is not valid UTF-8.",
        "Left out: 1 folder, because its name is not valid UTF-8, and its images are missing: rename it.",
    ]
    assert listing.left_out["path"].to_list() == [
        rf"{tmp_path}/COVID/{name}" for name in (r"\xe9t\xe9", r"caf\xe9.png")
    ]


def test_missing_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder or file .*none. Check the path"):
        list_source(tmp_path / "none")


def test_source_of_another_kind(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", make_grey())
    with pytest.raises(DataError, match=r"a\.png is an image \(PNG\), neither a folder nor a table"):
        list_source(path)


def test_source_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no images. Carina understands: one folder per finding"):
        list_source(tmp_path)
    (tmp_path / "COVID").mkdir()
    (tmp_path / "COVID" / "notes.txt").write_text("text")
    with pytest.raises(
        DataError, match=r"holds no images. Left out, since they are not images: 1 .txt file. Carina und"
    ):
        list_source(tmp_path)


def test_archives_alone_are_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "Normal.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        DataError, match=r"they are not images: 1 ZIP archive. Unpack the archives first. Carina underst"
    ):
        list_source(tmp_path)


def test_a_finding_that_is_not_there(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 1, "Normal": 1})
    with pytest.raises(ConfigurationError, match=r"has no finding 'Viral Pneumonia'. It has: COVID-19, Normal"):
        list_source(tmp_path, findings=["viral_pneumonia", "covid"])


def test_a_folder_that_may_not_be_entered_is_said_not_skipped(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 1, "Normal": 1})
    closed = tmp_path / "Normal" / "closed"
    write_image(closed / "a.png", make_grey())
    let_others_enter(tmp_path)
    closed.chmod(0)
    try:
        with as_ordinary_user(), pytest.raises(DataError, match="closed cannot be listed: Permission denied"):
            list_source(tmp_path)
    finally:
        closed.chmod(0o755)


def test_the_four_official_folders_are_known() -> None:
    assert OFFICIAL_FOLDERS == ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def test_images_beside_the_findings_folders_are_told(tmp_path: Path) -> None:
    write_tree(tmp_path, {"Tuberculosis": 1, "normal": 1})
    write_image(tmp_path / "stray.png", make_grey())
    assert list_source(tmp_path).notes == ("Left out: 1 file, because it lies in no finding's folder.",)
    flat = tmp_path / "flat"
    for name in ("a.png", "b.png"):
        write_image(flat / name, make_grey())
    with pytest.raises(DataError, match="flat holds 2 images, but in no finding's folder"):
        list_source(flat)
