"""Carina's answers in OHIF, beside Orthanc: what a radiologist sees there. docs/how-to/orthanc.md shows the pictures.

``make services`` fetches OHIF. The released model judges a phantom.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ohif
from carina.bundles.bundle import released_bundle
from carina.cli import main
from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.segmentation import EVIDENCE_COLOUR, LUNG_COLOUR
from carina.dicom.coded_terms import PRIORITIES
from carina.inference.predictor import Predictor
from ohif import Ohif, open_ohif, share_of_colour
from orthanc import WEB, Orthanc
from unit.dicom.sources import write_source

# A radiograph that says nothing of space, as most of a computed one's do; and one with all that a detector says.
STUDIES: dict[str, dict[str, Any]] = {
    "CR": {"seed": 5},
    "DX": {
        "seed": 8,
        "inverse": True,
        "ImagerPixelSpacing": [0.2, 0.2],
        "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.4.1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.3.2",
    },
}


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ohif]:
    """Return OHIF before an archive with answered studies."""
    folder = tmp_path_factory.mktemp("viewer")
    orthanc = Orthanc(folder / "orthanc")
    try:
        with open_ohif(orthanc) as opened:
            predictor = Predictor(released_bundle())
            for modality, settings in STUDIES.items():
                named = {"PatientName": f"Phantom^{modality}", "size": 768}
                image = write_source(folder / modality / "image.dcm", modality, **named, **settings)
                write_answers(image, predictor, folder / modality)
            done = orthanc.run([main, "dicom", "send", "--stow", WEB, *sorted(folder.glob("*/*.dcm"))])
            assert done.returncode == 0, done.stderr
            yield opened
    finally:
        orthanc.stop()


def priority_of(viewer: Ohif) -> str:
    """Return what the name of the report's series begins with."""
    viewer.browser.wait_for("document.body.innerText.includes('AI report (Carina, research use)')")
    (name,) = (name for name in viewer.text.splitlines() if name.endswith("AI report (Carina, research use)"))
    return name.split(":")[0]


@pytest.mark.long
def test_the_list_of_studies_says_the_priority(viewer: Ohif) -> None:
    viewer.open_list("Phantom, CR")
    priority = priority_of(viewer)
    assert priority in [code.meaning for code in PRIORITIES.values()]
    for part in ("picture", "report", "regions"):
        assert f"{priority}: AI {part} (Carina, research use)" in viewer.text


@pytest.mark.long
@pytest.mark.parametrize("modality", STUDIES)
def test_a_study_shows_all_answers(viewer: Ohif, tmp_path: Path, modality: str) -> None:
    viewer.open_study(str(STUDIES[modality].get("StudyInstanceUID", "1.2.826.0.1.3680043.8.498.3.1")))
    priority = priority_of(viewer)
    # What is not cut of a name has the priority, and which answer it is.
    shown = viewer.series()
    assert sum(name.startswith(f"{priority}: AI ") for name in shown) == 3, shown

    viewer.open_series("AI picture")
    viewer.wait_until(lambda picture: share_of_colour(picture, EVIDENCE_COLOUR) > 0.02)
    # No bar of buttons for films lies over the writing.
    assert "FPS" not in viewer.text

    viewer.open_series("AI report")
    viewer.browser.wait_for("document.body.innerText.includes('Chest radiograph triage by software, for research')")
    said = viewer.text
    for words in (f"Priority: {priority}", "Reason for priority: ", "Intended use: Research use, not"):
        assert words in said
    assert said.count("Probability: ") == 4

    viewer.open_series("AI regions")
    viewer.wait_until(lambda picture: share_of_colour(picture, LUNG_COLOUR) > 0.05)
    viewer.load_regions()
    lungs, evidence = viewer.regions()
    assert lungs == "Lungs"
    assert evidence.startswith("Evidence of 0.25 log odds or more: ")
    viewer.wait_until(lambda picture: share_of_colour(picture, EVIDENCE_COLOUR) > 0.005)
    for number, colour in enumerate((LUNG_COLOUR, EVIDENCE_COLOUR)):
        there = share_of_colour(viewer.picture(), colour)
        viewer.switch_region(number)
        # OHIF's own letters and frames are blue, too.
        viewer.wait_until(lambda picture, c=colour, n=there: share_of_colour(picture, c) < 0.1 * n)  # type: ignore[misc]


def test_where_ohif_is_not_there_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ohif, "CHROMIUM", "chromium")
    monkeypatch.setattr(ohif, "PAGES", tmp_path)
    with (
        pytest.raises(pytest.skip.Exception, match=rf"^OHIF {ohif.VERSION} is not there \(make services fetches it"),
        open_ohif(None),  # type: ignore[arg-type]
    ):
        pass
