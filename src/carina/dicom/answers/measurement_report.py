"""The structured report: probabilities, priority and reason, who says so, and of which image (PS3.16 TID 1500)."""

from typing import Any

from pydicom.dataset import Dataset

from carina._version import __version__
from carina.decisions.probabilities import decimals_shown
from carina.dicom import coded_terms as terms
from carina.dicom.answers.answer_attributes import MANUFACTURER, NOTICE, Maker
from carina.dicom.answers.objects import SERIES_NUMBERS, UNNAMED, equipment, series_uid, stand_in
from carina.dicom.answers.source import Source
from carina.dicom.coded_terms import concept
from carina.dicom.computed_uids import derived_uid
from carina.findings import Code, finding_code
from carina.inference.prediction import Prediction

_INTENDED_USE = (
    f"{NOTICE}. A flag only orders the reading: it is no diagnosis, and a radiograph without one is still to be read."
)

# What stands first in a group, in this order.
_RESULT = (
    *(terms.PRIORITY, terms.REASON, terms.RESERVATION, terms.INTENDED_USE),
    *(terms.FINDING, terms.PROBABILITY, terms.THRESHOLD),
)


def measurement_report(prediction: Prediction, source: Source, maker: Maker) -> Dataset:
    """Return what the model says of an image as a Comprehensive 3D SR, without patient and study.

    Comprehensive 3D SR is what IHE's profile AI Results asks for. There is a measurement group for the triage, and one
    for each finding, with its probability. That of the finding of the operating point also holds its threshold.
    """
    from highdicom import sr  # noqa: PLC0415  # an optional library

    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", *maker.identity),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=maker.name,
        serial_number=maker.sha256,
    )
    device = sr.ObserverContext(concept(Code("121007", "DCM", "Device")), observer)
    groups = [_triage_group(prediction, source, maker)]
    groups += [_finding_group(finding, prediction, source, maker) for finding in maker.findings]
    content = sr.MeasurementReport(
        title=concept(terms.REPORT_TITLE),
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=concept(terms.CHEST_RADIOGRAPH),
        imaging_measurements=groups,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(concept(terms.ENGLISH)),
    )
    # Before the measurements, as in the template. highdicom's own asks for attributes that many radiographs lack.
    tree = content[0].ContentSequence
    tree.insert(len(tree) - 1, _image_library(source))
    report: Dataset = sr.Comprehensive3DSR(
        evidence=[stand_in(source)],
        content=content,
        series_instance_uid=series_uid(source, maker, "sr", prediction.triage.priority),
        series_number=SERIES_NUMBERS["sr"],
        sop_instance_uid=UNNAMED,
        instance_number=source.instance_number,
        # Nothing is to follow, but no reader has seen it: neither final nor verified.
        is_complete=True,
        is_final=False,
        is_verified=False,
        **equipment(maker),
    )
    for element in report.iterall():
        # As one flowing text, "CONTINUOUS", viewers show numbers without their names.
        if element.keyword == "ContinuityOfContent":
            element.value = "SEPARATE"
    return report


def percent(probability: float) -> float:
    """Return a probability in percent, with two decimals or as many more as it takes not to be 0 or 100."""
    return round(100 * probability, max(2, decimals_shown(probability) - 2))


def operating_point_in_words(maker: Maker) -> str:
    """Return where the threshold comes from and what it reached there, with 95 % intervals."""
    point = maker.policy.operating_point
    reached = (
        f"{name} {value:.3f} ({low:.3f} to {high:.3f}; {right} of {count})"
        for name, value, (low, high), right, count in (
            ("sensitivity", point.sensitivity, point.sensitivity_bounds(), point.true_positives, point.positives),
            ("specificity", point.specificity, point.specificity_bounds(), point.true_negatives, point.negatives),
        )
    )
    return (
        f"Operating point: {point.finding} is flagged where P >= {point.threshold:.4f} ({point.in_words()}, chosen on "
        f"{point.chosen_on}, where it reached {' and '.join(reached)}; 95 % intervals)."
    )


def _triage_group(prediction: Prediction, source: Source, maker: Maker) -> Any:
    from highdicom import sr  # noqa: PLC0415

    priority = terms.PRIORITIES[prediction.triage.priority]
    # An image that is corrected keeps its UID: this tells which of its pixels were judged.
    judged = [f"SHA-256 of the decoded pixels: {prediction.sha256}"]
    evaluations = [sr.QualitativeEvaluation(concept(terms.PRIORITY), concept(priority))]
    group = _group("Triage", source, maker, evaluations, parameters=judged)
    doubts = [(terms.RESERVATION, words) for words in prediction.reservations]
    for name, words in ((terms.REASON, prediction.triage.reason), *doubts, (terms.INTENDED_USE, _INTENDED_USE)):
        group[0].ContentSequence.append(sr.TextContentItem(concept(name), words, sr.RelationshipTypeValues.CONTAINS))
    return _result_first(group)


def _finding_group(finding: str, prediction: Prediction, source: Source, maker: Maker) -> Any:
    from highdicom import sr  # noqa: PLC0415

    unit = concept(terms.PERCENT)
    measured = [sr.Measurement(concept(terms.PROBABILITY), percent(prediction.judged()[1][finding]), unit)]
    parameters = []
    if finding == maker.policy.flag_finding:
        threshold = percent(maker.policy.operating_point.threshold)
        measured.append(sr.Measurement(concept(terms.THRESHOLD), threshold, unit))
        parameters.append(operating_point_in_words(maker))
    return _result_first(
        _group(finding, source, maker, [], finding=finding, measurements=measured, parameters=parameters)
    )


def _result_first(group: Any) -> Any:
    """Return a group, first what was found and then who says so: programs look for names, viewers keep the order."""
    from highdicom import sr  # noqa: PLC0415

    place = {code.value: number for number, code in enumerate(_RESULT)}
    items = sorted(group[0].ContentSequence, key=lambda item: place.get(item.name.value, len(place)))
    group[0].ContentSequence = sr.ContentSequence(items)
    return group


def _group(
    name: str,
    source: Source,
    maker: Maker,
    evaluations: list[Any],
    *,
    finding: str | None = None,
    measurements: list[Any] | None = None,
    parameters: list[str] | None = None,
) -> Any:
    """Return a group (TID 1501), which says by itself of which image it is and which algorithm says so (TID 4019)."""
    from highdicom import sr  # noqa: PLC0415

    of = "triage" if finding is None else "finding"
    used = [
        f"SHA-256 of the bundle: {maker.sha256}",
        f"Run by Carina {__version__} in {maker.precision}",
        *(parameters or ()),
    ]
    if maker.prevalence is not None:
        used.append(f"Stated prevalence of {maker.policy.flag_finding}: {maker.prevalence:g}")
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derived_uid("tracking", *maker.identity, source.sop_instance_uid, of, name), identifier=f"Carina {name}"
        ),
        finding_type=None if finding is None else concept(finding_code(finding)),
        finding_sites=[sr.FindingSite(anatomic_location=concept(terms.CHEST))],
        algorithm_id=sr.AlgorithmIdentification(
            name=maker.name, version=maker.version, parameters=used, family=concept(terms.ARTIFICIAL_INTELLIGENCE)
        ),
        measurements=measurements,
        qualitative_evaluations=evaluations or None,
        source_images=[sr.SourceImageForMeasurementGroup(source.sop_class_uid, source.sop_instance_uid)],
    )


def _image_library(source: Source) -> Any:
    """Return the image library (TID 1600) with the one image, described as far as it says (TID 1602)."""
    from highdicom import sr  # noqa: PLC0415

    kinds = sr.RelationshipTypeValues
    described = [
        sr.CodeContentItem(concept(name), concept(known[source.text(keyword)]), kinds.HAS_ACQ_CONTEXT)
        for name, keyword, known in (
            (terms.MODALITY, "Modality", terms.MODALITIES),
            (terms.IMAGE_VIEW, "ViewPosition", terms.VIEWS),
        )
        if source.text(keyword) in known
    ]
    for name, pixels in ((terms.ROWS, source.rows), (terms.COLUMNS, source.columns)):
        item = sr.NumContentItem(concept(name), pixels, concept(terms.PIXELS), relationship_type=kinds.HAS_ACQ_CONTEXT)
        # Not "256.0", as highdicom writes it.
        item.MeasuredValueSequence[0].NumericValue = str(pixels)
        described.append(item)
    image = sr.ImageContentItem(
        concept(terms.SOURCE), source.sop_class_uid, source.sop_instance_uid, relationship_type=kinds.CONTAINS
    )
    image.ContentSequence = sr.ContentSequence(described)
    group = sr.ContainerContentItem(concept(terms.IMAGE_LIBRARY_GROUP), relationship_type=kinds.CONTAINS)
    group.ContentSequence = sr.ContentSequence([image])
    library = sr.ContainerContentItem(concept(terms.IMAGE_LIBRARY), relationship_type=kinds.CONTAINS)
    library.ContentSequence = sr.ContentSequence([group])
    return library
