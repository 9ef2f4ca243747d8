"""Draw the picture of the tutorial: python docs/draw_phantoms.py."""

from pathlib import Path

import cv2
import numpy as np

from carina.findings import BASELINE_FINDINGS, NORMAL
from carina.phantoms.phantom import draw_phantom


def main() -> None:
    """Write docs/images/phantoms.png: two phantoms a finding, normal first, names above."""
    findings = sorted(BASELINE_FINDINGS, key=lambda finding: finding != NORMAL)
    tiles = []
    for finding in findings:
        for seed in (3, 11):
            pixels = draw_phantom(finding, seed=seed, patient_seed=seed, difficulty=0.3).pixels
            tile = cv2.copyMakeBorder(pixels, 30, 6, 3, 3, cv2.BORDER_CONSTANT, value=255)
            cv2.putText(tile, finding, (6, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1, cv2.LINE_AA)
            tiles.append(tile)
    cv2.imwrite(str(Path(__file__).parent / "images" / "phantoms.png"), np.hstack(tiles))


if __name__ == "__main__":
    main()
