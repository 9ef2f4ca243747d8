"""What the names of folders say: a finding, a split, a patient, or only that images lie in them."""

import re
import unicodedata
from typing import Literal

from carina.findings import KNOWN_FINDINGS, NORMAL, canonical_finding, may_be_normal

PublishedSplit = Literal["train", "validation", "test"]

_KNOWN = frozenset(finding.name for finding in KNOWN_FINDINGS)
_WORDS = re.compile(r"[^\W_]+")


def _words_of(name: str) -> list[str]:
    """Return the words of a name in small letters, without accents."""
    letters = unicodedata.normalize("NFKD", name.lower())
    return _WORDS.findall("".join(c for c in letters if unicodedata.category(c) != "Mn"))


# A name of these words only says that images lie in a folder: ``images``, ``CXR_png``.
_IMAGE_WORDS = frozenset(
    _words_of(
        "chest cxr cxrs dcm dicom dicoms film films image images img imgs jpeg jpg picture pictures png radiograph "
        "radiographs ray rays x xray xrays"
    )
)
# Words that name a finding anywhere in a name, for telling folders of findings from folders of hospitals.
_FINDING_WORDS = frozenset(
    _words_of(
        "abnormal abscess ards asbestosis atelectasis bacteria bacterial bronchiectasis bronchiolitis bronchitis "
        "calcification cancer cardiomegaly cavitation consolidation copd covid covid19 disease diseased edema "
        "effusion emphysema empyema fibrosis fungal granuloma gruzlica hernia infected infiltrate infiltration "
        "influenza lesion lesions malignancy malignant mass mers metastases metastasis mtb neumonia nodule nodules "
        "oedema opacities opacity pleuritis pneumoconiosis pneumonia pneumonie pneumothorax polmonite positive ptb "
        "sarcoidosis sars sick silicosis tb tbc tuberculose tuberculosis tuberkulose tuberkuloz tumor tumour viral "
        "virus туберкулез туберкульоз пневмония пневмонія 肺炎 结核 肺结核 結核 肺結核 폐렴 결핵"
    )
)
# With a word for a finding, these make a name for one: ``no TB``, ``chest normal``, ``COVID-19 cases``.
_WORDS_BESIDE = frozenset(
    _words_of(
        "19 2 and case cases chest cov cxr finding findings lung lungs no non not of or other patients pleural ray "
        "type with without x xray"
    )
)
# With a word for a finding or for images, these say that it is absent: ``COVID negative``, ``normal chest``. Names that
# say so by themselves, in many languages, are in `carina.findings`.
_ABSENCE_WORDS = frozenset(_words_of("control controls healthy neg negative negatives no non none normal not"))
_SPLIT = re.compile(
    r"(?:(?P<train>train|training|train[ _-]?val)|(?P<validation>val|valid|validate|validation|dev|calibration)|"
    r"(?P<test>test|testing))"
    r"(?:[ _-]*(?:set|data|images?|split|ing))?",
    re.IGNORECASE,
)
_FOLD = re.compile(r"(?:fold|cv|split)[ _-]*\d+", re.IGNORECASE)
_PATIENT = re.compile(r"(?:patient|pat|pt|subject|subj|sub|case|person)[ _.#-]*(?:id)?[ _.#-]*\d[\w.-]*", re.IGNORECASE)
_NUMBER = re.compile(r"[a-z]{0,3}[ _.#-]*\d[\d_.-]*", re.IGNORECASE)


def names_images(name: str) -> bool:
    """Return whether a folder's name says no more than that images lie in it."""
    words = _words_of(name)
    return bool(words) and _IMAGE_WORDS.issuperset(words)


def published_split(name: str) -> PublishedSplit | None:
    """Return which split a folder or a cell of a table names; none where it names none."""
    found = _SPLIT.fullmatch(name.strip())
    if found is None:
        return None
    return "train" if found["train"] else "validation" if found["validation"] else "test"


def names_a_finding(name: str) -> bool:
    """Return whether a folder's name says a finding, by words alone: one of the user's own may be unknown here."""
    words = set(_words_of(name))
    if canonical_finding(name) in _KNOWN or names_an_absence(name):
        return True
    return bool(words & _FINDING_WORDS) and words <= _FINDING_WORDS | _WORDS_BESIDE


def names_an_absence(name: str) -> bool:
    """Return whether a folder's name says that something is not there: normal, negative, control, no TB."""
    words = set(_words_of(name))
    absent = bool(words & _ABSENCE_WORDS) and words <= _ABSENCE_WORDS | _FINDING_WORDS | _WORDS_BESIDE
    # A number alone may be anything.
    return absent or canonical_finding(name) == NORMAL or (may_be_normal(name) and not is_numbered(name))


def names_a_fold(name: str) -> bool:
    """Return whether a folder's name is that of a part of a cross-validation."""
    return _FOLD.fullmatch(name) is not None


def names_a_patient(name: str) -> bool:
    """Return whether a folder's name says that it is a patient's: ``patient 7``, ``sub-012``."""
    return _PATIENT.fullmatch(name) is not None


def is_numbered(name: str) -> bool:
    """Return whether a folder's name is a number, perhaps with up to three letters before it."""
    return _NUMBER.fullmatch(name) is not None
