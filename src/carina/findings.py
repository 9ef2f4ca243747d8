"""The findings: names, order, short names, codes and the folder names under which data sets keep them."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

COVID_19 = "COVID-19"
NORMAL = "Normal"
VIRAL_PNEUMONIA = "Viral Pneumonia"
# What is abnormal and none of the three above: a model may learn it so as not to call it one of them.
OTHER_OPACITY = "Other opacity"
LUNG_OPACITY = "Lung Opacity"

# Codes of our own, in a scheme that is named as DICOM asks for (PS3.16 8.2: 99 and a name).
PRIVATE_SCHEME = "99CARINA"
_NO_LETTER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")


@dataclass(frozen=True, slots=True)
class Code:
    """A term of a coding scheme (PS3.3 8).

    Attributes
    ----------
    value
        At most 16 characters.
    scheme
        SCT (SNOMED CT), DCM (PS3.16 annex D), UCUM, or 99CARINA for our own.
    meaning
        For people, at most 64 characters.
    """

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that Carina knows by name.

    Attributes
    ----------
    name
        The name shown to people and written to tables.
    short
        A name for tight places (plots on a phone, file names).
    folders
        Other names under which data sets keep it. Case, accents, spaces, ``_`` and ``-`` do not matter.
    code
        A standard term for it; none where no standard has one.
    """

    name: str
    short: str
    folders: tuple[str, ...]
    code: Code | None = None


# Nobody uses these words for a radiograph that shows something. "Control", "negative", "benign" and "no TB" are not
# among them on purpose: such images may show another disease (see `may_be_normal`).
_NORMAL_WORDS = (
    # English
    *("normals", "norm", "healthy", "health", "no finding", "no findings", "no abnormality", "no abnormalities"),
    *("no abnormality detected", "without abnormality", "not abnormal", "non abnormal", "none abnormal"),
    *("unremarkable", "within normal limits", "wnl", "nad", "clear lungs", "no disease", "disease free"),
    *(
        f"{word} {what}"
        for word in ("normal", "healthy")
        for what in (
            *("lung", "lungs", "chest", "chests", "cxr", "xray", "x-ray", "xrays", "x-rays", "chest xray"),
            *("chest x-ray", "case", "cases", "patient", "patients", "control", "controls", "person", "persons"),
            *("people", "subject", "subjects", "image", "images", "film", "films", "radiograph", "radiographs"),
        )
    ),
    # Spanish, Portuguese, French, Italian, Romanian
    *("normales", "sano", "sana", "sanos", "sanas", "saludable", "saludables", "sin hallazgo", "sin hallazgos"),
    *("sin alteraciones", "sin patología", "normais", "saudável", "saudáveis", "sadio", "sadia", "sem achados"),
    *("sem alterações", "sem patologia", "normale", "normaux", "normales", "sain", "saine", "sains", "saines"),
    *("sans anomalie", "sans anomalies", "sans particularité", "aucune anomalie", "rien à signaler", "normali"),
    *("sani", "sane", "nella norma", "senza alterazioni", "sănătos", "sănătoși", "fără modificări"),
    # German, Dutch, Swedish, Danish, Norwegian
    *("gesund", "gesunde", "unauffällig", "unauffaellig", "normalbefund", "ohne befund", "o. b.", "kein befund"),
    *("normaal", "gezond", "gezonde", "geen afwijkingen", "zonder afwijkingen", "frisk", "friska", "friske"),
    *("normala", "utan anmärkning", "uten anmerkning"),
    # Polish, Czech, Slovak, Croatian, Serbian, Hungarian, Finnish
    *("prawidłowy", "prawidłowa", "prawidłowe", "zdrowy", "zdrowa", "zdrowe", "zdrowi", "norma", "w normie"),
    *("bez zmian", "zdravý", "zdravá", "zdraví", "normální", "normálny", "bez nálezu", "bez patologie", "zdrav"),
    *("normalan", "egészséges", "egészségesek", "normális", "terve", "terveet", "normaali"),
    # Russian, Ukrainian, Bulgarian, Greek, Turkish
    *("норма", "нормальный", "нормальная", "нормальные", "здоров", "здоровый", "здоровая", "здоровые"),
    *("без патологии", "без патологий", "без изменений", "здоровий", "здорові", "без патології", "здрав", "здрави"),
    *("нормален", "φυσιολογικό", "φυσιολογικά", "φυσιολογική", "υγιής", "υγιείς", "sağlıklı", "sağlam"),
    # Chinese, Japanese, Korean
    *("正常", "正常人", "正常胸片", "健康", "健康人", "无异常", "無異常", "未见异常", "未見異常", "未见明显异常"),
    *("健常", "健常者", "正常例", "異常なし", "所見なし", "정상", "정상인", "건강", "건강한", "이상없음"),
    # Arabic, Persian, Urdu, Hebrew, Hindi, Bengali
    *("طبيعي", "طبيعية", "سليم", "سليمة", "أصحاء", "نرمال", "سالم", "نارمل", "صحت مند", "תקין", "תקינה", "בריא"),
    *("सामान्य", "स्वस्थ", "স্বাভাবিক", "সুস্থ"),
    # Indonesian, Malay, Vietnamese, Thai, Swahili
    *("sehat", "sihat", "bình thường", "khỏe mạnh", "khoẻ mạnh", "ปกติ", "kawaida"),
)

# The order is that of the published baseline (alphabetical), so that confusion matrices line up.
KNOWN_FINDINGS = (
    Finding(COVID_19, "COVID", ("covid",), Code("840539006", "SCT", "COVID-19")),
    Finding(NORMAL, "Normal", _NORMAL_WORDS, Code("17621005", "SCT", "Normal")),
    Finding(VIRAL_PNEUMONIA, "Viral", (), Code("75570004", "SCT", "Viral pneumonia")),
    # "Other" than what the model names: no standard has a term for that.
    Finding(OTHER_OPACITY, "Other", ("other opacities",)),
    Finding(LUNG_OPACITY, "Opacity", ("lung opacities",), Code("112001", "DCM", "Opacity")),
)
BASELINE_FINDINGS = (COVID_19, NORMAL, VIRAL_PNEUMONIA)

# What may be a word for Normal, and may as well be for images that show something else: to be asked.
_PERHAPS_NORMAL = (
    *("0", "false", "no", "none", "absent", "clear", "clean", "negative", "negatives", "neg", "benign"),
    *("control", "controls", "uninfected", "not infected", "asymptomatic"),
    *("negativo", "negativa", "negativos", "negativas", "négatif", "négative", "negativ", "negatief", "ujemny"),
    *("negatif", "отрицательный", "отрицательные", "阴性", "陰性", "음성", "سلبي", "नकारात्मक", "âm tính"),
    *("benigno", "benigna", "bénin", "bénigne", "gutartig", "goedaardig", "良性", "iyi huylu"),
    *("controles", "controle", "contrôle", "contrôles", "témoin", "témoins", "kontrolle", "kontrollen", "kontrol"),
    *("controllo", "controlli", "контроль", "对照", "对照组", "対照", "対照群", "대조군"),
)
_NOT = re.compile(r"(no|non|not|without|sin|sem|sans|ohne|kein|keine|senza|geen|zonder|bez|без|нет|не)[\s_-]+\S")
_NORMAL_SIGNS = frozenset(("normal", "normals", "healthy", "sano", "sana", "sain", "gesund", "normale", "normales"))
_WORDS_AGAINST = frozenset(
    ("not", "non", "no", "nicht", "pas", "ab", "near", "nearly", "almost", "than", "vs", "or", "versus")
)
# Abnormal, but no finding by name: never flagged by default where another one is there.
_UNNAMED = (
    *(OTHER_OPACITY, LUNG_OPACITY, "other", "others", "opacity", "opacities", "abnormal", "abnormality"),
    *("abnormalities", "other finding", "other findings", "other abnormality", "other abnormalities"),
    *("other disease", "other diseases", "miscellaneous", "otro", "otros", "otra", "otras", "outro", "outros"),
    *("autre", "autres", "andere", "sonstige", "altro", "altri", "inne", "diğer", "другое", "другие"),
    *("其他", "その他", "기타", "lainnya", "khác"),
)


_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s_-]+(?=\d)")
_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
_NUMBERED = re.compile(r"^\d+[\s_.)-]+(?=\D)")
# Letters that no decomposition takes a mark from.
_LETTERS_WITHOUT_MARKS = str.maketrans("ıłđøŁĐØ", "ildoldo")


def finding_key(name: str) -> str:
    """Return what is equal for two spellings of one finding.

    Case, Unicode form, white space, ``_`` and ``-`` do not matter, except that numbers stay apart (``grade 1-1`` is not
    ``grade 11``), and a ``-`` at either end, which may be a sign: ``TB-`` is not ``TB``.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    text = _BETWEEN_DIGITS.sub("\N{MIDDLE DOT}", text)
    text = _BETWEEN_WORDS.sub("", text)
    return re.sub(r"[\s_]", "", text)


def _loose_key(name: str) -> str:
    """Return what a name is looked up by: its key without accents, nor a number before it (``0_Normal``)."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if unicodedata.category(c) != "Mn")
    return finding_key(_NUMBERED.sub("", bare.strip()).translate(_LETTERS_WITHOUT_MARKS))


_BY_NAME = {_loose_key(word): finding.name for finding in KNOWN_FINDINGS for word in (finding.name, *finding.folders)}
_PERHAPS_NORMAL_KEYS = frozenset(map(_loose_key, _PERHAPS_NORMAL))
_UNNAMED_KEYS = frozenset(map(_loose_key, _UNNAMED))
_SHORT = {finding.name: finding.short for finding in KNOWN_FINDINGS}
_CODE = {finding.name: finding.code for finding in KNOWN_FINDINGS}
_RANK = {finding.name: rank for rank, finding in enumerate(KNOWN_FINDINGS)}


@lru_cache(maxsize=4096)
def canonical_finding(name: str) -> str:
    """Return the name under which Carina knows a finding; a name of the user's own comes back as it is.

    Case, accents, spaces, ``_``, ``-`` and a number before a known name do not matter: ``"COVID"``, ``"covid_19"`` and
    ``"1-COVID-19"`` are one finding, and so are ``"Healthy"``, ``"sano"`` and ``"Normal"``. Of a name of the user's own
    only white space around it goes, and its letters are composed (NFC).
    """
    return _BY_NAME.get(_loose_key(name), unicodedata.normalize("NFC", name.strip()))


def may_be_normal(name: str, beside: Iterable[str] = ()) -> bool:
    """Return whether a finding of the user's own may be a word for Normal, so that a person must be asked.

    ``negative``, ``no_tb`` or ``TB-`` may be radiographs that show nothing, or that show something else.

    Parameters
    ----------
    name
        Of the finding.
    beside
        The other findings: beside ``TB``, ``NonTB`` may be one.
    """
    if canonical_finding(name) in _RANK:
        return False
    bare = unicodedata.normalize("NFC", name).casefold().strip()
    words = set(re.split(r"[\W_]+", bare))
    return (
        _loose_key(name) in _PERHAPS_NORMAL_KEYS
        or bool(words & {"negative", "neg", "negativo", "negativ", "control", "controls"})
        # "Normal - Copy", "healthy adults"; but not "not normal" or "near normal".
        or (bool(words & _NORMAL_SIGNS) and not words & _WORDS_AGAINST)
        or _NOT.match(bare) is not None
        or bare.startswith(("无", "没有"))
        or bare.endswith(("-", "\N{MINUS SIGN}", "なし"))
        or _loose_key(name) in {no + _loose_key(other) for other in beside for no in ("no", "non", "not")}
    )


def flag_candidates(findings: Iterable[str]) -> tuple[str, ...]:
    """Return the findings of which one is to be flagged where nobody says which.

    One is a choice, several are a question for a person, none is left where there is nothing but Normal. COVID-19 is
    the choice wherever it is there. Opacities of another kind come last: they are a choice only where no finding by
    name is there.
    """
    abnormal = [name for name in order_findings(findings) if name != NORMAL]
    if COVID_19 in abnormal:
        return (COVID_19,)
    named = [name for name in abnormal if _loose_key(name) not in _UNNAMED_KEYS]
    return tuple(named or abnormal)


def order_findings(names: Iterable[str]) -> tuple[str, ...]:
    """Return each name once, known findings first in their fixed order, the user's own after them by name."""
    return tuple(sorted(set(names), key=lambda name: (_RANK.get(name, len(_RANK)), name)))


def short_name(finding: str) -> str:
    """Return a name for tight places; a finding of the user's own is cut to twelve characters."""
    return _SHORT.get(finding, finding if len(finding) <= 12 else finding[:11] + "…")


def finding_code(finding: str) -> Code:
    """Return the term for a finding: a standard one, or one of the scheme 99CARINA.

    The value of the latter is made from the name alone, so that a finding of the user's own has the same code in every
    model that knows it: the word ``finding-`` and eight digits of the SHA-256 of the name.
    """
    standard = _CODE.get(finding)
    if standard is not None:
        return standard
    normal = unicodedata.normalize("NFC", finding)
    digits = hashlib.sha256(normal.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return Code(f"finding-{digits}", PRIVATE_SCHEME, dicom_text(normal) or "unnamed")


def dicom_text(text: str) -> str:
    """Return text as a short value in DICOM can hold it: at most 64 characters, without those that are none of it.

    A backslash parts values there (PS3.5 6.1.3, 6.2).
    """
    return _NO_LETTER.sub(" ", text).strip()[:64].rstrip()
