"""Findings: one name whatever the folder is called, one order, short names."""

import pytest

from carina.findings import (
    BASELINE_FINDINGS,
    COVID_19,
    LUNG_OPACITY,
    NORMAL,
    OTHER_OPACITY,
    VIRAL_PNEUMONIA,
    canonical_finding,
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
