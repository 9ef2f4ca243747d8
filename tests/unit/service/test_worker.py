"""Workers: each image is judged once, what breaks the process is listed, and no claim outlives its worker."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError

import make_dicom
from carina.dicom.listener.judging import Failure
from carina.dicom.transport.log import EventLog
from carina.errors import BundleError
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.claims import claim, next_due_s, put_off, release
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Judgement, Model, Study
from carina.service.intake.take import Taken, take
from carina.service.judging import site_worker
from carina.service.judging.models import active_models, register_models
from carina.service.judging.predicting import Answers, Said, Unreadable
from carina.service.judging.records import hold_studies, record, refresh_study
from carina.service.judging.site_worker import Worker
from carina.service.judging.slots import Slot
from carina.service.judging.switching import follow_switch, left_to_follow, use_model
from carina.service.parts import has_worker, problems
from carina.service.site_folder import Site
from unit.service.test_take import PIXELS, png

SAID = Said("routine", "Normal", 0.1, {"Normal": 0.9}, "normal-in-band", "Why.", True, ["Doubt."], "f32", 2.0, "e" * 64)
URGENT = Said("fast-track", "COVID-19", 0.9, {"COVID-19": 0.9}, "flag-in-band", "Why.", True, [], "f32", 2.0, "e" * 64)


def film(number: int, **attributes: Any) -> bytes:
    said = {"StudyInstanceUID": f"1.2.{number}", "SOPInstanceUID": f"1.2.{number}.1", **attributes}
    return make_dicom.encode_dicom(PIXELS, stored=12, **said)


def send(site: Site, count: int) -> list[Taken]:
    said = [take(site, film(number), name=f"{number}.dcm", source="upload") for number in range(count)]
    return [one for one in said if isinstance(one, Taken)]


def add_model(site: Site, role: str = "in-use", name: str = "m") -> int:
    with writing(site.engine) as session:
        model = Model(
            name=name, version="1", sha256=name * 64, folder=name, flag_finding="COVID-19", role=role, added_at=now()
        )
        session.add(model)
        session.flush()
        return model.id


class StandIn:
    """What says by an image's bytes what becomes of it; `models` are folders by ID."""

    def __init__(self, site: Site, models: Mapping[int, Path]) -> None:
        self.models = dict(models)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def ask(self, model_id: int, images: Sequence[Path]) -> Answers | Failure:
        each: list[Said | Unreadable] = []
        for path in images:
            content = path.read_bytes()
            if b"BREAK" in content:
                raise KeyError
            if b"KILL" in content:
                return Failure("process-ended")
            said = URGENT if "other" in self.models[model_id].name else SAID
            each.append(Unreadable("truncated", "it is cut off.") if b"UNREADABLE" in content else said)
        return Answers(tuple(each))


@contextmanager
def working(
    site: Site, *, name: str = "w", log: StringIO | None = None, process: type[StandIn] = StandIn
) -> Iterator[Worker]:
    stop = threading.Event()
    worker = Worker(site, name, EventLog(log or StringIO()), process)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def wait_until(site: Site, condition: Callable[[Any], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with reading(site.engine) as session:
            if condition(session):
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(session: Any) -> dict[str, int]:
    return dict(session.execute(select(Image.state, func.count()).group_by(Image.state)).all())


def test_images_become_judgements_by_the_model_in_use_and_the_silent_one(new_site: Callable[[], Site]) -> None:
    site, log = new_site(), StringIO()
    in_use, silent = add_model(site), add_model(site, "silent", "o")
    with writing(site.engine) as session:
        session.execute(update(Model).where(Model.id == silent).values(folder="other"))
    first = send(site, 2)
    take(site, film(5, AccessionNumber="UNREADABLE"), name="a", source="upload")
    with working(new_site(), log=log):
        wait_until(site, lambda session: session.scalar(select(func.count(Judgement.id))) == 4)
        # Woken by what came, and not by the clock.
        later = take(site, png(1), name="x.png", source="api")
        wait_until(site, lambda session: session.scalar(select(func.count(Judgement.id))) == 6, 30)

    assert isinstance(later, Taken)
    with reading(site.engine) as session:
        assert states(session) == {"judged": 3, "refused": 1}
        study = session.get_one(Study, first[0].study_id)
        assert (study.priority, study.place, study.finding, study.probability) == ("routine", 3, "Normal", 0.1)
        assert study.finding_probability == 0.9
        assert (study.code, study.gate_accepted, study.image_id) == ("normal-in-band", True, first[0].image_id)
        by_model = {row.model_id: row for row in session.get_one(Image, first[0].image_id).judgements}
        assert by_model[in_use].reservations == ["Doubt."]
        assert by_model[silent].priority == "fast-track"
        refused = session.execute(select(Study).join(Image).where(Image.state == "refused")).scalar_one()
        assert (refused.priority, refused.place, refused.code) == ("not-assessable", 2, "truncated")
        assert refused.reason == "Not judged: it is cut off."
    assert "Secret" not in log.getvalue()
    assert "SECRET" not in log.getvalue()


def test_a_file_that_kills_its_process_is_listed_after_two_tries_and_the_others_are_judged(plain_site: Site) -> None:
    add_model(plain_site)
    send(plain_site, 3)
    bad = take(plain_site, film(7, AccessionNumber="KILL"), name="a", source="upload")
    send(plain_site, 5)
    assert isinstance(bad, Taken)
    take(plain_site, film(8, AccessionNumber="BREAK"), name="a", source="upload")
    log = StringIO()
    with working(plain_site, log=log):
        wait_until(plain_site, lambda session: states(session) == {"judged": 5, "failed": 2})
    assert "internal error part=worker kind=KeyError" in log.getvalue()
    with reading(plain_site.engine) as session:
        study = session.get_one(Study, bad.study_id)
        assert (study.priority, study.place, study.code) == ("not-assessable", 2, "process-ended")
        assert study.reason is not None
        assert study.reason.startswith("Not judged: the process that judges ended each time")
        assert session.scalar(select(func.count(Judgement.id))) == 5


def test_no_two_workers_take_the_same_image(new_site: Callable[[], Site]) -> None:
    sites = [new_site() for _ in range(4)]
    send(sites[0], 12)
    taken: list[int] = []

    def work(site: Site, name: str) -> None:
        while True:
            with writing(site.engine) as session:
                claimed = claim(session, name, most=2, lease_s=600)
            if not claimed:
                return
            taken.extend(one.image_id for one in claimed)

    threads = [threading.Thread(target=work, args=(site, str(number))) for number, site in enumerate(sites)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(min(taken), min(taken) + 12))


def test_a_claim_ends_with_its_time_its_worker_or_a_clock_that_was_set_back(site: Site) -> None:
    send(site, 1)

    def claimed(worker: str) -> int:
        with writing(site.engine) as session:
            return len(claim(session, worker, most=9, lease_s=60))

    assert (claimed("one"), claimed("two")) == (1, 0)
    with writing(site.engine) as session:
        assert release(session, "one") == 1
    assert claimed("two") == 1
    for hours in (-1, 1):
        with writing(site.engine) as session:
            session.execute(update(Image).values(claimed_at=now() + timedelta(hours=hours)))
        assert claimed("three") == 1


def test_what_was_put_off_is_due_later_and_no_clock_makes_it_wait_for_an_hour(site: Site) -> None:
    (one,) = send(site, 1)
    with writing(site.engine) as session:
        assert next_due_s(session) is None
        put_off(session, one.image_id, 30, attempts=1)
    with writing(site.engine) as session:
        assert 20 < (next_due_s(session) or 0) <= 30
        assert claim(session, "w", most=1, lease_s=60) == []
        session.execute(update(Image).values(due_at=now() + timedelta(hours=1)))
    with writing(site.engine) as session:
        assert [found.attempts for found in claim(session, "w", most=1, lease_s=60)] == [1]


def test_those_who_wait_are_found_by_their_index(plain_site: Site) -> None:
    statement = (
        "EXPLAIN QUERY PLAN SELECT id FROM image WHERE image.state = 'received' AND due_at <= 'x' ORDER BY due_at"
    )
    with plain_site.engine.connect() as connection:
        plan = str(connection.execute(text(statement)).all())
    assert "ix_image_waiting" in plan


def test_a_judgement_is_kept_once(site: Site) -> None:
    model = add_model(site)
    (one,) = send(site, 1)
    for expected in (True, False):
        with writing(site.engine) as session:
            assert record(session, one.image_id, model, SAID, in_use=True) is expected
    with reading(site.engine) as session:
        assert session.scalar(select(func.count(Judgement.id))) == 1


def test_the_line_of_a_study_is_that_of_its_most_urgent_image(site: Site) -> None:
    model = add_model(site)
    images = [take(site, film(1, SOPInstanceUID=f"1.{n}"), name="a", source="upload") for n in range(3)]
    ids = [one.image_id for one in images if isinstance(one, Taken)]
    # What could not be judged goes before what was judged to be Normal.
    each = (SAID, "routine"), (Unreadable("truncated", "it is cut off."), "not-assessable"), (URGENT, "fast-track")
    for image_id, (said, priority) in zip(ids, each, strict=True):
        with writing(site.engine) as session:
            record(session, image_id, model, said, in_use=True)
        with reading(site.engine) as session:
            study = session.execute(select(Study)).scalar_one()
            assert (study.priority, study.image_id) == (priority, image_id)


def test_another_model_in_use_changes_the_lines_of_what_is_unread_alone(site: Site) -> None:
    one, other = add_model(site), add_model(site, "silent", "o")
    first, second, third = send(site, 3)
    for taken, models in ((first, (one, other)), (second, (one,)), (third, (one,))):
        for model in models:
            with writing(site.engine) as session:
                record(session, taken.image_id, model, SAID if model == one else URGENT, in_use=model == one)
    with writing(site.engine) as session:
        session.execute(update(Study).where(Study.id == third.study_id).values(state="read"))
    with writing(site.engine) as session:
        use_model(session, other)
        assert left_to_follow(session) == 2
    for left in (1, 0, 0):
        with writing(site.engine) as session:
            assert follow_switch(session, piece=1)
        # Between two pieces others may write, and the page says how many studies are left.
        with writing(site.engine) as session:
            assert left_to_follow(session) == left
            assert ("model" in problems(session)) == bool(left)
    with writing(site.engine) as session:
        assert not follow_switch(session)
    with reading(site.engine) as session:
        lines = {study.id: study.priority for study in session.scalars(select(Study))}
        waiting = list(session.scalars(select(Image.id).where(Image.state == "received")))
        assert [model.id for model in active_models(session, site)] == [other, one]
    assert lines == {first.study_id: "fast-track", second.study_id: None, third.study_id: "routine"}
    assert waiting == [second.image_id]


def test_a_new_site_uses_its_bundle_and_a_bundle_named_later_judges_in_silence(
    plain_site: Site, small_run: Path, tmp_path: Path
) -> None:
    from unit.inference.small_model import write_small_run

    def with_bundle(folder: Path) -> Site:
        settings = plain_site.settings.model_copy(update={"bundle": folder})
        return Site(plain_site.folder, settings, plain_site.engine, plain_site.store)

    assert register_models(with_bundle(small_run)) == []
    other = write_small_run(plain_site.folder / "models" / "other", crop="none")
    (said,) = register_models(with_bundle(other))
    assert "judges in silence" in said
    assert register_models(with_bundle(other)) == []
    with reading(plain_site.engine) as session:
        models = session.execute(select(Model.role, Model.folder, Model.flag_finding).order_by(Model.id)).all()
        assert [tuple(model) for model in models] == [
            ("in-use", str(small_run), "COVID-19"),
            ("silent", "models/other", "COVID-19"),
        ]


def test_a_worker_says_what_keeps_it_from_judging(plain_site: Site) -> None:
    with working(plain_site):
        wait_until(plain_site, lambda session: "No model is in use" in problems(session).get("worker w", ""))
        with reading(plain_site.engine) as session:
            assert not has_worker(session)
    add_model(plain_site)
    with working(plain_site):
        wait_until(plain_site, has_worker)
    with reading(plain_site.engine) as session:
        assert problems(session) == {}


def test_what_keeps_images_waiting_is_on_the_page_until_it_is_over(
    new_site: Callable[[], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_worker, "_PAUSE_S", 0.05)
    site, starts = new_site(), threading.Event()
    add_model(site)

    class Weak(StandIn):
        def ask(self, model_id: int, images: Sequence[Path]) -> Answers | Failure:
            return super().ask(model_id, images) if starts.is_set() else Failure("no-judge", later=True)

    send(site, 1)
    with working(new_site(), process=Weak):
        wait_until(site, lambda session: "could not be started again" in problems(session).get("worker w", ""))
        starts.set()
        wait_until(site, lambda session: states(session) == {"judged": 1} and "worker w" not in problems(session))


def test_a_worker_waits_for_a_database_that_is_away(plain_site: Site) -> None:
    log = StringIO()
    add_model(plain_site)
    with plain_site.engine.begin() as connection:
        connection.execute(text("ALTER TABLE model RENAME TO elsewhere"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("carina.service.judging.site_worker._PAUSE_S", 0.05)
        with working(plain_site, log=log):
            while "database unavailable" not in log.getvalue():
                time.sleep(0.01)
            with plain_site.engine.begin() as connection:
                connection.execute(text("ALTER TABLE elsewhere RENAME TO model"))
            send(plain_site, 1)
            wait_until(plain_site, lambda session: states(session) == {"judged": 1})


def test_a_claim_lasts_while_its_worker_is_at_work_and_not_much_longer(
    new_site: Callable[[], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that was killed comes back under another name: nobody but the time ends its claims."""
    monkeypatch.setattr(site_worker, "_LEASE_S", 1.0)
    monkeypatch.setattr(site_worker, "_RENEWED_EVERY_S", 0.1)
    site, asked, go_on = new_site(), threading.Event(), threading.Event()
    add_model(site)
    send(site, 1)

    class Slow(StandIn):
        def ask(self, model_id: int, images: Sequence[Path]) -> Answers | Failure:
            asked.set()
            assert go_on.wait(30)
            return super().ask(model_id, images)

    def claimed_by_another() -> int:
        with writing(site.engine) as session:
            return len(claim(session, "another", most=1, lease_s=1.0))

    with working(new_site(), process=Slow):
        assert asked.wait(30)
        time.sleep(1.5)
        assert claimed_by_another() == 0
        go_on.set()
        wait_until(site, lambda session: states(session) == {"judged": 1})
    send(site, 2)
    with writing(site.engine) as session:
        assert len(claim(session, "killed", most=1, lease_s=1.0)) == 1
    assert claimed_by_another() == 0
    time.sleep(1.1)
    assert claimed_by_another() == 1


def test_the_name_of_a_worker_is_free_when_its_process_ends(tmp_path: Path) -> None:
    one, other = Slot(tmp_path / "locks"), Slot(tmp_path / "locks")
    assert one.name != other.name
    one.close()
    again = Slot(tmp_path / "locks")
    assert again.name == one.name
    for slot in (other, again):
        slot.close()


def test_refreshing_a_study_without_judged_images_lets_it_wait(site: Site) -> None:
    model = add_model(site)
    (one,) = send(site, 1)
    with writing(site.engine) as session:
        refresh_study(session, one.study_id, model)
    with reading(site.engine) as session:
        study = session.get_one(Study, one.study_id)
        assert (study.priority, study.place, study.judged_at) == (None, 2, None)


def test_what_was_claimed_when_the_database_failed_is_judged_at_once(
    plain_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim lasts a minute: for so long nobody would judge it."""
    add_model(plain_site)
    send(plain_site, 2)
    failed: list[int] = []

    def fails_once(*arguments: Any, **named: Any) -> bool:
        if not failed:
            failed.append(1)
            raise OperationalError("", {}, Exception())  # noqa: EM101
        return record(*arguments, **named)

    monkeypatch.setattr(site_worker, "record", fails_once)
    monkeypatch.setattr(site_worker, "_PAUSE_S", 0.05)
    with working(plain_site):
        wait_until(plain_site, lambda session: states(session) == {"judged": 2}, 10)


def test_an_image_that_is_judged_while_another_model_comes_into_use_waits_for_that_one(new_site: Any) -> None:
    site, shown_by = new_site(), []
    one, other = add_model(site), add_model(site, "silent", "o")
    with writing(site.engine) as session:
        session.execute(update(Model).where(Model.id == other).values(folder="other"))

    class Switching(StandIn):
        def ask(self, model_id: int, images: Sequence[Path]) -> Answers | Failure:
            if model_id == one and not shown_by:
                with writing(site.engine) as session:
                    use_model(session, other)
                shown_by.append(other)
            return super().ask(model_id, images)

    (sent,) = send(site, 1)
    with working(site, process=Switching):
        wait_until(site, lambda session: session.get_one(Study, sent.study_id).priority == "fast-track", 10)
        wait_until(site, lambda session: states(session) == {"judged": 1}, 10)
    with reading(site.engine) as session:
        assert {row.model_id for row in session.scalars(select(Judgement))} == {one, other}


def test_an_image_whose_file_was_lost_is_judged_when_it_comes_again(plain_site: Site) -> None:
    add_model(plain_site)
    (one,) = send(plain_site, 1)
    plain_site.store.object_path(one.digest).unlink()
    with working(plain_site):
        wait_until(plain_site, lambda session: states(session) == {"failed": 1})
        with reading(plain_site.engine) as session:
            assert "Send the image again" in (session.get_one(Study, one.study_id).reason or "")
        send(plain_site, 1)
        wait_until(plain_site, lambda session: states(session) == {"judged": 1}, 10)


def test_images_that_wait_for_long_are_told_whatever_the_parts_say(site: Site) -> None:
    send(site, 2)
    with writing(site.engine) as session:
        assert problems(session) == {}
        session.execute(update(Image).values(received_at=now() - timedelta(hours=1)))
    with reading(site.engine) as session:
        assert problems(session)["judging"].startswith("2 images waited for over 15 minutes to be judged, the first")


def test_a_clock_that_was_set_back_is_told(site: Site) -> None:
    send(site, 1)
    with writing(site.engine) as session:
        assert problems(session) == {}
        session.execute(update(Study).values(changed_at=now() + timedelta(minutes=59)))
    with reading(site.engine) as session:
        assert "It was set back" in problems(session)["clock"]


def test_workers_with_images_of_the_same_studies_do_not_end_each_other(site: Site) -> None:
    model = add_model(site)
    images = [
        take(site, film(study, SOPInstanceUID=f"1.{study}.{n}"), name="a", source="upload")
        for n in range(2)
        for study in range(2)
    ]
    ids = [one.image_id for one in images if isinstance(one, Taken)]
    both, wrong = threading.Barrier(2), list[Exception]()

    def keep(mine: list[int]) -> None:
        try:
            with writing(site.engine) as session:
                if session.get_bind().dialect.name == "postgresql":
                    both.wait(10)
                hold_studies(session, mine)
                for image_id in mine:
                    record(session, image_id, model, SAID, in_use=True)
                    time.sleep(0.2)
        except Exception as error:  # noqa: BLE001  # told below
            wrong.append(error)

    threads = [threading.Thread(target=keep, args=(mine,)) for mine in (ids[:2], ids[:1:-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_distance_to_the_gate_s_radiographs_is_kept(plain_site: Site) -> None:
    model, (taken,) = add_model(plain_site), send(plain_site, 1)
    with writing(plain_site.engine) as session:
        record(session, taken.image_id, model, replace(SAID, embedding_distance=1.5), in_use=True)
    with reading(plain_site.engine) as session:
        assert session.scalars(select(Judgement.embedding_distance)).one() == 1.5


def test_a_silent_model_that_cannot_be_loaded_does_not_stop_the_one_in_use(plain_site: Site) -> None:
    in_use, silent = add_model(plain_site), add_model(plain_site, "silent", "o")

    class Broken(StandIn):
        def start(self) -> None:
            if silent in self.models:
                raise BundleError("The bundle o is not whole.")  # noqa: EM101

    send(plain_site, 1)
    with working(plain_site, process=Broken):
        wait_until(plain_site, lambda session: states(session) == {"judged": 1})
        wait_until(plain_site, lambda session: "silent models" in problems(session))
        with reading(plain_site.engine) as session:
            assert problems(session)["silent models"].endswith("The bundle o is not whole.")
            assert has_worker(session)
        with writing(plain_site.engine) as session:
            session.execute(update(Model).where(Model.id == silent).values(role="retired"))
            announce(session)
        wait_until(plain_site, lambda session: "silent models" not in problems(session))
    with reading(plain_site.engine) as session:
        assert {row.model_id for row in session.scalars(select(Judgement))} == {in_use}
