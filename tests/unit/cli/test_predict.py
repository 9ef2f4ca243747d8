"""``carina predict``, as typed: what it takes, what it prints, where it goes on."""

import csv
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carina.inference.prediction import AnyPrediction
from carina.inference.predictor import Predictor
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.gate import NO_GATE
from make_dicom import DEFLATED, EXPLICIT, JPEG_2000_LOSSLESS, Value, encode_dicom, encode_directory
from unit.cli.conftest import Typed
from unit.dicom.sources import IDENTIFIERS, write_source
from unit.inference.small_model import FINDINGS, write_small_run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Return a folder with three phantoms, one in a folder below."""
    folder = tmp_path / "films"
    for number, name in enumerate(("a.png", "b.png", "deep/c.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_phantom(FINDINGS[number], seed=number, size=96).pixels).save(folder / name)
    return folder


def paths_in(out: str) -> list[str]:
    return [Path(json.loads(line)["path"]).name for line in out.splitlines()]


def test_files_folders_patterns_and_a_list(
    carina: Typed, small: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = f"{films}/deep\r\n{films}/gone.png\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    words = ("predict", films / "b.png", films, f"{films}/?.png", f"{films}/*.tif", "-", "--run", small, "--json")
    code, out, err = carina(*words)
    assert code == 1
    assert paths_in(out) == ["b.png", "a.png", "c.png", "*.tif", "c.png", "gone.png"]
    assert err.splitlines() == [
        "Left out: 3 repeated images. Name them with --left-out FILE.",
        "2 inputs could not be judged.",
    ]


def test_the_table_for_people(carina: Typed, small: Path, films: Path) -> None:
    evil = films / "evil\x1b[31m\nname.png"
    (films / "b.png").rename(evil)
    black = films / "black.png"
    Image.fromarray(np.tile(np.array([[0, 1]], np.uint8), (96, 48))).save(black)
    code, out, err = carina("predict", films / "a.png", evil, black, films / "gone.png", "--run", small)
    assert code == 1
    header, *rows = out[: out.index("\n\n")].splitlines()
    assert header.split() == ["priority", "COVID", "Normal", "Viral", "reason", "notes", "image"]
    assert len(rows) == 4
    for row in rows[:2]:
        shown = [float(number.strip("<>")) for number in row.split()[1:4]]
        assert sum(shown) == pytest.approx(1, abs=0.003)
    # Columns stand below each other, and no path is cut where the table goes into a file.
    assert {row.index(str(films)) for row in rows} == {header.index("image")}
    assert rows[1].endswith(r"evil\x1b[31m\nname.png")
    assert rows[2].split()[:6] == ["not-assessable", "–", "–", "–", "refused", "2"]
    assert rows[3].split()[:6] == ["failed", "–", "–", "–", "not-found", "3"]
    assert "\x1b" not in out
    assert "  3  not-found: there is no such file. Check the path. (1 image)" in out.splitlines()
    said = out.splitlines()[-1]
    assert said.startswith("Judged: 2 images (")
    assert said.endswith("Refused (not-assessable): 1. Failed: 1.")
    assert "still to be read" in err
    assert "Flagged finding: COVID-19." in err.splitlines()
    assert err.splitlines()[-1] == "1 input could not be judged."


def test_one_image_and_verbose_have_the_long_form(carina: Typed, small: Path, films: Path) -> None:
    """Each line of it stands by itself where it goes into a file."""
    row = json.loads(carina("predict", films / "a.png", "--run", small, "--json")[1])
    code, out, _ = carina("predict", films / "a.png", "--run", small)
    triage = row["triage"]
    first, reason, probabilities, no_gate = out.splitlines()
    assert (code, first) == (0, f"{triage['priority']}  {films / 'a.png'}")
    assert reason == f"  {triage['code']}: {triage['reason']}"
    assert NO_GATE in no_gate
    assert all(finding in probabilities for finding in FINDINGS)
    code, out, _ = carina("predict", films, films / "gone.png", "--run", small, "-v")
    assert code == 1
    assert out.startswith("\n".join([first, reason, probabilities, no_gate]))
    assert "  not-found: there is no such file. Check the path." in out.splitlines()
    assert out.splitlines()[-1].startswith("Judged: 3 images (")


def test_pictures_are_told_of_and_written(carina: Typed, small: Path, films: Path, tmp_path: Path) -> None:
    code, out, _ = carina("predict", films, "--run", small, "--explain", tmp_path / "pictures", "--json")
    assert code == 0
    whys = [json.loads(line)["explanation"] for line in out.splitlines()]
    assert {why["overlay"] for why in whys} == {path.name for path in (tmp_path / "pictures").iterdir()}
    assert all(0 <= why["inside_lungs"] <= 1 for why in whys if why["inside_lungs"] is not None)
    code, out, _ = carina("predict", films / "a.png", "--run", small, "--explain", tmp_path / "pictures")
    (told,) = [line for line in out.splitlines() if line.startswith("  Picture: ")]
    assert Path(told.removeprefix("  Picture: ")).is_file()
    code, out, _ = carina("predict", films, "--run", small, "--explain", tmp_path / "pictures", "--csv")
    assert [row["overlay"] for row in csv.DictReader(io.StringIO(out))] == [why["overlay"] for why in whys]


def test_pictures_do_not_go_where_radiographs_are_looked_for(carina: Typed, small: Path, films: Path) -> None:
    for folder in (films, films / "deep", films / "new" / "newer"):
        code, out, err = carina("predict", films, "--run", small, "--explain", folder)
        assert (code, out) == (2, "")
        assert "its pictures would be taken for radiographs. Choose a folder outside." in err
    assert len(list(films.rglob("*"))) == 4


@pytest.mark.parametrize(
    ("name", "options", "is_csv"), [("r.jsonl", (), False), ("r.csv", (), True), ("r", ("--csv",), True)]
)
def test_resume_appends_what_is_missing(
    carina: Typed, small: Path, films: Path, tmp_path: Path, name: str, options: tuple[str, ...], is_csv: bool
) -> None:
    file = tmp_path / name
    words = ("predict", films / "a.png", tmp_path / "gone.png", films / "b.png", "--run", small, "--resume", file)
    code, out, err = carina(*words, *options)
    assert (code, out) == (1, "")
    assert "Judged before: 0. Judged now: 2." in err
    assert err.splitlines()[-1] == "1 input could not be judged."
    code, out, err = carina(*words, films, *options)
    assert (code, out) == (1, "")
    assert "Judged before: 2. Failed before and tried again: 1. Judged now: 1." in err
    content = file.read_text()
    rows = list(csv.DictReader(io.StringIO(content))) if is_csv else [json.loads(x) for x in content.splitlines()]
    # a and b are named again with the folder that holds them.
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png", "gone.png", "c.png"]
    (films.parent / "gone.png").write_bytes((films / "a.png").read_bytes())
    code, _, err = carina(*words, films, *options)
    assert code == 0
    assert "could not be judged" not in err
    code, _, err = carina(*words, films, *options)
    assert "Judged before: 4. Judged now: 0." in err
    (films / "a.png").write_bytes((films / "deep" / "c.png").read_bytes())
    code, _, err = carina(*words, *options)
    assert "Judged before: 4. Judged again, because the file has other pixels now: 1. Judged now: 1." in err


def test_resume_refuses_what_is_not_its_own(carina: Typed, small: Path, films: Path, tmp_path: Path) -> None:
    other = write_small_run(tmp_path / "other", bias=np.array([1.0, 0.0, 2.0], np.float32))
    file = tmp_path / "results"
    assert carina("predict", films, "--run", small, "--resume", file)[0] == 0
    before = file.read_bytes()
    for words, says in (
        (("--run", other), "it was written with another model."),
        (("--run", small, "--csv"), "its header is not the one that this model, these options and this version"),
        (("--run", small, "--explain", tmp_path / "pictures"), "line 1 was written without --explain"),
    ):
        code, out, err = carina("predict", films, "--resume", file, *words)
        assert (code, out) == (2, "")
        assert says in err
        assert len(err.splitlines()) == 1
    assert file.read_bytes() == before


def test_options_that_contradict(carina: Typed, small: Path, films: Path) -> None:
    assert carina("predict", films, "--run", small, "--json", "--csv")[0] == 2
    assert carina("predict", films, "--run", small, "--prevalence", "nan")[0] == 2
    assert carina("predict", "--run", small)[0] == 2


def write_dicom(path: Path, seed: int, syntax: str = EXPLICIT, **attributes: Value | None) -> Path:
    path.write_bytes(encode_dicom(draw_phantom(FINDINGS[0], seed=seed, size=96).pixels, syntax, **attributes))
    return path


def test_dicom_is_judged_as_the_same_image_otherwise(carina: Typed, small: Path, films: Path) -> None:
    window = {"WindowCenter": 128, "WindowWidth": 256}
    written = [
        write_dicom(films / "plain.dcm", 0, **window),
        write_dicom(films / "no ending", 0, JPEG_2000_LOSSLESS, **window),
        write_dicom(films / "deflated.dcm", 0, DEFLATED, **window),
    ]
    code, out, err = carina("predict", films / "a.png", *written, "--run", small, "--json", "--deflated")
    assert (code, err) == (0, "")
    png, *others = (json.loads(line) for line in out.splitlines())
    for other in others:
        assert other["probabilities"] == png["probabilities"]
        assert other["reservations"] == [NO_GATE]
        assert other["gate"] is None
    code, out, _ = carina("predict", written[2], "--run", small, "--json")
    assert code == 1
    assert "(--deflated)" in json.loads(out)["error"]["message"]


def test_what_a_header_rules_out_or_leaves_in_doubt_is_said(carina: Typed, small: Path, tmp_path: Path) -> None:
    paths = [
        write_dicom(tmp_path / "side.dcm", 0, ViewPosition="LL"),
        write_dicom(tmp_path / "knee.dcm", 0, BodyPartExamined="KNEE"),
        write_dicom(tmp_path / "child.dcm", 0, PatientAge="009Y", BurnedInAnnotation="YES"),
        write_dicom(tmp_path / "ct.dcm", 0, Modality="CT"),
    ]
    code, out, _ = carina("predict", *paths, "--run", small, "--json")
    assert code == 1
    side, knee, child, ct = (json.loads(line) for line in out.splitlines())
    for refused, reason in ((side, "a lateral view"), (knee, "another part of the body")):
        assert refused["finding"] is None
        assert refused["triage"]["priority"] == "not-assessable"
        assert reason in refused["triage"]["reason"]
        assert not refused["gate"]["accepted"]
    assert child["gate"] is None
    assert len(child["reservations"]) == 3
    assert ct["error"]["code"] == "not-a-radiograph"
    code, out, _ = carina("predict", *paths, "--run", small)
    noted = [line for line in out.splitlines() if "The patient is a child: outside the intended use, which" in line]
    assert len(noted) == 1
    assert noted[0].endswith("adults. (1 image)")
    code, out, _ = carina("predict", *paths, "--run", small, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [bool(row["reservations"]) for row in rows] == [False, False, True, False]
    assert "Secret" not in out


def test_a_prevalence_that_allows_no_promise_is_told(carina: Typed, small: Path, films: Path) -> None:
    code, out, err = carina("predict", films / "a.png", "--run", small, "--prevalence", "0.02", "--json")
    assert code == 0
    assert json.loads(out)["triage"]["prevalence"] == 0.02
    assert "At a prevalence of 2 %" in err
    assert "promise anything of routine or fast-track" in err
    assert "At a prevalence" not in carina("predict", films / "a.png", "--run", small, "--json")[2]


def test_the_version_is_told(carina: Typed) -> None:
    assert carina("--version") == (0, f"Carina {version('carina-cxr')}\n", "")


def test_an_empty_folder_is_told_from_an_empty_list(carina: Typed, small: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, _ = carina("predict", tmp_path / "empty", "--run", small, "--json")
    assert code == 1
    assert json.loads(out)["error"]["message"].startswith("no image lies in this folder")


def test_files_that_are_no_images_are_counted_and_named_on_request(
    carina: Typed, small: Path, films: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "no ending").write_bytes((films / "a.png").read_bytes())
    (folder / "notes.txt").write_text("text")
    code, out, err = carina("predict", folder, "--run", small, "--json")
    assert code == 0
    assert json.loads(out)["path"] == str(folder / "no ending")
    assert "Left out: 1 .txt file. Name them with --left-out FILE." in err
    named = tmp_path / "others.csv"
    code, _, err = carina("predict", folder, "--run", small, "--json", "--left-out", named)
    assert code == 0
    assert f"1 .txt file. They are named in {named}." in err
    assert named.read_text() == f"path,kind\n{folder / 'notes.txt'},.txt file\n"
    # An image that Carina does not read is an error, and not passed over.
    (folder / "film").write_bytes(b"\0\0\0 ftypavif")
    code, out, _ = carina("predict", folder, "--run", small, "--json")
    assert code == 1
    assert json.loads(out.splitlines()[0])["error"]["message"].startswith("this is an AVIF file. Carina reads DICOM")


def test_engine_precision_and_threads_are_chosen_and_told(carina: Typed, small: Path, films: Path) -> None:
    words = ("predict", films / "a.png", "--run", small, "--json")
    told = json.loads(carina(*words, "--backend", "onnxruntime", "--threads", "1", "--precision", "f32")[1])["model"]
    assert told["engine"].startswith("ONNX Runtime")
    assert (told["precision"], told["threads"]) == ("f32", 1)
    # By itself it takes for one image what is ready sooner, and for many what is faster.
    for named, engine in ((films / "a.png", "ONNX Runtime"), (films, "OpenVINO")):
        rows = map(json.loads, carina("predict", named, "--run", small, "--json")[1].splitlines())
        assert {row["model"]["engine"].split(" 20")[0].rsplit(" 1.", 1)[0] for row in rows if "model" in row} == {
            engine
        }
    code, out, err = carina(*words, "--precision", "int8")
    assert (code, out) == (2, "")
    assert "has no thresholds for int8" in err
    for wrong in (("--threads", "0"), ("--precision", "int4"), ("--backend", "torch")):
        assert carina(*words, *wrong)[0] == 2


def test_a_study_with_answers_beside_its_image(carina: Typed, small: Path, tmp_path: Path) -> None:
    """As a folder, an archive and a DICOMDIR: the radiograph alone is judged, and that is no failure."""
    study = tmp_path / "study"
    image = write_source(study / "IM1")
    code, *_ = carina("dicom", "report", image, "--bundle", small, "--kinds", "sr,sc,seg")
    assert code == 0
    names = sorted(path.name for path in study.iterdir())
    assert len(names) == 4
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for name in names:
            archive.write(study / name, f"study/{name}")
    (study / "DICOMDIR").write_bytes(encode_directory(*([name] for name in names)))
    expected = []
    for named in (study, tmp_path / "study.zip", study / "DICOMDIR"):
        code, out, err = carina("predict", named, "--run", small, "--json")
        assert code == 0
        (row,) = (json.loads(line) for line in out.splitlines())
        expected.append(row.get("sha256"))
        assert row["path"] == (f"{named}!study/IM1" if named.suffix else str(image))
        assert "3 objects beside the images passed over" in err
        code, out, err = carina("predict", named, "--run", small, "--verbose")
        assert code == 0
        assert sum(line.startswith("passed over  ") for line in out.splitlines()) == 3
        assert "  own-answer: this is an answer that Carina wrote, and no radiograph. Leave it out." in out.splitlines()
        table = carina("predict", named, "--run", small)[1]
        assert len(table[: table.index("\n\n")].splitlines()) == 2
        assert "3 objects beside" in err
        assert "could not be judged" not in err
        for identifier in IDENTIFIERS:
            assert identifier not in out + err
    assert len(set(expected)) == 1
    assert None not in expected
    words = ("predict", tmp_path / "study.zip", "--run", small, "--resume", tmp_path / "rows.jsonl")
    assert carina(*words)[0] == 0
    code, _, err = carina(*words)
    assert code == 0
    assert "Judged before: 1. Judged now: 0." in err
    # Named by itself, an answer is no radiograph.
    (picture,) = study.glob("carina-sc-*")
    code, out, _ = carina("predict", picture, "--run", small, "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "own-answer"


def test_archives_that_mean_harm_are_rows(carina: Typed, small: Path, films: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(films / "a.png", "../a.png")
        packed.write(films / "a.png", "b.png")
        packed.writestr("zeros.png", bytes(5_000_000))
    code, out, err = carina("predict", archive, "--run", small, "--json", "--explain", tmp_path / "pictures")
    assert code == 1
    first, second, third = (json.loads(line) for line in out.splitlines())
    assert (first["path"], first["error"]["code"]) == (f"{archive}!file 1", "unsafe-path")
    assert second["path"] == f"{archive}!b.png"
    assert second["triage"]["priority"]
    assert (third["path"], third["error"]["code"]) == (f"{archive}!file 3", "too-large")
    assert err.splitlines()[-1] == "2 inputs could not be judged."
    assert len(list(tmp_path.rglob("*.png"))) == 4  # three films, one explanation


def test_an_interrupted_table_shows_what_was_judged(
    carina: Typed, small: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = Predictor.predict

    def interrupted(self: Predictor, *words: object, **options: object) -> Iterator[AnyPrediction]:
        yield from islice(predict(self, *words, **options), 2)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "predict", interrupted)
    # As on a terminal, where the rows come last.
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = carina("predict", films, "--run", small)
    assert code == 130
    assert "interrupted" in err
    assert "priority " in out
    assert "Judged: 2 images (" in out
