"""Findings: one name whatever the folder is called, one order, short names."""

from typing import Any

import pytest

from carina.findings import (
    BASELINE_FINDINGS,
    COVID_19,
    LUNG_OPACITY,
    NORMAL,
    OTHER_OPACITY,
    VIRAL_PNEUMONIA,
    Code,
    canonical_finding,
    finding_code,
    finding_key,
    flag_candidates,
    may_be_normal,
    order_findings,
    short_name,
)


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("COVID", COVID_19),
        ("covid19", COVID_19),
        (" COVID-19\n", COVID_19),
        ("Covid_19", COVID_19),
        ("NORMAL", NORMAL),
        ("COVID\u201119", "COVID\u201119"),
        ("No Finding", NORMAL),
        ("Viral Pneumonia", VIRAL_PNEUMONIA),
        ("viral_pneumonia", VIRAL_PNEUMONIA),
        ("Lung_Opacity", LUNG_OPACITY),
        ("other_opacity", OTHER_OPACITY),
        ("  Tuberculosis ", "Tuberculosis"),
        ("tuberculosis", "tuberculosis"),
    ],
)
def test_canonical_finding(written: str, known: str) -> None:
    assert canonical_finding(written) == known
    assert canonical_finding(known) == known


def test_order_is_the_baselines_and_then_by_name() -> None:
    names = ["Tuberculosis", LUNG_OPACITY, OTHER_OPACITY, VIRAL_PNEUMONIA, NORMAL, "Abscess", COVID_19, NORMAL]
    known = (COVID_19, NORMAL, VIRAL_PNEUMONIA, OTHER_OPACITY, LUNG_OPACITY)
    assert order_findings(names) == (*known, "Abscess", "Tuberculosis")
    assert order_findings(reversed(BASELINE_FINDINGS)) == BASELINE_FINDINGS
    assert order_findings([]) == ()


def test_short_names_fit_twelve_characters() -> None:
    assert short_name(COVID_19) == "COVID"
    assert short_name("Tuberculosis") == "Tuberculosis"
    assert short_name("Pneumothorax!") == "Pneumothora…"
    assert max(len(short_name(name)) for name in (*BASELINE_FINDINGS, LUNG_OPACITY, "x" * 40)) == 12


def test_known_findings_have_the_codes_of_the_standards() -> None:
    assert finding_code(COVID_19) == Code("840539006", "SCT", "COVID-19")
    assert finding_code(NORMAL) == Code("17621005", "SCT", "Normal")
    assert finding_code(VIRAL_PNEUMONIA) == Code("75570004", "SCT", "Viral pneumonia")
    assert finding_code(LUNG_OPACITY) == Code("112001", "DCM", "Opacity")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        # The digits by: printf %s NAME | sha256sum
        (OTHER_OPACITY, Code("finding-e30ed0ec", "99CARINA", "Other opacity")),
        ("Tuberkulöse\\\n?", Code("finding-f433b5fb", "99CARINA", "Tuberkulöse  ?")),
        ("x" * 80, Code("finding-d929cdee", "99CARINA", "x" * 64)),
        ("\udcff", Code("finding-c840d0dd", "99CARINA", "unnamed")),
    ],
)
def test_a_finding_of_the_users_own_has_a_code_that_dicom_can_hold(name: str, code: Code) -> None:
    assert finding_code(name) == code
    assert len(code.value) <= 16


def test_a_name_has_one_code_however_its_accents_are_written() -> None:
    assert finding_code("Tuberkulo\u0308se") == finding_code("Tuberkul\u00f6se")
    assert finding_code("a") != finding_code("b")


@pytest.mark.parametrize(
    "written",
    [
        *("Healthy", "healthy_lungs", "Health", "No-Finding", "NoFinding", "no findings", "Unremarkable", "NORMALS"),
        *("Normal CXR", "normal-x-ray", "Healthy Controls", "0_Normal", "2. healthy", "not abnormal", "WNL"),
        *("Sano", "sanos", "sin hallazgos", "SIN PATOLOGÍA", "sin patologia", "Saudável", "saudavel", "sem alterações"),
        *("Sain", "sans anomalie", "Normale", "normaux", "Sani", "nella norma", "Gesund", "unauffällig", "UNAUFFÄLLIG"),
        *("o. B.", "ohne Befund", "gezond", "geen afwijkingen", "Zdrowy", "prawidłowe", "PRAWIDLOWE", "frisk", "terve"),
        *("sağlıklı", "SAĞLIKLI", "saglikli", "норма", "Здоровые", "без патологии", "υγιής", "egészséges"),
        *("正常", "健康", "未见异常", "異常なし", "정상", "طبيعي", "सामान्य", "sehat", "Bình thường", "ปกติ", "תקין"),
        "Bi\u0300nh thu\u031bo\u031b\u0300ng",  # decomposed, as one system writes file names
        "\uff2e\uff4f\uff52\uff4d\uff41\uff4c",  # full-width letters
    ],
)
def test_words_for_normal_in_many_languages(written: str) -> None:
    assert canonical_finding(written) == NORMAL


@pytest.mark.parametrize(
    "written",
    [
        *(
            "abnormal",
            "Control",
            "controls",
            "negative",
            "COVID negative",
            "no_tb",
            "not TB",
            "Benign",
            "0",
            "none",
            "TB-",
        ),
        *("uninfected", "sin tuberculosis", "阴性", "対照", "neg", "clear", "отрицательный", "ohne TB", "нет"),
    ],
)
def test_what_may_show_another_disease_is_not_normal_by_itself(written: str) -> None:
    assert canonical_finding(written) == written
    assert may_be_normal(written) == (written not in {"abnormal", "нет"})


@pytest.mark.parametrize("written", ["Nodule", "Nocardia", "TB", "TB+", "1", "positive", "Malignant", "sick", "notch"])
def test_a_disease_is_no_word_for_normal(written: str) -> None:
    assert canonical_finding(written) == written
    assert not may_be_normal(written, ["Tuberculosis"])


def test_a_finding_and_the_same_one_with_a_negation() -> None:
    assert may_be_normal("NonTB", ["TB"])
    assert may_be_normal("NoTB", ["tb"])
    assert not may_be_normal("NonTB", ["Pneumonia"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("TB", " tb ", True),
        ("Old TB", "old__tb", True),
        ("Old TB", "OLD - TB", True),
        ("OldTB", "Old-TB", True),
        ("Tuberkulo\u0308se", "tuberkul\u00f6se", True),
        ("TB", "\uff34\uff22", True),  # full-width letters
        ("STRASSE", "Straße", True),
        ("TB", "TB-", False),
        ("TB+", "TB-", False),
        ("grade 1-1", "grade 11", False),
        ("grade 1 1", "grade_1-1", True),
        ("Tuberkulose", "Tuberkulöse", False),
        ("TB", "Tuberculosis", False),
    ],
)
def test_spellings_of_one_finding(one: str, other: str, same: bool) -> None:
    assert (finding_key(one) == finding_key(other)) == same


@pytest.mark.parametrize(
    ("findings", "candidates"),
    [
        ((NORMAL, "Tuberculosis"), ("Tuberculosis",)),
        ((NORMAL, COVID_19, "Tuberculosis", LUNG_OPACITY), (COVID_19,)),
        ((NORMAL, "TB", OTHER_OPACITY), ("TB",)),
        ((NORMAL, "TB", LUNG_OPACITY, "Others", "abnormal"), ("TB",)),
        ((NORMAL, LUNG_OPACITY), (LUNG_OPACITY,)),
        ((NORMAL, OTHER_OPACITY, LUNG_OPACITY), (OTHER_OPACITY, LUNG_OPACITY)),
        ((NORMAL, "Asthma", "TB"), ("Asthma", "TB")),
        ((NORMAL, VIRAL_PNEUMONIA, "TB"), (VIRAL_PNEUMONIA, "TB")),
        ((NORMAL,), ()),
    ],
)
def test_what_may_be_flagged_where_nobody_says(findings: tuple[Any, ...], candidates: tuple[Any, ...]) -> None:
    assert flag_candidates(findings) == candidates
    assert flag_candidates(reversed(findings)) == candidates
