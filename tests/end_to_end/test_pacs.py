"""With a real archive, Orthanc: images go in, are found, fetched and judged, and their answers are found beside them.

``make test-pacs`` runs this alone. Where Orthanc cannot be run, the tests are skipped and say why.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image
from pydicom import Dataset, dcmread

from carina.cli import main
from carina.phantoms.phantom import draw_phantom
from carina_with_stand_in import main_with_stand_in
from dicom_certificates import make_certificates
from dicom_network import PATIENCE_S, eventually
from dicom_stand_in import make_image, uid_of, write_image
from make import names_in
from orthanc import DICOM_PORT, LISTENER_PORT, WEB, Orthanc, why_not

STAND_IN, REAL = [main_with_stand_in], [main]
TO = ("--to", f"127.0.0.1:{DICOM_PORT}", "--called", "ORTHANC")
BY_DICOM = ("--from", f"127.0.0.1:{DICOM_PORT}", "--called", "ORTHANC")
DESTINATIONS: dict[str, dict[str, Any]] = {
    "dicom": {"dicom": {"host": "127.0.0.1", "port": DICOM_PORT, "called": "ORTHANC"}},
    "web": {"web": {"url": WEB}},
}
REPORT, PICTURE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"
REGIONS = "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    made = Orthanc(tmp_path / "orthanc")
    yield made
    made.stop()


def rows(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Listening:
    """``carina dicom listen`` in the archive's network."""

    def __init__(self, orthanc: Orthanc, folder: Path, program: list[Any], **settings: Any) -> None:
        values = {"folder": str(folder), "allow": ["ORTHANC"], "port": LISTENER_PORT, **settings}
        (folder.parent / "listen.toml").write_text(tomli_w.dumps(values))
        self.log = folder.parent / "listen.log"
        self.log.touch()
        listen = ["dicom", "listen", "--config", folder.parent / "listen.toml", "--json"]
        self._process = orthanc.start([*program, *listen], stdout=self.log)
        self.wait_for("listening")

    def wait_for(self, event: str, count: int = 1) -> None:
        def told() -> bool:
            assert self._process.poll() is None, self.log.read_text()
            return self.log.read_text().count(f'"event": "{event}"') >= count

        eventually(told, f"no {event!r}:\n{self.log.read_text()}")

    def stop(self) -> None:
        self._process.terminate()
        assert self._process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("source", "back"),
    [
        (("--dicomweb", WEB), ("--stow", WEB)),
        pytest.param(BY_DICOM, TO, marks=pytest.mark.long),
        pytest.param((*BY_DICOM, "--move", f"127.0.0.1:{LISTENER_PORT}"), TO, marks=pytest.mark.long),
    ],
    ids=["qido-wado-stow", "find-get-store", "find-move-store"],
)
def test_found_fetched_judged_and_answered(
    orthanc: Orthanc, tmp_path: Path, source: tuple[str, ...], back: tuple[str, ...]
) -> None:
    images = [write_image(tmp_path / f"{seed}.dcm", seed) for seed in range(3)]
    # Neither of the other day nor of another kind.
    others = [
        write_image(tmp_path / "old.dcm", 7, StudyDate="20250101"),
        write_image(tmp_path / "mg.dcm", 8, Modality="MG"),
    ]
    assert len(rows(orthanc.run([*STAND_IN, "dicom", "send", "--stow", WEB, *images, *others, "--json"]))) == 5
    asked = [*STAND_IN, "dicom", "query", *source, "--date", "20260101-20260131", "--out", tmp_path / "found", "--json"]
    judged = rows(orthanc.run(asked))
    assert [row["state"] for row in judged] == ["judged"] * 3
    pixels = {dcmread(row["path"]).SOPInstanceUID: dcmread(row["path"]).PixelData for row in judged}
    assert pixels == {make_image(seed).SOPInstanceUID: make_image(seed).PixelData for seed in range(3)}
    answers = [answer for row in judged for answer in row["answers"]]
    # Asked again, it judges nothing again.
    assert rows(orthanc.run(asked)) == judged
    for _ in range(2):
        assert len(rows(orthanc.run([*STAND_IN, "dicom", "send", *back, *answers, "--json"]))) == 3
    check_answers(orthanc, {make_image(seed).SOPInstanceUID for seed in range(3)}, kinds={"OT"}, others=2)


def check_answers(orthanc: Orthanc, images: set[str], *, kinds: set[str], others: int = 0) -> None:
    """Each image has one answer of each kind in its study, in a series of its own, which refers to it."""
    held = orthanc.instances()
    assert len(held) == len(images) * (1 + len(kinds)) + others
    by_uid = {instance["SOPInstanceUID"]: instance for instance in held}
    answers = [instance for instance in held if instance["Modality"] in kinds]
    assert len(answers) == len(images) * len(kinds)
    for answer in answers:
        (referred,) = {uid for uid in images if f'"{uid}"' in json.dumps(answer)}
        image = by_uid[referred]
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
            assert answer[keyword] == image[keyword]
        assert answer["SeriesInstanceUID"] != image["SeriesInstanceUID"]


@pytest.mark.long
@pytest.mark.parametrize("back", ["dicom", "web"])
def test_the_archive_forwards_and_gets_the_answers(orthanc: Orthanc, tmp_path: Path, back: str) -> None:
    listening = Listening(orthanc, tmp_path / "listener", STAND_IN, destination=DESTINATIONS[back])
    images = [write_image(tmp_path / f"{seed}.dcm", seed) for seed in range(3)]
    orthanc.run([*STAND_IN, "dicom", "send", *TO, *images])
    stored = orthanc.ask("/modalities/carina/echo", {})
    assert stored == {}
    assert orthanc.ask("/modalities/carina/store", orthanc.ask("/instances"))["FailedInstancesCount"] == 0
    listening.wait_for("sent", 3)
    check_answers(orthanc, {make_image(seed).SOPInstanceUID for seed in range(3)}, kinds={"OT"})
    # A rule that forwards everything forwards the answers, too, and what was forwarded once more.
    orthanc.ask("/modalities/carina/store", orthanc.ask("/instances"))
    listening.wait_for("own answer", 3)
    listening.wait_for("duplicate", 3)
    listening.stop()
    check_answers(orthanc, {make_image(seed).SOPInstanceUID for seed in range(3)}, kinds={"OT"})


@pytest.mark.long
def test_the_archive_speaks_tls(tmp_path: Path) -> None:
    """By DICOM alone: asked by HTTPS, Debian's Orthanc 1.10.1 ends with a segmentation fault."""
    certificates = make_certificates(tmp_path)
    secured = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(certificates.path("server")),
        "DicomTlsPrivateKey": str(certificates.key("server")),
        "DicomTlsTrustedCertificates": str(certificates.path("authority")),
    }
    orthanc = Orthanc(tmp_path / "orthanc", **secured)
    own = ("--cert", certificates.path("client"), "--key", certificates.key("client"))
    trust = ("--ca", certificates.path("authority"))
    try:
        to = ("--to", f"localhost:{DICOM_PORT}", "--called", "ORTHANC", "--attempts", "1")
        image = write_image(tmp_path / "1.dcm", 1)
        assert orthanc.run([*STAND_IN, "dicom", "send", *to, *trust, *own, image]).returncode == 0
        # Without TLS, without a certificate, and with an authority that nobody asked.
        for wrong in ((), trust, ("--ca", certificates.path("stranger"), *own)):
            assert orthanc.run([*STAND_IN, "dicom", "send", *to, *wrong, image]).returncode == 1
        by_tls = ("--from", f"localhost:{DICOM_PORT}", "--called", "ORTHANC", *trust, *own)
        out = ("--date", "20260102", "--out", tmp_path / "found", "--fetch-only", "--json")
        found = orthanc.run([*STAND_IN, "dicom", "query", *by_tls, *out])
        assert len(rows(found)) == 1
    finally:
        orthanc.stop()


def make_radiograph(path: Path, finding: str, seed: int) -> Dataset:
    """A phantom as a computed radiograph of 12 bits."""
    grey = Image.fromarray(draw_phantom(finding, seed=seed, size=512).pixels).convert("L")
    pixels = np.asarray(grey, np.uint16) * 16
    image = make_image(
        seed, Rows=512, Columns=512, PixelData=pixels.tobytes(), WindowCenter=2048, WindowWidth=4096, PatientAge="060Y"
    )
    image.save_as(path, enforce_file_format=True)
    return image


@pytest.mark.parametrize("back", ["dicom", "web"], ids=["c-store", "stow"])
@pytest.mark.long
def test_carinas_own_answers_are_found_in_the_study(orthanc: Orthanc, tmp_path: Path, back: str) -> None:
    """The released model judges phantoms; its answers go back by one way, and the same ones by the other."""
    images = [make_radiograph(tmp_path / f"{seed}.dcm", "Normal", seed) for seed in range(2)]
    # Noise is no radiograph: it gets a reason and no answer.
    noise = write_image(tmp_path / "noise.dcm", 9, side=256)
    listening = Listening(orthanc, tmp_path / "listener", REAL, destination=DESTINATIONS[back])
    assert orthanc.run([*REAL, "dicom", "send", *TO, *sorted(tmp_path.glob("*.dcm"))]).returncode == 0
    orthanc.ask("/modalities/carina/store", orthanc.ask("/instances"))
    listening.wait_for("sent", 2)
    listening.wait_for("not judged")
    listening.stop()
    assert '"reason": "not-assessable"' in listening.log.read_text()
    uids = {str(image.SOPInstanceUID) for image in images}
    check_answers(orthanc, uids, kinds={"SR", "DOC", "SEG"}, others=1)
    check_references(orthanc, tmp_path / "answers", images)
    # Found, fetched, judged and sent by hand, the other way: the same UIDs, so that nothing is doubled.
    asked = ["dicom", "query", "--dicomweb", WEB, "--date", "20260102", "--out", tmp_path / "found", "--json"]
    judged = rows(orthanc.run([*REAL, *asked]))
    (refused,) = (row for row in judged if row["state"] == "refused")
    assert refused["answers"] == []
    assert refused["error"]["code"] == "not-assessable"
    assert dcmread(refused["path"]).SOPInstanceUID == dcmread(noise).SOPInstanceUID
    answers = [answer for row in judged for answer in row["answers"]]
    assert len(answers) == 6
    to = ("--stow", WEB) if back == "dicom" else TO
    assert orthanc.run([*REAL, "dicom", "send", *to, *answers]).returncode == 0
    check_answers(orthanc, uids, kinds={"SR", "DOC", "SEG"}, others=1)


def check_references(orthanc: Orthanc, out: Path, images: list[Dataset]) -> None:
    """By QIDO-RS a study holds image and answers; by WADO-RS all of them are about that image and no other."""
    asked = ["dicom", "query", "--dicomweb", WEB, "--date", "20260102", "--modality", "SR,DOC,SEG", "--out", out]
    fetched = [dcmread(row["path"]) for row in rows(orthanc.run([*REAL, *asked, "--fetch-only", "--json"]))]
    assert len(fetched) == 3 * len(images)
    for image in images:
        found = orthanc.ask(f"/dicom-web/studies/{image.StudyInstanceUID}/instances")
        held = {each["00080016"]["Value"][0]: each["00080018"]["Value"][0] for each in found}
        assert len(found) == len(held) == 4
        assert held.pop(image.SOPClassUID) == image.SOPInstanceUID
        answers = {answer.SOPClassUID: answer for answer in fetched if answer.SOPInstanceUID in held.values()}
        assert answers.keys() == held.keys() == {REPORT, PICTURE, REGIONS}
        (evidence,) = answers[REPORT].CurrentRequestedProcedureEvidenceSequence
        (series,) = evidence.ReferencedSeriesSequence
        assert evidence.StudyInstanceUID == image.StudyInstanceUID
        assert series.SeriesInstanceUID == image.SeriesInstanceUID
        references = [
            *series.ReferencedSOPSequence,
            *(item for each in answers[REPORT].ContentSequence for item in referred(each)),
            *answers[PICTURE].SourceImageSequence,
            *answers[REGIONS].ReferencedSeriesSequence[0].ReferencedInstanceSequence,
        ]
        # Once as evidence, in the image library and in each group of the report; once by picture and regions.
        assert len(references) > 3
        assert {(each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID) for each in references} == {
            (image.SOPClassUID, image.SOPInstanceUID)
        }


def referred(item: Dataset) -> Iterator[Dataset]:
    """Yield what a content item and those in it refer to."""
    yield from item.get("ReferencedSOPSequence", ())
    for inner in item.get("ContentSequence", ()):
        yield from referred(inner)


def test_where_orthanc_is_not_installed_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orthanc.shutil.which", lambda *_, **__: None)
    with pytest.raises(pytest.skip.Exception, match=r"^Orthanc is not installed \(on Debian: apt-get install orthanc"):
        why_not()
    monkeypatch.setattr("orthanc.shutil.which", lambda *_, **__: "/bin/true")
    monkeypatch.setattr("orthanc._PLUGINS", ())
    with pytest.raises(pytest.skip.Exception, match="Orthanc's DICOMweb plug-in is not installed"):
        why_not()


@pytest.mark.long
def test_what_the_archives_own_limit_hides(tmp_path: Path) -> None:
    """As docs/dicom/network.md says."""
    orthanc = Orthanc(tmp_path / "orthanc", LimitFindResults=2)
    try:
        images = [write_image(tmp_path / f"{seed}.dcm", seed) for seed in range(5)]
        assert orthanc.run([*REAL, "dicom", "send", "--stow", WEB, *images]).returncode == 0
        out = ("--date", "20260102", "--out", tmp_path / "found", "--fetch-only", "--json")
        by_dicom = orthanc.run([*REAL, "dicom", "query", *BY_DICOM, *out])
        told = [json.loads(line) for line in by_dicom.stdout.splitlines()]
        assert by_dicom.returncode == 1
        assert [row["state"] for row in told] == ["missing", "fetched", "fetched"]
        assert "ended the search early (status 0xFE00)" in told[0]["error"]["message"]
        # By DICOMweb it gives one more, and not a word that there are others, on whatever page one asks for.
        assert len(rows(orthanc.run([*REAL, "dicom", "query", "--dicomweb", WEB, *out]))) == 3
    finally:
        orthanc.stop()


def test_what_the_archive_lost_is_told(orthanc: Orthanc, tmp_path: Path) -> None:
    image = write_image(tmp_path / "1.dcm", 1)
    assert orthanc.run([*STAND_IN, "dicom", "send", "--stow", WEB, image]).returncode == 0
    shutil.rmtree(orthanc.folder / "storage")
    (orthanc.folder / "storage").mkdir()
    for source in (("--dicomweb", WEB), BY_DICOM):
        done = orthanc.run(
            [*STAND_IN, "dicom", "query", *source, "--date", "20260102", "--out", tmp_path / "found", "--fetch-only"]
        )
        assert done.returncode == 1, source
        assert "Traceback" not in done.stderr
        assert make_image(1).SOPInstanceUID not in done.stdout + done.stderr
        assert uid_of("study", "1") not in done.stdout + done.stderr
    assert names_in(tmp_path / "found" / "objects") == []
