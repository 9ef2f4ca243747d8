"""NumPy's linear algebra kept on one thread, where others already use every core."""

import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any


def on_one_thread() -> AbstractContextManager[object]:
    """Return a context in which NumPy's linear algebra starts no threads, in this whole process.

    OpenBLAS' threads go on spinning for a while after a product, and take from the engine what they would save: judged
    in bulk, the gate's two small products cost a third of the speed.
    """
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        return nullcontext()
    limited: AbstractContextManager[object] = _controller().limit(limits=1)
    return limited


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415  # 20 ms that one command can do without

    return ThreadpoolController().select(user_api="blas")
