"""The structured report, read back by highdicom: what the model said, who it is, and of which image."""

from pathlib import Path
from typing import Any

import pytest
from highdicom import sr
from pydicom.sr.codedict import codes

from carina._version import __version__
from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.measurement_report import percent
from carina.dicom.computed_uids import CODING_SCHEME_UID
from carina.findings import finding_code
from carina.inference.predictor import Predictor
from unit.dicom.sources import write_source
from unit.inference.small_model import FINDINGS, write_small_run


def report_of(path: Path, predictor: Predictor, **settings: Any) -> tuple[Any, Any]:
    """Return the prediction, and the report as highdicom reads it."""
    answers = write_answers(path, predictor, path.parent, ["sr"], **settings)
    return answers.prediction, sr.srread(answers.written[0].path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_source(tmp_path / "image.dcm", "DX", seed=5)


def as_triple(concept: Any) -> tuple[str, str, str]:
    return concept.value, concept.scheme_designator, concept.meaning


def test_it_is_a_measurement_report_of_nobody_yet(path: Path, predictor: Predictor) -> None:
    _, report = report_of(path, predictor)
    assert isinstance(report, sr.Comprehensive3DSR)
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    # Of the title that is usual, 126000 DCM, OHIF shows nothing.
    assert as_triple(report.content[0].name) == (
        *("triage-report", "99CARINA", "Chest radiograph triage by software, for research"),
    )
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        *("COMPLETE", "UNVERIFIED", "PRELIMINARY"),
    )


def test_each_finding_has_a_group_with_its_probability(path: Path, predictor: Predictor) -> None:
    prediction, report = report_of(path, predictor)
    groups = report.content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["Carina Triage", *(f"Carina {f}" for f in FINDINGS)]
    assert len({group.tracking_uid for group in groups}) == 4
    for finding, group in zip(FINDINGS, groups[1:], strict=True):
        code = finding_code(finding)
        assert as_triple(group.finding_type) == (code.value, code.scheme, code.meaning)
        (site,) = group.finding_sites
        assert as_triple(site.value) == ("816094009", "SCT", "Chest")
        (measured,) = group.get_measurements(name=codes.DCM.Probability)
        assert as_triple(measured.unit) == ("%", "UCUM", "%")
        assert measured.value == pytest.approx(100 * prediction.probabilities[finding], abs=0.005)
        assert (len(group.get_measurements()) == 2) == (finding == "COVID-19")
    (threshold,) = groups[1].get_measurements(name=codes.DCM.ThresholdValue)
    assert threshold.value == pytest.approx(100 * predictor.run.operating_point.threshold, abs=0.005)


def test_the_triage_stands_first_with_its_reason_and_what_it_is_for(path: Path, predictor: Predictor) -> None:
    prediction, report = report_of(path, predictor)
    triage = report.content.get_image_measurement_groups()[0]
    (priority,) = triage.get_qualitative_evaluations(name=codes.SCT.Priority)
    assert priority.value.value == prediction.triage.priority
    assert priority.value.scheme_designator == "99CARINA"
    said = {item.name.meaning: item.value for item in triage[0].ContentSequence if item.ValueType == "TEXT"}
    assert said["Reason for priority"] == prediction.triage.reason
    assert said["Intended use"].startswith("Research use, not for diagnosis. ")
    assert triage.finding_type is None


def test_a_group_begins_with_its_result(path: Path, predictor: Predictor) -> None:
    _, report = report_of(path, predictor)
    triage, flagged, other, _ = report.content.get_image_measurement_groups()
    begun = [[item.name.meaning for item in group[0].ContentSequence] for group in (triage, flagged, other)]
    assert begun[0][:2] == ["Priority", "Reason for priority"]
    assert begun[1][:4] == ["Finding", "Probability", "Threshold Value", "Tracking Identifier"]
    assert begun[2][:3] == ["Finding", "Probability", "Tracking Identifier"]


def test_every_group_says_who_judged_which_image(path: Path, predictor: Predictor) -> None:
    _, report = report_of(path, predictor)
    for group in report.content.get_image_measurement_groups():
        (image,) = group.source_images
        assert image.referenced_sop_instance_uid == "1.2.826.0.1.3680043.8.498.1.5"
        said = [(item.name.meaning, item.value) for item in group[0].ContentSequence if item.ValueType == "TEXT"]
        assert ("Algorithm Name", "small") in said
        assert ("Algorithm Version", __version__) in said
        assert ("Algorithm Parameters", f"SHA-256 of the bundle: {predictor.sha256}") in said
        assert ("Algorithm Parameters", f"Run by Carina {__version__} in f32") in said


def test_the_report_says_which_pixels_were_judged(path: Path, predictor: Predictor) -> None:
    """A corrected image keeps its UID, and a report on it is told from the one on the image before."""
    prediction, report = report_of(path, predictor)
    said = [
        item.value
        for item in report.content.get_image_measurement_groups()[0][0].ContentSequence
        if "TextValue" in item
    ]
    assert f"SHA-256 of the decoded pixels: {prediction.sha256}" in said


def test_the_operating_point_is_told_with_what_it_reached(path: Path, predictor: Predictor) -> None:
    _, report = report_of(path, predictor)
    group = report.content.get_image_measurement_groups()[1]
    (said,) = (
        item.value
        for item in group[0].ContentSequence
        if item.ValueType == "TEXT" and item.value.startswith("Operating point")
    )
    point = predictor.run.operating_point
    assert f"COVID-19 is flagged where P >= {point.threshold:.4f} (specificity-at-least 0.9, chosen on invented" in said
    low, high = point.sensitivity_bounds()
    assert f"sensitivity {point.sensitivity:.3f} ({low:.3f} to {high:.3f}; {point.true_positives} of" in said
    assert f"{point.true_negatives} of {point.negatives}); 95 % intervals)." in said


def test_a_stated_prevalence_is_a_parameter(path: Path, predictor: Predictor) -> None:
    for prevalence, expected in ((None, False), (0.02, True)):
        _, report = report_of(path, predictor, prevalence=prevalence)
        group = report.content.get_image_measurement_groups()[0]
        said = [item.value for item in group[0].ContentSequence if item.ValueType == "TEXT"]
        assert ("Stated prevalence of COVID-19: 0.02" in said) == expected


def test_the_observer_is_the_device(path: Path, predictor: Predictor) -> None:
    _, report = report_of(path, predictor)
    (observer,) = report.content.get_observer_contexts()
    assert observer.observer_type == codes.DCM.Device
    device = observer.observer_identifying_attributes
    assert (device.name, device.manufacturer_name, device.model_name) == ("Carina", "Carina", "small")
    assert device.serial_number == predictor.sha256
    assert device.uid.startswith("2.25.")


@pytest.mark.parametrize(
    ("modality", "view", "described"),
    [
        ("DX", "PA", {"Modality": "DX", "Image View": "272479007"}),
        ("CR", "AP", {"Modality": "CR", "Image View": "399348003"}),
        ("SC", "sideways", {"Modality": "OT"}),
    ],
)
def test_the_image_library_describes_the_image_as_far_as_it_says(
    tmp_path: Path, predictor: Predictor, modality: str, view: str, described: dict[str, str]
) -> None:
    path = write_source(tmp_path / "image.dcm", modality, ViewPosition=view)
    _, report = report_of(path, predictor)
    tree = report.content[0].ContentSequence
    names = [item.name.meaning for item in tree]
    assert names.index("Image Library") == names.index("Imaging Measurements") - 1
    (group,) = tree[names.index("Image Library")].ContentSequence
    (image,) = group.ContentSequence
    assert image.referenced_sop_instance_uid == "1.2.826.0.1.3680043.8.498.1.1"
    coded = {item.name.meaning: item.value.value for item in image.ContentSequence if item.ValueType == "CODE"}
    numbers = {item.name.meaning: item.value for item in image.ContentSequence if item.ValueType == "NUM"}
    assert coded == described
    assert numbers == {"Pixel Data Rows": 256, "Pixel Data Columns": 256}


def test_the_scheme_of_our_own_codes_is_explained(path: Path, predictor: Predictor) -> None:
    _, report = report_of(path, predictor)
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99CARINA"
    assert scheme.CodingSchemeUID == CODING_SCHEME_UID
    assert scheme.CodingSchemeName == "Carina chest X-ray triage"
    used = {e.value for e in report.iterall() if e.keyword == "CodingSchemeDesignator"}
    assert used == {"99CARINA", "DCM", "SCT", "UCUM", "RFC5646"}


def test_reading_and_writing_again_changes_nothing(path: Path, predictor: Predictor, tmp_path: Path) -> None:
    _, report = report_of(path, predictor)
    report.save_as(tmp_path / "again.dcm")
    again = sr.srread(tmp_path / "again.dcm")
    assert again == report
    assert again.content == report.content


def test_a_probability_in_percent_is_0_or_100_only_where_it_is() -> None:
    shown = {0.5: 50.0, 0.12345: 12.35, 0.99998: 99.998, 0.00004: 0.004, 1.0: 100.0, 0.0: 0.0, 0.999: 99.9}
    assert {p: percent(p) for p in shown} == shown


def test_numbers_are_the_same_written_and_coded(tmp_path: Path) -> None:
    """A number stands as text and as a float; they must not differ."""
    model = Predictor(write_small_run(tmp_path / "run"))
    _, report = report_of(write_source(tmp_path / "image.dcm"), model)
    for item in report.iterall():
        if item.keyword == "MeasuredValueSequence":
            (value,) = item.value
            if "FloatingPointValue" in value:
                assert float(value.NumericValue) == value.FloatingPointValue
