"""What folders mean: findings, sources, splits, patients and wrappings are told apart, or the user is asked."""

import shutil
from pathlib import Path

import pytest

from carina.datasets.listing import Listing, list_source
from carina.errors import ConfigurationError, DataError
from carina.findings import NORMAL
from carina.radiographs.dicom.identity import identifier_digest
from make import write_csv, write_films

KERMANY = [
    f"{split}/{finding}/{finding[0]}{n}.jpeg"
    for split, count in (("train", 4), ("val", 1), ("test", 2))
    for finding in ("NORMAL", "PNEUMONIA")
    for n in range(count)
]


def said(listing: Listing, *columns: str) -> dict[tuple[str | None, ...], int]:
    """How many images have which values in some columns."""
    return {tuple(row[:-1]): row[-1] for row in listing.images.group_by(columns).len().iter_rows()}


def findings(listing: Listing) -> dict[str | None, int]:
    return {finding: count for (finding,), count in said(listing, "finding").items()}


@pytest.mark.parametrize("wrapping", ["", "chest_xray/", "chest_xray/chest_xray/", "archive/data/chest_xray/"])
def test_a_published_split_is_no_finding(tmp_path: Path, wrapping: str) -> None:
    write_films(tmp_path, *(wrapping + name for name in KERMANY))
    (tmp_path / "archive.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / wrapping / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    (tmp_path / wrapping / "train" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._chest_xray").write_bytes(b"\x00\x05\x16\x07")
    listing = list_source(tmp_path)
    assert findings(listing) == {NORMAL: 7, "PNEUMONIA": 7}
    assert said(listing, "split") == {("train",): 8, ("validation",): 2, ("test",): 4}
    assert listing.published == "folders"
    assert listing.images["source"].null_count() == 14
    assert "1 ZIP archive, 1 file of Windows' own, 1 file of macOS' own." in " ".join(listing.notes)


def test_a_folder_that_was_unpacked_into_itself_is_taken_once(tmp_path: Path) -> None:
    write_films(tmp_path / "chest_xray", *KERMANY)
    shutil.copytree(tmp_path / "chest_xray", tmp_path / "twice" / "chest_xray")
    shutil.copytree(tmp_path / "chest_xray", tmp_path / "twice" / "chest_xray" / "chest_xray")
    for source in (tmp_path / "twice", tmp_path / "twice" / "chest_xray"):
        listing = list_source(source)
        assert findings(listing) == {NORMAL: 7, "PNEUMONIA": 7}
        assert not listing.images["path"].str.contains("chest_xray/chest_xray").any()
        assert (
            "Left out: 14 files, each because it is a second copy: a folder in a folder of the same name"
            in listing.notes[0]
        )
    # With another file in it, it is no copy.
    write_films(tmp_path / "twice" / "chest_xray" / "chest_xray" / "train" / "NORMAL", "more.png")
    assert findings(list_source(tmp_path / "twice")) == {NORMAL: 15, "PNEUMONIA": 14}


@pytest.mark.parametrize("names", [("siteA", "siteB"), ("north", "south"), ("1", "2")])
@pytest.mark.parametrize("split", ["", "/train", "/images"])
def test_outer_folders_are_sources(tmp_path: Path, names: tuple[str, str], split: str) -> None:
    write_films(tmp_path, *(f"{name}{split}/{finding}/a.png" for name in names for finding in ("Normal", "TB")))
    listing = list_source(tmp_path)
    assert said(listing, "finding", "source") == {(f, name): 1 for f in (NORMAL, "TB") for name in names}
    (note,) = listing.notes
    assert note == (
        f"The outer folders are taken as the images' sources: {names[0]} (2), {names[1]} (2). Other meanings: --layout."
    )


def test_splits_may_lie_above_or_below_findings_and_sources(tmp_path: Path) -> None:
    write_films(tmp_path / "a", "Normal/train/1.png", "Normal/test/2.png", "TB/train/3.png", "TB/Validation/4.png")
    listing = list_source(tmp_path / "a")
    assert findings(listing) == {NORMAL: 2, "TB": 2}
    assert said(listing, "split") == {("train",): 2, ("test",): 1, ("validation",): 1}
    write_films(tmp_path / "b", "Training_set/siteA/Normal/1.png", "test-images/siteB/TB/2.png")
    assert said(list_source(tmp_path / "b"), "finding", "source", "split") == {
        (NORMAL, "siteA", "train"): 1,
        ("TB", "siteB", "test"): 1,
    }


def test_a_finding_called_test_beside_controls_is_no_split(tmp_path: Path) -> None:
    write_films(tmp_path, "test/1.png", "control/2.png")
    assert findings(list_source(tmp_path)) == {"test": 1, "control": 1}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # Equal names below known findings say nothing of the finding.
        (["Normal/PA/1.png", "Normal/AP/2.png", "TB/PA/3.png", "TB/AP/4.png"], {NORMAL: 2, "TB": 2}),
        (["Normal/images/1.png", "TB/images/2.png", "Silicosis/images/3.png"], {NORMAL: 1, "TB": 1, "Silicosis": 1}),
        # Where a finding and its absence lie in a folder, that is the data set's name.
        (["COVID-19/Normal/1.png", "COVID-19/COVID/2.png"], {NORMAL: 1, "COVID-19": 1}),
        (["Pneumonia/train/Normal/1.png", "Pneumonia/train/Pneumonia/2.png"], {NORMAL: 1, "Pneumonia": 1}),
        (
            ["COVID-19/Normal/1.png", "COVID-19/COVID/2.png", "TB/Normal/3.png", "TB/TB/4.png"],
            {NORMAL: 2, "COVID-19": 1, "TB": 1},
        ),
        (["TB/1.png", "TB/normal/2.png"], {NORMAL: 1, "TB": 1}),
        (["TB/negative/1.png", "TB/positive/2.png"], {"negative": 1, "positive": 1}),
        (["norte/Sano/1.png", "sur/Sano/2.png", "sur/TB/3.png"], {NORMAL: 2, "TB": 1}),
        (["TB/negativo/1.png", "TB/positivo/2.png"], {"negativo": 1, "positivo": 1}),
        (["TB/0/1.png", "TB/1/2.png", "Gout/0/3.png"], {"TB": 2, "Gout": 1}),
        # Mixed depths.
        (["Normal/1.png", "Pneumonia/bacteria/2.png", "Pneumonia/virus/3.png"], {NORMAL: 1, "Pneumonia": 2}),
        (["siteA/Normal/1.png", "siteA/TB/2.png", "siteB/Silicosis/3.png"], {NORMAL: 1, "TB": 1, "Silicosis": 1}),
        (["Normal/Normal/1.png", "TB/TB/2.png"], {NORMAL: 1, "TB": 1}),
        (["siteA/Normal/1.png", "Normal/2.png", "TB/3.png"], {NORMAL: 2, "TB": 1}),
        # Nothing but the user's own names.
        (["Asthma/1.png", "Silicosis/2.png"], {"Asthma": 1, "Silicosis": 1}),
        (["Asthma/x/1.png", "Silicosis/y/2.png"], {"Asthma": 1, "Silicosis": 1}),
        (["data/0/1.png", "data/1/2.png"], {"0": 1, "1": 1}),
        # One finding alone.
        (["Normal/patient 1/1.png", "Normal/patient 2/2.png"], {NORMAL: 2}),
        (["Asthma/patient 1/1.png", "Asthma/patient 2/2.png"], {"Asthma": 2}),
    ],
)
def test_which_folders_are_findings(tmp_path: Path, names: list[str], expected: dict[str, int]) -> None:
    assert findings(list_source(write_films(tmp_path / "films", *names))) == expected


def test_a_finding_within_another_is_told(tmp_path: Path) -> None:
    write_films(tmp_path, "Normal/1.png", "Pneumonia/bacteria/2.png", "Pneumonia/virus/3.png")
    (note,) = list_source(tmp_path).notes
    assert note == (
        "The folders bacteria, virus lie in the folder of another finding and count as that one. To keep them apart, "
        "move them beside it."
    )


def test_equal_names_that_nobody_knows_are_asked_about(tmp_path: Path) -> None:
    write_films(tmp_path, *(f"{a}/{b}/1.png" for a in ("north", "south") for b in ("Asthma", "Gout")))
    with pytest.raises(
        DataError, match=r"the folders north, south hold folders of equal names \(Asthma, Gout\).*--layout"
    ):
        list_source(tmp_path)
    inner = list_source(tmp_path, layout="source/finding")
    assert said(inner, "finding", "source") == {(f, s): 1 for f in ("Asthma", "Gout") for s in ("north", "south")}
    assert inner.choices.layout == "source/finding"
    assert findings(list_source(tmp_path, layout="finding")) == {"north": 2, "south": 2}


def test_patients_folders(tmp_path: Path) -> None:
    write_films(tmp_path / "a", "Normal/patient 1/1.png", "Normal/patient 1/2.png", "TB/Patient_2/3.png")
    listing = list_source(tmp_path / "a")
    assert said(listing, "patient") == {
        (identifier_digest("PatientID", "patient 1"),): 2,
        (identifier_digest("PatientID", "Patient_2"),): 1,
    }
    assert "Taken as patients, whose images stay together: 2 folders." in listing.notes[0]
    write_films(tmp_path / "b", *(f"sub-{n:03}/{f}/{n}.png" for n in range(3) for f in ("Normal", "TB")))
    assert list_source(tmp_path / "b").images["patient"].n_unique() == 3
    # Folders of many patients with a few films each are no hospitals, whatever their names.
    names = [chr(ord("a") + n) * 4 for n in range(12)]
    write_films(tmp_path / "d", *(f"{name}/{f}/1.png" for name in names for f in ("Normal", "TB")))
    listing = list_source(tmp_path / "d")
    assert (listing.images["patient"].n_unique(), listing.images["source"].null_count()) == (12, 24)
    assert not any(name in note for name in names for note in listing.notes)
    # A number alone may be anything: it is offered.
    write_films(tmp_path / "c", *(f"{f}/{n}/{n}.png" for n in range(3) for f in ("Normal", "TB")))
    listing = list_source(tmp_path / "c")
    assert listing.images["patient"].null_count() == 6
    assert "The findings' folders hold 3 numbered folders, which are not used." in listing.notes[0]
    assert list_source(tmp_path / "c", layout="finding/patient").images["patient"].n_unique() == 3
    keyed = list_source(tmp_path / "c", layout="finding/patient", patient_key=b"0123456789abcdef").images
    assert identifier_digest("PatientID", "1") not in keyed["patient"].to_list()


def test_patients_are_no_findings(tmp_path: Path) -> None:
    names = [chr(ord("a") + n) * 4 for n in range(12)]
    write_films(tmp_path / "a", *(f"{name}/{n}.png" for name in names for n in range(2)))
    write_films(tmp_path / "b", *(f"patient {n}/1.png" for n in range(3)))
    for source, count in ((tmp_path / "a", 12), (tmp_path / "b", 3)):
        with pytest.raises(DataError, match=f"holds {count} folders with .* they look like patients") as wrong:
            list_source(source)
        assert not any(name in str(wrong.value) for name in names)
        assert len(findings(list_source(source, layout="finding"))) == count


@pytest.mark.parametrize("folder", ["CXR_png", "chest x-rays", "JPG", "Images"])
def test_folders_that_say_no_more_than_images_are_no_findings(tmp_path: Path, folder: str) -> None:
    write_films(tmp_path, f"a/Normal/{folder}/1.png", f"a/TB/{folder}/2.png", f"b/{folder}/3.png")
    assert findings(list_source(tmp_path / "a")) == {NORMAL: 1, "TB": 1}
    with pytest.raises(DataError, match="holds 1 image, but in no finding's folder"):
        list_source(tmp_path / "b")


def test_a_layout_says_what_levels_mean(tmp_path: Path) -> None:
    write_films(tmp_path, "x/val/gout/p1/1.png", "x/train/gout/2.png", "x/loose.png", "x/train/3.png")
    listing = list_source(tmp_path, layout="-/split/finding/patient")
    assert said(listing, "finding", "split") == {("gout", "validation"): 1, ("gout", "train"): 1}
    assert listing.images["patient"].null_count() == 1
    assert listing.notes == ("Left out: 2 files, each because it lies in no finding's folder.",)
    with pytest.raises(
        DataError, match=r"They lie in fewer folders than --layout has levels\. Found there: folders x\."
    ):
        list_source(tmp_path, layout="-/-/-/-/finding")


@pytest.mark.parametrize(
    ("layout", "what"),
    [
        ("site/finding", "'site' is not a level"),
        ("source", "no level is the finding"),
        ("finding/finding", "finding comes twice"),
        ("", "'' is not a level"),
    ],
)
def test_a_layout_that_says_nothing_is_refused(tmp_path: Path, layout: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{what}. Write a word for each level"):
        list_source(write_films(tmp_path, "a/1.png"), layout=layout)


def test_a_layout_is_for_folders_alone(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "m.csv", ["path", "finding"], [["a.png", "TB"]])
    with pytest.raises(ConfigurationError, match=r"--layout is for one folder per finding. Leave it out for .*m.csv"):
        list_source(table, layout="finding")


def test_parts_of_a_cross_validation_are_no_sources(tmp_path: Path) -> None:
    write_films(tmp_path, *(f"fold_{n}/{f}/1.png" for n in (1, 2) for f in ("Normal", "TB")))
    listing = list_source(tmp_path)
    assert said(listing, "finding", "source") == {(NORMAL, None): 2, ("TB", None): 2}
    assert listing.notes == ("The folders fold_1, fold_2 are parts of a cross-validation and are not used.",)


def test_folders_without_a_radiograph_are_told(tmp_path: Path) -> None:
    write_films(tmp_path, "Normal/1.png", "TB/2.png")
    (tmp_path / "Silicosis").mkdir()
    assert list_source(tmp_path).notes == ("No radiograph lies in: Silicosis.",)


def test_an_unknown_layout_shows_what_was_found(tmp_path: Path) -> None:
    write_films(tmp_path, "train/1.png", "test/2.png", "3.png")
    with pytest.raises(DataError) as wrong:
        list_source(tmp_path)
    message = str(wrong.value)
    assert (
        "holds 3 images, but in no finding's folder. Found there: folders test, train. Carina understands: " in message
    )


@pytest.mark.parametrize(
    ("folder", "names", "says"),
    [
        ("films", ["a.png"], r"Make one folder per finding .*name it with --labels\."),
        (
            "films",
            ["a.png", "labels.csv"],
            r"Beside them: labels\.csv\. If that table .* --labels \S+/films/labels\.csv$",
        ),
        (
            "films",
            ["a.png", "._labels.csv", "a_scan.nii.gz", "labels.CSV.gz"],
            r"Beside them: labels\.CSV\.gz\. If that table .* --labels \S+/films/labels\.CSV\.gz$",
        ),
        ("films", ["a.png", "._labels.csv", "scan.nii.gz"], r"Make one folder per finding "),
        ("Normal", ["a.png"], r"named like a finding: import the folder above it, \S+\.$"),
    ],
)
def test_images_without_folders_get_an_advice_that_fits(
    tmp_path: Path, folder: str, names: list[str], says: str
) -> None:
    write_films(tmp_path / folder, names[0])
    for name in names[1:]:
        write_csv(tmp_path / folder / name, ["Bild", "Befund"], [["a.png", "TB"]])
    with pytest.raises(DataError, match=says) as refused:
        list_source(tmp_path / folder)
    assert "--layout" not in str(refused.value)


def test_a_layout_that_forgets_the_outermost_folder_is_told(tmp_path: Path) -> None:
    write_films(tmp_path, *(f"chest_xray/{name}" for name in KERMANY))
    with pytest.raises(DataError, match=r"has the folders test, train, val, .* are: chest_xray\. Write - for"):
        list_source(tmp_path, layout="split/finding")
    assert findings(list_source(tmp_path, layout="-/split/finding")) == {NORMAL: 7, "PNEUMONIA": 7}
