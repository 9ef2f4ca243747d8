"""Masks beside radiographs are left out and counted, and those of lungs go with their images."""

from pathlib import Path

import numpy as np
import pytest

from carina.datasets.importing import import_dataset
from carina.datasets.listing import list_source
from carina.errors import DataError
from carina.findings import NORMAL
from make import make_sheet, write_films, write_image, write_mask

LUNG, OTHER = "it is a lung mask", "it is a mask of something else than the lungs"


def reasons(source: Path) -> dict[str, str]:
    return {Path(path).relative_to(source).as_posix(): reason for path, reason in list_source(source).left_out.rows()}


def masks(source: Path) -> dict[str, str | None]:
    rows = list_source(source).images.select("path", "mask").rows()
    return {
        Path(path).relative_to(source).as_posix(): mask and Path(mask).relative_to(source).as_posix()
        for path, mask in rows
    }


def test_folders_of_masks(tmp_path: Path) -> None:
    write_films(tmp_path, "COVID-19/images/c1.png", "COVID-19/images/c2.png", "Normal/images/n1.png")
    write_mask(tmp_path / "COVID-19" / "lung masks" / "c1.png")
    write_mask(tmp_path / "COVID-19" / "infection masks" / "c1.png", 1)
    write_image(tmp_path / "COVID-19" / "infection masks" / "c2.png", np.zeros((48, 48), np.uint8))
    write_mask(tmp_path / "Normal" / "Masks" / "n1.png", 100)
    assert masks(tmp_path) == {
        "COVID-19/images/c1.png": "COVID-19/lung masks/c1.png",
        "COVID-19/images/c2.png": None,
        "Normal/images/n1.png": "Normal/Masks/n1.png",
    }
    assert reasons(tmp_path) == {
        "COVID-19/infection masks/c1.png": OTHER,
        "COVID-19/infection masks/c2.png": OTHER,
        "COVID-19/lung masks/c1.png": LUNG,
        "Normal/Masks/n1.png": LUNG,
    }
    notes = list_source(tmp_path).notes
    assert "Images with a lung mask, which is kept with them: 2 of 3." in notes
    assert f"Left out: 2 files, each because {LUNG}." in notes
    assert f"Left out: 2 files, each because {OTHER}." in notes


def test_masks_beside_their_images(tmp_path: Path) -> None:
    write_films(tmp_path, "Normal/n_1.png", "TB/t_1.png", "TB/mask.png", "TB/lung_2.png")
    for name in ("Normal/n_1_mask.png", "TB/t_1-mask.png", "TB/lung_2_mask.png"):
        write_mask(tmp_path / name)
    write_mask(tmp_path / "TB" / "t_1_infection_mask.png")
    assert masks(tmp_path) == {
        "Normal/n_1.png": "Normal/n_1_mask.png",
        "TB/lung_2.png": "TB/lung_2_mask.png",
        # Named like a mask, and none by its pixels.
        "TB/mask.png": None,
        "TB/t_1.png": "TB/t_1-mask.png",
    }
    assert reasons(tmp_path)["TB/t_1_infection_mask.png"] == OTHER
    assert "Taken as images, since they are named like masks but have more than two values: 1." in (
        list_source(tmp_path).notes
    )


def test_masks_of_one_lung_are_not_those_of_both(tmp_path: Path) -> None:
    write_films(tmp_path, "Normal/CXR_png/1.png", "TB/CXR_png/2.png")
    for side in ("leftMask", "rightMask"):
        write_mask(tmp_path / "Normal" / "ManualMask" / side / "1.png")
    assert masks(tmp_path) == {"Normal/CXR_png/1.png": None, "TB/CXR_png/2.png": None}
    assert set(reasons(tmp_path).values()) == {OTHER}


def test_masks_in_jpeg_are_masks_and_grey_ones_in_their_folder_are_left_out(tmp_path: Path) -> None:
    write_films(tmp_path, "Normal/images/1.jpg", "TB/images/2.png")
    mask = np.zeros((96, 96), np.uint8)
    mask[20:60, 20:60] = 255
    write_image(tmp_path / "Normal" / "masks" / "1.jpg", mask, "JPEG", quality=60)
    write_image(tmp_path / "TB" / "masks" / "2.png", make_sheet(9, 48))
    assert masks(tmp_path) == {"Normal/images/1.jpg": "Normal/masks/1.jpg", "TB/images/2.png": None}
    assert reasons(tmp_path)["TB/masks/2.png"].startswith("its folder is named like one of masks, and its pixels have")


def test_masks_that_are_not_named_so_are_told(tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", "Normal/1.png", "TB/2.png")
    write_mask(films / "truth" / "1.png")
    report = import_dataset(films, tmp_path / "out", test_only=True)
    assert f"Images with only two grey values, which may be masks: 1. The first: {films / 'truth' / '1.png'}" in (
        report.notes
    )
    assert report.dataset.manifest.height == 3


def test_folders_with_nothing_but_masks_are_told(tmp_path: Path) -> None:
    write_films(tmp_path, "TB/1.png", "Silicosis/2.png")
    write_mask(tmp_path / "Normal" / "masks" / "1.png")
    listing = list_source(tmp_path)
    assert NORMAL not in listing.images["finding"].to_list()
    assert "No radiograph lies in: Normal." in listing.notes
    write_mask(tmp_path / "alone" / "Normal" / "masks" / "1.png")
    with pytest.raises(DataError, match=f"holds no images. Left out: 1 file, because {LUNG}. Carina understands"):
        list_source(tmp_path / "alone")
