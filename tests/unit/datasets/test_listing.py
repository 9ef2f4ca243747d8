"""What a source says of its images: the official layout, any tree, CSV and Parquet, and what is refused."""

import os

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
    let_others_enter,
    make_grey,
    write_csv,
    write_image,
    write_official,
    write_tree,
)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("official"))


def counts(listing):
    return dict(listing.images.group_by("finding").len().iter_rows())


def test_official_layout(official):
    listing = list_source(official)
    assert listing.images.schema == LISTING_SCHEMA
    assert counts(listing) == {COVID_19: 4, NORMAL: 4, VIRAL_PNEUMONIA: 4}
    assert not listing.images["path"].str.contains("masks").any()
    row = listing.images.row(by_predicate=pl.col("path").str.ends_with("/COVID-2.png"), named=True)
    assert row["path"] == str(official / "COVID" / "images" / "COVID-2.png")
    assert row["mask"] == str(official / "COVID" / "masks" / "COVID-2.png")
    assert any("Lung Opacity was left out; name it with --findings" in note for note in listing.notes)


def test_official_sources_come_from_the_workbook(official):
    images = list_source(official, findings=["covid", "Lung_Opacity", "normal", "Viral Pneumonia"]).images
    sources = images.group_by("finding").agg(pl.col("source").sort())
    assert dict(sources.iter_rows()) == {
        COVID_19: ["bimcv", "bimcv", "public", "public"],
        LUNG_OPACITY: ["rsna"] * 4,
        NORMAL: ["rsna"] * 4,
        VIRAL_PNEUMONIA: ["kermany"] * 4,
    }


def test_lung_opacity_when_it_is_named(official):
    listing = list_source(official, findings=["Lung_Opacity", "COVID"])
    assert counts(listing) == {COVID_19: 4, LUNG_OPACITY: 4}
    assert not any("left out; name it" in note for note in listing.notes)


def test_official_layout_without_workbooks(tmp_path):
    listing = list_source(write_official(tmp_path, 2, workbooks=False))
    assert listing.images.height == 6
    assert listing.images["source"].null_count() == 6


def test_sources_that_are_not_known_go_by_their_host(tmp_path):
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
def test_damaged_workbook(tmp_path, damage):
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


def test_any_tree(tmp_path):
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
    assert counts(listing) == {"Tuberculosis": 3, NORMAL: 1}
    assert listing.notes == (
        "Left out, since they are no images: 1 empty file.",
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


def test_two_folders_of_one_finding_are_one(tmp_path):
    write_tree(tmp_path, {"COVID": 1, "covid19": 2})
    assert counts(list_source(tmp_path)) == {COVID_19: 3}


def test_the_order_is_by_name(tmp_path):
    write_tree(tmp_path, {"b": 12, "a": 2})
    assert list_source(tmp_path).images["path"].to_list() == sorted(list_source(tmp_path).images["path"].to_list())


@pytest.mark.parametrize("depth", [1, 2])
def test_wrapped_folder(tmp_path, depth):
    inner = tmp_path.joinpath(*["COVID-19_Radiography_Dataset"] * depth)
    write_official(inner, 1)
    (tmp_path / "__MACOSX").mkdir()
    assert counts(list_source(tmp_path)) == {COVID_19: 1, NORMAL: 1, VIRAL_PNEUMONIA: 1}


def test_wrapped_manifest(tmp_path):
    write_tree(tmp_path / "wrapped", {"COVID": 1, "Normal": 1})
    write_csv(
        tmp_path / "wrapped" / "manifest.csv", ["path", "finding", "patient"], [["COVID/COVID-1.png", "COVID", "7"]]
    )
    assert list_source(tmp_path).images["patient"].to_list() == ["7"]


def test_a_single_finding_is_not_taken_for_a_wrapping(tmp_path):
    write_tree(tmp_path / "Normal", {"patient 1": 2, "patient 2": 1})
    assert counts(list_source(tmp_path)) == {NORMAL: 3}
    write_image(tmp_path / "only" / "Asthma" / "images" / "a.png", make_grey())
    assert counts(list_source(tmp_path / "only")) == {"Asthma": 1}


def test_names_that_are_not_text_are_left_out_and_said(tmp_path):
    write_tree(tmp_path, {"COVID": 1})
    (tmp_path / "COVID" / os.fsdecode(b"caf\xe9.png")).touch()
    folder = tmp_path / "COVID" / os.fsdecode(b"\xe9t\xe9")
    folder.mkdir()
    (folder / "1.png").touch()
    listing = list_source(tmp_path)
    assert listing.images.height == 1
    assert sorted(listing.notes) == [
        "1 file left out: its name is not valid UTF-8.",
        "1 folder left out: its name is not valid UTF-8, and its images are missing: rename it.",
    ]
    assert listing.left_out["path"].to_list() == [
        rf"{tmp_path}/COVID/{name}" for name in (r"\xe9t\xe9", r"caf\xe9.png")
    ]


def test_missing_source(tmp_path):
    with pytest.raises(DataError, match=r"There is no folder or file .*none. Check the path"):
        list_source(tmp_path / "none")


def test_source_of_another_kind(tmp_path):
    path = tmp_path / "images.zip"
    path.touch()
    with pytest.raises(DataError, match=r"neither a folder nor a .csv or .parquet manifest"):
        list_source(path)


def test_source_without_images(tmp_path):
    with pytest.raises(DataError, match=r"holds no images. Carina understands: one folder per finding"):
        list_source(tmp_path)
    (tmp_path / "COVID").mkdir()
    (tmp_path / "COVID" / "notes.txt").write_text("text")
    with pytest.raises(
        DataError, match=r"holds no images. Left out, since they are no images: 1 .txt file. Carina und"
    ):
        list_source(tmp_path)


def test_archives_alone_are_to_be_unpacked(tmp_path):
    (tmp_path / "Normal.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        DataError, match=r"they are no images: 1 ZIP archive. Unpack the archives first. Carina underst"
    ):
        list_source(tmp_path)


def test_a_finding_that_is_not_there(tmp_path):
    write_tree(tmp_path, {"COVID": 1, "Normal": 1})
    with pytest.raises(ConfigurationError, match=r"has no finding 'Viral Pneumonia'. It has: COVID-19, Normal"):
        list_source(tmp_path, findings=["viral_pneumonia", "covid"])


def test_a_folder_that_may_not_be_entered_is_said_not_skipped(tmp_path):
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


HEADER = ["path", "finding", "patient", "source", "view", "age", "sex", "mask"]


def test_csv_manifest(tmp_path):
    rows = [
        ["a.png", "covid", " P1 ", "north", "PA", "61.5", "F", "m/a.png"],
        [str(tmp_path / "elsewhere" / "b.png"), "Asthma", "", "", "", "", "", ""],
    ]
    path = write_csv(tmp_path / "any name.csv", HEADER, rows)
    listing = list_source(path)
    assert listing.images.schema == LISTING_SCHEMA
    assert listing.images.rows() == [
        (str(tmp_path / "a.png"), COVID_19, "P1", "north", "PA", 61.5, "F", str(tmp_path / "m" / "a.png"), None),
        (str(tmp_path / "elsewhere" / "b.png"), "Asthma", None, None, None, None, None, None, None),
    ]
    assert listing.notes == ()


@pytest.mark.parametrize("name", ["manifest.csv", "metadata.csv", "manifest.parquet"])
def test_a_folder_with_a_manifest(tmp_path, name):
    write_tree(tmp_path, {"COVID": 2})
    table = pl.DataFrame({"path": ["COVID/COVID-1.png"], "finding": ["Asthma"]})
    table.write_parquet(tmp_path / name) if name.endswith("parquet") else table.write_csv(tmp_path / name)
    assert counts(list_source(tmp_path)) == {"Asthma": 1}


def test_parquet_manifest_of_many_types(tmp_path):
    table = pl.DataFrame(
        {
            "file": ["a.png", "b.png"],
            "finding": pl.Series(["COVID", "Normal"], dtype=pl.Categorical),
            "patient": [17, None],
            "age": pl.Series([40, None], dtype=pl.Int16),
        }
    )
    table.write_parquet(tmp_path / "t.parquet")
    images = list_source(tmp_path / "t.parquet").images
    assert images["patient"].to_list() == ["17", None]
    assert images["age"].to_list() == [40.0, None]
    assert images["finding"].to_list() == [COVID_19, NORMAL]


def test_parquet_columns_of_lists_are_refused(tmp_path):
    pl.DataFrame({"path": [["a.png"]], "finding": ["COVID"]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"its column 'path' holds List\(String\)"):
        list_source(tmp_path / "t.parquet")


def test_file_is_another_name_for_path(tmp_path):
    path = write_csv(tmp_path / "m.csv", ["file", "finding"], [["a.png", "COVID"]])
    assert list_source(path).images["path"].to_list() == [str(tmp_path / "a.png")]
    both = write_csv(tmp_path / "both.csv", ["file", "path", "finding"], [["a.png", "b.png", "COVID"]])
    with pytest.raises(DataError, match="unknown columns: file"):
        list_source(both)


@pytest.mark.parametrize("missing", ["path", "finding"])
def test_missing_columns(tmp_path, missing):
    header = [name for name in ("path", "finding", "age") if name != missing]
    path = write_csv(tmp_path / "m.csv", header, [["a", "1"]])
    with pytest.raises(DataError, match=f"has no column '{missing}'. It has: {', '.join(header)}"):
        list_source(path)


def test_unknown_columns_are_refused_or_left_out(tmp_path):
    path = write_csv(tmp_path / "m.csv", ["path", "finding", "Label", "x"], [["a.png", "COVID", "1", "2"]])
    with pytest.raises(DataError, match=r"unknown columns: Label, x. Known: path, .*--ignore-unknown-columns"):
        list_source(path)
    listing = list_source(path, ignore_unknown_columns=True)
    assert listing.images.height == 1
    assert listing.notes == ("Columns left out: Label, x.",)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [["a.png", "COVID", ""], ["b.png", "", ""]],
            "row 3: it has no finding; an unknown finding is not a normal one",
        ),
        ([["a.png", "COVID", ""], ["b.png", "  ", ""]], "row 3: it has no finding"),
        ([["", "COVID", ""]], "row 2: it has no path"),
        ([["a.png", "COVID", "old"]], "row 2: its age is not a number"),
        ([["a.png", "COVID", "1"], ["b.png", "COVID", "nan"]], "row 3: its age is not a number"),
        ([["a.png", "COVID", "inf"]], "row 2: its age is not a number"),
        (
            [["a.png", "COVID", ""], ["b.png", "COVID", ""], ["a.png", "Normal", ""]],
            "rows 2 and 4: the same image twice",
        ),
        ([["a.png", "COVID", ""], ["./a.png", "COVID", ""]], "rows 2 and 3: the same image twice"),
    ],
)
def test_wrong_rows_are_named(tmp_path, rows, says):
    path = write_csv(tmp_path / "m.csv", ["path", "finding", "age"], rows)
    with pytest.raises(DataError, match=says):
        list_source(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b""),
        ("m.csv", b"path,finding\na.png,COVID,1,2,3\n"),
        ("m.csv", b"path,finding\n\xff\xfe\xfa,COVID\n"),
        ("m.parquet", b""),
        ("m.parquet", b"PAR1 nonsense PAR1"),
    ],
)
def test_damaged_tables(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as a table \(\w+\)"):
        list_source(tmp_path / name)


def test_a_header_alone_holds_no_images(tmp_path):
    path = write_csv(tmp_path / "m.csv", HEADER, [])
    with pytest.raises(DataError, match="holds no images"):
        list_source(path)


def test_csv_with_a_byte_order_mark_and_windows_lines(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("\ufeffpath,finding\r\nröntgen 1.png,COVID\r\n".encode())
    assert list_source(path).images["path"].to_list() == [str(tmp_path / "röntgen 1.png")]


def test_the_four_official_folders_are_known():
    assert OFFICIAL_FOLDERS == ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def test_images_beside_the_findings_folders_are_told(tmp_path):
    write_tree(tmp_path, {"Tuberculosis": 1, "normal": 1})
    write_image(tmp_path / "stray.png", make_grey())
    assert list_source(tmp_path).notes == ("1 file left out: it lies in no finding's folder.",)
    flat = tmp_path / "flat"
    for name in ("a.png", "b.png"):
        write_image(flat / name, make_grey())
    with pytest.raises(DataError, match="flat holds 2 images, but in no finding's folder"):
        list_source(flat)
