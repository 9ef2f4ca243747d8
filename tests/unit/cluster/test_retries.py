"""A store that is away for a moment costs a pause, and one that stays away an error with its reason."""

from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from carina.cluster import retries
from carina.cluster.retries import PAUSES_S, fetch
from carina.errors import InputError


class _Store(MemoryFileSystem):
    """A store that fails as often as it is told; what is known of the credentials is as old as the object."""

    protocol = "trouble"
    errors: ClassVar[list[Exception]] = []
    made: ClassVar[list["_Store"]] = []
    asked = 0

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        _Store.made.append(self)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
        _Store.asked += 1
        if _Store.errors:
            raise _Store.errors.pop(0)
        return b"pixels"


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    fsspec.register_implementation("trouble", _Store, clobber=True)
    _Store.clear_instance_cache()
    _Store.errors, _Store.made, _Store.asked = [], [], 0
    pauses: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", pauses.append)
    return pauses


def test_pauses_grow_until_the_store_is_back(waited: list[float]) -> None:
    _Store.errors = [OSError("503"), TimeoutError(), RuntimeError("a library's own")]
    assert fetch("trouble://film") == b"pixels"
    assert waited == list(PAUSES_S[:3])
    assert sorted(PAUSES_S) == list(PAUSES_S)


def test_after_all_tries_the_error_has_the_stores_own_word_and_no_address(waited: list[float]) -> None:
    error = OSError("Please reduce your request rate.")
    error.__cause__ = RuntimeError("An error occurred (SlowDown) when calling GetObject on films/Doe-Jane.png")
    _Store.errors = [error] * (len(PAUSES_S) + 1)
    with pytest.raises(InputError, match=r"^it could not be read in 5 tries \(SlowDown\)\.$") as raised:
        fetch("trouble://film")
    assert raised.value.code == "unreadable-file"
    assert waited == list(PAUSES_S)


def test_credentials_that_expired_are_read_again(waited: list[float]) -> None:
    _Store.errors = [PermissionError("(ExpiredToken)")]
    assert fetch("trouble://film") == b"pixels"
    assert len(_Store.made) == 2
    _Store.errors = [PermissionError("(ExpiredToken)")] * 9
    with pytest.raises(InputError, match="ExpiredToken") as raised:
        fetch("trouble://film")
    assert raised.value.code == "permission-denied"


def test_what_is_not_there_is_asked_for_once(waited: list[float]) -> None:
    _Store.errors = [FileNotFoundError("film")]
    with pytest.raises(InputError, match="no such file"):
        fetch("trouble://film")
    assert (waited, _Store.asked) == ([], 1)
