"""NumPy's linear algebra on one thread, and as before afterwards."""

import pytest
from threadpoolctl import ThreadpoolController

from carina.runtime.blas_threads import on_one_thread


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()]


def test_one_thread_within_and_as_many_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        # Two threads may be within at once, and leave in the order in which they came.
        first, second = on_one_thread(), on_one_thread()
        first.__enter__()
        second.__enter__()
        assert set(blas_threads()) <= {1}
        first.__exit__(None, None, None)
        assert set(blas_threads()) <= {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before
        msg = "broken"
        with pytest.raises(ValueError, match=msg), on_one_thread():
            raise ValueError(msg)
        assert blas_threads() == before


def test_nothing_is_done_where_the_process_was_started_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        with on_one_thread():
            assert blas_threads() == before
