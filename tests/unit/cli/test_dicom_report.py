"""``carina dicom report``, as typed."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from carina.radiographs.gate import NO_GATE
from make import make_grey, names_in, write_image
from make_dicom import encode_directory, encode_object
from unit.cli.conftest import Typed
from unit.dicom.sources import IDENTIFIERS, write_source
from unit.inference.small_model import write_small_run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


def test_answers_stand_beside_the_image(carina: Typed, small: Path, tmp_path: Path) -> None:
    image = write_source(tmp_path / "image.dcm")
    code, out, err = carina("dicom", "report", image, "--bundle", small)
    assert code == 0
    (priority, path), reason, no_gate, *written_lines = (line.split(None, 1) for line in out.splitlines())
    assert priority in ("fast-track", "expedite", "secondary-review", "routine")
    assert path == str(image)
    assert " ".join(reason).endswith((".", "read"))
    assert " ".join(no_gate) == NO_GATE
    written = [Path(line[1]) for line in written_lines]
    assert [line[0] for line in written_lines] == ["sr", "sc", "seg"]
    assert names_in(tmp_path) == sorted(["image.dcm", *(file.name for file in written)])
    assert all(file.parent == tmp_path for file in written)
    assert "no diagnosis" in err


def test_json_is_a_line_an_image_with_what_was_written(carina: Typed, small: Path, tmp_path: Path) -> None:
    images = [write_source(tmp_path / f"{n}.dcm", seed=n) for n in (1, 2)]
    out_folder = tmp_path / "a" / "b"
    words = ("--bundle", small, "--out", out_folder, "--kinds", "seg,sr", "--json", "--prevalence", "0.1")
    code, out, err = carina("dicom", "report", *images, *words)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["path"] for row in rows] == [str(image) for image in images]
    for row in rows:
        assert set(row) >= {
            *("path", "sha256", "finding", "probabilities", "triage", "gate", "model", "elapsed_ms"),
            *("answers", "left_out", "copy_of"),
        }
        assert row["left_out"] == {}
        assert [answer["kind"] for answer in row["answers"]] == ["sr", "seg"]
        for answer in row["answers"]:
            written = dcmread(answer["path"])
            assert Path(answer["path"]).parent == out_folder
            assert written.SOPClassUID == answer["sop_class_uid"]
            assert written.SOPInstanceUID == answer["sop_instance_uid"]
            assert written.SeriesInstanceUID == answer["series_instance_uid"]
        assert "stated prevalence of COVID-19 10%" in row["triage"]["reason"]
    assert len(names_in(out_folder)) == 4


def test_bad_files_are_rows_and_the_rest_is_answered(carina: Typed, small: Path, tmp_path: Path) -> None:
    good = write_source(tmp_path / "good.dcm")
    picture = write_image(tmp_path / "picture.png", make_grey())
    nameless = write_source(tmp_path / "nameless.dcm", StudyInstanceUID=...)
    paths = [tmp_path / "gone.dcm", picture, good, nameless]
    code, out, err = carina("dicom", "report", *paths, "--bundle", small, "--json")
    assert code == 1
    rows = [json.loads(line) for line in out.splitlines()]
    codes = [row.get("error", {}).get("code") for row in rows]
    assert codes == ["not-found", "unsupported-format", None, "missing-attribute"]
    assert "3 inputs could not be answered." in err
    code, out, _ = carina("dicom", "report", picture, "--bundle", small)
    assert code == 1
    assert out.startswith("not answered ")
    assert "this is not a DICOM file" in out


def test_two_images_of_one_uid_never_pass_for_one(carina: Typed, small: Path, tmp_path: Path) -> None:
    one = write_source(tmp_path / "one.dcm", seed=1)
    uid = str(dcmread(one).SOPInstanceUID)
    two = write_source(tmp_path / "two.dcm", seed=2, SOPInstanceUID=uid)
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(one.read_bytes())
    three = write_source(tmp_path / "three.dcm", seed=3)
    out = tmp_path / "answers"
    words = ("dicom", "report", one, two, copy, three, "--bundle", small, "--kinds", "sr", "--out", out)
    code, printed, err = carina(*words, "--json")
    rows = [json.loads(line) for line in printed.splitlines()]
    assert code == 1
    assert [row.get("error", {}).get("code") for row in rows] == [None, "written-before", None, None]
    # Both files are named: the one by its row, the other by the message. The UID is not.
    assert rows[1]["path"] == str(two)
    assert f"it has the SOP Instance UID of {one} and other contents" in rows[1]["error"]["message"]
    assert uid not in rows[1]["error"]["message"]
    assert [row.get("copy_of") for row in rows] == [None, None, str(one), None]
    assert rows[2]["answers"] == rows[0]["answers"]
    assert len(names_in(out)) == 2
    assert "1 input could not be answered." in err
    assert f"  It is a copy of {one}, and its answers are the same as those." in carina(*words)[1].splitlines()


def test_a_second_time_writes_the_same_and_passes_over_its_own_answers(
    carina: Typed, small: Path, tmp_path: Path
) -> None:
    write_source(tmp_path / "image.dcm")
    assert carina("dicom", "report", tmp_path, "--bundle", small)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 4
    code, out, err = carina("dicom", "report", tmp_path / "*.dcm", "--bundle", small)
    assert code == 0
    assert out.count("passed over") == 3
    assert "3 passed over" in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_may_not_be_judged_gets_its_reason(
    carina: Typed, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carina.radiographs.radiograph import build_radiograph

    black = np.tile(np.array([[0, 1]], np.uint8), (64, 32))
    monkeypatch.setattr("carina.inference.predictor.read_radiograph", lambda *_, **__: build_radiograph(black))
    image = write_source(tmp_path / "image.dcm")
    code, out, _ = carina("dicom", "report", image, "--bundle", small)
    assert code == 0
    assert out.splitlines()[0].startswith("not-assessable ")
    assert "no two lungs were found in it" in out
    assert names_in(tmp_path) == ["image.dcm"]


def test_an_image_says_which_kind_it_has_none_of(
    carina: Typed, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carina.dicom.answers.answers.find_regions", lambda *_: [])
    code, out, _ = carina("dicom", "report", write_source(tmp_path / "image.dcm"), "--bundle", small)
    assert code == 0
    assert "  seg  not written: the model looks for no lungs, and no cell adds 0.25 log odds or more" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kinds", "sr,pdf"), "There is no kind of answer 'pdf'. Name some of: sr, sc, seg."),
        (("--kinds", ","), "No kind of answer is named. Name some of: sr, sc, seg."),
        (("--prevalence", "nan"), "--prevalence"),
    ],
)
def test_wrong_options_are_one_line(
    carina: Typed, small: Path, tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    code, out, err = carina("dicom", "report", write_source(tmp_path / "image.dcm"), "--bundle", small, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert names_in(tmp_path) == ["image.dcm"]


def test_without_the_extra_it_is_said_what_to_type(
    carina: Typed, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carina.extras.find_spec", lambda _: None)
    code, out, err = carina("dicom", "report", write_source(tmp_path / "image.dcm"), "--bundle", small)
    assert (code, out) == (2, "")
    assert 'Install it with: pip install "carina-cxr[dicom]"' in err


def test_a_folder_that_may_not_be_written_is_one_line(carina: Typed, small: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    image = write_source(tmp_path / "image.dcm")
    code, _, err = carina("dicom", "report", image, "--bundle", small, "--out", tmp_path / "file")
    assert code == 1
    assert err.startswith("carina: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("as_json", [True, False])
def test_nobody_is_named(carina: Typed, small: Path, tmp_path: Path, as_json: bool) -> None:
    word = "Zwiebelfisch"
    write_source(tmp_path / "in" / "1.dcm", seed=1)
    write_source(tmp_path / "in" / "2.dcm", seed=2, PatientBirthDate=word, PatientSex=word, SpecificCharacterSet=word)
    write_source(tmp_path / "in" / "3.dcm", seed=3, SeriesInstanceUID=word)
    (tmp_path / "in" / "4.dcm").write_bytes((tmp_path / "in" / "1.dcm").read_bytes()[:900])
    words = ["--json"] if as_json else []
    code, out, err = carina("dicom", "report", tmp_path / "in", "--bundle", small, "--kinds", "sr,sc,seg", *words)
    assert code == 1
    said = out + err + "".join(names_in(tmp_path / "in"))
    assert len(out) > 500
    assert not any(value in said for value in (word, *IDENTIFIERS.values(), "1.2.826.0.1.3680043.8.498"))


def test_a_dicomdir_is_answered_and_an_archive_is_not(carina: Typed, small: Path, tmp_path: Path) -> None:
    write_source(tmp_path / "IM1")
    (tmp_path / "SR1").write_bytes(encode_object("1.2.840.10008.5.1.4.1.1.88.33", "SR"))
    (tmp_path / "DICOMDIR").write_bytes(encode_directory(["IM1"], ["SR1"], ["..", "IM1"]))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "IM1", "IM1")
    code, out, _ = carina("dicom", "report", tmp_path / "DICOMDIR", tmp_path / "a.zip", "--bundle", small)
    assert code == 1
    lines = [line for line in out.splitlines() if not line.startswith("  ")]
    assert [line.rsplit("/", 1)[1] for line in lines] == ["IM1", "SR1", "DICOMDIR!file 3", "a.zip!IM1"]
    assert [line.startswith("passed over") for line in lines] == [False, True, False, False]
    assert [line.startswith("not answered") for line in lines] == [False, False, True, True]
    assert "Unpack the archive, and name the folder." in out
    assert len(list(tmp_path.glob("carina-*"))) == 3
