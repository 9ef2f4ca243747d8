"""How long work tells how far it is, without knowing who listens."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with how many items are done and how many there are in all."""


def no_progress(done: int, total: int) -> None:
    """Listen to nothing."""
