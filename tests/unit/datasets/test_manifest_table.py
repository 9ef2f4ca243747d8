"""Tables that name images: what they say, what is left out and said, and what is refused."""

from pathlib import Path

import polars as pl
import pytest

from carina.datasets.listing import Listing, list_source
from carina.datasets.manifest import LISTING_SCHEMA
from carina.errors import ConfigurationError, DataError
from carina.findings import COVID_19, NORMAL
from make import finding_counts, touch_images, write_csv, write_tree

HEADER = ["path", "finding", "patient", "source", "view", "age", "sex", "mask", "split"]


def said(listing: Listing) -> str:
    return " ".join(listing.notes)


def test_csv_manifest(tmp_path: Path) -> None:
    touch_images(tmp_path, "a.png", "elsewhere/b.png", "m/a.png")
    rows = [
        ["a.png", "covid", " P1 ", "north", "PA", "61.5", "F", "m/a.png", "train"],
        [str(tmp_path / "elsewhere" / "b.png"), "Asthma", "", "", "", "", "", "", ""],
    ]
    path = write_csv(tmp_path / "any name.csv", HEADER, rows)
    listing = list_source(path)
    assert listing.images.schema == LISTING_SCHEMA
    assert listing.images.rows() == [
        (str(tmp_path / "a.png"), COVID_19, "P1", "north", "PA", 61.5, "F", str(tmp_path / "m" / "a.png"), "train"),
        (str(tmp_path / "elsewhere" / "b.png"), "Asthma", None, None, None, None, None, None, None),
    ]
    assert listing.notes == ()


@pytest.mark.parametrize("name", ["manifest.csv", "metadata.csv", "manifest.parquet"])
def test_a_folder_with_a_manifest(tmp_path: Path, name: str) -> None:
    write_tree(tmp_path, {"COVID": 2})
    table = pl.DataFrame({"path": ["COVID/COVID-1.png"], "finding": ["Asthma"]})
    table.write_parquet(tmp_path / name) if name.endswith("parquet") else table.write_csv(tmp_path / name)
    listing = list_source(tmp_path)
    assert finding_counts(listing) == {"Asthma": 1}
    assert f"The images are those that {name} names, with its findings; folders were not searched." in listing.notes


def test_images_that_no_row_names_are_counted_and_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 3, "lung masks": 1})
    write_csv(tmp_path / "manifest.csv", ["path", "finding"], [["COVID/../COVID/COVID-2.png", "COVID"]])
    for listing in (list_source(tmp_path), list_source(tmp_path, labels=tmp_path / "manifest.csv")):
        says = f"Left out, since no row of the table names them: 2 of 3 images below {tmp_path}."
        assert says in listing.notes
        assert listing.left_out.rows() == [
            (str(tmp_path / "COVID" / f"COVID-{n}.png"), "no row of the table names it") for n in (1, 3)
        ]
    # Who names a table alone asks for nothing else.
    assert list_source(tmp_path / "manifest.csv").left_out.is_empty()


def test_an_unrelated_table_beside_finding_folders_is_not_used_and_said(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 2, "Normal": 1})
    write_csv(tmp_path / "metadata.csv", ["FILE NAME", "URL"], [["COVID-1", "https://example.org"]])
    listing = list_source(tmp_path)
    assert finding_counts(listing) == {COVID_19: 2, NORMAL: 1}
    assert "metadata.csv was not used to find images" in said(listing)
    assert "has no column 'finding'. It has: FILE NAME, URL" in said(listing)
    (tmp_path / "metadata.csv").write_bytes(b"\0\1\2nonsense" * 99)
    assert "metadata.csv was not used to find images" in said(list_source(tmp_path))
    # Where there are no folders either, the table is what is wrong.
    write_csv(tmp_path / "alone" / "metadata.csv", ["FILE NAME", "URL"], [["COVID-1", "https://example.org"]])
    with pytest.raises(DataError, match="has no column 'finding'"):
        list_source(tmp_path / "alone")


def test_of_two_manifests_one_is_used_and_the_other_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"COVID": 2})
    for name, row in (("manifest.csv", "COVID/COVID-1.png"), ("metadata.csv", "COVID/COVID-2.png")):
        write_csv(tmp_path / name, ["path", "finding"], [[row, "COVID"]])
    listing = list_source(tmp_path)
    assert listing.images["path"].to_list() == [str(tmp_path / "COVID" / "COVID-1.png")]
    assert "metadata.csv was not used, since manifest.csv lies beside it." in listing.notes


def test_parquet_manifest_of_many_types(tmp_path: Path) -> None:
    touch_images(tmp_path, "a.png", "b.png")
    table = pl.DataFrame(
        {
            "file": ["a.png", "b.png"],
            "finding": pl.Series(["COVID", "Normal"], dtype=pl.Categorical),
            "patient": [17, None],
            "age": pl.Series([40, None], dtype=pl.Int16),
        }
    )
    table.write_parquet(tmp_path / "t.parquet")
    listing = list_source(tmp_path / "t.parquet")
    assert listing.images["patient"].to_list() == ["17", None]
    assert listing.images["age"].to_list() == [40.0, None]
    assert listing.images["finding"].to_list() == [COVID_19, NORMAL]
    assert listing.notes == ("Columns of t.parquet: path is 'file'.",)


@pytest.mark.parametrize("missing", ["path", "finding"])
def test_missing_columns(tmp_path: Path, missing: str) -> None:
    header = [name for name in ("path", "finding", "age") if name != missing]
    path = write_csv(tmp_path / "m.csv", header, [["a", "1"]])
    says = rf"m\.csv has no column '{missing}'. It has: {', '.join(header)} .* UTF-8\). Say which columns"
    with pytest.raises(DataError, match=says):
        list_source(path)


def test_a_column_that_names_images_is_pointed_at(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", ["Nr", "Das Bild", "Befund"], [["1", "a.png", "x"], ["2", "b.JPG", "x"]])
    says = r"no column 'path' or 'finding'. .* 'Das Bild' names images. Say which .*: --column 'path=Das Bild' --col"
    with pytest.raises(DataError, match=says):
        list_source(path)


def test_a_column_for_each_finding_is_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", ["path", "Normal", "TB"], [["a.png", "1", "0"], ["b.png", "0", "1.0"]])
    with pytest.raises(DataError, match=r"Normal, TB seem to be findings with 1 or 0. Carina needs one column"):
        list_source(path)


def test_unknown_columns_are_refused_or_left_out(tmp_path: Path) -> None:
    touch_images(tmp_path, "a.png")
    path = write_csv(tmp_path / "m.csv", ["path", "finding", "Label", "x"], [["a.png", "COVID", "1", "2"]])
    with pytest.raises(DataError, match=r"unknown columns: Label, x. Known: path, .*--ignore-unknown-columns"):
        list_source(path)
    listing = list_source(path, ignore_unknown_columns=True)
    assert listing.images.height == 1
    assert listing.notes == ("Columns left out: Label, x.",)
    # Who names a column has looked at them.
    listing = list_source(path, columns={"source": "x"})
    assert listing.images["source"].to_list() == ["2"]
    assert listing.notes == ("Columns left out: Label.", "Columns of m.csv: source is 'x'.")


def test_images_without_one_known_finding_are_left_out_and_counted(tmp_path: Path) -> None:
    cells = ["COVID", "normal", "", "-1", "nan", "None", "NA", "?", " Uncertain ", "A|B", "b; a", "['A']", "A|n/a"]
    touch_images(tmp_path, *(f"{n}.png" for n in range(len(cells))))
    path = write_csv(tmp_path / "m.csv", ["path", "finding"], [[f"{n}.png", cell] for n, cell in enumerate(cells)])
    listing = list_source(path)
    assert finding_counts(listing) == {COVID_19: 1, NORMAL: 1, "A": 1}
    assert "8 images were left out, since the finding is not known: " in said(listing)
    assert "and 3 others." in said(listing)
    assert "2 images were left out, since several findings are named: A|B (2)." in said(listing)


def test_several_findings_that_get_one_name_are_one_finding(tmp_path: Path) -> None:
    cells = ["A|B", "A", "B|C", "unknown", "A|C"]
    touch_images(tmp_path, *(f"{n}.png" for n in range(len(cells))))
    path = write_csv(tmp_path / "m.csv", ["path", "finding"], [[f"{n}.png", cell] for n, cell in enumerate(cells)])
    listing = list_source(path, rename={"A": "Other opacity", "B": "Other opacity", "A|C": "COVID", "unknown": "todo"})
    assert listing.images["finding"].to_list() == ["Other opacity", "Other opacity", "todo", COVID_19]
    assert listing.notes[:3] == (
        "1 image renamed COVID-19: A|C (1).",
        "2 images renamed Other opacity: A (3), B (2).",
        "1 image renamed todo: unknown (1).",
    )
    assert "1 image was left out, since several findings are named: Other opacity|C (1)." in said(listing)


def test_without_one_known_finding_nothing_is_imported(tmp_path: Path) -> None:
    touch_images(tmp_path, "a.png", "b.png")
    path = write_csv(tmp_path / "m.csv", ["path", "finding"], [["a.png", "?"], ["b.png", ""]])
    with pytest.raises(DataError, match=r"No image has one known finding. 2 images were left out.*empty cell \(1\)"):
        list_source(path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([["", "COVID", ""]], "row 2: it has no path"),
        (
            [["a.png", "COVID", "P1"], ["b.png", "COVID", ""], ["./a.png", "COVID", "P2"]],
            "rows 2 and 4: the same image twice, with another patient",
        ),
        (
            [["north/a.png", "COVID", ""], ["south/a.png", "COVID", ""]],
            r"rows 2 and 3: two different paths, and the only file that fits both is .*/a\.png",
        ),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, rows: list[list[str]], says: str) -> None:
    touch_images(tmp_path, "a.png", "b.png")
    path = write_csv(tmp_path / "m.csv", ["path", "finding", "patient"], rows)
    with pytest.raises(DataError, match=says):
        list_source(path)


def test_an_image_in_several_rows_has_the_findings_of_all(tmp_path: Path) -> None:
    touch_images(tmp_path, "a.png", "b.png", "c.png")
    rows = [["a.png", "COVID"], ["b.png", "COVID"], ["./a.png", "Nodule"], ["b.png", "covid-19"], ["c.png", "Nodule"]]
    listing = list_source(write_csv(tmp_path / "m.csv", ["path", "finding"], rows))
    assert finding_counts(listing) == {COVID_19: 1, "Nodule": 1}
    assert "m.csv names 2 images in several rows, 4 in all; each was taken once." in listing.notes
    assert "1 image was left out, since several findings are named: COVID-19|Nodule (1)." in said(listing)


def test_a_header_alone_holds_no_images(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", HEADER, [])
    with pytest.raises(DataError, match=r"m\.csv has no rows below its header"):
        list_source(path)


def test_images_that_do_not_exist(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", ["path", "finding"], [["x/a.png", "COVID"], ["b.png", "COVID"]])
    with pytest.raises(DataError) as wrong:
        list_source(path)
    assert str(wrong.value) == (
        f"None of the 2 images that {path} names exists. The first that was tried is {tmp_path}/x/a.png; no file below "
        f"{tmp_path} fits 'x/a.png' either. If the images lie elsewhere, name their folder, and the table with "
        f"--labels: carina data import FOLDER --labels {path}"
    )
    alone = write_csv(tmp_path / "alone.csv", ["path", "finding"], [["x/a.png", "COVID"]])
    with pytest.raises(DataError, match=r"^The one image that .*alone\.csv names does not exist\. The first that was"):
        list_source(alone)
    touch_images(tmp_path, "b.png")
    listing = list_source(path)
    # Its row stays, and becomes an error when it is read.
    assert listing.images.height == 2
    assert f"1 of 2 images that m.csv names do not exist. The first that was tried is {tmp_path}/x/a.png; " in said(
        listing
    )


def test_a_table_and_the_folder_of_its_images(tmp_path: Path) -> None:
    touch_images(tmp_path / "films", "deep/a.png", "deep/b.png")
    path = write_csv(
        tmp_path / "tables" / "m.csv", ["Image", "Label", "PatientID"], [["a", "COVID", "7"], ["b", "x", ""]]
    )
    listing = list_source(tmp_path / "films", labels=path)
    assert [Path(it).relative_to(tmp_path).as_posix() for it in listing.images["path"]] == [
        "films/deep/a.png",
        "films/deep/b.png",
    ]
    assert listing.images["patient"].to_list() == ["7", None]
    assert "2 of 2 images do not lie at the path that m.csv gives and were found by their name" in said(listing)


def test_with_a_key_patients_are_hashed_as_those_of_dicom_files_are(tmp_path: Path) -> None:
    touch_images(tmp_path, "a.png", "b.png")
    path = write_csv(
        tmp_path / "m.csv", ["path", "finding", "patient"], [["a.png", "x", "SECRET-1"], ["b.png", "x", ""]]
    )
    one, none = list_source(path, patient_key=b"k" * 32).images["patient"]
    assert none is None
    assert len(one) == 64
    assert list_source(path, patient_key=b"l" * 32).images["patient"][0] not in (one, "SECRET-1")


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", ["path", "finding"], [["a.png", "x"]])
    with pytest.raises(ConfigurationError, match="--labels-as nih knows its columns"):
        list_source(path, labels_as="nih", columns={"path": "x"})
    with pytest.raises(ConfigurationError, match="--uncertain is for the tables of --labels-as chexpert and mimic"):
        list_source(path, uncertain="positive")
    write_tree(tmp_path / "tree", {"COVID": 1})
    with pytest.raises(ConfigurationError, match=r"--column needs a table, and .* holds none that names images"):
        list_source(tmp_path / "tree", columns={"path": "x"})
    with pytest.raises(DataError, match=r"comes first: carina data import \S+ --labels \S+m\.csv$"):
        list_source(tmp_path / "m.csv", labels=tmp_path)
    with pytest.raises(DataError, match=r"m\.csv is not a folder\. With --labels, name the folder of the images"):
        list_source(path, labels=path)
