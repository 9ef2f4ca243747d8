"""How messages count and list things."""

from collections.abc import Sequence


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: "1 image", "2 images".

    Parameters
    ----------
    count
        How many there are.
    one, many
        The noun for one, and for more; by default with an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def were(count: int) -> str:
    """Return "was" for one and "were" for none or several."""
    return "was" if count == 1 else "were"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: "A", "A and B", "A, B and C"; nothing for none."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def say_left_out(count: int, noun: str, reason: str) -> str:
    """Return how many of a thing were left out and why: "Left out: 2 files, each because it is a lung mask."."""
    return f"Left out: {counted(count, noun)}, {'' if count == 1 else 'each '}because {reason}."
