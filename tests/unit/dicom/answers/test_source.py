"""What answers take from an image: which it is, when it was made, and nothing is said of what it holds."""

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import config, dcmread, dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian

from amount import sampled
from carina.dicom.answers.source import read_source, require_foreign_dicom
from carina.dicom.computed_uids import IMPLEMENTATION_CLASS_UID
from carina.errors import InputError
from carina.radiographs.read import read_radiograph
from unit.dicom.sources import IDENTIFIERS, SOP_CLASSES, make_source, write_source


@pytest.mark.parametrize("modality", ["CR", "DX", "SC"])
def test_an_image_says_which_it_is(tmp_path: Path, modality: str) -> None:
    source = read_source(write_source(tmp_path / "a.dcm", modality, seed=7))
    assert source.sop_class_uid == SOP_CLASSES[modality]
    assert source.sop_instance_uid == "1.2.826.0.1.3680043.8.498.1.7"
    assert source.series_uid == "1.2.826.0.1.3680043.8.498.2.7"
    assert source.study_uid == "1.2.826.0.1.3680043.8.498.3.1"
    assert source.moment == ("20240229", "101622.5")
    assert (source.instance_number, source.rows, source.columns) == (3, 256, 256)
    # What is not carried over is not even read.
    assert "InstitutionName" not in source.attributes
    assert "PixelData" not in source.attributes


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({}, None),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.17, 0.17]}, (0.17, 0.17)),
        ({"PixelSpacing": [0, 0.1]}, None),
        ({"PixelSpacing": 0.1}, None),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
    ],
)
def test_the_distance_of_pixels_is_the_first_that_is_one(
    tmp_path: Path, attributes: dict[str, Any], spacing: tuple[float, float] | None
) -> None:
    assert read_source(write_source(tmp_path / "a.dcm", **attributes)).pixel_spacing_mm == spacing


def test_what_a_shutter_leaves_is_what_is_visible(tmp_path: Path) -> None:
    assert read_source(write_source(tmp_path / "whole.dcm")).visible == (0, 0, 256, 256)
    edges = dict(
        zip(("UpperHorizontal", "LeftVertical", "LowerHorizontal", "RightVertical"), (11, 21, 240, 250), strict=True)
    )
    shutter = {f"Shutter{edge}Edge": place for edge, place in edges.items()}
    source = read_source(write_source(tmp_path / "part.dcm", ShutterShape="RECTANGULAR", **shutter))
    assert source.visible == read_radiograph(tmp_path / "part.dcm").header.crop != (0, 0, 256, 256)


@pytest.mark.parametrize(
    ("attributes", "moment"),
    [
        ({"ContentTime": ...}, ("20240229", "000000")),
        ({"ContentTime": "not a time"}, ("20240229", "000000")),
        ({"ContentDate": "20240230"}, ("20240229", "101500")),
        ({"ContentDate": ..., "AcquisitionDate": "20240101", "AcquisitionTime": "0930"}, ("20240101", "0930")),
        ({"ContentDate": ..., "AcquisitionDateTime": "20240102112233.44+0100"}, ("20240102", "112233.44")),
        ({"ContentDate": "", "AcquisitionDateTime": "202401"}, ("20240229", "101500")),
        ({"ContentDate": ..., "SeriesDate": "20240103"}, ("20240103", "000000")),
        ({"ContentDate": ..., "StudyDate": ...}, None),
        ({"ContentDate": "2024.02.29", "StudyDate": ""}, None),
    ],
)
def test_the_moment_is_the_first_that_is_one(
    tmp_path: Path, attributes: dict[str, Any], moment: tuple[str, str] | None
) -> None:
    path = write_source(tmp_path / "a.dcm", **attributes)
    assert read_source(path).moment == moment


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_what_no_answer_can_refer_to_is_refused(tmp_path: Path, keyword: str) -> None:
    with pytest.raises(InputError, match=f"its {keyword} is missing, so that no answer can refer to it") as missing:
        read_source(write_source(tmp_path / "a.dcm", **{keyword: ...}))
    assert missing.value.code == "missing-attribute"
    image = make_source()
    image[keyword].VR = "LO"
    image[keyword].value = "../../../etc/Zwiebelfisch"
    dcmwrite(tmp_path / "b.dcm", image, enforce_file_format=True)
    with pytest.raises(InputError, match=f"its {keyword} is not valid in DICOM") as none:
        read_source(tmp_path / "b.dcm")
    assert "Zwiebelfisch" not in str(none.value)


def test_the_head_of_the_file_says_what_the_image_does_not(tmp_path: Path) -> None:
    source = read_source(write_source(tmp_path / "a.dcm", SOPInstanceUID=..., SOPClassUID=...))
    assert (source.sop_class_uid, source.sop_instance_uid) == ("1.2.3", "1.2.3")


@pytest.mark.parametrize(
    ("attributes", "number"),
    [
        ({"InstanceNumber": 12}, 12),
        ({"InstanceNumber": ...}, 1),
        ({"InstanceNumber": None}, 1),
        ({"InstanceNumber": 0}, 1),
    ],
)
def test_an_image_without_a_number_is_the_first(tmp_path: Path, attributes: dict[str, Any], number: int) -> None:
    assert read_source(write_source(tmp_path / "a.dcm", **attributes)).instance_number == number


def test_deflated_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    image = make_source()
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(tmp_path / "a.dcm", image, enforce_file_format=True)
    with pytest.raises(InputError, match="it is deflated, which is not read") as refused:
        read_source(tmp_path / "a.dcm")
    assert refused.value.code == "unsupported-format"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty-file"), (b"\x89PNG\r\n\x1a\n" + bytes(200), "unsupported-format"), (None, "not-found")],
)
def test_what_is_no_dicom_is_refused_by_its_first_bytes(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        require_foreign_dicom(path)
    assert refused.value.code == code


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image lies in this folder") as refused:
        require_foreign_dicom(tmp_path)
    assert refused.value.code == "not-a-file"


def test_what_carina_wrote_is_told_by_its_head_or_by_its_maker(tmp_path: Path) -> None:
    foreign = write_source(tmp_path / "a.dcm")
    require_foreign_dicom(foreign)
    image = make_source()
    image.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    dcmwrite(tmp_path / "own.dcm", image, enforce_file_format=True)
    with pytest.raises(InputError, match="an answer that Carina wrote") as own:
        require_foreign_dicom(tmp_path / "own.dcm")
    assert own.value.code == "own-answer"
    # As a PACS gives it back: with a head of its own.
    returned = write_source(tmp_path / "returned.dcm", Manufacturer="Carina")
    require_foreign_dicom(returned)
    with pytest.raises(InputError) as again:
        read_source(returned)
    assert again.value.code == "own-answer"


@pytest.mark.parametrize("tag", [b"\x10\x00\x10\x00PN", b"\x10\x00\x20\x00LO"])
def test_whose_image_it_is_is_read_or_the_image_is_refused(tmp_path: Path, tag: bytes) -> None:
    path = write_source(tmp_path / "a.dcm")
    content = path.read_bytes()
    assert content.count(tag) == 1
    path.write_bytes(content.replace(tag, tag[:4] + b"AO"))
    with pytest.raises(InputError, match="its attributes cannot be read") as refused:
        read_source(path)
    assert refused.value.__suppress_context__


@settings(max_examples=sampled(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_broken_file_is_read_or_refused_and_never_quoted(tmp_path: Path, data: st.DataObject) -> None:
    whole = (tmp_path / "whole.dcm") if (tmp_path / "whole.dcm").exists() else write_source(tmp_path / "whole.dcm")
    content = bytearray(whole.read_bytes()[:3000])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(132, 1300))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(140, len(content)))
    path = tmp_path / "broken.dcm"
    path.write_bytes(content[:cut])
    refused: InputError | None = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            read_source(path)
        except InputError as error:
            refused = error
    assert said == []
    assert not any(value in str(refused) for value in IDENTIFIERS.values())
    assert refused is None or refused.__suppress_context__ or refused.__context__ is None


def test_reading_says_nothing_and_leaves_the_settings_as_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def settings_now() -> tuple[object, ...]:
        modes = (config.settings.reading_validation_mode, config.settings.writing_validation_mode)
        return (*modes, list(warnings.filters), logging.getLogger("pydicom").level)

    broken = {"PatientBirthDate": "Zwiebelfisch", "SpecificCharacterSet": "ISO_IR 4711"}
    path = write_source(tmp_path / "a.dcm", **broken)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        caplog.clear()
        # Not for nothing: pydicom logs such values, if it is let.
        str(dcmread(path))
    assert "ISO_IR 4711" in caplog.text
    caplog.clear()
    before = settings_now()
    # Pytest makes an error of every warning.
    assert read_source(path).attributes.PatientBirthDate == "Zwiebelfisch"
    assert caplog.text == ""
    assert settings_now() == before
