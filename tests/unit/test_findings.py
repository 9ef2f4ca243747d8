"""Findings: one name whatever the folder is called, one order, short names."""

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
        ("No Finding", NORMAL),
        ("Viral Pneumonia", VIRAL_PNEUMONIA),
        ("viral_pneumonia", VIRAL_PNEUMONIA),
        ("Lung_Opacity", LUNG_OPACITY),
        ("other_opacity", OTHER_OPACITY),
        ("  Tuberculosis ", "Tuberculosis"),
        ("tuberculosis", "tuberculosis"),
    ],
)
def test_canonical_finding(written, known):
    assert canonical_finding(written) == known
    assert canonical_finding(known) == known


def test_order_is_the_baselines_and_then_by_name():
    names = ["Tuberculosis", LUNG_OPACITY, OTHER_OPACITY, VIRAL_PNEUMONIA, NORMAL, "Abscess", COVID_19, NORMAL]
    known = (COVID_19, NORMAL, VIRAL_PNEUMONIA, OTHER_OPACITY, LUNG_OPACITY)
    assert order_findings(names) == (*known, "Abscess", "Tuberculosis")
    assert order_findings(reversed(BASELINE_FINDINGS)) == BASELINE_FINDINGS
    assert order_findings([]) == ()


def test_short_names_fit_twelve_characters():
    assert short_name(COVID_19) == "COVID"
    assert short_name("Tuberculosis") == "Tuberculosis"
    assert short_name("Pneumothorax!") == "Pneumothora…"
    assert max(len(short_name(name)) for name in (*BASELINE_FINDINGS, LUNG_OPACITY, "x" * 40)) == 12


def test_known_findings_have_the_codes_of_the_standards():
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
def test_a_finding_of_the_users_own_has_a_code_that_dicom_can_hold(name, code):
    assert finding_code(name) == code
    assert len(code.value) <= 16


def test_a_name_has_one_code_however_its_accents_are_written():
    assert finding_code("Tuberkulo\u0308se") == finding_code("Tuberkul\u00f6se")
    assert finding_code("a") != finding_code("b")
