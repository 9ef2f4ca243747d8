"""Which attributes of an image go into answers about it, and what answers say of who made them."""

from dataclasses import dataclass
from datetime import UTC

from carina._version import __version__
from carina.bundles.bundle import BundleDescription
from carina.decisions.policy import Policy
from carina.findings import dicom_text
from carina.inference.predictor import Predictor

MANUFACTURER = "Carina"
NOTICE = "Research use, not for diagnosis"

_PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
    *("PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientNames", "OtherPatientIDsSequence"),
    *("ReferencedPatientSequence", "QualityControlSubject", "PatientIdentityRemoved", "DeidentificationMethod"),
    *("DeidentificationMethodCodeSequence",),
)
_CLINICAL_TRIAL = (
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID"),
    *("ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID"),
    *("ClinicalTrialProtocolEthicsCommitteeName", "ClinicalTrialProtocolEthicsCommitteeApprovalNumber"),
    *("ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription"),
)
_STUDY = (
    *("StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName"),
    *("StudyID", "StudyDescription", "ProcedureCodeSequence", "ReferencedStudySequence", "PhysiciansOfRecord"),
    *("PatientAge", "PatientSize", "PatientWeight"),
)
# Modules Patient (PS3.3 C.7.1.1), Clinical Trial Subject and Study (C.7.1.3, C.7.2.3), General Study (C.7.2.1) and
# Patient Study (C.7.2.2), without free text about the patient's history, which no answer needs; and what holds for
# all times and dates (C.12.1).
CARRIED = (*_PATIENT, *_CLINICAL_TRIAL, *_STUDY, "TimezoneOffsetFromUTC", "LongitudinalTemporalInformationModified")
# Of these an answer must have each, even if empty (Type 2).
NEVER_MISSING = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"),
    *("ReferringPhysicianName", "StudyID"),
)
# What its pixels have been through, and how they lie.
OF_PIXELS = (
    *("BurnedInAnnotation", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    "PatientOrientation",
)


@dataclass(frozen=True, slots=True)
class Maker:
    """Who gives an answer: a model, its version, and the Carina that runs it.

    Attributes
    ----------
    name, version
        Of the bundle; for a run that is no bundle yet, of the recipe and of Carina. The name has at most 64 characters.
    sha256
        The SHA-256 that names the whole bundle or run.
    precision
        That it was computed in.
    findings, policy
        What it tells apart, and how it decides.
    prevalence
        That was stated, or none.
    created
        Date and time when the model was made, as in DICOM.
    """

    name: str
    version: str
    sha256: str
    precision: str
    findings: tuple[str, ...]
    policy: Policy
    prevalence: float | None
    created: tuple[str, str]

    @property
    def software_versions(self) -> list[str]:
        """Return names and versions of what ran."""
        # One less than 64: a value of odd length is filled up with a space.
        return [dicom_text(f"Carina {__version__}")[:63], dicom_text(f"{self.name} {self.version}"[-63:])]

    @property
    def identity(self) -> tuple[str, ...]:
        """Return what makes another answer of the same image: it is part of every UID."""
        return (__version__, self.sha256, self.precision, "" if self.prevalence is None else repr(self.prevalence))


def maker_of(predictor: Predictor, prevalence: float | None) -> Maker:
    """Return who answers."""
    run = predictor.run
    made, version = run.finished, __version__
    if isinstance(run, BundleDescription):
        made, version = run.created, run.version
    made = made.astimezone(UTC)
    created = (made.strftime("%Y%m%d"), made.strftime("%H%M%S"))
    precision = predictor.engine.precision
    return Maker(
        dicom_text(run.name), version, predictor.sha256, precision, run.findings, run.policy, prevalence, created
    )
