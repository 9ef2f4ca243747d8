"""What tests of single files share: a small model, and radiographs of nobody."""

from pathlib import Path

import pytest
from PIL import Image

from carina.inference.explanation import lettering
from carina.inference.predictor import Predictor
from carina.phantoms.phantom import draw_phantom
from unit.inference.small_model import FINDINGS, write_small_run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that is shown the box around the lungs."""
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture(scope="session")
def predictor(small_run: Path) -> Predictor:
    return Predictor(small_run)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return where every line that is written into a picture is noted."""
    written: list[str] = []
    wrapped = lettering.wrapped

    def noting(text: str, *rest: object) -> list[str]:
        written.append(text)
        return wrapped(text, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(lettering, "wrapped", noting)
    return written


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return six phantoms as PNG."""
    folder = tmp_path_factory.mktemp("films")
    paths = []
    for number in range(6):
        path = folder / f"film-{number}.png"
        Image.fromarray(draw_phantom(FINDINGS[number % 3], seed=number, size=128).pixels).save(path)
        paths.append(path)
    return paths
