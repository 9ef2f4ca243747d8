"""What breaks, hangs or refuses in the judging process is told, and the next object is judged."""

import functools
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from carina.dicom.listener.judging import AnswerFiles, Failure, Judge, JudgeProcess, Refusal, _judge
from carina.errors import BundleError, ConfigurationError, InputError
from dicom_stand_in import factory, make_image, uid_of, write_image
from make import names_in


@pytest.fixture(scope="module")
def process() -> Iterator[JudgeProcess]:
    made = JudgeProcess(factory, 3.0)
    made.start()
    yield made
    made.stop()


def judge(process: JudgeProcess, folder: Path, comments: str = "") -> AnswerFiles | Refusal | Failure:
    image = write_image(folder / "image.dcm", 1, comments=comments)
    (folder / "work").mkdir()
    return process.judge(image, folder / "work")


def test_an_object_is_answered(process: JudgeProcess, tmp_path: Path) -> None:
    said = judge(process, tmp_path)
    assert said == AnswerFiles((uid_of("answer", make_image(1).SOPInstanceUID, ""),))
    assert names_in(tmp_path / "work") == ["answer.dcm"]


def test_a_refusal_is_told_with_its_reason(process: JudgeProcess, tmp_path: Path) -> None:
    assert judge(process, tmp_path, "refuse") == Refusal("unsupported-format", "It is not wanted.")


@pytest.mark.parametrize(
    ("comments", "reason"), [("crash", "process-ended"), ("hang", "too-slow"), ("fail", "ValueError")]
)
def test_a_failure_is_told_without_its_words_and_the_next_is_judged(
    process: JudgeProcess, tmp_path: Path, comments: str, reason: str
) -> None:
    assert judge(process, tmp_path, comments) == Failure(reason)
    # Of a process that ended, the next one is another.
    (tmp_path / "next").mkdir()
    assert isinstance(judge(process, tmp_path / "next"), AnswerFiles)


def test_signals_to_the_group_are_the_listeners_own_affair(process: JudgeProcess, tmp_path: Path) -> None:
    pid = process._process.pid
    for which in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, which)
    assert isinstance(judge(process, tmp_path), AnswerFiles)
    assert process._process.pid == pid


def test_it_can_be_ended_in_the_middle(tmp_path: Path) -> None:
    process = JudgeProcess(factory, 60.0)
    process.start()
    said: list[AnswerFiles | Refusal | Failure] = []
    thread = threading.Thread(target=lambda: said.append(judge(process, tmp_path, "hang")))
    thread.start()
    thread.join(1.0)
    assert not said
    process.end()
    thread.join(10)
    assert said == [Failure("process-ended")]


def raising(error: Exception) -> Judge:
    raise error


def answering(said: Sequence[str] | Exception) -> Judge:
    def judge(stored: Path, folder: Path) -> Sequence[Path]:
        if isinstance(said, Exception):
            raise said
        return [folder / name for name in said]

    return judge


def test_a_judge_that_cannot_be_made_is_an_error() -> None:
    process = JudgeProcess(functools.partial(raising, BundleError("models/x is no bundle. Name one.")), 1.0)
    with pytest.raises(BundleError, match="models/x is no bundle"):
        process.start()
    process = JudgeProcess(functools.partial(raising, ValueError("Doe^Jane")), 1.0)
    with pytest.raises(ConfigurationError, match=r"^The process that judges could not be started \(ValueError\)\.$"):
        process.start()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (InputError("It is truncated.", "truncated"), Refusal("truncated", "It is truncated.")),
        (OSError(28, "No space left on device"), Failure("OSError", later=True)),
        (PermissionError(13, "x"), Failure("PermissionError")),
        (MemoryError(), Failure("MemoryError", later=True)),
        ([], Failure("no-answer")),
        (["missing.dcm"], Failure("no-answer")),
        (["../outside.dcm"], Failure("no-answer")),
    ],
)
def test_other_outcomes(tmp_path: Path, said: Sequence[str] | Exception, expected: Refusal | Failure) -> None:
    assert _judge(answering(said), (tmp_path / "image.dcm", tmp_path)) == expected


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Failure("too-slow"), "judging it took too long and was ended. Run the same command again"),
        (Failure("process-ended"), "the process that judges ended while it judged this image. The file may be"),
        (Failure("no-judge", later=True), "the process that judges could not be started again. The machine"),
        (Failure("no-answer"), "the judge wrote no answer"),
        (Failure("OSError", later=True), "or its disk fails (OSError). Mend that"),
        (Failure("PermissionError"), "judging it ended with an unexpected error (PermissionError). Run"),
    ],
)
def test_what_a_failure_means_is_said_with_advice(failure: Failure, message: str) -> None:
    assert message in failure.meaning
