"""A missing library is named with the extra that brings it; any other missing module is a fault and stays one."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from carina.errors import ConfigurationError
from carina.extras import _EXTRAS, missing_library, needed_for

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]


def test_a_library_of_an_extra_is_named_with_it() -> None:
    def build_table() -> None:
        with needed_for("A table"):
            raise ModuleNotFoundError(name="polars.dataframe")

    with pytest.raises(ConfigurationError) as caught:
        build_table()
    assert str(caught.value) == 'A table needs polars. Install it with: pip install "carina-cxr[evaluate]"'


def test_the_caller_may_name_a_larger_extra() -> None:
    said = missing_library(ModuleNotFoundError(name="polars"), "carina train", "train")
    assert str(said) == 'carina train needs polars. Install it with: pip install "carina-cxr[train]"'


def test_another_missing_module_is_a_fault_and_is_raised_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needed_for("A table"):
        __import__("no_such_module")


def test_each_extra_brings_what_it_is_named_for_and_the_core_does_not() -> None:
    brought = {extra: names_of(lines) for extra, lines in PROJECT["optional-dependencies"].items()}
    owners = packages_distributions()
    for library, extra in _EXTRAS.items():
        packages = {owner.lower().replace("_", "-") for owner in owners.get(library, [library])}
        assert packages & brought[extra], (library, packages)
        assert not packages & names_of(PROJECT["dependencies"])


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[^a-z0-9-]", line)[0] for line in requirements}
