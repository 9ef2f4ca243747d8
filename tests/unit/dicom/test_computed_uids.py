"""UIDs that are computed: valid, the same every time, and another for anything else."""

import hashlib
import uuid

from hypothesis import given
from hypothesis import strategies as st

from carina.dicom.computed_uids import CODING_SCHEME_UID, IMPLEMENTATION_CLASS_UID, derived_uid


def test_a_uid_is_the_uuid_of_the_hash_of_its_words() -> None:
    digits = list(hashlib.sha256(b'["a", "b"]').hexdigest()[:32])
    digits[12] = "8"
    digits[16] = "89ab"[int(digits[16], 16) & 3]
    assert derived_uid("a", "b") == f"2.25.{int(''.join(digits), 16)}"


def test_uids_that_were_given_out_stay() -> None:
    assert IMPLEMENTATION_CLASS_UID == "2.25.280584772188161961753089862398980861523"
    assert CODING_SCHEME_UID == "2.25.237300602228187538971060510841297776508"


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_other_words_give_another_uid(one: list[str], other: list[str]) -> None:
    uid = derived_uid(*one)
    assert (uid == derived_uid(*other)) == (one == other)
    assert len(uid) <= 64
    value = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert (value.version, value.variant) == (8, uuid.RFC_4122)
