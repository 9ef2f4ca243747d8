"""What a report of a fault should say: versions, engines and processor, without paths or names of users."""

import platform
import sys

import cv2

from carina._version import __version__
from carina.runtime.engine import available_precisions, installed_backends
from carina.runtime.machine import describe_machine, library_versions

# Of these no figure depends, and a fault may.
_MORE = ("polars", "pydantic", "matplotlib", "scipy", "onnx", "tf2onnx", "highdicom", "pynetdicom", "typer", "rich")


def show_versions() -> None:
    """Print the versions of Carina, Python and the libraries, the engines, and what the processor can do.

    It prints no path and no name of a user or a machine, so that it can be pasted into a report of a fault.
    """
    libraries = library_versions(*_MORE)
    lines = {"carina": __version__, "python": f"{platform.python_implementation()} {libraries.pop('python')}"}
    lines |= libraries
    lines["system"] = f"{platform.system()} {platform.release()}"
    lines["processor"] = describe_machine()
    lines["instructions"] = cv2.getCPUFeaturesLine()
    for backend in installed_backends():
        lines[f"engine {backend}"] = ", ".join(available_precisions(backend))
    width = max(map(len, lines))
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in lines.items()))
