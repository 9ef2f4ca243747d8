"""Phantoms: plausible, the same to the bit, and different between findings inside the lungs only."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from carina.errors import ConfigurationError
from carina.findings import COVID_19, NORMAL, VIRAL_PNEUMONIA
from carina.phantoms import phantom
from carina.phantoms.anatomy import SOURCES, build_patient, build_pose
from carina.phantoms.phantom import PHANTOM_FINDINGS, Phantom, draw_phantom, write_phantoms

SIZE = 128


def draw(finding: str = NORMAL, seed: int = 0, **options: object) -> Phantom:
    return draw_phantom(finding, seed=seed, **{"size": SIZE, **options})


def lower_periphery(mask: np.ndarray) -> np.ndarray:
    """The outer third and the lower half of each lung."""
    rows, columns = np.nonzero(mask)
    height = (np.arange(len(mask)) - rows.min()) / np.ptp(rows)
    across = (np.arange(len(mask)) - columns.min()) / np.ptp(columns)
    outer = (across < 1 / 6) | (across > 5 / 6)
    return mask & (height > 0.5)[:, None] & outer[None, :]


@pytest.mark.parametrize("finding", PHANTOM_FINDINGS)
def test_same_arguments_give_the_same_bytes_in_any_order(finding: str) -> None:
    first = draw(finding, 5)
    draw(NORMAL, 6)
    draw(COVID_19, 5, difficulty=0.9)
    again = draw(finding, 5)
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.lung_mask.tobytes() == again.lung_mask.tobytes()


def test_another_seed_gives_another_radiograph() -> None:
    assert not np.array_equal(draw(seed=1).pixels, draw(seed=2).pixels)
    assert not np.array_equal(draw(seed=(7,)).pixels, draw(seed=(7, 0)).pixels)
    assert np.array_equal(draw(seed=7).pixels, draw(seed=(7,)).pixels)
    assert np.array_equal(draw(seed=7).pixels, draw(seed=np.int64(7)).pixels)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("finding", PHANTOM_FINDINGS)
def test_pixels_are_a_full_radiograph(finding: str, size: int) -> None:
    pixels, mask = draw(finding, 3, size=size)
    assert pixels.dtype == np.uint8
    assert mask.dtype == np.bool_
    assert pixels.shape == mask.shape == (size, size)
    dark, bright = np.percentile(pixels, [2, 98])
    assert dark < 60
    assert bright > 150
    assert len(np.unique(pixels)) > 100


@pytest.mark.parametrize("seed", range(8))
def test_mask_holds_two_lungs_darker_than_the_rest_of_the_chest(seed: int) -> None:
    pixels, mask = draw(NORMAL, seed)
    assert 0.15 < mask.mean() < 0.60
    labels, _ = ndimage.label(mask)
    areas = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    assert areas[1] > 0.3 * areas[0]
    assert areas[:2].sum() > 0.98 * mask.sum()
    between = ndimage.binary_closing(np.pad(mask, SIZE), iterations=SIZE // 3)[SIZE:-SIZE, SIZE:-SIZE] & ~mask
    assert pixels[mask].mean() + 30 < pixels[between].mean()


def test_heart_stands_on_the_right_of_the_image() -> None:
    """The patient's left: the left lung gives way to the heart, so it is the smaller one."""
    smaller_left = 0
    for seed in range(8):
        labels, _ = ndimage.label(draw(NORMAL, seed).lung_mask)
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        one, other = np.argsort(areas)[-2:]
        centre = [ndimage.center_of_mass(labels == label)[1] for label in (one, other)]
        smaller_left += centre[0] > centre[1]
    assert smaller_left == 8


@pytest.mark.parametrize("finding", [COVID_19, VIRAL_PNEUMONIA])
def test_finding_changes_the_lungs_and_nothing_else(finding: str) -> None:
    normal, abnormal = draw(NORMAL, 11, difficulty=0), draw(finding, 11, difficulty=0)
    assert np.array_equal(normal.lung_mask, abnormal.lung_mask)
    changed = normal.pixels != abnormal.pixels
    # The detector's unsharpness and the edge enhancement reach a few pixels over the lungs' border.
    reach = ndimage.binary_dilation(normal.lung_mask, iterations=8)
    assert not changed[~reach].any()
    assert changed[normal.lung_mask].mean() > 0.2


def test_covid_19_brightens_the_lower_periphery() -> None:
    gains = []
    for seed in range(6):
        normal, covid = (draw(finding, seed, difficulty=0) for finding in (NORMAL, COVID_19))
        zone = lower_periphery(normal.lung_mask)
        gain = covid.pixels.astype(float) - normal.pixels
        gains.append(gain[zone].mean())
        assert gain[zone].mean() > gain[normal.lung_mask & ~zone].mean() - 5
    assert min(gains) > 1
    assert np.mean(gains) > 10


def test_viral_pneumonia_is_finer_and_nearer_to_the_hila_than_covid_19() -> None:
    def texture(finding: str) -> tuple[float, float]:
        fine, outward = [], []
        for seed in range(6):
            normal, phantom = draw(NORMAL, seed, difficulty=0), draw(finding, seed, difficulty=0)
            gain = phantom.pixels.astype(np.float32) - normal.pixels
            detail = gain - cv2.GaussianBlur(gain, (0, 0), 2)
            fine.append(np.abs(detail).sum() / np.abs(gain).sum())
            middle = np.nonzero(normal.lung_mask)[1].mean()
            distance = np.abs(np.arange(SIZE) - middle)[None, :]
            outward.append((np.abs(gain) * distance).sum() / np.abs(gain).sum())
        return float(np.mean(fine)), float(np.mean(outward))

    (viral_fine, viral_outward), (covid_fine, covid_outward) = texture(VIRAL_PNEUMONIA), texture(COVID_19)
    assert viral_fine > 1.5 * covid_fine
    assert viral_outward < 0.85 * covid_outward


def test_difficulty_makes_opacities_fainter() -> None:
    def contrast(finding: str, difficulty: float) -> float:
        gains = []
        for seed in range(5):
            normal, phantom = (draw(name, seed, difficulty=difficulty) for name in (NORMAL, finding))
            gain = np.abs(phantom.pixels.astype(float) - normal.pixels)
            gains.append(gain[normal.lung_mask].mean())
        return float(np.mean(gains))

    for finding in (COVID_19, VIRAL_PNEUMONIA):
        assert contrast(finding, 1.0) < 0.6 * contrast(finding, 0.0)


def test_patient_seed_fixes_the_anatomy_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (draw(NORMAL, seed, patient_seed=40) for seed in (1, 2))
    assert not np.array_equal(one.lung_mask, two.lung_mask)
    assert np.array_equal(draw(NORMAL, 1, patient_seed=1).pixels, draw(NORMAL, 1).pixels)

    pose = build_pose(np.random.default_rng(0), 0.5)
    monkeypatch.setattr(phantom, "build_pose", lambda rng, difficulty: pose)
    one, two = (draw(NORMAL, seed, patient_seed=40) for seed in (1, 2))
    other = draw(NORMAL, 1, patient_seed=41)
    inner = slice(SIZE // 12, -SIZE // 12)  # inside whatever the collimator leaves open
    assert np.array_equal(one.lung_mask[inner, inner], two.lung_mask[inner, inner])
    assert not np.array_equal(one.pixels, two.pixels)
    assert not np.array_equal(one.lung_mask[inner, inner], other.lung_mask[inner, inner])


def test_patients_come_from_every_source_and_sex() -> None:
    patients = [build_patient(np.random.default_rng(seed)) for seed in range(40)]
    assert {patient.source for patient in patients} == set(SOURCES)
    assert {patient.sex for patient in patients} == {"F", "M"}
    assert all(18 <= patient.age <= 92 for patient in patients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"finding": "Tuberculosis"},
            "finding 'Tuberculosis'. Choose one of: COVID-19, Normal, Viral Pneumonia",
        ),
        ({"size": 63}, "from 64 to 1024 pixels. Received: 63"),
        ({"size": 1025}, "from 64 to 1024 pixels. Received: 1025"),
        ({"difficulty": -0.1}, r"from 0 \(easy\) to 1 \(hard\). Received: -0.1"),
        ({"difficulty": float("nan")}, "Received: nan"),
        ({"seed": -1}, "integers of 0 or more. Received: -1"),
        ({"patient_seed": (3, -4)}, "integers of 0 or more. Received: -4"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        draw_phantom(**{"finding": NORMAL, "seed": 1, **options})


def read_manifest(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_set_has_the_layout_of_the_radiography_database(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    manifest = write_phantoms(
        tmp_path / "set", count=40, size=64, seed=9, progress=lambda done, total: calls.append((done, total))
    )
    assert manifest == tmp_path / "set" / "manifest.csv"
    assert calls == [(done, 40) for done in range(1, 41)]
    rows = read_manifest(manifest)
    assert list(rows[0]) == ["path", "finding", "patient", "source", "view", "age", "sex"]
    assert [sum(row["finding"] == finding for row in rows) for finding in PHANTOM_FINDINGS] == [12, 18, 10]
    assert rows[0]["path"] == "COVID/images/COVID-1.png"
    assert rows[-1]["path"] == "Viral Pneumonia/images/Viral Pneumonia-10.png"
    assert {row["view"] for row in rows} == {"PA", "AP"}
    written = {path.relative_to(tmp_path / "set").as_posix() for path in manifest.parent.rglob("*.png")}
    assert written == {path for row in rows for path in (row["path"], row["path"].replace("images", "masks"))}
    for row in rows[::13]:
        mask = cv2.imread(str(manifest.parent / row["path"].replace("images", "masks")), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (64, 64)
        assert set(np.unique(mask)) == {0, 255}


def test_radiographs_of_one_patient_share_finding_source_age_and_sex(tmp_path: Path) -> None:
    rows = read_manifest(write_phantoms(tmp_path / "set", count=40, size=64, seed=9))
    traits: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        traits.setdefault(row["patient"], set()).add((row["finding"], row["source"], row["age"], row["sex"]))
    assert all(len(found) == 1 for found in traits.values())
    assert 0.6 * len(rows) < len(traits) < len(rows)


def test_the_seed_fixes_the_whole_set(tmp_path: Path) -> None:
    def contents(name: str, seed: int) -> dict[str, bytes]:
        folder = write_phantoms(tmp_path / name, count=6, size=64, seed=seed).parent
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}

    first, again, other = contents("a", 3), contents("b", 3), contents("c", 4)
    assert first == again
    assert first["COVID/images/COVID-1.png"] != other["COVID/images/COVID-1.png"]


def test_a_set_holds_what_draw_phantom_draws(tmp_path: Path) -> None:
    folder = write_phantoms(tmp_path / "set", count=3, size=64, seed=3).parent
    pixels = cv2.imread(str(folder / "COVID/images/COVID-1.png"), cv2.IMREAD_UNCHANGED)
    expected = draw_phantom(COVID_19, seed=(3, 1, 0), patient_seed=(3, 1), size=64)
    assert np.array_equal(pixels, expected.pixels)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="already exists"):
        write_phantoms(tmp_path, count=3, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert write_phantoms(tmp_path / "set", count=3, size=64).is_file()


def test_an_interrupted_set_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "set", count=30, size=64, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"count": 2}, "at least 3. Received: 2"), ({"size": 8}, "Received: 8"), ({"seed": -2}, "Received: -2")],
)
def test_a_set_out_of_range_is_refused(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        write_phantoms(tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()
