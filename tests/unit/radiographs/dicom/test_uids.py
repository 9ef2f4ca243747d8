"""One function says what a UID is, to all that read one."""

import pytest

from carina.errors import InputError
from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.uids import bare_uid, is_uid
from make import make_grey
from make_dicom import encode_dicom

GREY = make_grey(1, (60, 50))
VALID = ["1.2.3", "2.25.1234", "1", "1.2.3\0", " 1.2.3 ", "1.02.003", "1.2.3\n", "1." + "2" * 62]
NOT_VALID = [
    *("", "1.2.a", "1..2", ".1.2", "1.2.", "1.2\n.3", "1." + "2" * 63, "1.2\\1.3", "../1", "1.2 3", "١.٢"),
    *(None, 12),
]


@pytest.mark.parametrize("uid", VALID)
def test_uids(uid: str) -> None:
    bare = uid.strip("\0 \n")
    assert bare_uid(uid) == bare
    assert is_uid(bare)
    # In an address what fills it up would count.
    assert is_uid(uid) == (uid == bare)


@pytest.mark.parametrize("uid", NOT_VALID)
def test_what_is_no_uid(uid: int | str | None) -> None:
    assert not is_uid(uid)
    assert not is_uid(bare_uid(uid))


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_image_with_one_that_is_none_is_judged_and_it_is_said(keyword: str) -> None:
    for uid in NOT_VALID[1:-3]:
        assert decode(encode_dicom(GREY, **{keyword: uid})).header.doubts == ("uid",)
    for uid in (*VALID, None):
        assert decode(encode_dicom(GREY, **{keyword: uid})).header.doubts == ()


def test_reports_and_deidentification_refuse_the_same_ones() -> None:
    from carina.dicom.computed_uids import required_uid

    for uid in VALID:
        assert required_uid("SOPInstanceUID", uid, "nothing can be done") == bare_uid(uid)
    for uid in NOT_VALID[1:]:
        with pytest.raises(InputError, match=r"its SOPInstanceUID is (not valid in DICOM|missing), so that nothing"):
            required_uid("SOPInstanceUID", uid, "nothing can be done")
