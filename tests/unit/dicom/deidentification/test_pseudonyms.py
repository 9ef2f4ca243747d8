"""Keys, and what is computed with them."""

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from carina.dicom.deidentification.pseudonyms import Pseudonyms, read_or_create_key
from carina.errors import ConfigurationError


def test_a_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    key = read_or_create_key(path)
    assert len(key) == 32
    assert read_or_create_key(path) == key
    assert read_or_create_key(tmp_path / "other") != key


@pytest.mark.skipif(os.name != "posix", reason="file permissions of Unix")
def test_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = os.umask(0)
    try:
        read_or_create_key(path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"may be read by others. Type: chmod 600"):
        read_or_create_key(path)


@pytest.mark.parametrize("content", [b"", b"secret\n", b"carina-deidentification-key-1 00\n", b"\xff" * 100])
def test_what_is_no_key_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="holds no key"):
        read_or_create_key(path)
    assert path.read_bytes() == content


def test_names_tell_nothing_and_lists_of_words_are_not_mixed_up() -> None:
    made = Pseudonyms(b"k" * 32)
    assert made.patient("id", "ab", "c") != made.patient("id", "a", "bc")
    assert made.uid("1.2.3") != made.uid("1.2.3.4")
    assert re.fullmatch(r"2\.25\.\d{1,39}", made.uid("1.2.3"))
    assert made.patient("id", "ab", "c") == Pseudonyms(b"k" * 32).patient("id", "ab", "c")
    assert made.patient("id", "ab", "c") != Pseudonyms(b"l" * 32).patient("id", "ab", "c")


def test_shifts_lie_between_a_day_and_ten_years() -> None:
    made = Pseudonyms(b"k" * 32)
    shifts = [made.shift("id", str(number)) for number in range(3000)]
    assert min(shifts) >= timedelta(days=1)
    assert max(shifts) <= timedelta(days=3650)
    assert timedelta(days=1700) < sum(shifts, timedelta()) / len(shifts) < timedelta(days=1950)
