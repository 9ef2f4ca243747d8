"""Take the documentation's pictures of the report: python docs/draw_report_pictures.py. Needs Chromium.

They are of the released model's report on the test split, which holds no radiograph.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "results" / "carina-mobilenetv2" / "test" / "report.html"
PICTURES = Path(__file__).parent / "pictures"
_WIDTH, _MARGIN = 1180, 18

sys.path.insert(0, str(ROOT / "tests"))

from browser import Browser, open_browser  # noqa: E402  # a part of the tests, which are no package


def take(browser: Browser, name: str, first: str, last: str) -> None:
    """Write a picture from the top of one element to the foot of another."""
    top, foot = (
        browser.run(f"document.querySelector({selector!r}).getBoundingClientRect().{side} + scrollY")
        for selector, side in ((first, "top"), (last, "bottom"))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.png"
        browser.screenshot(path, selector="body")
        with Image.open(io.BytesIO(path.read_bytes())) as whole:
            part = whole.convert("RGB").crop((0, max(0, round(top) - _MARGIN), whole.width, round(foot) + _MARGIN))
    PICTURES.mkdir(exist_ok=True)
    # An octree keeps the few colours of small areas, which a median cut loses.
    part.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        PICTURES / f"{name}.png", optimize=True
    )


def main() -> None:
    """Write docs/pictures/report-summary.png and docs/pictures/report-explorer.png."""
    with open_browser() as browser:
        browser.open(REPORT, width=_WIDTH, height=900)
        # Where it stays on the page, and not where the window ends.
        browser.run("document.querySelector('.contents').style.position = 'static'")
        take(browser, "report-summary", "body", "#summary .columns")
        take(browser, "report-explorer", "#explorer", "#explorer .explorer")


if __name__ == "__main__":
    main()
