"""A study folder, a DICOMDIR and a ZIP archive: what is in them comes out, and nothing that lies elsewhere."""

import os
import zipfile
from pathlib import Path

import pytest

from carina.inference.inputs import image_inputs, names_one_image
from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.predictor import Predictor
from make import encode, make_grey
from make_dicom import BIG_ENDIAN, EXPLICIT, IMPLICIT, encode_dicom, encode_directory, encode_object, with_meta

FILM = encode_dicom(make_grey(1, (64, 60)))
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"
# What accompanies images, by class or by modality alone.
BESIDE = {
    "report": encode_object(REPORT, "SR"),
    "marks": encode_object("1.2.840.10008.5.1.4.1.1.11.1", "PR"),
    "key": encode_object("1.2.840.10008.5.1.4.1.1.88.59", "KO"),
    "document": encode_object("1.2.840.10008.5.1.4.1.1.104.1", "DOC"),
    "unnamed": encode_object("1.2.3", "SR"),
    "ours": encode_dicom(make_grey(2, (64, 60)), Manufacturer="Carina", Modality="OT"),
    "our-report": encode_object(REPORT, "SR", Manufacturer="Carina"),
}
NAMES = [
    "a key object selection",
    "a presentation state",
    "a structured report",
    "an answer that Carina wrote",
    "an encapsulated document",
]


def write(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def packed(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def told(path: Path) -> list[tuple[str, str | None]]:
    """What comes of a path: the end of each name and the code of its error."""
    return [(each.path.name, each.error and each.error.code) for each in image_inputs([path])]


def test_dicom_is_known_by_its_beginning(tmp_path: Path) -> None:
    study = write(tmp_path / "study", IM0001=FILM, notes=b"text", S2__DICOMDIR=encode_directory(["IM0001"]))
    (study / "1.2.840.113619").write_bytes(FILM)
    (study / "film.txt").write_bytes(FILM)
    (study / "empty").write_bytes(b"")
    (study / "half").write_bytes(FILM[:140])
    (study / "early").write_bytes(b"DICM" + bytes(600))
    packed(study / "others.zip", IM0002=FILM)
    if hasattr(os, "mkfifo"):
        os.mkfifo(study / "pipe")  # opened as a file is, it would be waited for without end
    assert [name for name, _ in told(study)] == ["1.2.840.113619", "IM0001", "film.txt", "half"]
    assert not any(each.named for each in image_inputs([study]))


def test_what_stands_beside_images_is_passed_over_where_it_came_up(predictor: Predictor, tmp_path: Path) -> None:
    study = write(tmp_path / "study", film=FILM, **BESIDE)
    archive = packed(tmp_path / "study.zip", film=FILM, **BESIDE)
    write(study, DICOMDIR=encode_directory(*([name] for name in ("film", *BESIDE))))
    for named in (study, archive, study / "DICOMDIR"):
        found = list(predictor.predict(image_inputs([named])))
        (judged,) = [each for each in found if isinstance(each, Prediction)]
        assert judged.path is not None
        assert judged.path.name.endswith("film")
        rest = [each for each in found if isinstance(each, FailedPrediction)]
        assert len(rest) == len(BESIDE)
        assert all(each.passed_over for each in rest)
        assert {each.error.code for each in rest} == {"companion-object", "own-answer"}
        said = {str(each.error).removeprefix("this is ").split(",")[0] for each in rest}
        assert sorted(said) == NAMES
        assert not any("SECRET" in str(each.error) for each in rest)
    # By its own name each is an error.
    files = [study / name for name in BESIDE]
    alone = list(predictor.predict(image_inputs(files)))
    assert [isinstance(each, FailedPrediction) and not each.passed_over for each in alone] == [True] * len(BESIDE)
    assert [each.error.code for each in predictor.predict(files) if isinstance(each, FailedPrediction)].count(
        "own-answer"
    ) == 2


def test_other_images_of_a_study_stay_errors(predictor: Predictor, tmp_path: Path) -> None:
    write(tmp_path / "study", slice=encode_dicom(make_grey(1, (64, 60)), Modality="CT"), bare=with_meta(b""))
    for each in predictor.predict(image_inputs([tmp_path / "study"])):
        assert isinstance(each, FailedPrediction)
        assert not each.passed_over


def test_an_archive_gives_what_is_in_it(predictor: Predictor, tmp_path: Path) -> None:
    png = encode(make_grey(3, (64, 60)), "PNG")
    archive = packed(
        tmp_path / "day.zip",
        **{
            "b__IM2": FILM,
            "a__film.png": png,
            "readme": b"text",
            "inner.zip": b"PK\3\4",
            "b__DICOMDIR": encode_directory(),
        },
    )
    assert told(archive) == [("IM2", None), ("film.png", None), ("day.zip!inner.zip", "unsupported-format")]
    assert [str(each.path) for each in image_inputs([archive])][:2] == [f"{archive}!b/IM2", f"{archive}!a/film.png"]
    write(tmp_path, IM2=FILM, **{"film.png": png})
    inside = [each for each in predictor.predict(image_inputs([archive])) if isinstance(each, Prediction)]
    outside = list(predictor.predict([tmp_path / "IM2", tmp_path / "film.png"]))
    for one, other in zip(inside, outside, strict=True):
        assert isinstance(other, Prediction)
        assert (one.sha256, one.probabilities) == (other.sha256, pytest.approx(other.probabilities))
        assert one.reservations == other.reservations
    assert sorted(path.name for path in tmp_path.iterdir()) == ["IM2", "day.zip", "film.png"]


def test_an_archive_is_known_by_its_beginning_and_read_as_it_is_needed(tmp_path: Path) -> None:
    archive = packed(tmp_path / "export", one=FILM, two=FILM)
    inputs = image_inputs([archive, tmp_path / "gone"])
    first = next(inputs)
    assert first.read() == FILM
    archive.unlink()
    assert [(each.path.name, each.error and each.error.code) for each in inputs] == [
        ("export!two", "unreadable-file"),
        ("gone", None),
    ]


def test_archives_that_hold_nothing_or_harm(tmp_path: Path) -> None:
    assert told(packed(tmp_path / "nothing.zip", readme=b"text")) == [("nothing.zip", "no-image")]
    assert told(packed(tmp_path / "empty.zip")) == [("empty.zip", "no-image")]
    (tmp_path / "cut.zip").write_bytes(packed(tmp_path / "c.zip", one=FILM).read_bytes()[:300])
    assert told(tmp_path / "cut.zip") == [("cut.zip", "unreadable-file")]
    out = packed(tmp_path / "out.zip", QQ__QQ__etc__passwd=FILM, film=FILM)
    out.write_bytes(out.read_bytes().replace(b"QQ/QQ/", b"../../"))
    assert told(out) == [("out.zip!file 1", "unsafe-path"), ("out.zip!film", None)]
    bad = packed(tmp_path / "bad.zip", one=FILM, film=FILM)
    content = bytearray(bad.read_bytes())
    content[30:40] = bytes(10)  # within the first
    bad.write_bytes(content)
    assert told(bad) == [("bad.zip!one", "unreadable-file"), ("bad.zip!film", None)]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_dicomdir_gives_what_it_names(tmp_path: Path, syntax: str) -> None:
    disc = write(tmp_path / "disc", A__B__IM1=FILM, A__B__im2=FILM, A__B__IM3=FILM)
    names = [["A", "B", "IM1"], ["A", "B", "IM2"], ["A", "B", "IM1"], ["A", "GONE"]]
    write(disc, DICOMDIR=encode_directory(*names, syntax=syntax))
    inputs = list(image_inputs([disc / "DICOMDIR"]))
    assert [str(each.path.relative_to(disc)) for each in inputs] == ["A/B/IM1", "A/B/im2", "A/GONE"]
    assert [each.named for each in inputs] == [False] * 3
    assert inputs[1].read() == FILM


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("dicom/im000001", ["DICOM", "IM000001"]),
        ("DICOM/IM000001;1", ["DICOM", "IM000001"]),
        ("DICOM/IM000001.;1", ["DICOM", "IM000001"]),
        ("Dicom/Im000001.DCM", ["DICOM", "IM000001"]),
        ("DICOM/IM000001.dcm;1", ["DICOM", "IM000001"]),
        ("DICOM/IM000001", ["DICOM", "IM000001.DCM"]),
        ("DICOM/IM000001", ["dicom", "im000001.dcm;1"]),
        ("DICOM/IM000001", ["DICOM/IM000001"]),
        ("DICOM/im000001", ["DICOM\\IM000001"]),
        ("DICOM/IM000001", [".", "DICOM", "IM000001"]),
        ("DICOM/IM000001", ["DICOM ", "IM000001\0"]),
        (
            "images of the chest/a long name of more than eight.dcm",
            ["IMAGES OF THE CHEST", "A LONG NAME OF MORE THAN EIGHT"],
        ),
        ("DICOM/1.2.840.113619.2.55", ["DICOM", "1.2.840.113619.2.55"]),
    ],
)
def test_a_dicomdir_names_files_that_are_written_otherwise(tmp_path: Path, written: str, named: list[str]) -> None:
    path = tmp_path / written
    path.parent.mkdir(parents=True)
    path.write_bytes(FILM)
    (path.parent / "other").write_bytes(FILM)
    write(tmp_path, DICOMDIR=encode_directory(named))
    (found,) = image_inputs([tmp_path / "DICOMDIR"])
    assert (found.path, found.error) == (path, None)
    assert found.read() == FILM


def test_of_several_files_the_dicomdir_means_the_one_that_is_written_most_like_it(tmp_path: Path) -> None:
    write(tmp_path, IM1=FILM, im1=FILM, **{"IM1.dcm": FILM, "im2.dcm": FILM, "IM2": FILM, "im3": FILM, "Im3": FILM})
    write(tmp_path, **{"im4.dcm": FILM, "im4;1": FILM})
    write(tmp_path, DICOMDIR=encode_directory(["IM1"], ["IM2.DCM"], ["IM3"], ["IM4"], ["IM5"]))
    one, two, three, four, five = image_inputs([tmp_path / "DICOMDIR"])
    assert [each.path.name for each in (one, two, five)] == ["IM1", "im2.dcm", "IM5"]
    assert [one.error, two.error, five.error] == [None] * 3
    for each, names in ((three, "Im3, im3"), (four, "im4.dcm, im4;1")):
        assert each.error is not None
        assert f"2 files of such a name lie there: {names}. Name the one that you want" in str(each.error)


@pytest.mark.parametrize(
    "name",
    [
        ["..", "outside"],
        ["A", "..", "..", "outside"],
        ["A", "..", "IM1"],
        ["/outside"],
        ["", "outside"],
        ["A/../../outside"],
        ["C:", "outside"],
        ["."],
        ["link", "outside"],
        ["file"],
        [""],
    ],
)
def test_a_dicomdir_leads_nowhere_else(tmp_path: Path, name: list[str]) -> None:
    disc = write(tmp_path / "disc", IM1=FILM, A__IM2=FILM)
    write(tmp_path, outside=FILM)
    (disc / "link").symlink_to(tmp_path)
    (disc / "file").symlink_to(tmp_path / "outside")
    write(disc, DICOMDIR=encode_directory(name, ["IM1"]))
    found = list(image_inputs([disc / "DICOMDIR"]))
    assert found[-1].path == disc / "IM1"
    # A name of nothing is no name.
    assert [(each.path.name, each.error and each.error.code) for each in found[:-1]] == (
        [] if name == [""] else [("DICOMDIR!file 1", "unsafe-path")]
    )
    assert not any("outside" in str(each.error) for each in found)


def test_dicomdirs_that_hold_nothing_or_harm(tmp_path: Path) -> None:
    sound = encode_directory(["IM1"])
    for name, content, code in (
        ("EMPTY", encode_directory(), "no-image"),
        ("CUT", sound[:-20], "truncated"),
        ("BARE", with_meta(b"", sop_class="1.2.840.10008.1.3.10"), "no-image"),
        ("MANY", encode_directory(*([f"I{n:05}"] for n in range(20_001))), "too-large"),
    ):
        write(tmp_path, **{name: content})
        assert told(tmp_path / name) == [(name, code)]


def test_one_image_is_judged_alone(tmp_path: Path) -> None:
    write(tmp_path, IM1=FILM, DICOMDIR=encode_directory(["IM1"]))
    packed(tmp_path / "a.zip", one=FILM)
    assert [names_one_image(tmp_path / name) for name in ("IM1", "DICOMDIR", "a.zip", "gone", ".")] == [
        *(True, False, False, False, False)
    ]
