"""OpenVINO, which is optional: imported in one place, without its telemetry, and ready for several threads."""

import sys
from threading import Lock
from typing import Any

import numpy as np

_lock = Lock()
_TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """Return the library.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    with _lock:
        # Where OpenVINO finds this module, its import tells Google Analytics, without asking.
        sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # so Python writes "there is no such module"
        import openvino  # noqa: PLC0415  # optional

        # A table of its types is made at first use. Two threads that need it at the same moment would wait for each
        # other for ever: one has the table's lock, the other one Python's.
        for kind in (np.float32, np.uint8):
            tensor = openvino.Tensor(np.zeros(1, kind), shared_memory=True)
            tensor.get_element_type().to_dtype()
            _ = tensor.data
        return openvino
