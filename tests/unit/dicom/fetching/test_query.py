"""What was found is held against what arrived: every difference is told, and the rest goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from carina.dicom.fetching.query import Delivery, Fetched, Found, Keep, Missing, Series, query
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.listener.judging import AnswerFiles, Failure, JudgeProcess
from carina.dicom.listener.store import ObjectStore
from carina.errors import ArchiveUnusableError, PeerError
from dicom_archives import as_file, series_of
from dicom_stand_in import make_image

IMAGES = [as_file(make_image(seed)) for seed in range(3)]


@dataclass
class Archive:
    """Gives for each series what it is told: files and what it says, or an error behind the files."""

    given: list[tuple[Sequence[bytes], Delivery | Exception]]
    asked: list[Series] = field(default_factory=list)

    def find(self, wanted: Wanted) -> Found:
        raise NotImplementedError(wanted)

    def fetch(self, series: Series, keep: Keep) -> Delivery:
        files, said = self.given[len(self.asked)]
        self.asked.append(series)
        for file in files:
            keep([file])
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., list[Fetched | Missing]]:
    def fetch(archive: Archive, *series: Series, **others: Sequence[Missing]) -> list[Fetched | Missing]:
        found = Found(series, tuple(others.get("missing", ())))
        return list(query(archive, found, ObjectStore(tmp_path / "found"), None))

    return fetch


Fetch = Callable[..., list[Fetched | Missing]]


@pytest.mark.parametrize(
    ("images", "files", "said", "expected"),
    [
        (1, IMAGES[:1], Delivery(), None),
        (2, IMAGES[:2], Delivery(), None),
        (None, IMAGES[:1], Delivery(), None),
        (2, IMAGES[:1], Delivery(), (2, 1, "1 of 2 images arrived.")),
        (1, [], Delivery(), (1, 0, "0 of 1 image arrived.")),
        # The archive named it, so there is one image at least; how many, nobody said, and nobody makes it up.
        (None, [], Delivery(), (None, 0, "0 images arrived; the archive does not say how many there should be.")),
        (0, [], Delivery(), (None, 0, "0 images arrived; the archive does not say how many there should be.")),
        # What it says while it sends counts, too.
        (None, IMAGES[:1], Delivery(told=3), (3, 1, "1 of 3 images arrived.")),
        (1, IMAGES[:1], Delivery(told=0), None),
        (None, IMAGES[:1], Delivery(partial=True), (None, 1, "1 image arrived; the archive does not say")),
        (None, IMAGES[:1], Delivery(partial=True), (None, 1, "says that it sent only a part")),
        (1, IMAGES[:1], Delivery(partial=True), None),
        (1, IMAGES[:1], Delivery(unusable=1), (1, 1, "1 of what arrived was too large or no DICOM object")),
        # One image twice is one.
        (2, [IMAGES[0], IMAGES[0]], Delivery(), (2, 1, "1 of 2 images arrived.")),
    ],
)
def test_what_was_found_is_held_against_what_arrived(
    fetch: Fetch,
    images: int | None,
    files: Sequence[bytes],
    said: Delivery,
    expected: tuple[int | None, int, str] | None,
) -> None:
    told = fetch(Archive([(files, said)]), series_of(1, images))
    fetched = [one for one in told if isinstance(one, Fetched)]
    assert {one.path.read_bytes() for one in fetched} == set(files)
    assert len(fetched) == len(set(files))
    if expected is None:
        assert len(told) == len(fetched)
        return
    missing = told[-1]
    assert isinstance(missing, Missing)
    assert (missing.code, missing.expected, missing.received) == ("incomplete", *expected[:2])
    assert missing.message.startswith("Series 1 of 1: ")
    assert expected[2] in missing.message
    assert (missing.study, missing.series) == (series_of(1).study, series_of(1).series)
    # The screen shows no UID.
    assert missing.series not in missing.message


def test_one_image_in_two_encodings_is_one(fetch: Fetch) -> None:
    other = make_image(0)
    other.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    told = fetch(Archive([([IMAGES[0], as_file(other)], Delivery())]), series_of(0, 2))
    assert [one.repeated for one in told[:2] if isinstance(one, Fetched)] == [False, True]
    assert isinstance(told[-1], Missing)
    assert (told[-1].expected, told[-1].received) == (2, 1)


def test_a_series_that_fails_does_not_end_the_day(fetch: Fetch) -> None:
    archive = Archive([([IMAGES[0]], PeerError("It broke.")), ([IMAGES[1]], Delivery())])
    told = fetch(archive, series_of(0, 2), series_of(1, 1))
    assert [type(one) for one in told] == [Fetched, Missing, Fetched]
    assert told[1] == Missing("fetch-failed", "Series 1 of 2: It broke.", series_of(0).study, series_of(0).series, 2, 1)


def test_an_archive_that_is_gone_is_not_asked_for_ever(fetch: Fetch) -> None:
    gone: list[tuple[Sequence[bytes], Delivery | Exception]] = [([], ArchiveUnusableError("It is gone."))]
    back: list[tuple[Sequence[bytes], Delivery | Exception]] = [(IMAGES[:1], Delivery())]
    archive = Archive(gone + gone + back + gone * 3)
    told = fetch(archive, *(series_of(n, 1) for n in range(8)))
    failed, left = "fetch-failed", "not-fetched"
    assert [one.code for one in told] == [failed, failed, None, failed, failed, failed, left, left]
    assert len(archive.asked) == 6
    assert isinstance(told[-1], Missing)
    assert told[-1].message.startswith("Series 8 of 8 was not asked for")
    # Each with its UIDs, so that it can be looked for.
    assert told[-1].series == series_of(7).series
    # A failure of one series is no reason to leave out the others.
    archive = Archive([([], PeerError("No.")) for _ in range(5)])
    assert [one.code for one in fetch(archive, *map(series_of, range(5)))] == ["fetch-failed"] * 5


def test_what_the_search_could_not_name_is_told_first(fetch: Fetch) -> None:
    doubt = Missing("search-incomplete", "There may be more.")
    told = fetch(Archive([(IMAGES[:1], Delivery())]), series_of(0, 1), missing=[doubt])
    assert told[0] == doubt
    assert isinstance(told[1], Fetched)


def test_what_is_there_already_is_not_written_again(fetch: Fetch) -> None:
    (first,) = fetch(Archive([(IMAGES[:1], Delivery())]), series_of(0, 1))
    (again,) = fetch(Archive([(IMAGES[:1], Delivery())]), series_of(0, 1))
    assert first == again
    assert isinstance(first, Fetched)
    assert dcmread(first.path).SOPInstanceUID == make_image(0).SOPInstanceUID


class Judging:
    """Answers with a file, keeps a prediction, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, stored: Path, folder: Path) -> AnswerFiles:
        self.asked += 1
        (folder / "prediction.json").write_text('{"finding": "Normal"}')
        (folder / "answer.dcm").write_bytes(b"%d" % self.asked)
        return AnswerFiles(("1.2.3",))


def test_a_prediction_is_kept_and_no_answer(tmp_path: Path) -> None:
    store, judging = ObjectStore(tmp_path / "found"), Judging()
    # What is gone or damaged is made again, so that every image has a row.
    for asked, content in ((1, None), (1, None), (2, ""), (3, "{")):
        for kept in (store.folder / "predictions").glob("*"):
            if content is not None:
                kept.unlink()
            if content:
                kept.write_text(content)
        archive = Archive([(IMAGES[:1], Delivery())])
        (fetched,) = query(archive, Found((series_of(0, 1),)), store, cast("JudgeProcess", judging), judged_by="one")
        assert isinstance(fetched, Fetched)
        assert (judging.asked, fetched.prediction) == (asked, {"finding": "Normal"})
        assert [path.name for path in fetched.answers[0].parent.iterdir()] == ["answer.dcm"]


def test_an_image_that_the_judge_fails_with_gets_a_sentence(tmp_path: Path) -> None:
    class Failing(Judging):
        def judge(self, stored: Path, folder: Path) -> Failure:  # type: ignore[override]
            return Failure("too-slow")

    archive = Archive([(IMAGES[:1], Delivery())])
    judge = cast("JudgeProcess", Failing())
    (fetched,) = query(archive, Found((series_of(0, 1),)), ObjectStore(tmp_path / "found"), judge)
    assert isinstance(fetched, Fetched)
    assert (fetched.state, fetched.code, fetched.reason) == ("failed", "too-slow", Failure("too-slow").meaning)


def test_what_another_judged_is_judged_anew(tmp_path: Path) -> None:
    store, judging = ObjectStore(tmp_path / "found"), Judging()
    told = []
    for name in ("one", "one", "other", "one"):
        archive = Archive([(IMAGES[:1], Delivery())])
        (fetched,) = query(archive, Found((series_of(0, 1),)), store, cast("JudgeProcess", judging), judged_by=name)
        assert isinstance(fetched, Fetched)
        told.append((fetched.answers[0].read_bytes(), judging.asked))
    assert told == [(b"1", 1), (b"1", 1), (b"2", 2), (b"1", 2)]
