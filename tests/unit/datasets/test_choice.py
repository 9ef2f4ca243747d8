"""Renamed findings, chosen views and halves of the patients: what is taken, said and refused."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina.datasets.choice import canonical_renames, half_of, take_half
from carina.datasets.importing import import_dataset
from carina.datasets.listing import Listing, list_source
from carina.errors import ConfigurationError, DataError
from carina.findings import BASELINE_FINDINGS, COVID_19, LUNG_OPACITY, NORMAL, OTHER_OPACITY, VIRAL_PNEUMONIA
from make import finding_counts, names_in, touch_images, write_csv, write_official, write_tree

ROWS = [
    ["a.png", "Normal", "P1", "PA"],
    ["b.png", "COVID-19 with ARDS", "P1", "ap supine"],
    ["c.png", "COVID-19", "P2", "AP Supine"],
    ["d.png", "SARS", "P3", "L"],
    ["e.png", "SARS", "P4", "?"],
    ["f.png", "Lipoid", "", ""],
]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    touch_images(tmp_path, *(row[0] for row in ROWS))
    return write_csv(tmp_path / "m.csv", ["path", "finding", "patient", "view"], ROWS)


def names(listing: Listing) -> str:
    return "".join(path[-5] for path in listing.images["path"])


def test_findings_are_renamed_before_they_are_chosen(manifest: Path) -> None:
    rename = {"COVID-19 with ARDS": "covid", "SARS": "other_opacity", " no_finding ": "clear"}
    listing = list_source(manifest, rename=rename, findings=["COVID", "Other opacity", "clear"])
    assert finding_counts(listing) == {COVID_19: 2, OTHER_OPACITY: 2, "clear": 1}
    assert listing.notes == (
        "1 image renamed COVID-19: COVID-19 with ARDS (1).",
        "2 images renamed Other opacity: SARS (2).",
        "1 image renamed clear: Normal (1).",
        "--findings leaves out 1 of 6 images: Lipoid (1).",
    )
    assert listing.left_out["reason"].to_list() == ["its finding was not named with --findings"]
    with pytest.raises(ConfigurationError, match=r"has no finding 'SARS'. It has: COVID-19, Normal, "):
        list_source(manifest, rename={"SARS": "Other opacity"}, findings=["SARS"])


def test_findings_are_renamed_all_at_once(manifest: Path) -> None:
    listing = list_source(manifest, rename={"SARS": "Lipoid", "Lipoid": "SARS"})
    assert listing.images["finding"].to_list()[-3:] == ["Lipoid", "Lipoid", "SARS"]


def test_a_finding_that_is_not_there_cannot_be_renamed(manifest: Path) -> None:
    says = r"no finding 'Asthma' to rename. The .* are: COVID-19 \(1\), Normal \(1\), COVID-19 with ARDS \(1\), Lipoid "
    with pytest.raises(ConfigurationError, match=says):
        list_source(manifest, rename={"SARS": "Other opacity", "Asthma": "Other opacity"})


@pytest.mark.parametrize(
    ("rename", "says"),
    [
        ({"": "SARS"}, "cannot be renamed from '' to 'SARS'. Name both"),
        ({"SARS": "  "}, "cannot be renamed from 'SARS' to ''. Name both"),
        ({"covid": "a", "COVID-19": "b"}, "Finding 'COVID-19' cannot be renamed both 'a' and 'b'"),
    ],
)
def test_renames_that_mean_nothing(rename: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        canonical_renames(rename)
    assert canonical_renames({"covid": "a", "COVID-19": "a"}) == {COVID_19: "a"}


def test_lung_opacity_is_taken_where_it_is_renamed(tmp_path: Path) -> None:
    source = write_official(tmp_path, 2)
    assert finding_counts(list_source(source, rename={"Lung_Opacity": "Other opacity"})) == {
        **dict.fromkeys(BASELINE_FINDINGS, 2),
        OTHER_OPACITY: 2,
    }
    # Another finding's new name does not bring it in.
    listing = list_source(source, rename={"Viral Pneumonia": "Other opacity"})
    assert finding_counts(listing) == {COVID_19: 2, NORMAL: 2, OTHER_OPACITY: 2}
    assert any(f"of {LUNG_OPACITY}, as in" in note for note in listing.notes)
    assert VIRAL_PNEUMONIA not in finding_counts(listing)


def test_the_import_says_what_was_chosen(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 3, "SARS": 3})
    rows = [[f"{f}/{f}-{n}.png", f, f"P{n}", "PA" if n < 3 else "L"] for f in ("COVID", "SARS") for n in (1, 2, 3)]
    write_csv(source / "manifest.csv", ["path", "finding", "patient", "view"], rows)
    report = import_dataset(
        source, tmp_path / "out", rename={"SARS": "Other opacity"}, views=["pa"], half=half_of("P1"), test_only=True
    )
    assert report.dataset.description.findings == (COVID_19, OTHER_OPACITY)
    assert set(report.dataset.manifest["patient"]) == {n for n in ("P1", "P2") if half_of(n) == half_of("P1")}
    assert report.notes[1:3] == (
        "3 images renamed Other opacity: SARS (3).",
        "Views pa: 2 of 6 images left out: L (2).",
    )
    assert report.notes[3].startswith(f"The {half_of('P1')} half of the patients: ")


@pytest.mark.parametrize(
    ("views", "taken"),
    [
        (["PA"], "a"),
        ([" pa ", "AP SUPINE", ""], "abc"),
        (["l", "Unknown"], "def"),
        (["PA", "AP supine", "L", "unknown"], "abcdef"),
    ],
)
def test_views(manifest: Path, views: list[str], taken: str) -> None:
    listing = list_source(manifest, views=views)
    assert names(listing) == taken
    assert listing.notes[0].startswith(f"Views {', '.join(view.strip() for view in views if view)}: ")
    assert f": {6 - len(taken)} of 6 images left out" in listing.notes[0]


def test_what_was_left_out_is_said_by_view(manifest: Path) -> None:
    (note,) = list_source(manifest, views=["PA", "L"]).notes[:1]
    assert note == "Views PA, L: 4 of 6 images left out: AP Supine (1), ap supine (1), unknown (2)."


def test_views_count_among_the_chosen_findings_only(manifest: Path) -> None:
    listing = list_source(manifest, findings=["SARS", "Normal"], views=["PA", "AP Supine"])
    assert names(listing) == "a"
    assert listing.notes == (
        "--findings leaves out 3 of 6 images: COVID-19 (1), COVID-19 with ARDS (1), Lipoid (1).",
        "Views PA, AP Supine: 2 of 3 images left out: L (1), unknown (1).",
        "The choice of views and half leaves no image of SARS.",
    )


def test_views_that_are_not_there(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no view 'AP'. The views are: .*L, PA.*unknown"):
        list_source(manifest, views=["PA", "AP"])
    with pytest.raises(ConfigurationError, match="No view is named"):
        list_source(manifest, views=[" ", ""])
    bare = write_csv(tmp_path / "bare.csv", ["path", "finding"], [["a.png", "COVID"]])
    with pytest.raises(DataError, match=r"bare.csv has no column 'view'. It has: path, finding"):
        list_source(bare, views=["PA"])
    with pytest.raises(DataError, match=r"says nothing of views: it has one folder per finding"):
        list_source(write_tree(tmp_path / "tree", {"COVID": 1}), views=["unknown"])


def test_nothing_left_is_refused_and_leaves_nothing(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The choice of views and half leaves none of the 1 images"):
        import_dataset(manifest, tmp_path / "out", findings=["Normal"], views=["L"])
    assert "out" not in names_in(tmp_path)


PATIENTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(st.sampled_from(["a/x.png", "b/x.png", "y.png", "z.png"]), PATIENTS), max_size=30))
def test_the_halves_part_the_patients(rows: Any) -> None:
    images = pl.DataFrame(
        [(f"/{place}/{path}", patient) for place, (path, patient) in enumerate(rows)],
        schema={"path": pl.String, "patient": pl.String},
        orient="row",
    )
    development, final = (take_half(images, half)[0] for half in ("development", "final"))
    # Every image is in exactly one of the two, in the order it had.
    assert pl.concat([development, final]).sort("path").equals(images.sort("path"))
    assert not set(development["patient"].drop_nulls()) & set(final["patient"].drop_nulls())
    stems = [
        {path.rsplit("/", 1)[1] for path in half.filter(pl.col("patient").is_null())["path"]}
        for half in (development, final)
    ]
    assert not stems[0] & stems[1]
    # Neither order nor folders matter.
    moved = images.reverse().with_columns(path="/elsewhere" + pl.col("path"))
    assert set(take_half(moved, "final")[0]["path"]) == {f"/elsewhere{path}" for path in final["path"]}


def test_the_halves_are_what_was_published() -> None:
    """Whoever kept a final half must find the same one with every later version."""
    even = int(hashlib.sha256(b"carina half 00001280").hexdigest(), 16) % 2 == 0
    assert half_of("00001280") == ("development" if even else "final")
    assert "".join(half_of(f"P{n}")[0] for n in range(24)) == "dfffffffdddffddffffdddff"
    shares = [half_of(str(n)) for n in range(2000)]
    assert shares.count("development") == pytest.approx(1000, abs=90)


def test_the_file_name_stands_in_for_the_patient(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", ["path", "finding"], [[f"{n}.png", "COVID"] for n in range(40)])
    touch_images(tmp_path, *(f"{n}.png" for n in range(40)))
    listing = list_source(path, half="final")
    assert list(listing.images["path"].str.split("/").list.last()) == [
        f"{n}.png" for n in range(40) if half_of(f"{n}.png") == "final"
    ]
    taken = listing.images.height
    assert listing.notes == (
        f"The final half of the patients: {taken} of 40 images, {taken} of 40 patients.",
        "40 images have no patient. The choice of the half used the file names instead.",
    )


def test_a_half_of_another_name() -> None:
    with pytest.raises(ConfigurationError, match=r"no half .first.\. Choose one of: development, final"):
        take_half(pl.DataFrame({"path": ["a"], "patient": ["1"]}), "first")
