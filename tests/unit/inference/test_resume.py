"""An interrupted batch goes on: nothing twice, nothing half, nothing of another model."""

import tracemalloc
from collections.abc import Iterable
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from carina.errors import ConfigurationError
from carina.inference import resume
from carina.inference.image_input import Input
from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.predictor import Predictor
from carina.inference.results import Csv, JsonLines, RowFormat
from carina.inference.resume import ResumedResults, _Stored, resume_results
from make import as_ordinary_user, write_image
from unit.inference.small_model import write_small_run

KINDS = pytest.mark.parametrize("kind", [JsonLines, Csv])


def run(
    predictor: Predictor, rows: RowFormat, file: Path, paths: Iterable[Path], *, stop_after: int = -1
) -> list[Path]:
    """Judge what is not in the file yet, as the command does, and return what was judged."""
    judged = []
    with resume_results(file, rows) as results:
        for prediction in predictor.predict(results.pending(map(Input, paths), predictor.pixel_sha256)):
            if len(judged) == stop_after:
                break
            results.append(rows.row(prediction, None))
            judged.append(prediction.path)
    return judged  # type: ignore[return-value]


def without_times(content: bytes) -> list[str]:
    return [line.split(', "elapsed_ms"')[0] for line in content.decode().splitlines()]


@KINDS
def test_cut_anywhere_it_becomes_what_it_would_have_been(
    predictor: Predictor, films: list[Path], tmp_path: Path, kind: type
) -> None:
    rows, file = kind(predictor), tmp_path / "out"
    assert run(predictor, rows, file, films) == films
    whole = file.read_bytes()
    assert run(predictor, rows, file, films) == []
    assert file.read_bytes() == whole
    for cut in np.random.default_rng(6).integers(0, len(whole), 25).tolist():
        file.write_bytes(whole[:cut])
        judged = run(predictor, rows, file, films)
        assert judged == films[len(films) - len(judged) :]
        assert without_times(file.read_bytes()) == without_times(whole), cut


@KINDS
def test_what_failed_is_tried_again_and_has_one_row(
    predictor: Predictor, films: list[Path], tmp_path: Path, kind: type
) -> None:
    rows, file = kind(predictor), tmp_path / "out"
    late, never = tmp_path / "late.png", tmp_path / "never.png"
    paths = [films[0], late, films[1], never, films[2]]
    assert run(predictor, rows, file, paths, stop_after=4) == paths[:4]
    late.write_bytes(films[3].read_bytes())
    assert run(predictor, rows, file, paths) == [late, never, films[2]]
    with file.open("rb") as stream:
        stored = list(rows.read(stream))
    order = [films[0], films[1], late, never, films[2]]
    assert [row.path for row in stored] == [str(path) for path in order]
    assert [row.failed for row in stored] == [False, False, False, True, False]
    assert not list(tmp_path.glob(".partial*"))
    with resume_results(file, rows) as results:
        assert (results.held, results.retried) == (4, 1)


@KINDS
def test_an_image_that_changed_under_its_name_is_judged_again(
    predictor: Predictor, films: list[Path], tmp_path: Path, kind: type
) -> None:
    rows, file = kind(predictor), tmp_path / "out"
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")]
    for path, film in zip(paths, films, strict=False):
        path.write_bytes(film.read_bytes())
    assert run(predictor, rows, file, paths) == paths
    first = file.read_bytes()
    # The same pixels in another file are no change; other pixels are one, and so is what cannot be read any more.
    Image.open(paths[0]).save(paths[0], compress_level=0)
    paths[1].write_bytes(films[5].read_bytes())
    paths[2].write_bytes(b"damaged")
    assert run(predictor, rows, file, paths) == paths[1:3]
    with file.open("rb") as stream:
        stored = list(rows.read(stream))
    assert [(row.path, row.failed) for row in stored] == [
        *((str(path), False) for path in (paths[0], paths[3], paths[1])),
        (str(paths[2]), True),
    ]
    assert stored[2].sha256 == predictor.pixel_sha256(films[5])
    # A run that is killed before it takes the old rows out leaves both: the later one counts.
    new = file.read_bytes()
    file.write_bytes(first + new.removeprefix(rows.header.encode()))
    paths[2].write_bytes(films[2].read_bytes())
    assert run(predictor, rows, file, paths) == [paths[2]]
    with file.open("rb") as stream:
        assert [Path(row.path).name for row in rows.read(stream)] == ["a.png", "d.png", "b.png", "c.png"]


@KINDS
def test_what_is_out_of_reach_keeps_its_row_and_what_is_passed_over_loses_it(
    predictor: Predictor, films: list[Path], tmp_path: Path, kind: type
) -> None:
    rows, file = kind(predictor), tmp_path / "out"
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, film in zip(paths, films, strict=False):
        path.write_bytes(film.read_bytes())
    run(predictor, rows, file, paths)
    before = file.read_bytes()
    paths[1].rename(tmp_path / "away.png")
    with resume_results(file, rows) as results:
        assert list(results.pending(map(Input, paths), predictor.pixel_sha256)) == []
        assert (results.unreadable, results.changed) == (1, 0)
    assert file.read_bytes() == before
    paths[2].write_bytes(films[5].read_bytes())
    with resume_results(file, rows) as results:
        assert [each.path for each in results.pending(map(Input, paths), predictor.pixel_sha256)] == [paths[2]]
        results.forget(paths[2])
    with file.open("rb") as stream:
        assert [row.path for row in rows.read(stream)] == [str(path) for path in paths[:2]]


@KINDS
def test_refused_radiographs_are_judged_once(predictor: Predictor, tmp_path: Path, kind: type) -> None:
    black = write_image(tmp_path / "black.png", np.tile(np.array([[0, 1]], np.uint8), (64, 32)))
    rows, file = kind(predictor), tmp_path / "out"
    assert run(predictor, rows, file, [black]) == [black]
    assert run(predictor, rows, file, [black]) == []


@KINDS
def test_another_models_file_is_refused_and_stays_as_it_is(
    predictor: Predictor, films: list[Path], tmp_path: Path, kind: type
) -> None:
    other = Predictor(write_small_run(tmp_path / "run", bias=np.array([1.0, 2.0, 3.0], np.float32)))
    file = tmp_path / "out"
    run(other, kind(other), file, films[:2])
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match=r"out: it was written with another model\. Go on with that"):
        run(predictor, kind(predictor), file, films)
    assert file.read_bytes() == before


@KINDS
def test_other_thresholds_or_another_prevalence_are_refused(
    predictor: Predictor, films: list[Path], tmp_path: Path, kind: type
) -> None:
    """The network is the same, and what was decided is not."""
    file = tmp_path / "out"
    run(predictor, kind(predictor, prevalence=0.2), file, films[:2])
    before = file.read_bytes()
    for stated, words in ((None, "--prevalence 0.2 instead of no --prevalence"), (0.1, "0.2 instead of --preval")):
        with pytest.raises(ConfigurationError, match=words):
            run(predictor, kind(predictor, prevalence=stated), file, films)
    recalibrated = copy(predictor)
    recalibrated.sha256 = "0" * 64
    with pytest.raises(ConfigurationError, match="with the same network with other thresholds"):
        run(recalibrated, kind(recalibrated, prevalence=0.2), file, films)
    assert file.read_bytes() == before
    run(predictor, kind(predictor, prevalence=0.2), file, films)
    assert file.read_bytes().startswith(before)


def test_anything_else_is_refused_and_stays_as_it_is(predictor: Predictor, films: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("dear diary\nno end")
    with pytest.raises(
        ConfigurationError, match=r"out: line 1 is not a result in JSON. Name a file that carina predict"
    ):
        run(predictor, JsonLines(predictor), file, films)
    with pytest.raises(ConfigurationError, match=r"its header is not the one that this model, these options"):
        run(predictor, Csv(predictor), file, films)
    assert file.read_text() == "dear diary\nno end"


def test_two_at_once_are_refused(predictor: Predictor, films: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    rows, file = JsonLines(predictor), tmp_path / "out"
    run(predictor, rows, file, [films[0], tmp_path / "gone.png"])
    # With a row to be taken out, so that the file is replaced under the lock.
    with (
        resume_results(file, rows),
        pytest.raises(ConfigurationError, match="another process is writing to it"),
        resume_results(file, rows),
    ):
        pass
    with resume_results(file, rows):
        pass


def test_a_file_that_may_not_be_written_is_named(predictor: Predictor, films: list[Path]) -> None:
    with TemporaryDirectory() as name:
        file = Path(name, "out")
        file.touch()
        Path(name).chmod(0o755)
        file.chmod(0o444)
        with as_ordinary_user(), pytest.raises(PermissionError):
            run(predictor, JsonLines(predictor), file, films)


def test_millions_of_paths_take_little_memory() -> None:
    count = 200_000
    hashes = np.frombuffer(b"".join(number.to_bytes(4, "big") * 4 for number in range(count)), "S16")
    tracemalloc.start()
    results = ResumedResults(None, _Stored(hashes, hashes, np.zeros(count, bool), 0))  # type: ignore[arg-type]
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert results.held == count
    assert held < 33 * count
    assert peak < 100 * count


def test_zero_bytes_at_the_end_of_a_hash_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_hash", bytes.fromhex)
    hashes = np.frombuffer(b"".join(number.to_bytes(4, "big") * 4 for number in range(300)), "S16")
    results = ResumedResults(None, _Stored(hashes, hashes, np.zeros(300, bool), 0))  # type: ignore[arg-type]
    for number in (0, 1, 256, 299):
        text = (number.to_bytes(4, "big") * 4).hex()
        assert results._judged(text) == bytes.fromhex(text).rstrip(b"\0")
    assert results._judged("00" * 15 + "01") is None
    assert results._judged((256).to_bytes(4, "big").hex() * 3 + "00000001") is None
    assert results._judged((300).to_bytes(4, "big").hex() * 4) is None


def test_rows_outlive_the_process_at_once(predictor: Predictor, films: list[Path], tmp_path: Path) -> None:
    rows, file = JsonLines(predictor), tmp_path / "out"
    with resume_results(file, rows) as results:
        for number, prediction in enumerate(predictor.predict(films), start=1):
            assert isinstance(prediction, Prediction | FailedPrediction)
            results.append(rows.row(prediction, None))
            assert file.read_bytes().count(b"\n") == number
