"""NumPy's linear algebra kept on one thread, where others already use every core."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

_lock = Lock()
# What limits the threads now, and for how many at once: the last to leave restores what the first one found.
_limit: Any = None
_within = 0


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Keep NumPy's linear algebra from starting threads, in this whole process, until the context is left.

    OpenBLAS' threads go on spinning for a while after a product, and take from the engine what they would save: judged
    in bulk, the gate's two small products cost a third of the speed.
    """
    global _limit, _within  # noqa: PLW0603  # the number of threads is the process's
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        yield
        return
    with _lock:
        _within += 1
        if _within == 1:
            _limit = _controller().limit(limits=1)
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                _limit.restore_original_limits()


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415  # 20 ms that one command can do without

    return ThreadpoolController().select(user_api="blas")
