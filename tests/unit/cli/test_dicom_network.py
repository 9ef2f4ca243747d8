"""The network's verbs as they are typed: what is wrong is said in one line, and rows are for programs."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from carina.decisions.triage import PRIORITIES
from carina.dicom.answers.answering_judge import judge_factory
from carina.dicom.fetching.dicomweb import WebArchive
from carina.dicom.fetching.query import Delivery, Keep, Series
from carina.dicom.listener.judging import AnswerFiles, JudgeProcess, Refusal
from dicom_archives import LOGIN_PAGE, Answer, WebServer, as_file, multipart, paged, row_of, series_of, web_server
from dicom_network import Pacs
from dicom_stand_in import make_image, write_image
from make_dicom import encode_directory
from unit.cli.conftest import Typed
from unit.inference.small_model import write_small_run

SECURED = """
folder = "x"
allow = ["A"]
[destination.dicom]
host = "h"
port = 1
tls = {}
"""


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with Pacs() as made:
        yield made


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("listen", "--allow", "A"), "Setting folder is missing."),
        (("listen", "--folder", "x"), "Setting allow is missing."),
        (("listen", "--folder", "x", "--allow", "A" * 17), "1 to 16 letters"),
        (("listen", "--folder", "x", "--allow", "A", "--called", "B"), "--called goes with --to."),
        (("listen", "--folder", "x", "--allow", "A", "--to", "h:1", "--stow", "http://h"), "one of --to HOST:PORT and"),
        (
            ("listen", "--folder", "x", "--allow", "A", "--called", "B", "--stow", "http://h"),
            "--called goes with --to:",
        ),
        (("listen", "--config", "secured.toml", "--to", "h:1"), "secured.toml names a destination, and --to would"),
        (
            ("listen", "--config", "secured.toml", "--stow", "http://h"),
            "Change the address in that file, or leave --stow",
        ),
        (("listen", "--config", "missing.toml"), "The settings missing.toml cannot be read"),
        (("send", "a.dcm"), "Say where to: one of --to HOST:PORT and --stow URL."),
        (("send", "a.dcm", "--stow", "http://h", "--called", "B"), "--called goes with --to: a DICOMweb server"),
        (("send", "a.dcm", "--stow", "http://h", "--tls"), "'http://h' is not encrypted, and TLS is asked for."),
        (("send", "a.dcm", "--to", "nonsense"), "'nonsense' is no address."),
        (("send", "a.dcm", "--stow", "pacs"), "'pacs' cannot be used: an address of DICOMweb begins with http:// or"),
        (("send", "a.dcm", "--to", "h:1", "--cert", "c.pem"), "Certificate and key go together."),
        (
            ("send", "a.dcm", "--to", "h:1", "--ca", "missing.pem"),
            "TLS cannot be set up with missing.pem: No such file",
        ),
        (("query", "--out", "x"), "Say where to look: one of --from HOST:PORT and --dicomweb URL."),
        (("query", "--out", "x", "--from", "h:1", "--date", "monday"), "'monday' is no date."),
        (
            ("query", "--out", "x", "--from", "h:1", "--date", "20260103-20260102"),
            "Write the earlier date first: 20260102-",
        ),
        (
            ("query", "--out", "x", "--from", "h:1", "--move", "10.0.0.5:11112", "--aet", "DESK"),
            "objects are taken from that title only. The archive must know DESK (--aet) by the address 10.0.0.5:11112.",
        ),
        (("query", "--out", "x", "--dicomweb", "http://h", "--called", "B"), "--called goes with --from: a DICOMweb"),
        (("query", "--out", "x", "--dicomweb", "http://h", "--ca", "c.pem"), "'http://h' is not encrypted, and TLS"),
        (("query", "--out", "x", "--dicomweb", "http://h", "--move", "h:1"), "--move goes with --from;"),
        (
            ("query", "--out", "x", "--from", "h:1", "--called", "A", "--move", "h:1", "--tls"),
            "--move with TLS needs --cert and --key",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    carina: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secured.toml").write_text(SECURED, "utf-8")
    code, out, err = carina("dicom", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_without_its_libraries_it_says_what_to_install(carina: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carina.extras.find_spec", lambda name: None if "net" in name else object())
    for words in (("listen",), ("send", "x", "--to", "h:1"), ("query", "--out", "x")):
        code, _, err = carina("dicom", *words)
        assert code == 2
        assert f'carina dicom {words[0]} needs pynetdicom. Install it with: pip install "carina-cxr[dicom]"' in err


def test_files_and_folders_are_sent(carina: Typed, pacs: Pacs, tmp_path: Path) -> None:
    folder = tmp_path / "some" / "deeper"
    folder.mkdir(parents=True)
    paths = [write_image(folder / f"{seed}.dcm", seed) for seed in range(2)]
    (folder / "notes.txt").write_text("no DICOM")
    (folder / "damaged.dcm").write_text("no DICOM")
    # What is hidden is left out, and counted by its kind.
    (folder / ".export").mkdir()
    write_image(folder / ".export" / "3.dcm", 3)
    write_image(folder / ".4.dcm", 4)
    to = ("--to", f"127.0.0.1:{pacs.port}", "--called", "PACS")
    # One that is named by itself as well is sent once.
    code, out, err = carina("dicom", "send", paths[0], tmp_path / "some", *to)
    assert (code, out.splitlines()) == (0, [f"taken          {path}" for path in paths])
    left_out = "1 .txt file, {}1 file without a DICOM header, 1 hidden folder, 1 hidden image"
    assert err == f"2 files: 2 taken.\nLeft out: {left_out.format('')}.\n"
    (folder / "DICOMDIR").write_bytes(encode_directory([["0.DCM"]]))
    assert carina("dicom", "send", folder, *to)[2].endswith(f"Left out: {left_out.format('1 DICOMDIR file, ')}.\n")
    (folder / "DICOMDIR").unlink()
    assert set(pacs.taken) == {make_image(seed).SOPInstanceUID for seed in range(2)}
    # A file that is named is sent, or it is said why not.
    (folder / "link.dcm").symlink_to(tmp_path / "gone.dcm")
    named = [paths[0], folder / "notes.txt", folder / "missing.dcm", folder / "link.dcm"]
    code, out, _ = carina("dicom", "send", *named, *to, "--json")
    assert code == 1
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0] == {"path": str(paths[0]), "state": "taken", "attempts": 1}
    assert [(row["path"], row["state"], row["reason"], row["message"].split(".")[0]) for row in rows[1:]] == [
        (str(named[1]), "not sent", "not-a-dicom-file", "The file is not a DICOM file, or is damaged"),
        (str(named[2]), "not sent", "not-found", "There is no such file, or it is a link whose target is gone"),
        (str(named[3]), "not sent", "not-found", "There is no such file, or it is a link whose target is gone"),
    ]
    # In a folder as well.
    assert f"not sent       {folder / 'link.dcm'}  not-found" in carina("dicom", "send", folder, *to)[1]
    (folder / "link.dcm").unlink()
    for status in (0x0111, 0xA900, 0xA700, 0xB000):
        pacs.statuses.put(status)
    copies = [write_image(tmp_path / f"copy{seed}.dcm", seed) for seed in range(4)]
    code, out, err = carina("dicom", "send", *copies, *to, "--attempts", "1")
    assert code == 1
    assert [line.split(str(tmp_path))[0].strip() for line in out.splitlines()] == [
        "already there",
        "refused",
        "try again",
        "taken",
    ]
    assert [line.split()[-1] for line in out.splitlines()] == [
        f"status-0x{status}" for status in ("0111", "A900", "A700", "B000")
    ]
    *meanings, counted = err.splitlines()
    assert counted == "4 files: 1 already there, 1 refused, 1 try again, 1 taken."
    there = f"PACS at 127.0.0.1:{pacs.port}"
    assert [meaning.split(". ")[0].rstrip(".") for meaning in meanings] == [
        f"status-0x0111: {there} has an object with this SOP Instance UID already, and keeps the one it has",
        f"status-0xA900: {there} says that the content of the file does not fit its kind (SOP class)",
        f"status-0xA700: {there} is out of resources, for example of disk space",
        f"status-0xB000: {there} stored the file, and changed some of its values",
    ]
    pacs.statuses.put(0x0111)
    assert carina("dicom", "send", copies[0], *to)[0] == 0
    (tmp_path / "empty" / ".export").mkdir(parents=True)
    code, _, err = carina("dicom", "send", tmp_path / "empty", *to)
    assert code == 2
    assert f"There is no DICOM file in {tmp_path / 'empty'}. Left out: 1 hidden folder. Name files" in err


def test_a_peer_that_is_not_there_is_tried_again(carina: Typed, pacs: Pacs, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.dcm", 1)
    pacs.stop()
    back = threading.Timer(0.5, pacs.start)
    back.start()
    code, out, _ = carina("dicom", "send", path, "--to", f"127.0.0.1:{pacs.port}", "--called", "PACS", "--json")
    back.join()
    assert code == 0
    assert json.loads(out)["attempts"] > 1


def test_an_archive_that_is_not_there_is_said_in_a_line(carina: Typed, pacs: Pacs, tmp_path: Path) -> None:
    pacs.stop()
    for source in (("--from", f"127.0.0.1:{pacs.port}"), ("--dicomweb", f"http://127.0.0.1:{pacs.port}")):
        code, out, err = carina("dicom", "query", *source, "--out", tmp_path / "found", "--fetch-only")
        assert (code, out) == (1, "")
        assert "no-connection" in err
        assert f"127.0.0.1:{pacs.port}" in err
        assert len(err.splitlines()) == 1


@pytest.fixture
def archive() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


def ask(carina: Typed, archive: WebServer, out: Path, *words: str) -> tuple[int, str, str]:
    return carina(
        *("dicom", "query", "--dicomweb", archive.url, "--date", "20260102", "--modality", "CR"),
        *("--out", out, "--fetch-only", *words),
    )


def test_what_was_found_and_did_not_arrive_is_a_row_and_an_exit_code(
    carina: Typed, archive: WebServer, tmp_path: Path
) -> None:
    out, second = tmp_path / "found", series_of(1)
    code, printed, err = ask(carina, archive, out)
    assert (code, len(printed.splitlines())) == (0, 3)
    assert err == "20260102, CR: 3 series found; 3 images received.\n"
    assert not (out / "not_received.jsonl").exists()
    # The second of three series fails, and the first has one image more than is given.
    given = archive.given
    archive.given = lambda path: Answer(status=404) if path.endswith(second.series) else given(path)
    archive.found = paged([row_of(series_of(n, 2 if n == 0 else 1)) for n in range(3)])
    code, printed, err = ask(carina, archive, out)
    assert code == 1
    assert [line.split()[0] for line in printed.splitlines()] == ["fetched", "missing", "missing", "fetched"]
    assert "missing   Series 1 of 3: 1 of 2 images arrived." in printed
    assert "missing   Series 2 of 3: http" in printed
    assert err.splitlines() == [
        "20260102, CR: 3 series found; 2 images received.",
        f"Not everything was received (see the lines that say missing). UIDs: {out / 'not_received.jsonl'}.",
    ]
    # UIDs are in a file for its owner alone, and on no screen.
    assert second.series not in printed + err
    listed = [json.loads(line) for line in (out / "not_received.jsonl").read_text().splitlines()]
    assert [(row["series"], row["expected"], row["received"]) for row in listed] == [
        (series_of(0).series, 2, 1),
        (second.series, 1, 0),
    ]
    assert (out / "not_received.jsonl").stat().st_mode & 0o777 == 0o600
    code, printed, _ = ask(carina, archive, out, "--json")
    rows = [json.loads(line) for line in printed.splitlines()]
    assert (code, [row["state"] for row in rows]) == (1, ["fetched", "missing", "missing", "fetched"])
    assert rows[2] == {
        "path": None,
        "state": "missing",
        "expected": 1,
        "received": 0,
        "answers": [],
        "error": {"code": "fetch-failed", "message": rows[2]["error"]["message"]},
    }
    # And gone again when all is well.
    archive.given, archive.found = given, paged([row_of(series_of(n, 1)) for n in range(3)])
    assert ask(carina, archive, out)[0] == 0
    assert not (out / "not_received.jsonl").exists()


def test_what_a_query_that_ends_early_did_not_receive_is_listed(
    carina: Typed, archive: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fetch = tmp_path / "found", WebArchive.fetch

    def break_off(self: WebArchive, series: Series, keep: Keep) -> Delivery:
        if series == series_of(1):
            raise KeyboardInterrupt
        return fetch(self, series, keep)

    monkeypatch.setattr(WebArchive, "fetch", break_off)
    code, _, err = ask(carina, archive, out)
    assert code == 130
    listed = out / "not_received.jsonl"
    assert f"The query was broken off; 2 series may not be complete. UIDs: {listed}." in err
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [(row["code"], row["series"], row["expected"], row["received"]) for row in rows] == [
        ("not-fetched", series_of(number).series, 1, None) for number in (1, 2)
    ]
    # A search that fails says nothing about what an earlier query did not receive.
    archive.found = lambda _: Answer(status=404)
    assert ask(carina, archive, out)[0] == 1
    assert not listed.exists()


def test_what_was_left_out_or_is_not_sure_is_said(carina: Typed, archive: WebServer, tmp_path: Path) -> None:
    archive.found = paged([row_of(series_of(0)), row_of(series_of(1, 1), x00080060="CT")])
    code, printed, err = ask(carina, archive, tmp_path / "found")
    assert (code, len(printed.splitlines())) == (0, 1)
    assert err.splitlines() == [
        "20260102, CR: 1 series found; 1 image received.",
        "Left out: 1 series of another date or modality, which the archive named as well.",
        "How many images 1 series should have is not known: what came counts as all.",
    ]


@pytest.mark.long
def test_images_that_are_judged_end_in_a_table(
    carina: Typed, archive: WebServer, small_run: Path, tmp_path: Path
) -> None:
    """As that of predict: priority and reason for each image, what they mean, and a summary by priority."""
    # Two that are judged, one that is refused, one that fails, and an answer that the archive gave back.
    images = [make_image(0, side=128), make_image(1, side=128), make_image(2, Modality="MG"), make_image(3)]
    images[3].BitsStored = 20
    own = make_image(4, Manufacturer="Carina")
    archive.found = paged([row_of(series_of(n, 1)) for n in range(5)])
    archive.given = lambda path: multipart(
        *(as_file(image) for image in [*images, own] if path.endswith(str(image.SeriesInstanceUID)))
    )
    out = tmp_path / "found"
    asked = ("dicom", "query", "--dicomweb", archive.url, "--date", "20260102", "--modality", "CR", "--out", out)
    words = (*asked, "--bundle", small_run, "--kinds", "sr")
    for _ in ("judged", "known from the first time"):
        code, printed, err = carina(*words)
        assert code == 1
        header, *rows = printed.split("\n\n")[0].splitlines()
        assert header.split()[0] == "priority"
        assert [line.split()[0] in PRIORITIES for line in rows] == [True, True, False, False]
        assert [line.split()[0] for line in rows[2:]] == ["failed", "failed"]
        assert "not-a-radiograph" in rows[2]
        assert "BitsStored" in printed
        assert "\nReasons\n" in printed
        assert printed.splitlines()[-1].startswith("Judged: 2 images (2 ")
        assert printed.splitlines()[-1].endswith("Refused (not-assessable): 0. Failed: 2.")
        assert err.splitlines()[0] == "20260102, CR: 5 series found; 5 images received."
        assert f"Answers: 2 in {out / 'answers'}" in err
    judged = json.loads(carina(*words, "--json")[1].splitlines()[0])
    assert judged["triage"]["priority"] in PRIORITIES
    assert Path(judged["answers"][0]).is_file()
    assert judged["path"].startswith(str(out))


def test_a_sign_in_that_has_expired_is_said_in_a_line(carina: Typed, archive: WebServer, tmp_path: Path) -> None:
    archive.found = lambda _: Answer(LOGIN_PAGE, "text/html")
    code, printed, err = ask(carina, archive, tmp_path / "found")
    assert (code, printed) == (1, "")
    assert "answers with a web page and not with data" in err
    assert "CARINA_DICOMWEB_TOKEN" in err
    assert len(err.splitlines()) == 1


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


def test_the_judge_answers_with_carinas_own_objects(small_run: Path, tmp_path: Path) -> None:
    process = JudgeProcess(judge_factory(small_run, ["sc", "sr"]), 120.0)
    process.start()
    image = write_image(tmp_path / "a.dcm", 1, side=128)
    told = []
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        told.append(process.judge(image, tmp_path / name))
    # An archive that forwards whatever it gets, and a Carina that did not make it.
    (tmp_path / "round").mkdir()
    own = [process.judge(path, tmp_path / "round") for path in sorted((tmp_path / "first").iterdir())]
    process.stop()
    assert [one.code for one in own if isinstance(one, Refusal)] == ["own-answer", "own-answer"]
    assert list((tmp_path / "round").iterdir()) == []
    assert isinstance(told[0], AnswerFiles)
    # The same UIDs and, by the files' names, the same kinds: nothing is doubled by a repetition.
    assert told[0] == told[1]
    answers = [dcmread(next((tmp_path / "first").glob(f"carina-*-{uid}.dcm"))) for uid in told[0].uids]
    assert [str(answer.SOPInstanceUID) for answer in answers] == list(told[0].uids)
    assert [answer.Modality for answer in answers] == ["SR", "DOC"]
    assert {answer.StudyInstanceUID for answer in answers} == {make_image(1).StudyInstanceUID}


def test_of_a_refused_image_the_judge_writes_a_reason_and_nothing_else(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = JudgeProcess(judge_factory(small_run, ["seg"]), 120.0)
    process.start()
    (tmp_path / "work").mkdir()
    make_image(1, side=64, Modality="MG").save_as(tmp_path / "mammogram.dcm", enforce_file_format=True)
    refused = [process.judge(tmp_path / "mammogram.dcm", tmp_path / "work")]
    process.stop()
    # An image without any region; in this process, where it can be feigned.
    monkeypatch.setattr("carina.dicom.answers.answers.find_regions", lambda *_: [])
    image = write_image(tmp_path / "a.dcm", 1, side=128)
    refused.append(judge_factory(small_run, ["seg"])()(image, tmp_path / "work"))  # type: ignore[arg-type]
    assert [said.code for said in refused if isinstance(said, Refusal)] == ["not-a-radiograph", "no-kind-fits"]
    assert all(" " in said.message and "Doe" not in said.message for said in refused)  # type: ignore[union-attr]
    assert list((tmp_path / "work").iterdir()) == []


def test_kinds_that_are_none_are_refused_before_anything_is_judged(
    carina: Typed, tmp_path: Path, small_run: Path
) -> None:
    settings = tmp_path / "listen.toml"
    settings.write_text(f'folder = "{tmp_path / "f"}"\nallow = ["A"]\nanswers = ["sr", "xx"]\n', "utf-8")
    asked = ("query", "--out", tmp_path / "f", "--dicomweb", "http://127.0.0.1:1", "--kinds", "sr,xx")
    for words in (("listen", "--config", settings), asked):
        code, out, err = carina("dicom", *words, "--bundle", small_run)
        assert (code, out) == (2, "")
        assert "There is no kind of answer 'xx'. Name some of: sr, sc, seg." in err
