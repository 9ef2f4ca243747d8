"""Small images for the report: their shape kept, nothing but pixels in them, and where the network looked."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from carina.datasets.images import DatasetImage
from carina.errors import BundleError, DataError
from carina.inference.predictor import Predictor
from carina.radiographs.fingerprint import pixel_sha256
from carina.radiographs.read import read_radiograph
from carina.reports.gallery_images import LONGEST_SIDE, write_gallery


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[DatasetImage]:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = []
    for name, (height, width) in {"tall": (400, 300), "wide": (200, 500), "small": (80, 80)}.items():
        pixels = rng.integers(0, 255, (height, width), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x010E] = "Patient Name"
        Image.fromarray(pixels).save(folder / f"{name}-doe-jane.png", exif=exif)
        path = folder / f"{name}-doe-jane.png"
        paths.append(DatasetImage(path, pixel_sha256(read_radiograph(path))))
    return paths


def test_they_are_small_and_hold_nothing_but_pixels(tiny_run: Path, images: list[DatasetImage], tmp_path: Path) -> None:
    out = tmp_path / "gallery.parquet"
    write_gallery(out, tiny_run, [(7, images[0]), (3, images[1]), (5, images[2])])
    table = pl.read_parquet(out)
    assert table["row"].to_list() == [7, 3, 5]
    for row, ratio in zip(table.iter_rows(named=True), (4 / 3, 2 / 5, 1.0), strict=True):
        with Image.open(io.BytesIO(row["image"])) as picture:
            assert picture.format == "WEBP"
            assert picture.size == (row["width"], row["height"])
            assert not picture.getexif()
        assert max(row["width"], row["height"]) == LONGEST_SIDE
        assert row["height"] / row["width"] == pytest.approx(ratio, abs=0.02)
        assert len(row["image"]) < 60_000
    raw = out.read_bytes()
    assert b"doe" not in raw
    assert b"Patient" not in raw


def test_cells_are_the_evidence_for_the_call(tiny_run: Path, images: list[DatasetImage], tmp_path: Path) -> None:
    out = tmp_path / "gallery.parquet"
    write_gallery(out, tiny_run, [(0, images[0])])
    cells = np.frombuffer(pl.read_parquet(out)["cells"][0], np.int8)
    side = round(len(cells) ** 0.5)
    assert side * side == len(cells)
    assert np.abs(cells).max() == 127


def test_a_graph_that_does_not_explain_gives_plain_pictures(
    tiny_run: Path, images: list[DatasetImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(self: object, *args: Any, **options: Any) -> None:
        msg = "an earlier graph"
        raise BundleError(msg)

    monkeypatch.setattr(Predictor, "predict", nothing)
    write_gallery(tmp_path / "gallery.parquet", tiny_run, [(0, images[0])])
    table = pl.read_parquet(tmp_path / "gallery.parquet")
    assert table["cells"].to_list() == [b""]
    assert table["box"].to_list() == [[0.0, 0.0, 1.0, 1.0]]


def test_a_file_that_is_gone_or_another_one_now_is_an_error(
    tiny_run: Path, images: list[DatasetImage], tmp_path: Path
) -> None:
    gone = DatasetImage(tmp_path / "gone.png", "0" * 64)
    with pytest.raises(DataError, match=r"gone\.png: there is no such file"):
        write_gallery(tmp_path / "gallery.parquet", tiny_run, [(0, gone)])
    other = DatasetImage(images[0].path, images[1].sha256)
    with pytest.raises(DataError, match=r"tall-doe-jane\.png is not the image that was imported"):
        write_gallery(tmp_path / "gallery.parquet", tiny_run, [(0, other)])
