"""Many lists of radiographs, streamed, give what each list gives alone; a list may be empty."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from carina.bundles.pipeline import Judged, Pipeline, load_pipeline
from carina.bundles.run_folder import open_run
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.gate import NO_LUNGS

SIZES = (2, 0, 1, 3)


@pytest.fixture(scope="module")
def pipeline(small_run: Path) -> Pipeline:
    return load_pipeline(small_run, open_run(small_run))


def batches(pipeline: Pipeline) -> Iterator[list[NDArray[np.uint8]]]:
    size, seed = pipeline.preprocessing.read_size, 0
    for count in SIZES:
        phantoms = [draw_phantom("Normal", seed=seed + place, size=128).pixels for place in range(count)]
        seed += count
        yield [np.asarray(cv2.resize(pixels, (size, size)), np.uint8) for pixels in phantoms]


def require_same(one: Judged, other: Judged) -> None:
    assert one.refusals == other.refusals
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.frames, other.frames)
    assert one.outputs.keys() == other.outputs.keys()
    for name, values in one.outputs.items():
        np.testing.assert_allclose(values, other.outputs[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("parts", [("lung_finder",), ()])
def test_streaming_gives_what_each_list_gives(pipeline: Pipeline, parts: Sequence[str]) -> None:
    chosen = Pipeline(pipeline.preprocessing, pipeline.engine, **{name: getattr(pipeline, name) for name in parts})
    alone = [chosen.judge(batch) for batch in batches(chosen)]
    streamed = list(chosen.stream(enumerate(batches(chosen))))
    assert [place for place, _ in streamed] == list(range(len(SIZES)))
    for one, (_, other) in zip(alone, streamed, strict=True):
        require_same(one, other)
    assert [len(each.lungs) for each in alone] == list(SIZES)


def test_without_two_lungs_a_radiograph_is_refused(pipeline: Pipeline) -> None:
    black = np.zeros((pipeline.preprocessing.read_size,) * 2, np.uint8)
    judged = pipeline.judge([black])
    assert judged.lungs == (None,)
    assert judged.refusals == ((NO_LUNGS,),)
    assert not judged.accepted.any()
    assert np.isnan(judged.boxes).all()
