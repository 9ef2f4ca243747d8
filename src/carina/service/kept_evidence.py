"""Why the model says what it says, kept beside an image: evidence per cell and finding, and where the lungs are.

The worker has both out of the same forward pass and keeps them in some kilobytes. The reading page draws them over the
radiograph.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from carina.inference.explanation.explain import Explanation
from carina.storage.atomic import write_text

FOLDER = "evidence"
_DIGITS = 4


def keep_evidence(folder: Path, digest: str, model_sha256: str, explanation: Explanation) -> None:
    """Keep what an explanation says, for an image of a site's folder.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = _path(folder, digest, model_sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(_described(explanation), separators=(",", ":")))


def read_evidence(folder: Path, digest: str, model_sha256: str) -> dict[str, Any] | None:
    """Return what was kept; none where nothing was, as of images that may not be judged.

    Keys: ``seen`` (top, left, bottom, right of what the network was shown, as shares of the radiograph), ``findings``
    (of each name its evidence, rows of cells, in calibrated logits), ``inside_lungs`` (share of the evidence for each
    finding, or null), ``lungs_fill``, and ``lungs`` (outlines, points as shares of width and height).
    """
    try:
        content: dict[str, Any] = json.loads(_path(folder, digest, model_sha256).read_bytes())
    except (OSError, ValueError):
        return None
    return content


def _path(folder: Path, digest: str, model_sha256: str) -> Path:
    return folder / FOLDER / digest[:2] / f"{digest}-{model_sha256[:12]}.json"


def _described(explanation: Explanation) -> dict[str, Any]:
    def rounded(share: float | None) -> float | None:
        return None if share is None else round(share, _DIGITS)

    return {
        "seen": [round(edge, _DIGITS) for edge in explanation.seen],
        "findings": {name: explanation.evidence(name).round(_DIGITS).tolist() for name in explanation.findings},
        "inside_lungs": {name: rounded(explanation.inside_lungs(name)) for name in explanation.findings},
        "lungs_fill": rounded(explanation.lungs_fill),
        "lungs": _outlines(explanation),
    }


def _outlines(explanation: Explanation) -> list[list[list[float]]]:
    if explanation.lungs is None:
        return []
    # Larger and rounded off before it is outlined: the mask's squares are coarser than a radiograph's pixels.
    mask = cv2.GaussianBlur(explanation.lungs.mask.astype(np.float32), (0, 0), 1.0)
    height, width = mask.shape
    large = cv2.resize(mask, (4 * width, 4 * height), interpolation=cv2.INTER_LINEAR)
    outlines, _ = cv2.findContours((large >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    size = np.array([4 * width, 4 * height])
    simple = (cv2.approxPolyDP(outline, 0.75, True)[:, 0, :] for outline in outlines if len(outline) > 8)
    return [((points + 0.5) / size).round(_DIGITS).tolist() for points in simple]
