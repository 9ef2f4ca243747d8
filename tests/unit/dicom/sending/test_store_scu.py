"""Files go by C-STORE as they are, and what becomes of each is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from carina.dicom.sending.outcome import NOT_DICOM, TAKEN, Outcome
from carina.dicom.sending.sending import SentFile, send_files
from carina.dicom.sending.store_scu import StoreScu
from carina.dicom.transport.settings import ClientTls, Retries, peer_at
from dicom_certificates import make_certificates
from dicom_network import Pacs
from dicom_stand_in import write_image

QUICK = Retries(first_s=0.05, longest_s=0.2, sending=4)


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with Pacs() as made:
        yield made


def scu(pacs: Pacs, **settings: str) -> StoreScu:
    return StoreScu(peer_at(f"127.0.0.1:{pacs.port}", **{"called": "PACS", **settings}))


def test_files_arrive_as_they_are(pacs: Pacs, tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.dcm", number) for number in range(5)]
    images = [dcmread(path) for path in paths]
    assert scu(pacs).send(paths) == [TAKEN] * 5
    assert {image.SOPInstanceUID: 1 for image in images} == dict(pacs.taken)
    for image in images:
        got = pacs.datasets[image.SOPInstanceUID]
        assert got == image
        assert got.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID


def test_what_is_not_dicom_or_not_wanted_is_told_and_the_rest_is_sent(pacs: Pacs, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no DICOM")
    unwanted = write_image(tmp_path / "ct.dcm", 1, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    good = write_image(tmp_path / "good.dcm", 2)
    outcomes = scu(pacs).send([text, unwanted, good, tmp_path / "missing.dcm"])
    assert outcomes == [
        NOT_DICOM,
        Outcome("refused", "kind-of-object-not-accepted"),
        TAKEN,
        Outcome("not sent", "not-found"),
    ]
    assert scu(pacs).send([unwanted]) == [Outcome("refused", "no-kind-of-object-accepted")]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0xA700, Outcome("try again", "status-0xA700")),
        (0xA7FF, Outcome("try again", "status-0xA7FF")),
        (0x0110, Outcome("try again", "status-0x0110")),
        (0x0213, Outcome("try again", "status-0x0213")),
        (0xA900, Outcome("refused", "status-0xA900")),
        (0xC001, Outcome("refused", "status-0xC001")),
        (0x0122, Outcome("refused", "status-0x0122")),
        # Stored, with something to remark.
        (0xB000, Outcome("taken", "status-0xB000")),
        (0xB006, Outcome("taken", "status-0xB006")),
        (0xB007, Outcome("taken", "status-0xB007")),
        (0xB001, Outcome("refused", "status-0xB001")),
        (0x0111, Outcome("already there", "status-0x0111")),
    ],
)
def test_statuses(pacs: Pacs, tmp_path: Path, status: int, expected: Outcome) -> None:
    pacs.statuses.put(status)
    assert scu(pacs).send([write_image(tmp_path / "a.dcm", 1)]) == [expected]


def test_who_is_not_there_or_does_not_know_us(pacs: Pacs, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.dcm", 1)
    pacs._entity.require_called_aet = True
    assert scu(pacs, called="PACS2").send([path, path])[1] == Outcome("refused", "called-title-not-recognised")
    pacs._entity.require_calling_aet = ["SOMEBODY"]
    # A rejection is now and then overtaken by the end of its connection, which is tried again.
    (told,) = send_files(scu(pacs), [path], QUICK)
    assert told.outcome == Outcome("refused", "calling-title-not-recognised")
    pacs.stop()
    assert scu(pacs).send([path, path]) == [Outcome("try again", "no-connection")] * 2
    nowhere = StoreScu(peer_at("nowhere.invalid:104"))
    assert nowhere.send([path]) == [Outcome("try again", "no-connection")]


def test_a_failure_that_passes_is_tried_again(pacs: Pacs, tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.dcm", number) for number in range(3)]
    for status in (0, 0xA700, 0xC001, 0xA700):
        pacs.statuses.put(status)
    told = list(send_files(scu(pacs), paths, QUICK))
    assert told == [
        SentFile(paths[0], TAKEN, 1),
        SentFile(paths[2], Outcome("refused", "status-0xC001"), 1),
        SentFile(paths[1], TAKEN, 3),
    ]
    pacs.stop()
    assert list(send_files(scu(pacs), paths[:1], QUICK)) == [
        SentFile(paths[0], Outcome("try again", "no-connection"), 4)
    ]


def test_tls(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    path = write_image(tmp_path / "a.dcm", 1)
    with Pacs(ssl_context=certificates.server_context(clients=True)) as pacs:

        def outcome(host: str, tls: ClientTls | None) -> Outcome:
            return StoreScu(peer_at(f"{host}:{pacs.port}", called="PACS", tls=tls)).send([path])[0]

        known = ClientTls(
            ca=certificates.path("authority"), certificate=certificates.path("client"), key=certificates.key("client")
        )
        assert outcome("localhost", known) == TAKEN
        assert outcome("127.0.0.1", known) == TAKEN
        # The server's certificate is signed by nobody whom the client knows; and the other way round.
        assert not outcome("localhost", ClientTls(ca=certificates.path("stranger"))).sent
        assert not outcome("localhost", ClientTls(ca=certificates.path("authority"))).sent
        stranger = ClientTls(
            ca=certificates.path("authority"),
            certificate=certificates.path("stranger"),
            key=certificates.key("stranger"),
        )
        assert not outcome("localhost", stranger).sent
        assert not outcome("localhost", None).sent
        assert pacs.taken.total() == 2
    with Pacs(ssl_context=certificates.server_context("elsewhere")) as pacs:
        # Vouched for, but under another name.
        assert outcome("localhost", known) == Outcome("try again", "no-connection")
