"""``carina dicom deidentify``, as typed; and that no command says what was planted in an image."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from pydicom import dcmread

from carina.dicom.deidentification.profile import table
from make import make_grey, names_in, write_image
from unit.cli.conftest import Typed
from unit.dicom.deidentification.planting import NAME, Planted, planted_image
from unit.dicom.sources import IDENTIFIERS, write_source
from unit.inference.small_model import write_small_run


def all_bytes(folder: Path) -> bytes:
    """What lies in a folder, names and contents."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            parts.append(path.read_bytes())
    return b"\n".join(parts)


def test_images_of_files_and_folders_are_written(carina: Typed, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_source(tmp_path / "in" / f"{number}.dcm", seed=number)
    out = tmp_path / "out"
    code, said, err = carina("dicom", "deidentify", tmp_path / "in", "--out", out)
    assert code == 0
    rows = [line.split() for line in said.splitlines()]
    assert [row[:2] for row in rows] == [["1", "written"], ["2", "written"], ["3", "written"]]
    images = [dcmread(out / row[2]) for row in rows]
    assert [image.SOPInstanceUID for image in images] == [Path(row[2]).stem for row in rows]
    assert len({image.PatientID for image in images}) == 1
    assert names_in(out) == [images[0].StudyInstanceUID]
    assert "3 written, 0 not written." in err
    assert "another pseudonym next time" in err


def test_a_bad_file_is_a_row_and_the_rest_is_written(carina: Typed, tmp_path: Path) -> None:
    write_source(tmp_path / "in" / "1.dcm", BurnedInAnnotation="YES")
    write_source(tmp_path / "in" / "2.dcm", seed=2)
    (tmp_path / "in" / "3.dcm").write_bytes(b"")
    write_image(tmp_path / "in" / "4.png", make_grey())
    code, said, err = carina("dicom", "deidentify", tmp_path / "in", "--out", tmp_path / "out", "--json")
    assert code == 1
    rows = [json.loads(line) for line in said.splitlines()]
    assert [row["input"] for row in rows] == [1, 2, 3, 4]
    codes = [row.get("error", {}).get("code") for row in rows]
    assert codes == ["identity-in-pixels", None, "empty-file", "unsupported-format"]
    assert set(rows[1]) == {"input", "path", "sop_instance_uid", "notes"}
    assert "3 inputs could not be de-identified. --register FILE tells which file is which input." in err
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1


def test_rows_of_one_image_name_each_other(carina: Typed, tmp_path: Path) -> None:
    """By their numbers: files may be named after people."""
    for number in (1, 2):
        write_source(tmp_path / "in" / f"{number}.dcm", seed=number)
    (tmp_path / "in" / "3.dcm").write_bytes((tmp_path / "in" / "2.dcm").read_bytes())
    write_source(
        tmp_path / "in" / "4.dcm", seed=4, SOPInstanceUID=str(dcmread(tmp_path / "in" / "2.dcm").SOPInstanceUID)
    )
    code, said, _ = carina("dicom", "deidentify", tmp_path / "in", "--out", tmp_path / "out", "--json")
    rows = [json.loads(line) for line in said.splitlines()]
    assert code == 1
    assert rows[2]["path"] == rows[1]["path"]
    assert rows[2]["notes"][-1] == "the same image as input 2: one file was written of both"
    assert rows[3]["error"]["code"] == "written-before"
    assert rows[3]["error"]["message"].endswith(" It is input 2.")
    assert (
        "2 written, 1 the same as another input, 1 not written."
        in carina("dicom", "deidentify", tmp_path / "in", "--out", tmp_path / "again")[2]
    )
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 2


def test_the_same_key_gives_the_same_in_another_run(carina: Typed, tmp_path: Path) -> None:
    image, key = write_source(tmp_path / "image.dcm"), tmp_path / "key"
    made = []
    for name, words in (("a", ("--key", key)), ("b", ("--key", key)), ("c", ()), ("d", ())):
        code, said, err = carina("dicom", "deidentify", image, "--out", tmp_path / name, "--json", *words)
        assert code == 0, err
        made.append(json.loads(said)["path"])
    assert made[0] == made[1]
    assert len(set(made)) == 3
    assert all_bytes(tmp_path / "a") == all_bytes(tmp_path / "b")
    if os.name == "posix":
        assert key.stat().st_mode & 0o777 == 0o600
    # Nothing of the key is in what is passed on.
    secret = key.read_text().split()[1]
    assert secret.encode() not in all_bytes(tmp_path / "a")
    assert bytes.fromhex(secret) not in all_bytes(tmp_path / "a")


def test_options_reach_the_images(carina: Typed, tmp_path: Path) -> None:
    image = write_source(tmp_path / "image.dcm", StationName="ROOM 2")
    words = ("--keep-patient-characteristics", "--shift-dates", "--keep-device", "--keep-uids")
    code, said, _ = carina("dicom", "deidentify", image, "--out", tmp_path / "out", "--json", *words)
    assert code == 0
    before, after = dcmread(image), dcmread(tmp_path / "out" / json.loads(said)["path"])
    assert (after.PatientAge, after.StationName, after.SOPInstanceUID) == ("081Y", "ROOM 2", before.SOPInstanceUID)
    assert "" < after.StudyDate < before.StudyDate
    film = write_source(tmp_path / "film.dcm", "SC", bits=8, BurnedInAnnotation=...)
    code, said, _ = carina("dicom", "deidentify", film, "--out", tmp_path / "film")
    assert (code, "--pixels-looked-at" in said) == (1, True)
    code, said, _ = carina("dicom", "deidentify", film, "--out", tmp_path / "looked", "--pixels-looked-at")
    assert code == 0
    assert "look at it before you pass it on" in said


def test_the_register_tells_which_file_became_which(carina: Typed, tmp_path: Path) -> None:
    write_source(tmp_path / "in" / f"{NAME}.dcm")
    (tmp_path / "in" / "z.dcm").write_bytes(b"")
    register = tmp_path / "register.csv"
    words = ("dicom", "deidentify", tmp_path / "in", "--out", tmp_path / "out", "--json", "--register", register)
    code, said, _ = carina(*words)
    assert code == 1
    rows = list(csv.DictReader(io.StringIO(register.read_text("utf-8"))))
    assert [(row["input"], row["file"], row["error"]) for row in rows] == [
        ("1", str(tmp_path / "in" / f"{NAME}.dcm"), ""),
        ("2", str(tmp_path / "in" / "z.dcm"), "empty-file"),
    ]
    assert rows[0]["became"] == json.loads(said.splitlines()[0])["path"]
    if os.name == "posix":
        assert register.stat().st_mode & 0o777 == 0o600
    code, _, err = carina(*words[:4], tmp_path / "again", *words[5:])
    assert (code, "already exists" in err) == (2, True)
    assert not (tmp_path / "again").exists()


def test_what_is_private_stays_apart_from_what_is_passed_on(carina: Typed, tmp_path: Path) -> None:
    image = write_source(tmp_path / "in" / "image.dcm")
    for option in ("--key", "--register"):
        code, _, err = carina("dicom", "deidentify", image, "--out", tmp_path / "out", option, tmp_path / "out" / "x")
        assert (code, "undoes it" in err) == (2, True)
    code, _, err = carina("dicom", "deidentify", tmp_path / "in", "--out", tmp_path / "in" / "out")
    assert (code, "lies in a folder that is to be read" in err) == (2, True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    code, _, err = carina("dicom", "deidentify", image, "--out", tmp_path / "full")
    assert (code, "already exists" in err) == (2, True)
    assert names_in(tmp_path) == ["full", "in"]


def test_without_the_extra_it_is_said_what_to_type(
    carina: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carina.extras.find_spec", lambda _: None)
    code, out, err = carina("dicom", "deidentify", write_source(tmp_path / "image.dcm"), "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert 'Install it with: pip install "carina-cxr[dicom]"' in err


def _planted_folder(folder: Path) -> Planted:
    """Images with words in every place, whole and broken, in folders and files that are named after somebody."""
    planted = Planted()
    inside = folder / f"{NAME}_Aurelia" / planted_word(planted, "folder")
    inside.mkdir(parents=True)
    for depth, charset in ((1, "ISO_IR 100"), (3, "ISO_IR 192")):
        # Each with UIDs of its own.
        content = planted_image(one := Planted(count=1000 * depth), charset=charset, depth=depth)
        (inside / f"{planted_word(planted, f'file {depth}')}.dcm").write_bytes(content)
        planted.words |= {f"{depth}: {place}": word for place, word in one.words.items()}
        middle = len(content) // 2
        (inside / f"cut {planted_word(planted, f'cut {depth}')}.dcm").write_bytes(content[:middle])
        (inside / f"torn {depth}.dcm").write_bytes(content[: middle // 3] + content[middle // 2 :])
    burned = content.replace(b"\x01\x03CS\x02\0NO", b"\x01\x03CS\x04\0YES ")
    assert burned != content
    (inside / "burned.dcm").write_bytes(burned)
    (inside / "none.dcm").write_bytes(f"{NAME} {planted_word(planted, 'none')}".encode() * 9)
    return planted


def planted_word(planted: Planted, place: str) -> str:
    word = planted.word(place, "OB")
    assert word is not None
    return word


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["table", "json"])
def test_nothing_that_was_planted_is_written_or_said(
    carina: Typed, tmp_path: Path, words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    planted = _planted_folder(tmp_path / "in")
    assert len(planted.words) > 1200
    out, key = tmp_path / "out", tmp_path / "key"
    code, said, err = carina("dicom", "deidentify", tmp_path / "in", "--out", out, "--key", key, *words)
    assert code == 1
    assert len(list(out.rglob("*.dcm"))) == 2
    everything = all_bytes(out) + said.encode() + err.encode() + caplog.text.encode() + key.read_bytes()
    assert planted.left_in(everything) == {}
    assert NAME.encode() not in everything
    assert b"Aurelia" not in everything


@pytest.mark.long
def test_other_commands_say_nothing_that_was_planted(
    carina: Typed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their rows name files, so that here these are not named after anybody.

    The objects that ``dicom report`` writes are left out: the standard wants the patient of the image in them, and they
    go where the image is.
    """
    caplog.set_level(0)
    folder, planted = tmp_path / "in", Planted()
    for number, charset in enumerate(("ISO_IR 100", "ISO_IR 192"), start=1):
        for place in ("COVID", "Normal"):
            one = Planted(count=10_000 * number + (5000 if place == "Normal" else 0))
            path = folder / place / f"{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = planted_image(one, charset=charset)
            path.write_bytes(content)
            path.with_name(f"{number}-cut.dcm").write_bytes(content[: len(content) // 2])
            planted.words |= {f"{number} {place} {where}": word for where, word in one.words.items()}
    # And one whose pixels are a radiograph's.
    write_source(folder / "COVID" / "whole.dcm", **dict.fromkeys(("PatientSex", "PatientBirthDate"), NAME))
    model, said = write_small_run(tmp_path / "model"), []
    for words in (("--json",), ("--csv",), ()):
        said += carina("predict", folder, "--bundle", model, *words)[1:]
    for words in (("--json",), ()):
        said += carina("dicom", "report", folder, "--bundle", model, "--out", tmp_path / "objects", *words)[1:]
    said += carina("data", "import", folder, "--out", tmp_path / "dataset")[1:]
    said += carina("data", "import", folder / "COVID", "--out", tmp_path / "dataset 2")[1:]
    assert len("".join(said)) > 5000
    everything = "".join(said).encode() + caplog.text.encode()
    for name in ("dataset", "dataset 2"):
        if (tmp_path / name).exists():
            everything += all_bytes(tmp_path / name)
    assert planted.left_in(everything) == {}
    assert not [word for word in (NAME, *IDENTIFIERS.values()) if word.encode() in everything]


def test_the_table_is_whole() -> None:
    """As many rows as the library's table has, groups that repeat and one row counted twice aside."""
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as library

    rows = {tag for tag in library.ALL_TAGS if len(tag) == 2}
    assert len(table()) == len(rows) >= 650
