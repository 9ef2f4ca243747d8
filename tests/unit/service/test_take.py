"""Images come in: each once, by whichever way, and on the disk before they are acknowledged."""

import errno
import io
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import func, select, update

import make_dicom
from carina.dicom.listener.store import ObjectStore
from carina.errors import InputError
from carina.radiographs.dicom.workers import Workers
from carina.service.database.base import Base
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Arrival, Image, Study
from carina.service.intake.files import take_file
from carina.service.intake.take import LeftOut, NotTakenError, Taken, take
from carina.service.site_folder import Site

PIXELS = (np.arange(64 * 64, dtype=np.uint16) % 4096).reshape(64, 64)


def film(**attributes: Any) -> bytes:
    return make_dicom.encode_dicom(PIXELS, stored=12, **attributes)


def count(site: Site, table: type[Base]) -> int:
    with reading(site.engine) as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def taken(said: object) -> Taken:
    assert isinstance(said, Taken), said
    return said


def test_a_film_becomes_an_object_a_study_and_an_image(site: Site) -> None:
    content = film(StudyInstanceUID="1.2.3", SOPInstanceUID="1.2.3.4", PatientSex="F", AccessionNumber="A7")
    said = taken(take(site, content, name="folder/film.dcm", source="upload"))

    assert said.is_new
    assert site.store.object_path(said.digest).read_bytes() == content
    with reading(site.engine) as session:
        study = session.get_one(Study, said.study_id)
        image = session.get_one(Image, said.image_id)
        assert (study.patient_name, study.patient_id, study.accession_number) == ("Secret^Patient", "SECRET-ID", "A7")
        assert (study.sex, study.age_years, study.view, study.modality) == ("F", 45.0, "PA", "CR")
        assert (str(study.study_date), study.state, study.priority, study.place) == ("2020-02-02", "unread", None, 2)
        assert (image.name, image.kind, image.state, image.bytes) == ("film.dcm", "dicom", "received", len(content))
        assert (image.rows, image.columns, image.sop_instance_uid) == (64, 64, "1.2.3.4")
        assert study.arrived_at.utcoffset() is not None


def test_an_input_that_comes_again_by_another_way_adds_an_arrival_alone(site: Site) -> None:
    first = taken(take(site, film(StudyInstanceUID="1.2.3"), name="a.dcm", source="upload"))
    again = taken(take(site, film(StudyInstanceUID="1.2.3"), name="b.dcm", source="c-store"))

    assert (again.image_id, again.is_new) == (first.image_id, False)
    assert (count(site, Study), count(site, Image), count(site, Arrival)) == (1, 1, 2)


def test_the_same_data_set_is_known_whatever_meta_information_comes_before_it(site: Site) -> None:
    one = film(StudyInstanceUID="1.2.3")
    # Another preamble, as another sender writes it.
    other = b"\x01" * 128 + one[128:]
    first = taken(take(site, one, name="a", source="upload"))
    assert taken(take(site, other, name="b", source="c-store")).image_id == first.image_id


def test_images_of_one_study_share_its_row_and_a_new_one_makes_it_unread(site: Site) -> None:
    first = taken(take(site, film(StudyInstanceUID="1.2.3", SOPInstanceUID="1.1"), name="a", source="upload"))
    with writing(site.engine) as session:
        session.execute(update(Study).values(state="read"))
    second = taken(take(site, film(StudyInstanceUID="1.2.3", SOPInstanceUID="1.2"), name="b", source="upload"))

    assert first.study_id == second.study_id
    with reading(site.engine) as session:
        assert session.get_one(Study, first.study_id).state == "unread"


def test_two_patients_under_one_study_uid_are_two_studies(site: Site) -> None:
    one = taken(take(site, film(StudyInstanceUID="1.2.3", PatientID="A"), name="a", source="upload"))
    other = taken(take(site, film(StudyInstanceUID="1.2.3", PatientID="B"), name="b", source="upload"))
    third = taken(
        take(site, film(StudyInstanceUID="1.2.3", PatientID="B", SOPInstanceUID="9.9"), name="c", source="upload")
    )
    assert one.study_id != other.study_id == third.study_id


def test_a_raster_image_is_a_study_of_its_own(site: Site) -> None:
    said = taken(take(site, png(1), name="C:\\films\\film.png", source="upload"))
    with reading(site.engine) as session:
        image = session.get_one(Image, said.image_id)
        assert (image.kind, image.name) == ("raster", "film.png")
        assert image.study.patient_name is None


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_a_damaged_film_is_taken_and_what_holds_no_image_is_not(plain_site: Site) -> None:
    cut_off = film()[:200]
    assert taken(take(plain_site, cut_off, name="a.dcm", source="upload")).is_new
    codes = {
        name: said.code
        for name, content in {"empty": b"", "text": b"hello world" * 5, "report": without_pixels()}.items()
        if isinstance(said := take(plain_site, content, name=name, source="upload"), LeftOut)
    }
    assert codes == {"empty": "empty-file", "text": "no-image", "report": "companion-object"}
    assert count(plain_site, Image) == 1


def without_pixels() -> bytes:
    return make_dicom.encode_object("1.2.840.10008.5.1.4.1.1.88.11", "SR", PatientName="Secret^Patient")


def test_a_file_over_the_limit_is_left_out(plain_site: Site) -> None:
    limits = plain_site.settings.limits.model_copy(update={"object_mb": 0.001})
    plain_site = Site(
        plain_site.folder,
        plain_site.settings.model_copy(update={"limits": limits}),
        plain_site.engine,
        plain_site.store,
    )
    said = take(plain_site, film(), name="a.dcm", source="upload")
    assert isinstance(said, LeftOut)
    assert said.code == "too-large"
    assert count(plain_site, Image) == 0


def test_a_full_disk_is_said_and_nothing_is_acknowledged(plain_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "write_object", full)
        with pytest.raises(NotTakenError, match="No space left") as error:
            take(plain_site, film(), name="a.dcm", source="upload")
    assert error.value.code == "disk-full"
    monkeypatch.setattr(ObjectStore, "free_bytes", lambda _: 1000)
    with pytest.raises(NotTakenError, match="nearly full"):
        take(plain_site, film(), name="a.dcm", source="upload")
    assert count(plain_site, Image) == 0


def test_no_image_is_listed_without_its_patient_because_its_header_could_not_be_read_now(
    plain_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(workers: Workers, content: bytes) -> None:
        message = "the process that decodes DICOM could not be started."
        raise InputError(message, "decoder-unavailable")

    monkeypatch.setattr(Workers, "describe", away)
    content = film()
    with pytest.raises(NotTakenError, match="could not be started") as caught:
        take(plain_site, content, name="a.dcm", source="c-store")
    assert caught.value.code == "decoder-unavailable"
    assert count(plain_site, Image) == 0
    monkeypatch.undo()
    assert taken(take(plain_site, content, name="a.dcm", source="c-store")).is_new


def test_a_database_that_is_away_is_said_without_what_was_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(site.engine) as session:
        session.connection().exec_driver_sql("ALTER TABLE arrival RENAME TO elsewhere")
    with pytest.raises(NotTakenError, match="does not take anything now") as error:
        take(site, film(), name="a.dcm", source="upload")
    assert error.value.code == "database-unavailable"
    assert "Secret" not in str(error.value)
    # The object alone is nothing: it was not acknowledged, and the same input may come again.
    with writing(site.engine) as session:
        session.connection().exec_driver_sql("ALTER TABLE elsewhere RENAME TO arrival")
    assert taken(take(site, film(), name="a.dcm", source="upload")).is_new


def test_the_same_input_by_many_ways_at_once_is_one_image(new_site: Callable[[], Site]) -> None:
    sites = [new_site() for _ in range(4)]
    said: list[Taken] = []

    def send(site: Site) -> None:
        for number in range(3):
            content = film(StudyInstanceUID="1.2.3", SOPInstanceUID=f"1.{number}")
            said.append(taken(take(site, content, name="a", source="c-store")))

    threads = [threading.Thread(target=send, args=(site,)) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(said) == 12
    assert sum(one.is_new for one in said) == 3
    assert (count(sites[0], Study), count(sites[0], Image), count(sites[0], Arrival)) == (1, 3, 12)


def test_an_object_that_was_deleted_comes_back_with_the_same_input(plain_site: Site) -> None:
    first = taken(take(plain_site, film(), name="a", source="upload"))
    plain_site.store.object_path(first.digest).unlink()
    taken(take(plain_site, film(), name="a", source="upload"))
    assert plain_site.store.object_path(first.digest).is_file()


def test_images_of_an_archive_are_taken_and_the_rest_is_said(plain_site: Site, tmp_path: Path) -> None:
    path = tmp_path / "films.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/film.dcm", film())
        archive.writestr("a/film.png", png(1))
        archive.writestr("readme.txt", "hello")
        archive.writestr("__MACOSX/._film.png", b"\0")
        archive.writestr("../outside.png", png(2))
    said = {outcome.name: outcome.said for outcome in take_file(plain_site, path, name="films.zip", source="upload")}

    assert [name for name, one in said.items() if isinstance(one, Taken)] == ["a/film.dcm", "a/film.png"]
    assert isinstance(left := said["readme.txt"], LeftOut)
    assert left.message == "This is no image: .txt file."
    assert isinstance(unsafe := said["file 5 of the archive"], LeftOut)
    assert unsafe.code == "unsafe-path"
    assert not (tmp_path / "outside.png").exists()


def test_files_that_no_row_knows_are_deleted_once_they_are_old(
    plain_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = taken(take(plain_site, film(), name="a", source="upload"))
    plain_site.store.write_object("f" * 64, (b"killed before its row",))
    assert plain_site.clean() == 0
    monkeypatch.setattr("carina.service.site_folder._ORPHAN_S", -1.0)
    assert plain_site.clean() == 1
    assert list(plain_site.store.stored_digests()) == [kept.digest]
