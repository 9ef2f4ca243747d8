"""Take the documentation's pictures of OHIF: python docs/draw_viewer_pictures.py.

`make services` installs what it needs. The study is of a phantom, judged by the released model.
"""

import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from carina.bundles.bundle import released_bundle
from carina.cli import main as carina
from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.segmentation import LUNG_COLOUR
from carina.inference.predictor import Predictor

PICTURES = Path(__file__).parent / "pictures"
_STUDY = "1.2.826.0.1.3680043.8.498.3.1"

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ohif import Ohif, open_ohif, share_of_colour  # noqa: E402  # a part of the tests, which are no package
from orthanc import WEB, Orthanc  # noqa: E402
from unit.dicom.sources import write_source  # noqa: E402


def take(viewer: Ohif, name: str, box: tuple[int, int, int, int] | None = None) -> None:
    """Write a picture of the page, or of a part of it: left, top, right, bottom in pixels."""
    # Until the last letters are there.
    time.sleep(2)
    with tempfile.TemporaryDirectory() as folder:
        viewer.browser.screenshot(Path(folder) / "page.png")
        with Image.open(Path(folder) / "page.png") as page:
            part = page.convert("RGB").crop(box or (0, 0, *page.size))
    part.thumbnail((1100, 800), Image.Resampling.LANCZOS)
    part.quantize(160, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        PICTURES / f"ohif-{name}.png", optimize=True
    )


def main() -> None:
    """Write docs/pictures/ohif-list.png, -picture, -report and -regions."""
    with tempfile.TemporaryDirectory() as folder:
        said = {"PatientName": "Phantom^One", "PatientID": "PHANTOM-1", "SeriesDescription": "Chest PA"}
        image = write_source(Path(folder) / "study" / "image.dcm", "CR", seed=5, size=768, **said)
        write_answers(image, Predictor(released_bundle()), image.parent)
        orthanc = Orthanc(Path(folder) / "orthanc")
        try:
            orthanc.run([carina, "dicom", "send", "--stow", WEB, *sorted(image.parent.glob("*.dcm"))])
            with open_ohif(orthanc, 1400, 900) as viewer:
                viewer.open_list("Phantom, One")
                take(viewer, "list", (0, 0, 1400, 520))
                viewer.open_study(_STUDY)
                viewer.open_series("AI picture")
                take(viewer, "picture")
                viewer.open_series("AI report")
                take(viewer, "report")
                viewer.open_series("AI regions")
                viewer.wait_until(lambda picture: share_of_colour(picture, LUNG_COLOUR) > 0.05)
                viewer.load_regions()
                take(viewer, "regions")
        finally:
            orthanc.stop()


if __name__ == "__main__":
    main()
