"""Errors: one tree, and whole again in another process."""

import pickle

import pytest

from carina import errors
from carina.errors import DataError, InputError


def test_everything_that_carina_raises_is_a_carina_error() -> None:
    raised = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert errors.InputError in raised
    assert all(issubclass(error, errors.CarinaError) for error in raised)
    assert issubclass(errors.LeakError, errors.DataError)


@pytest.mark.parametrize("error", [errors.InputError("the file is empty.", "empty-file"), errors.DataError("wrong.")])
def test_errors_come_back_whole_from_another_process(error: DataError | InputError) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert getattr(back, "code", None) == getattr(error, "code", None)
