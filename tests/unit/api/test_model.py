"""The Python way: `carina.load_bundle` and what it gives for whatever an image comes as."""

import io
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import carina
from carina.api.model import Model
from carina.errors import BundleError, ConfigurationError, InputError
from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.prediction_list import Predictions
from make import encode, encode_frames, make_grey, write_image
from make_dicom import encode_dicom, full_window
from unit.inference.small_model import FINDINGS, write_small_run


@pytest.fixture(scope="module")
def model(small_run: Path) -> Model:
    return carina.load_bundle(small_run)


def test_a_file_comes_as_path_text_image_or_array(model: Model, films: list[Path]) -> None:
    by_path = model.predict(films[0])
    assert isinstance(by_path, Prediction)
    assert by_path.path == films[0]
    with Image.open(films[0]) as image:
        pixels = np.asarray(image)
        others = [
            model.predict(image),
            *(model.predict(image.convert(mode)) for mode in ("RGB", "RGBA", "LA", "P")),
            model.predict(pixels),
            model.predict(pixels[::-1][::-1]),
            model.predict(np.asfortranarray(pixels)),
        ]
    assert model.predict(str(films[0])).sha256 == by_path.sha256
    for other in others:
        assert isinstance(other, Prediction)
        assert other.path is None
        assert (other.sha256, other.finding, other.triage) == (by_path.sha256, by_path.finding, by_path.triage)
        assert other.probabilities == pytest.approx(by_path.probabilities)


def test_deep_arrays_are_shown_as_deep_files_are(model: Model, tmp_path: Path) -> None:
    twelve = make_grey(3, (200, 150), depth=12)
    by_file = model.predict(write_image(tmp_path / "twelve.png", twelve))
    for same in (twelve, twelve.astype(np.int32), Image.fromarray(twelve)):
        assert model.predict(same).sha256 == by_file.sha256
    as_floats = model.predict((twelve / 4095).astype(np.float32))
    assert as_floats.probabilities == pytest.approx(by_file.probabilities, abs=0.01)


def test_bytes_and_open_files_are_read_as_files_are(model: Model, films: list[Path], tmp_path: Path) -> None:
    by_path = model.predict(films[0])
    content = films[0].read_bytes()
    with films[0].open("rb") as file:
        given = [content, bytearray(content), memoryview(content), io.BytesIO(content), file]
        for each in given:
            judged = model.predict(each)  # type: ignore[call-overload]
            assert isinstance(judged, Prediction)
            assert (judged.path, judged.sha256) == (None, by_path.sha256)
            assert judged.probabilities == pytest.approx(by_path.probabilities)
    dicom = encode_dicom(make_grey(2, (128, 128), depth=12), stored=12, **full_window(12))
    (tmp_path / "film.dcm").write_bytes(dicom)
    by_file = model.predict(tmp_path / "film.dcm")
    for each in (dicom, io.BytesIO(dicom)):
        assert model.predict(each).sha256 == by_file.sha256


def test_open_files_that_give_nothing_say_why(model: Model, films: list[Path]) -> None:
    closed, spent, text = films[0].open("rb"), io.BytesIO(films[0].read_bytes()), io.StringIO("film")
    closed.close()
    spent.read()
    for wrong, says in (
        (closed, "cannot be read (ValueError). Open it again"),
        (spent, "no bytes left. Go back to its beginning: file.seek(0)"),
        (text, 'open as text. Open it for reading bytes: open(path, "rb")'),
        (b"", "the file is empty"),
        (b"bytes", "not an image that Carina reads"),
    ):
        with pytest.raises(InputError, match=re.escape(says)):
            model.predict(wrong)  # type: ignore[call-overload]


def test_a_data_set_of_pydicoms_is_judged_as_its_file(model: Model, tmp_path: Path) -> None:
    import pydicom

    path = tmp_path / "film.dcm"
    path.write_bytes(encode_dicom(make_grey(2, (128, 128), depth=12), stored=12, **full_window(12)))
    data_set = pydicom.dcmread(path)
    by_path = model.predict(path)
    assert model.predict(data_set).sha256 == by_path.sha256
    del data_set.file_meta
    assert model.predict(data_set).sha256 == by_path.sha256
    del data_set.PixelData
    # As of a file that was read without its pixels, or a new one.
    for without in (data_set, pydicom.Dataset()):
        with pytest.raises(InputError, match=r"^the pydicom data set has no pixels \(PixelData\)\. Read") as error:
            model.predict(without)
        assert error.value.code == "no-image"


def test_an_empty_path_is_not_the_current_folder(model: Model) -> None:
    with pytest.raises(ConfigurationError, match="An empty path was given"):
        model.predict("")


def test_colours_come_last_and_equal_ones_are_grey(model: Model, films: list[Path], tmp_path: Path) -> None:
    grey = make_grey(4, (120, 100))
    deep = make_grey(4, (120, 100), depth=12)
    unit = (grey / 255).astype(np.float32)
    for pixels, opaque in ((grey, 255), (deep, 65_535), (unit, 1.0), (grey.astype(np.int64), 255)):
        by_grey = model.predict(pixels if pixels.dtype != np.int64 else grey).sha256
        full = np.full_like(pixels, opaque)
        for channels in (
            pixels[..., np.newaxis],
            np.stack([pixels] * 3, axis=-1),
            np.stack([pixels] * 3 + [full], axis=-1),
        ):
            shown = channels if channels.shape[2] > 1 or pixels.dtype != np.int64 else channels.astype(np.uint8)
            assert model.predict(shown).sha256 == by_grey
    # Colours that differ come out as those of a file of the same depth, and what is transparent is black.
    for depth, dtype in ((8, np.uint8), (16, np.uint16)):
        colour = np.stack([make_grey(seed, (120, 100), depth=depth) for seed in range(4)], axis=-1)
        path = tmp_path / f"{depth}.png"
        for count in (3, 4):
            blue_first = colour[..., [2, 1, 0, 3][:count]]
            assert cv2.imwrite(str(path), np.ascontiguousarray(blue_first))
            assert model.predict(np.ascontiguousarray(colour[..., :count])).sha256 == model.predict(path).sha256
        assert colour.dtype == dtype


def test_a_folder_an_archive_and_a_pattern_give_all_their_images(model: Model, films: list[Path]) -> None:
    folder = films[0].parent
    by_path = [model.predict(path).sha256 for path in films]
    for several in (folder, str(folder), folder / "film-*.png", [folder], iter(films)):
        found = model.predict(several)  # type: ignore[call-overload]
        assert isinstance(found, Predictions)
        assert [each.sha256 for each in found] == by_path  # type: ignore[union-attr]
        assert [each.path for each in found] == films
    assert len(model.predict([folder, films[0], films[0].read_bytes(), folder])) == 2 * len(films) + 2


def test_a_folder_without_images_and_a_pattern_without_match_say_so(model: Model, tmp_path: Path) -> None:
    archive = tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a/film.png", encode(make_grey(0, (100, 100)), "PNG"))
    ((judged),) = model.predict(archive)
    assert judged.path == Path(f"{archive}!a/film.png")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as made:
        made.writestr("notes.txt", "no image")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image", encoding="utf-8")
    for name, says in (
        ("empty", "no image lies in this folder"),
        ("texts", "no image lies in this folder"),
        ("*.bmp", "no such file"),
        ("texts.zip", "holds no image"),
    ):
        # What, where, and what to do; in a list it is an error row like any other.
        with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path / name))}: .*{says}.*\. [A-Z]"):
            model.predict(tmp_path / name)
        ((failed),) = model.predict([tmp_path / name])
        assert isinstance(failed, FailedPrediction)
        assert says in str(failed.error)


def test_two_channels_and_a_mask_are_refused_with_what_to_do(model: Model) -> None:
    grey = make_grey(0, (64, 64))
    with pytest.raises(InputError, match=r"give the grey one, array\[\.\.\., 0\]"):
        model.predict(np.stack([grey, grey], axis=-1))
    with pytest.raises(InputError, match=r"the array is masked.*numpy\.ma\.filled\(array, 0\)"):
        model.predict(np.ma.array(grey, mask=grey > 9))


@pytest.mark.parametrize("deep", [False, True])
def test_colours_and_what_is_transparent_are_said_of_arrays_as_of_files(
    model: Model, films: list[Path], tmp_path: Path, *, deep: bool
) -> None:
    with Image.open(films[0]) as film:
        grey = np.asarray(film)
    grey = grey.astype(np.uint16) * 257 if deep else grey
    full = np.full_like(grey, np.iinfo(grey.dtype).max)
    arrow, hole, nearly = grey.copy(), full.copy(), grey - np.minimum(grey, grey.dtype.type(9 * (257 if deep else 1)))
    arrow[3, 5], hole[4, 5] = 0 if grey[3, 5] > full[0, 0] // 2 else full[0, 0], 0
    for channels, said in (
        ((grey, grey, grey), ()),
        ((nearly, grey, grey), ()),
        ((grey, grey, grey, full), ()),
        ((arrow, grey, grey), ("in colour",)),
        ((grey, grey, arrow), ("in colour",)),
        ((grey, grey, grey, hole), ("transparent",)),
        ((arrow, grey, grey, hole), ("in colour", "transparent")),
    ):
        array = np.ascontiguousarray(np.stack(channels, axis=-1))
        path = tmp_path / "film.png"
        assert cv2.imwrite(str(path), array[..., [2, 1, 0, 3][: len(channels)]])
        given = [model.predict(array), model.predict(path)]
        if not deep:
            given.append(model.predict(Image.fromarray(array)))
        for each in given:
            told = [doubt for doubt in each.reservations if doubt.startswith("Parts of the image")]
            assert [words for words, doubt in zip(said, told, strict=True) if words not in doubt] == []


def test_files_that_are_no_images_are_counted(model: Model, films: list[Path], tmp_path: Path) -> None:
    assert model.predict(films).left_out == {}
    (tmp_path / "film.png").write_bytes(films[0].read_bytes())
    for name in ("notes.txt", "more.txt"):
        (tmp_path / name).write_text("no image", encoding="utf-8")
    found = model.predict(tmp_path)
    assert len(found) == 1
    assert sum(found.left_out.values()) == 2
    for told in (repr(found), found._repr_html_(), found.summary()):
        assert "Left out: 2 .txt files" in told
    streamed = model.stream(tmp_path)
    assert [each.sha256 for each in streamed] == [found[0].sha256]  # type: ignore[union-attr]
    assert streamed.left_out == found.left_out


def test_predictions_are_a_table_a_file_and_a_summary(
    model: Model, films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[30:90, 20:50] = 255
    found = model.predict([*films[:2], "gone.png", mask], prevalence=0.25)
    assert (len(found.judged), len(found.refused), len(found.failed)) == (2, 1, 1)
    assert found.summary().startswith("Judged: 2 images (")
    assert "Refused (not-assessable): 1. Failed: 1." in found.summary()
    table = found.to_polars()
    assert table["path"].to_list() == [str(films[0]), str(films[1]), "gone.png", None]
    assert table["finding"].to_list() == [found[0].finding, found[1].finding, None, None]  # type: ignore[union-attr]
    assert table["probability:Normal"].null_count() == 2
    assert table.select(f"probability:{name}" for name in FINDINGS).sum_horizontal()[0] == pytest.approx(1, abs=1e-5)
    assert table["gate_accepted"].to_list()[3] is False
    assert set(table["prevalence"]) == {"0.25"}
    found.to_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text("utf-8").splitlines()[0].startswith("path,finding,probability:")
    assert pickle.loads(pickle.dumps(found)).summary() == found.summary()  # noqa: S301
    frame = found.to_pandas()
    assert list(frame.columns) == table.columns
    assert frame["finding"].tolist()[:2] == table["finding"].to_list()[:2]
    assert frame["finding"].isna().tolist() == [False, False, True, True]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match="pip install pandas"):
        found.to_pandas()


def test_one_image_is_explained_and_several_are_not(model: Model, films: list[Path]) -> None:
    explained = model.explain(films[0])
    assert explained.explanation is not None
    assert explained.plot().width >= 128
    for several in (films[0].parent, films):
        with pytest.raises(ConfigurationError, match="explain takes one image"):
            model.explain(several)  # type: ignore[arg-type]


def test_a_stream_reads_no_more_than_it_needs(model: Model, films: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield films[0]

    stream = model.stream(endless())
    assert {next(stream).sha256 for _ in range(20)} == {model.predict(films[0]).sha256}  # type: ignore[union-attr]
    assert taken < 100
    with pytest.raises(ConfigurationError, match="prevalence"):
        model.stream(endless(), prevalence=2.0)


def test_more_than_a_few_go_to_the_engine_for_many(model: Model, films: list[Path]) -> None:
    many = [films[i % len(films)] for i in range(20)]
    assert [each.sha256 for each in model.predict(iter(many))] == [model.predict(path).sha256 for path in many]


def test_a_list_gives_a_result_each_and_goes_on_after_a_bad_one(model: Model, films: list[Path]) -> None:
    grey = make_grey(1, (100, 90))
    given = [
        films[0],
        "gone.png",
        grey,
        np.zeros((64, 64)),
        np.zeros((3, 64, 64)),
        Image.fromarray(grey),
        str(films[1]),
    ]
    found = model.predict(given)
    assert isinstance(found, Predictions)
    assert isinstance(found, tuple)
    codes = [each.error.code if isinstance(each, FailedPrediction) else None for each in found]
    assert codes == [None, "not-found", None, "constant-image", "unsupported-format", None, None]
    assert [each.path for each in found] == [films[0], Path("gone.png"), None, None, None, None, films[1]]
    assert found[2].sha256 == found[5].sha256  # type: ignore[union-attr]
    assert model.predict([]) == ()
    assert len(model.predict(tuple(films))) == len(films)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("gone.png", "not-found"),
        (np.zeros((64, 64, 3), np.uint8), "constant-image"),
        (np.zeros((3, 64, 64), np.uint8), "unsupported-format"),
        (np.zeros((64, 64, 5), np.uint8), "unsupported-format"),
        (np.zeros((64, 64, 2), np.uint8), "unsupported-format"),
        (np.ma.masked_less(make_grey(0, (64, 64)), 9), "unsupported-format"),
        (np.ma.array(make_grey(0, (64, 64))), "unsupported-format"),
        (np.zeros((2, 64, 64, 3), np.uint8), "unsupported-format"),
        (np.full((64, 64, 3), -1), "no-display-range"),
        (np.zeros((64, 64), complex), "unsupported-format"),
        (np.array([["a"]]), "unsupported-format"),
        (np.zeros((8, 64), np.uint8), "too-small"),
        (np.full((64, 64), np.nan), "not-finite"),
        (np.arange(64 * 64).reshape(64, 64) - 5, "no-display-range"),
        (Image.new("L", (10, 10)), "too-small"),
        (Image.new("L", (64, 64)), "constant-image"),
        (Image.new("LAB", (64, 64)), "unsupported-format"),
    ],
)
def test_one_that_cannot_be_judged_is_an_error(model: Model, image: object, code: str) -> None:
    with pytest.raises(InputError) as caught:
        model.predict(image)  # type: ignore[call-overload]
    assert caught.value.code == code


def test_a_mask_is_not_assessable_without_a_gate_too(tmp_path: Path) -> None:
    model = carina.load_bundle(write_small_run(tmp_path / "run", crop="none"))
    assert model.description.gate is None
    mask = np.zeros((128, 128), np.uint8)
    mask[30:90, 20:50], mask[30:90, 80:110] = 255, 255
    judged = model.predict(mask)
    assert judged.triage.priority == "not-assessable"
    assert judged.refused is not None
    assert "as in a mask, a drawing or an empty film" in judged.triage.reason
    assert model.predict(make_grey(0, (128, 128))).triage.priority != "not-assessable"


def test_an_image_of_several_pages_is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "pages.tiff").write_bytes(encode_frames("TIFF"))
    with Image.open(tmp_path / "pages.tiff") as image, pytest.raises(InputError, match="2 frames"):
        model.predict(image)
    cut = tmp_path / "cut.png"
    cut.write_bytes(write_image(tmp_path / "whole.png", make_grey(1, (200, 200))).read_bytes()[:9000])
    with Image.open(cut) as image, pytest.raises(InputError, match="Pillow cannot decode the image"):
        model.predict(image)


def test_what_is_no_image_is_said(model: Model, films: list[Path]) -> None:
    for wrong in (7, None, {"path": "a.png"}, [films[0], 7], [[films[0]]], iter([7])):
        with pytest.raises(ConfigurationError, match=r"An image can come as a path, bytes, .* or a list of them\."):
            model.predict(wrong)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="prevalence"):
        model.predict(films[0], prevalence=2.0)


def test_explanations_and_prevalence_are_passed_on(model: Model, films: list[Path]) -> None:
    assert model.predict(films[0]).explanation is None
    one = model.predict(films[0], explain=True, prevalence=0.01)
    assert one.explanation is not None
    assert "prevalence of COVID-19 1%" in one.triage.reason
    assert all(each.explanation is not None for each in model.predict(films, explain=True))  # type: ignore[union-attr]


def test_the_model_says_what_it_is(model: Model, tmp_path: Path) -> None:
    assert model.findings == FINDINGS
    assert repr(model) == "<carina.Model small: COVID-19, Normal, Viral Pneumonia>"
    assert model.description.name == "small"
    with pytest.raises(BundleError, match="not a run or a bundle"):
        carina.load_bundle(tmp_path)
    with pytest.raises(BundleError, match="not a run or a bundle"):
        carina.load_bundle(str(tmp_path))


def test_without_a_folder_it_is_the_released_bundle(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carina.api.model.released_bundle", lambda: small_run)
    assert carina.load_bundle().description.name == "small"


def test_importing_carina_imports_next_to_nothing() -> None:
    program = (
        "import sys; before = set(sys.modules); import carina; after = set(sys.modules)\n"
        "names = dir(carina)\n"
        "assert {'load_bundle', 'Prediction', '__version__'} <= set(names), names\n"
        "new = {name.split('.')[0] for name in after - before}\n"
        "assert new <= {'carina', *sys.stdlib_module_names} and len(new) < 40, new\n"
        "assert carina.__version__ == __import__('importlib.metadata').metadata.version('carina-cxr')\n"
        "from carina import load_bundle, Prediction\n"
        "try: carina.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise AssertionError\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_one_image_and_many_get_the_same_answer(model: Model, films: list[Path]) -> None:
    many = model.predict([films[0]] * 20)
    one = model.predict(films[0])
    assert {prediction.sha256 for prediction in many if isinstance(prediction, Prediction)} == {one.sha256}
    for prediction in many:
        assert isinstance(prediction, Prediction)
        assert list(prediction.probabilities.values()) == pytest.approx(list(one.probabilities.values()), abs=1e-5)
