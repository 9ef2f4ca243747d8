"""What a data set holds, as Croissant metadata, by which catalogues and libraries of machine learning find it.

Source: MLCommons Croissant Format Specification 1.0, https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

import json
from typing import Any

import polars as pl

from carina.datasets.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, Dataset
from carina.storage.atomic import write_text
from carina.wording import counted, listed

CROISSANT_FILE = "croissant.json"

_TERMS = (
    *("citeAs", "column", "dataType", "examples", "extract", "field", "fileProperty", "fileObject", "fileSet"),
    *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "separator", "source", "subField", "transform"),
    *("equivalentProperty", "samplingRate"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    **{term: f"cr:{term}" for term in _TERMS},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}
# They say where images lie and whose they are. The file holds them; metadata that is passed on does not name them.
_OF_THE_SITE = ("path", "mask", "patient")
_MEANINGS = {
    "finding": "What the radiograph shows, as its source says.",
    "source": "Hospital or collection.",
    "view": "PA or AP.",
    "age": "Age in years.",
    "sex": "Sex of the patient.",
    "mask_sha256": "SHA-256 of the lung mask's file.",
    "sha256": "SHA-256 of the decoded pixels.",
    "width": "Columns of pixels.",
    "height": "Rows of pixels.",
    "perceptual_hash": "Hash that is alike for images that look alike.",
    "duplicate_group": "Equal for images that are nearly the same.",
    "group": "Equal for images of one patient and for near-duplicates; they stay on one side of the split.",
    "split": "train, calibration or test.",
    "baseline_split": "train or validation, as the published baseline has it.",
    "file_format": "Format of the file.",
    "bit_depth": "Bits per channel.",
    "colour": "Grey, RGB or palette.",
}


def write_croissant(dataset: Dataset) -> None:
    """Write ``croissant.json`` into the folder of a data set."""
    content = json.dumps(croissant_of(dataset), indent=2, ensure_ascii=False)
    write_text(dataset.folder / CROISSANT_FILE, content + "\n")


def croissant_of(dataset: Dataset) -> dict[str, Any]:
    """Return the metadata of a data set: JSON-LD without any value of a patient, and without a licence or an address.

    Nobody but its owner knows these two; they are to be added before it is published.
    """
    described, counts = dataset.description, dataset.manifest.group_by("finding").len().sort("finding")
    numbers = listed([f"{count:,} {finding}" for finding, count in counts.iter_rows()])
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": dataset.folder.name,
        "description": (
            f"{counted(described.images, 'chest radiograph')} with one finding each: {numbers}. Imported by Carina "
            f"{described.carina}; fingerprint {described.fingerprint}. The images are not part of it. The manifest "
            f"also has the columns {listed(list(_OF_THE_SITE))}, which belong to the site that imported it."
        ),
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": MANIFEST_FILE,
                "name": MANIFEST_FILE,
                "description": "One row per image.",
                "contentUrl": MANIFEST_FILE,
                "encodingFormat": "application/x-parquet",
                "sha256": described.manifest_sha256,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "One record per image.",
                "key": {"@id": "images/sha256"},
                "field": [_field(name, kind) for name, kind in MANIFEST_SCHEMA.items() if name not in _OF_THE_SITE],
            }
        ],
    }


def _field(name: str, kind: pl.DataType) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "description": _MEANINGS[name],
        "dataType": "sc:Integer" if kind.is_integer() else "sc:Float" if kind.is_float() else "sc:Text",
        "source": {"fileObject": {"@id": MANIFEST_FILE}, "extract": {"column": name}},
    }
