"""What was read is deleted by age and by disk share, without a trace of the patient; what is unread never is."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update

from carina.dicom.transport.settings import Listening
from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Judgement, Part, Study
from carina.service.intake.take import Taken, take
from carina.service.judging.records import record
from carina.service.kept_evidence import FOLDER
from carina.service.parts import forget_gone
from carina.service.retention import apply_retention, delete_study
from carina.service.site_folder import Site
from carina.service.site_settings import Retention
from unit.service.test_worker import SAID, add_model, film, send


def ruled(site: Site, **rules: float) -> Site:
    settings = site.settings.model_copy(update={"retention": Retention(**rules)})
    return Site(site.folder, settings, site.engine, site.store)


@pytest.fixture
def read(site: Site) -> list[Taken]:
    """Return three old studies, of which the last is unread."""
    model = add_model(site)
    sent = send(site, 3)
    with writing(site.engine) as session:
        for one in sent:
            record(session, one.image_id, model, SAID, in_use=True)
    with writing(site.engine) as session:
        session.execute(update(Study).values(arrived_at=now() - timedelta(days=40)))
        session.execute(update(Study).where(Study.id != sent[2].study_id).values(state="read"))
    return sent


def there(site: Site, sent: list[Taken]) -> list[bool]:
    return [site.store.object_path(one.digest).is_file() for one in sent]


def test_a_study_that_was_read_loses_its_images_and_names_when_it_is_old(site: Site, read: list[Taken]) -> None:
    digest = read[0].digest
    kept = site.folder / FOLDER / digest[:2] / f"{digest}-abc.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    assert apply_retention(site) == 0
    assert apply_retention(ruled(site, days=50)) == 0
    assert apply_retention(ruled(site, days=30)) == 2
    assert apply_retention(ruled(site, days=30)) == 0

    assert there(site, read) == [False, False, True]
    assert not kept.exists()
    with reading(site.engine) as session:
        study = session.get_one(Study, read[0].study_id)
        image = session.get_one(Image, read[0].image_id)
        said = (study.patient_name, study.patient_id, study.patient_key, study.study_instance_uid, image.name)
        assert said == (None, None, None, None, "")
        assert study.searched == ""
        assert (study.priority, study.state) == ("routine", "deleted")
        assert len(session.scalars(select(Judgement)).all()) == 3
        left = session.get_one(Study, read[2].study_id)
        assert (left.patient_name, left.searched[:14]) == ("Secret^Patient", "secret patient")
        events = session.scalars(select(AuditEvent).where(AuditEvent.action == "study-deleted")).all()
        assert sorted(event.subject for event in events) == [f"study {one.study_id}" for one in read[:2]]


def test_a_share_of_the_disk_takes_the_oldest_that_were_read(
    site: Site, read: list[Taken], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [site.store.object_path(one.digest).stat().st_size for one in read]
    # Others have filled the disk: that is no reason to delete anything of this site.
    usage = SimpleNamespace(used=10 * sum(sizes), total=10 * sum(sizes))
    monkeypatch.setattr("carina.service.retention.shutil.disk_usage", lambda _: usage)
    assert apply_retention(ruled(site, disk_share=0.1)) == 0
    assert apply_retention(ruled(site, disk_share=0.1 - sizes[0] / usage.total / 2)) == 1
    assert there(site, read) == [False, True, True]
    assert apply_retention(ruled(site, disk_share=0.001)) == 1
    assert there(site, read) == [False, False, True]


def test_parts_that_are_no_more_are_forgotten(site: Site) -> None:
    gone = now() - timedelta(hours=1)
    with writing(site.engine) as session:
        session.add_all(Part(name=name, seen_at=gone) for name in ("listener", "worker old:0", "web"))
    with writing(site.engine) as session:
        forget_gone(session, site.settings.model_copy(update={"listener": Listening(allow=("A",))}))
    # Nobody judges: that must be said, whoever judged last.
    assert parts_of(site) == {"listener", "web", "worker old:0"}
    with writing(site.engine) as session:
        session.add(Part(name="worker new:0", seen_at=now()))
    with writing(site.engine) as session:
        forget_gone(session, site.settings)
    assert parts_of(site) == {"web", "worker new:0"}


def parts_of(site: Site) -> set[str]:
    with reading(site.engine) as session:
        return set(session.scalars(select(Part.name)))


def test_what_became_unread_meanwhile_is_not_deleted(site: Site, read: list[Taken]) -> None:
    take(site, film(0, SOPInstanceUID="7.7"), name="new", source="upload")
    assert not delete_study(site, read[0].study_id, "old")
    assert there(site, read) == [True, True, True]


def test_a_deleted_image_that_comes_again_is_there_again(site: Site, read: list[Taken]) -> None:
    assert delete_study(site, read[0].study_id, "old")
    again = take(site, film(0), name="again.dcm", source="upload")
    assert isinstance(again, Taken)
    assert (again.image_id, again.study_id, again.is_new) == (read[0].image_id, read[0].study_id, False)
    assert there(site, read[:1]) == [True]
    more = take(site, film(0, SOPInstanceUID="7.7"), name="more.dcm", source="upload")
    assert isinstance(more, Taken)
    assert (more.study_id, more.is_new) == (read[0].study_id, True)
    with reading(site.engine) as session:
        assert len(session.scalars(select(Study)).all()) == 3
        study = session.get_one(Study, again.study_id)
        assert (study.patient_name, study.state, study.removed_at) == ("Secret^Patient", "unread", None)
        assert study.searched.startswith("secret patient")


def test_answers_to_it_that_were_not_sent_are_deleted_too(site: Site, read: list[Taken]) -> None:
    folder = site.store.answers_folder(read[0].digest)
    folder.mkdir()
    (folder / "answer.dcm").write_bytes(b"Secret^Patient")
    assert delete_study(site, read[0].study_id, "old")
    assert not folder.exists()


def test_an_object_that_comes_again_while_those_without_a_row_are_deleted_stays(
    plain_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = send(plain_site, 1)
    path = plain_site.store.object_path(one.digest)
    times = iter([0.0])
    monkeypatch.setattr(Site, "_written", lambda *_: next(times, path.stat().st_mtime))
    with writing(plain_site.engine) as session:
        # As it is before the row is there.
        session.execute(update(Image).values(digest="f" * 64))
    assert plain_site.clean() == 0
    assert path.is_file()
