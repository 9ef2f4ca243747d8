"""Radiographs are found and fetched by C-FIND, C-GET and C-MOVE: what cannot be asked for or did not arrive is told."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pydicom import dcmread

from carina.dicom.fetching.dimse_archive import DimseArchive
from carina.dicom.fetching.query import Delivery, Found, Series, query
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.listener.store import ObjectStore
from carina.dicom.transport.settings import peer_at
from carina.errors import ArchiveUnusableError, PeerError
from dicom_archives import MOVE, DimseServer, dimse_server
from dicom_network import Pacs, association
from dicom_stand_in import make_image

WANTED = Wanted("20260102", ("CR",))
HERE = ("127.0.0.1", 0)
FIRST, SECOND = (str(make_image(seed).SeriesInstanceUID) for seed in (1, 2))


@pytest.fixture
def server() -> Iterator[DimseServer]:
    with dimse_server() as made:
        yield made


def archive(server: DimseServer, **keywords: Any) -> DimseArchive:
    return DimseArchive(peer_at(f"127.0.0.1:{server.port}", called="ARCHIVE"), 100_000, **keywords)


def test_series_are_found(server: DimseServer) -> None:
    found = archive(server).find(WANTED)
    # Not the mammogram, though this archive does not heed the modality.
    assert found == Found((Series("1.2.3", FIRST), Series("1.2.3", SECOND)), unfit=1)
    assert [series.images for series in found.series] == [1, 1]
    server.counts = False
    assert [series.images for series in archive(server).find(WANTED).series] == [1, 1]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("modality", ["CR", "cr", ["OT", "CR"], ""])
def test_however_the_modality_is_written(server: DimseServer, modality: Any) -> None:
    server.modality = modality
    assert len(archive(server).find(WANTED).series) == 2


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
@pytest.mark.parametrize("uid", ["../x", "*", "", "1.2.840.ABC.5", "1." + "2" * 63])
def test_uids_that_are_none_are_told(server: DimseServer, uid: str) -> None:
    server.studies = [{"StudyInstanceUID": uid}, {"StudyInstanceUID": "1.2.3", "StudyDate": "20260102"}]
    server.extra_series = [{"SeriesInstanceUID": uid, "Modality": "CR"}]
    found = archive(server).find(WANTED)
    assert len(found.series) == 2
    assert [(missing.code, missing.study, missing.series) for missing in found.missing] == [
        ("not-a-uid", uid or None, None),
        ("not-a-uid", "1.2.3", uid or None),
    ]
    assert found.missing[0].message.startswith("Study 1 of 2 was not asked for")
    # This archive does not heed the modality, and names the series twice.
    assert archive(server).find(Wanted("20260102", ("CR", "DX"))).missing == found.missing


def test_two_uids_in_one_are_none(server: DimseServer) -> None:
    server.studies.append({"StudyInstanceUID": ["1.2.3", "1.2.4"]})
    found = archive(server).find(WANTED)
    assert (len(found.series), [missing.code for missing in found.missing]) == (2, ["not-a-uid"])


def test_studies_of_another_day_are_left_out_and_counted(server: DimseServer) -> None:
    server.studies.append({"StudyInstanceUID": "1.2.4", "StudyDate": "20260103"})
    assert archive(server).find(WANTED).unfit == 2


@pytest.mark.parametrize("level", ["STUDY", "SERIES"])
@pytest.mark.parametrize(
    ("status", "message"),
    [(0xA700, "ended the search early"), (0xFE00, "ended the search early"), (0xC001, "does not answer the query")],
)
def test_a_search_that_ends_early_keeps_what_was_found(
    server: DimseServer, level: str, status: int, message: str
) -> None:
    server.statuses = {level: status}
    found = archive(server).find(WANTED)
    assert len(found.series) == 2
    (missing,) = found.missing
    assert missing.code == "search-incomplete"
    assert f"{message} (status 0x{status:04X})" in missing.message


def test_an_archive_that_says_no_at_once(server: DimseServer) -> None:
    server.statuses, server.studies = {"STUDY": 0xC001}, []
    with pytest.raises(PeerError, match=r"does not answer the query \(status 0xC001\)"):
        archive(server).find(WANTED)
    server.close()
    with pytest.raises(ArchiveUnusableError, match=r"^no-connection: There is no connection to ARCHIVE at"):
        archive(server).find(WANTED)


def test_a_service_that_the_archive_does_not_offer() -> None:
    with dimse_server([MOVE]) as server:
        # It takes the association for the images that are proposed with C-GET, and not for C-FIND alone.
        with pytest.raises(ArchiveUnusableError, match="does not offer C-GET in the Study Root information model"):
            archive(server).fetch(Series("1.2.3", FIRST), lambda _: None)
        with pytest.raises(
            ArchiveUnusableError, match="does not offer C-FIND in the Study Root information model to CARINA"
        ):
            archive(server).find(WANTED)


def test_objects_come_by_c_get(server: DimseServer) -> None:
    kept: list[Sequence[bytes]] = []
    assert archive(server).fetch(Series("1.2.3", FIRST), kept.append) == Delivery(1)
    assert b"".join(kept[0]).endswith(make_image(1).PixelData)


def test_objects_come_by_c_move(server: DimseServer, tmp_path: Any) -> None:
    moving = archive(server, here=HERE)
    server.move_to = ("127.0.0.1", moving._server.server_address[1])
    try:
        found = moving.find(WANTED)
        fetched = list(query(moving, found, ObjectStore(tmp_path / "found"), None))
        assert [dcmread(one.path).PixelData for one in fetched] == [i.PixelData for i in server.images.values()]
        here = f"127.0.0.1:{moving._server.server_address[1]}"
        server.refused = {FIRST: 0xC000}
        with pytest.raises(PeerError, match=rf"\(status 0xC000\)\. .* may not reach this machine\. .*CARINA.*{here}"):
            moving.fetch(Series("1.2.3", FIRST), lambda _: None)
        server.move_to = None
        with pytest.raises(ArchiveUnusableError, match=rf"cannot send to CARINA \(status 0xA801\)\. .*CARINA.*{here}"):
            moving.fetch(Series("1.2.3", FIRST), lambda _: None)
    finally:
        moving.close()


def test_what_goes_elsewhere_did_not_arrive(server: DimseServer) -> None:
    moving = archive(server, here=HERE)
    with Pacs() as elsewhere:
        server.move_to = ("127.0.0.1", elsewhere.port)
        try:
            with pytest.raises(ArchiveUnusableError, match="says that it sent 1 image, and none arrived here"):
                moving.fetch(Series("1.2.3", FIRST), lambda _: None)
        finally:
            moving.close()
        assert elsewhere.taken.total() == 1


@pytest.mark.parametrize(
    ("called", "calling", "message"),
    [
        ("OTHER", "CARINA", r"as ARCHIVE, and objects are taken from OTHER only\. .*type --called ARCHIVE\."),
        ("ARCHIVE", "OTHER", r"asked for X ROOM, and the AE title here is OTHER\. .*, or type --aet 'X ROOM'\."),
    ],
)
def test_titles_by_which_objects_are_brought(server: DimseServer, called: str, calling: str, message: str) -> None:
    """This archive takes any title in a search, and brings objects as ARCHIVE to X ROOM whoever asked."""
    peer = peer_at(f"127.0.0.1:{server.port}", called=called, calling=calling)
    moving = DimseArchive(peer, 100_000, here=HERE)
    server.move_to = ("127.0.0.1", moving._server.server_address[1])
    server.brings_to = "X ROOM"
    try:
        assert len(moving.find(WANTED).series) == 2
        with pytest.raises(ArchiveUnusableError, match=message):
            moving.fetch(Series("1.2.3", FIRST), lambda _: None)
    finally:
        moving.close()


def test_who_is_turned_away_for_want_of_room_has_no_wrong_title(server: DimseServer) -> None:
    moving = archive(server, here=HERE)
    server.move_to = here = ("127.0.0.1", moving._server.server_address[1])
    moving._server.ae.maximum_associations = 1
    try:
        with association(here[1], calling="ARCHIVE"), pytest.raises(PeerError, match="too many connections"):
            moving.fetch(Series("1.2.3", FIRST), lambda _: None)
    finally:
        moving.close()


def test_what_comes_when_nothing_was_asked_for_is_not_taken(server: DimseServer) -> None:
    moving = archive(server, here=HERE)
    kept: list[Sequence[bytes]] = []
    server.move_to = ("127.0.0.1", moving._server.server_address[1])
    try:
        moving.fetch(Series("1.2.3", FIRST), kept.append)
        from pynetdicom import AE

        from dicom_network import CR

        late = AE("ARCHIVE")
        late.add_requested_context(CR, "1.2.840.10008.1.2.1")
        made = late.associate(*server.move_to, ae_title="CARINA")
        assert made.send_c_store(make_image(7)).Status == 0xA700
        made.release()
    finally:
        moving.close()
    assert len(kept) == 1


@pytest.mark.parametrize("status", [0xA900, 0xA702, 0xC000, 0xFE00])
def test_a_series_that_is_refused(server: DimseServer, status: int) -> None:
    server.refused = {FIRST: status}
    with pytest.raises(PeerError, match=rf"does not send what it found \(status 0x{status:04X}\)") as caught:
        archive(server).fetch(Series("1.2.3", FIRST), lambda _: None)
    assert not isinstance(caught.value, ArchiveUnusableError)


def test_what_the_archive_says_of_its_sending(server: DimseServer) -> None:
    # None, one that it could not send, and one that is too large for us.
    for status, expected in ((0, Delivery(0)), (0xB000, Delivery(1))):
        server.refused = {FIRST: status}
        assert archive(server).fetch(Series("1.2.3", FIRST), lambda _: None) == expected
    server.refused = {}
    server.images[FIRST] = make_image(5, side=400)
    assert archive(server).fetch(Series("1.2.3", FIRST), lambda _: None) == Delivery(1, unusable=1)


def test_a_full_disk_is_no_affair_of_the_archive(server: DimseServer) -> None:
    def full(parts: Sequence[bytes]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        archive(server).fetch(Series("1.2.3", FIRST), full)
