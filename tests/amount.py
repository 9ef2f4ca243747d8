"""How many cases a test draws: a sample in `make test`, all in `make test-long`, which continuous integration runs."""

import os

LONG = os.environ.get("CARINA_TESTS") == "long"
_SHARE = 5


def sampled(count: int, *, least: int = 5) -> int:
    """Return how many of `count` random cases are drawn: all in the long tests, else a fifth, but `least` of them."""
    return count if LONG else min(count, max(least, count // _SHARE))
