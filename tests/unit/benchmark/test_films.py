"""The files that a benchmark reads: of the kinds that they are called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carina.benchmark import films as bench_films
from carina.benchmark.films import KINDS, LARGE, MEDIUM, SMALL, write_films
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.read import read_radiograph


def test_three_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_enlarged(finding: str, *, seed: int, size: int) -> object:
        small = draw_phantom(finding, seed=seed, size=64)
        return small._replace(pixels=np.asarray(Image.fromarray(small.pixels).resize((size, size))))

    monkeypatch.setattr(bench_films, "draw_phantom", draw_enlarged)
    films = write_films(tmp_path, {SMALL: 2, MEDIUM: 1, LARGE: 1})
    assert tuple(films) == KINDS
    opened = {kind: Image.open(of_kind.paths[0]) for kind, of_kind in films.items()}
    assert (opened[SMALL].format, opened[SMALL].size, opened[SMALL].mode) == ("JPEG", (224, 224), "L")
    assert (opened[MEDIUM].format, opened[MEDIUM].size, opened[MEDIUM].mode) == ("PNG", (1024, 1024), "L")
    assert (opened[LARGE].format, opened[LARGE].size, opened[LARGE].mode) == ("PNG", (3000, 3000), "I;16")
    assert read_radiograph(films[LARGE].paths[0]).white == 4095
    assert [len(of_kind.paths) for of_kind in films.values()] == [2, 1, 1]
    assert len({path.read_bytes() for path in films[SMALL].paths}) == 2
    assert films[SMALL].take(5) == [films[SMALL].paths[number] for number in (0, 1, 0, 1, 0)]
    for image in opened.values():
        image.close()
