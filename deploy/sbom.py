"""Write the SBOM: every package that Carina and its extras need here, and every file of the released model.

    python deploy/sbom.py OUT.cdx.json

The form is CycloneDX 1.6. A package of an extra has the scope ``optional``. The model is a component of the type
``machine-learning-model``, with the hash of each of its files, its own hash being that of its seal. The same packages
and files give the same bytes, but for the time: set ``SOURCE_DATE_EPOCH`` for the same time.

Source: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/
"""

import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from carina._version import __version__
from carina.bundles.bundle import open_bundle, released_bundle

NAME = "carina-cxr"


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_by(name: str, extras: frozenset[str] = frozenset()) -> dict[str, Distribution]:
    """Return the packages that are installed and that one needs with some extras, itself among them, by name."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(name, extras)], set()
    while waiting:
        current, wanted = waiting.pop()
        if (normal(current), wanted) in seen:
            continue
        seen.add((normal(current), wanted))
        try:
            installed = distribution(current)
        except PackageNotFoundError:
            continue
        found[normal(current)] = installed
        for line in installed.requires or []:
            requirement = Requirement(line)
            contexts = [{"extra": extra} for extra in wanted] or [{"extra": ""}]
            if requirement.marker is None or any(requirement.marker.evaluate(context) for context in contexts):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


def package(name: str, installed: Distribution, *, optional: bool) -> dict[str, Any]:
    """Return a package as a component."""
    address = f"pkg:pypi/{name}@{installed.version}"
    told: dict[str, Any] = {"type": "library", "bom-ref": address, "name": name, "version": installed.version}
    told |= {"purl": address, "scope": "optional" if optional else "required"}
    licence = installed.metadata.get("License-Expression")
    return told | ({"licenses": [{"expression": licence}]} if licence else {})


def model(folder: Path) -> dict[str, Any]:
    """Return the released model as a component; its files are components of it."""
    described, seal = open_bundle(folder)
    reference = f"{described.name}@{described.version}"
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": described.name,
        "version": described.version,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": seal.sha256}],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{reference}/{name}",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
            for name, sha256 in sorted(seal.sums.items())
        ],
    }


def sbom() -> dict[str, Any]:
    """Return the whole."""
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", datetime.now(UTC).timestamp())), UTC)
    extras = frozenset(distribution(NAME).metadata.get_all("Provides-Extra") or ())
    core, every = needed_by(NAME), needed_by(NAME, extras)
    packages = [
        package(name, installed, optional=name not in core) for name, installed in sorted(every.items()) if name != NAME
    ]
    own = f"pkg:pypi/{NAME}@{__version__}"
    components = [model(released_bundle()), *packages]
    content = json.dumps(components, sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + content)}",
        "version": 1,
        "metadata": {
            "timestamp": moment.isoformat().replace("+00:00", "Z"),
            "component": {"type": "application", "bom-ref": own, "name": NAME, "version": __version__, "purl": own},
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [each["bom-ref"] for each in components]}],
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(sbom(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
