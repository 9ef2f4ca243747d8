"""Many images are judged by several threads, and each gets the answer that it gets alone, in its place."""

import threading
from pathlib import Path

import pytest

from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.predictor import BATCH, Predictor
from carina.phantoms.phantom import draw_phantom
from make import write_image


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_many_images_get_the_answers_that_each_gets_alone(
    backend: str, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(backend)
    predictor = Predictor(small_run, backend=backend, threads=2)  # type: ignore[arg-type]
    films = [
        write_image(tmp_path / f"{seed}.png", draw_phantom("Normal", seed=seed, size=64).pixels) for seed in range(3)
    ]
    alone = [next(iter(predictor.predict([film]))) for film in films]
    threads = set()
    judge = predictor.pipeline.judge

    def watched(wholes: object) -> object:
        threads.add(threading.get_ident())
        return judge(wholes)  # type: ignore[arg-type]

    monkeypatch.setattr(type(predictor.pipeline), "judge", lambda _, wholes: watched(wholes))
    for count in (2, BATCH, 5 * BATCH + 1):
        paths = [films[place % 3] for place in range(count)]
        paths[-2] = tmp_path / "gone.png"
        found = list(predictor.predict(paths))
        assert [each.path for each in found] == paths
        assert isinstance(found.pop(-2), FailedPrediction)
        for place, each in enumerate((*found[:-1], found[-1])):
            same = alone[place % 3 if place < count - 2 else (count - 1) % 3]
            assert isinstance(each, Prediction)
            assert isinstance(same, Prediction)
            assert each.network_probabilities == pytest.approx(same.network_probabilities, abs=1e-6)
            assert (each.sha256, each.triage.priority) == (same.sha256, same.triage.priority)
    assert len(threads) > 1
    assert threading.get_ident() not in threads
