"""Large DICOM JPEG 2000 at the resolution that is enough: its speed, and how many decisions are others.

    python benchmarks/lower_resolution.py FOLDER… [--films 60] [--bundle BUNDLE] --out OUT.json

FOLDER… hold radiographs. Some of each are enlarged to 2,500 pixels, given noise and 12 bits, and stored as JPEG 2000,
one lossless and one at a tenth in turn. `carina predict` judges them with all pixels decoded and with as many as are
enough, one film at a time in turn, so that what else the machine does falls on both.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import openjpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, JPEG2000Lossless, generate_uid

from carina.bundles.bundle import released_bundle
from carina.bundles.safety import last_part
from carina.inference import predictor as predicting
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.read import read_radiograph
from carina.runtime.machine import describe_machine, library_versions

LONG_SIDE, BITS = 2500, 12
DIGITAL_X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"


def write_film(source: Path, path: Path, *, lossless: bool, rng: np.random.Generator) -> bool:
    """Write a radiograph as a large DICOM film, and return whether it could be read."""
    grey = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        return False
    scale = LONG_SIDE / max(grey.shape)
    large = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC).astype(np.float32) * 16
    values = np.clip(large + rng.normal(0, 8, large.shape), 0, (1 << BITS) - 1).astype(np.uint16)
    options = {} if lossless else {"compression_ratios": [10]}
    code = openjpeg.encode(values, photometric_interpretation=2, bits_stored=BITS, **options)
    film, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = JPEG2000Lossless if lossless else JPEG2000
    film.SOPClassUID = meta.MediaStorageSOPClassUID = DIGITAL_X_RAY
    film.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
    film.file_meta = meta
    film.Modality, film.BodyPartExamined, film.ViewPosition, film.PatientAge = "DX", "CHEST", "PA", "040Y"
    film.Rows, film.Columns = values.shape
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, BITS, BITS - 1
    film.PixelRepresentation, film.SamplesPerPixel, film.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    film.WindowCenter, film.WindowWidth = 1 << (BITS - 1), 1 << BITS
    film.PixelData = encapsulate([code])
    film["PixelData"].is_undefined_length = True
    film.save_as(path, enforce_file_format=True)
    return True


def judge(predictor: Predictor, film: Path, enough: int) -> tuple[Any, float]:
    """Return what is said of a film, and the seconds that it took."""
    predicting.ENOUGH = enough
    started = time.perf_counter()
    (said,) = predictor.predict([film])
    return said, time.perf_counter() - started


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description="Large DICOM JPEG 2000 at the resolution that is enough.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--films", type=int, default=60)
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    usual, each = predicting.ENOUGH, max(1, arguments.films // len(arguments.folders))
    predictor = Predictor(arguments.bundle or released_bundle(), precision="f32", one_at_a_time=True)
    size, rng = predictor.run.preprocessing.read_size, np.random.default_rng(0)
    seconds: dict[int, list[float]] = {0: [], usual: []}
    greys, probabilities, findings, priorities, reduced = [], [], 0, 0, set[int]()
    with TemporaryDirectory(prefix="carina-films-") as temporary:
        film = Path(temporary) / "film.dcm"
        for folder in arguments.folders:
            sources = sorted(folder.rglob("*.jpg"))
            for number, source in enumerate(sources[:: max(1, len(sources) // each)][:each]):
                if not write_film(source, film, lossless=number % 2 == 0, rng=rng):
                    continue
                said = {}
                for enough, took in seconds.items():
                    said[enough], lasted = judge(predictor, film, enough)
                    took.append(lasted)
                whole, smaller = said.values()
                if not isinstance(whole, Prediction) or not isinstance(smaller, Prediction):
                    message = f"{source}: {whole} {smaller}"
                    raise SystemExit(message)
                shown = [resize_grey(read_radiograph(film, enough=n * size), size).astype(float) for n in seconds]
                greys.append(np.abs(shown[0] - shown[1]))
                pair = [np.array(list(one.network_probabilities.values())) for one in (whole, smaller)]
                probabilities.append(float(np.abs(pair[0] - pair[1]).max()))
                findings += whole.finding != smaller.finding
                priorities += whole.triage.priority != smaller.triage.priority
                reduced.add(smaller.reduced)
                print(len(greys), round(probabilities[-1], 4), flush=True)
    ratios = np.array(seconds[0]) / np.array(seconds[usual])
    result = {
        "command": " ".join(["python", "benchmarks/lower_resolution.py", *(last_part(word) for word in sys.argv[1:])]),
        "machine": describe_machine(),
        "versions": library_versions(),
        "films": len(greys),
        "reduced": sorted(reduced),
        "seconds_a_film": {"all pixels": float(np.median(seconds[0])), "enough": float(np.median(seconds[usual]))},
        "times_as_fast": {"median": float(np.median(ratios)), "low": float(ratios.min()), "high": float(ratios.max())},
        "grey_levels_of_255": {
            "mean": float(np.mean([grey.mean() for grey in greys])),
            "largest_mean_of_a_film": float(max(grey.mean() for grey in greys)),
            "largest": float(max(grey.max() for grey in greys)),
        },
        "probability": {"mean": float(np.mean(probabilities)), "largest": max(probabilities)},
        "other_findings": findings,
        "other_priorities": priorities,
    }
    arguments.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
